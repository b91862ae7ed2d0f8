"""From rows of a Delta table back to the runs that made them: what each read, and by which version of the code.

Every commit carries the id of its run, and the change data feed says which commit has written which row; the record of
the runs says the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import hdfs, trino
from engines.errors import QueryFailed
from meterlake.errors import PermanentError, UnknownName
from serving_layer.publish import records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

# Names come from declarations; the condition is the user's own, as in `meterlake query`.
# ruff: noqa: S608
RUNS: Final = {"vee": "vee.{name}_runs", "cost": "presentation.{name}_cost_runs", "": "presentation.{name}_runs"}
"""Where runs are recorded: of validation and estimation, of costs, and of all else."""
_LOST: Final = ("does not exist", "not found", "Error getting change data feed", "Unable to")


@dataclass(frozen=True)
class Made:
    """Rows that one commit has written. rows: how many, as they are now or were until a later commit changed them.

    run, code: id and version of the code; empty where nothing is recorded. inputs: what the run read, a line each.
    """

    version: int
    at: datetime
    rows: int
    run: str
    code: str
    inputs: tuple[str, ...]


class ChangesRemoved(PermanentError):
    """Upkeep has removed what would tell which commit has written a row."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"Which run has written rows of {table} is no longer known: upkeep has removed its old changes.",
            hint="`meterlake maintain --keep` keeps them for longer.",
        )


def trace(settings: Settings, dataset: MeterSeries, table: str, condition: str = "") -> list[Made]:
    """Return the commits that have written rows of a table, the newest first.

    table: ``schema.name`` without the data set, such as ``presentation.cost``. condition: SQL; empty for all rows.
    Raises UnknownName, ChangesRemoved, and QueryFailed where the condition is wrong.
    """
    schema, _, short = table.partition(".")
    name = f"{dataset.name}_{short}" if short else dataset.name
    _check_there(settings, dataset, schema, name)
    where = f" AND ({condition})" if condition else ""
    try:
        rows = trino.rows(
            settings,
            "SELECT _commit_version, max(_commit_timestamp), count(*)"
            f" FROM TABLE(delta.system.table_changes(schema_name => '{schema}', table_name => '{name}'))"
            f" WHERE _change_type IN ('insert', 'update_postimage'){where} GROUP BY 1 ORDER BY 1 DESC",
        )
    except QueryFailed as error:
        if any(words in error.what for words in _LOST):
            raise ChangesRemoved(f"{schema}.{name}") from error
        raise
    recorded = _recorded(settings, dataset, schema, short)
    batches = {record.run_id: record for record in records.last(settings, dataset.name, _seq(settings, dataset), None)}
    result = []
    for version, at, count in rows:
        run = _note(settings, schema, name, version)
        row = recorded.get(run, {})
        inputs = _inputs(row, batches)
        result.append(Made(version, at.astimezone(UTC), count, run, str(row.get("version", "")), inputs))
    return result


def _check_there(settings: Settings, dataset: MeterSeries, schema: str, name: str) -> None:
    """Raise UnknownName, which lists the tables that are there."""
    prefix, known = dataset.name, []
    for database in ("staging", "presentation", "vee"):
        rows = trino.rows(
            settings, "SELECT table_name FROM delta.information_schema.tables WHERE table_schema = ?", [database]
        )
        known += [f"{database}.{result}" for (result,) in rows if result == prefix or result.startswith(f"{prefix}_")]
    known = [one for one in known if not one.endswith("_runs")]
    if f"{schema}.{name}" not in known:
        shown = [one.replace(f".{prefix}_", ".") for one in known]
        raise UnknownName(f"table of {prefix}", f"{schema}.{name}".replace(f".{prefix}_", "."), shown)


def _recorded(settings: Settings, dataset: MeterSeries, schema: str, short: str) -> dict[str, dict[str, Any]]:
    """Return run -> its record."""
    key = schema if schema in RUNS else short if short in RUNS else ""
    columns, rows = trino.select(settings, f"SELECT * FROM delta.{RUNS[key].format(name=dataset.name)}")
    return {row[columns.index("run_id")]: dict(zip(columns, row, strict=True)) for row in rows}


def _note(settings: Settings, schema: str, name: str, version: int) -> str:
    """Return the run that a commit carries; empty where its log is gone."""
    path = f"/meterlake/delta/{schema}/{name}/_delta_log/{version:020}.json"
    client = hdfs.client(settings)
    if client.status(path, strict=False) is None:
        return ""
    for line in hdfs.read_bytes(settings, path).splitlines():
        if info := json.loads(line).get("commitInfo"):
            return str(info.get("userMetadata", ""))
    return ""


def _inputs(row: Mapping[str, Any], batches: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a run has read, in words."""
    if not row:
        return ()
    read = json.loads(row["inputs"])
    words = []
    if batch := row.get("batch_run"):
        record = batches.get(batch)
        snapshot = f", of snapshot {record.snapshot} of the master data set" if record else ""
        words.append(f"batch run {batch}{snapshot}")
    words += [f"{name} as recorded until {time}" for name, time in sorted(read.get("recorded", {}).items())]
    words += [f"{name}, version {number}" for name, number in sorted(read.items()) if isinstance(number, int)]
    return tuple(words)


def _seq(settings: Settings, dataset: MeterSeries) -> int:
    return records.load(settings, dataset.name).seq
