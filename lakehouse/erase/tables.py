"""What tables, earlier runs and other engines have of a person: counted, and removed where no reader sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import clickhouse, lake, lake_tables, nessie
from engines.errors import EngineUnavailable, QueryFailed
from lakehouse import history
from lakehouse.clickhouse.load import load as load_clickhouse
from lakehouse.layers import tables
from lakehouse.parallel import side_by_side
from meterlake.erasure import Remains
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lakehouse.run import Rows
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.persons import Belongings
    from meterlake.settings import Settings


def count(settings: Settings, belongings: Belongings) -> dict[str, int]:
    """Return how many rows of which table of silver and gold readers see of a person."""
    wanted = _wanted(belongings)
    counts = side_by_side(lambda item: lake_tables.count(settings, *item), wanted.items())
    result = dict(zip(wanted, counts, strict=True))
    quarantine = f"{belongings.lakehouse.namespace('silver')}.{tables.QUARANTINE.name}"
    values = lake_tables.read(settings, quarantine, ("value",))["value"].to_pylist()
    result[quarantine] = sum(belongings.names(value.encode()) for value in values if value)
    return {f"rows of {name}": number for name, number in result.items() if number}


def _wanted(belongings: Belongings) -> dict[str, Mapping[str, Collection[str]]]:
    """Return the tables that have columns of the person, with what is looked for in which."""
    lakehouse, result = belongings.lakehouse, dict[str, "Mapping[str, Collection[str]]"]()
    for record in lakehouse.records:
        if columns := belongings.columns(record):
            result[f"{lakehouse.namespace('silver')}.{record.name}"] = columns
    gold = lakehouse.namespace("gold")
    for dimension in lakehouse.dimensions:
        of_reference = belongings.columns(lakehouse.reference(dimension.reference)).items()
        if within := {name: keys for name, keys in of_reference if name in dimension.attributes}:
            result[f"{gold}.{dimension.name}"] = within
    for fact in lakehouse.facts:
        if columns := belongings.columns(lakehouse.event(fact.event)):
            result[f"{gold}.{fact.name}"] = columns
    return result | {f"{gold}.{table.name}": columns for table, columns in answers(belongings).items()}


def answers(belongings: Belongings) -> Rows:
    """Return the tables of predictions about people."""
    persons = belongings.keys[belongings.person.reference.name]
    return {
        tables.prediction(item): {item.member[0]: persons}
        for item in belongings.lakehouse.predictions
        if item.member[0] == belongings.person.reference.key
    }


def forget_runs(settings: Settings, lakehouse: Lakehouse, run: str) -> None:
    """Remove the tags of runs before one, and branches that runs have left: nobody can go back to them."""
    tag, branch = history.tag(lakehouse.name, ""), f"{lakehouse.name}_"
    for ref in nessie.refs(settings):
        prefix = tag if ref.type == "TAG" else branch
        name = ref.name.removeprefix(prefix)
        if ref.name.startswith(prefix) and history.is_run(name) and (ref.type == "BRANCH" or name < run):
            nessie.delete(settings, ref)


def remove_files(settings: Settings, lakehouse: Lakehouse) -> list[Remains]:
    """Remove all files of tables that readers do not see: of earlier states, and of runs that failed.

    A full run makes tables at new places, so what lies beside these is of earlier ones. Returns the tables that are
    declared no more: no run computes them again.
    """
    bucket, declared = f"s3://{settings.lake_bucket}/", {(item.layer, item.name) for item in tables.every(lakehouse)}
    remains, places = [], []
    for layer in tables.LAYERS:
        for name, place in lake_tables.places(settings, lakehouse.namespace(layer)).items():
            places.append(f"{place.removeprefix(bucket).rstrip('/')}/")
            if (layer, name) not in declared:
                full = f"{lakehouse.namespace(layer)}.{name}"
                remains.append(Remains(f"table {full}", "is declared no more, and stays as it was: drop it"))
    folders = {place.rstrip("/").rpartition("/")[0] for place in places}
    known = tuple(places)
    gone = [
        item.key
        for folder in sorted(folders)
        for item in lake.listed(settings, f"{folder}/")
        if not item.key.startswith(known)
    ]
    side_by_side(lambda key: lake.delete(settings, key), gone)
    return remains


def reload_clickhouse(settings: Settings, lakehouse: Lakehouse) -> list[Remains]:
    """Load ClickHouse again, as a whole, where it has been loaded; return what remains where that is not possible."""
    if settings.clickhouse_url == clickhouse.IN_PROCESS and not (settings.home / "clickhouse").is_dir():
        return []
    try:
        with clickhouse.session(settings) as engine:
            _, rows = engine.select(f"SELECT count() FROM system.databases WHERE name = '{lakehouse.name}'")
            if int(rows[0][0]):
                load_clickhouse(settings, engine, lakehouse, full=True)
    except (EngineUnavailable, QueryFailed, UsageError) as error:
        what = f"tables as of the last load: `meterlake clickhouse {lakehouse.name} --full` ({error.what})"
        return [Remains("ClickHouse", what)]
    return []
