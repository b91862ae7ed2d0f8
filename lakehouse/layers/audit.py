"""The audit of a run, on its branch, before anybody sees it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from lakehouse.layers import tables
from lakehouse.parallel import side_by_side
from meterlake.errors import OutOfBalance, PermanentError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.layers.silver import Changed
    from lakehouse.layers.tables import Catalog
    from meterlake.lakehouse.model import Fact


class AuditFailed(PermanentError):
    """What a run has computed contradicts itself, or is too bad to be shown."""

    def __init__(self, run: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(
            f"Run {run} was not merged: {'; '.join(problems)}.",
            hint=f"Readers see what they saw before. Its branch {run} is left to be looked at.",
        )


def check(
    session: SparkSession,
    catalog: Catalog,
    run: str,
    read: Mapping[str, int],
    changed: Mapping[str, Changed],
    left: Collection[str],
) -> None:
    """Raise OutOfBalance or AuditFailed unless a run's tables agree with each other and with what was read.

    Of facts that is what the run has touched: the rest has been audited by runs before. left: dimensions that members
    have left.
    """
    lakehouse = catalog.lakehouse
    table, run_id = catalog.path(tables.QUARANTINE), run.removeprefix(f"{lakehouse.name}_")
    kept = session.sql(
        f"SELECT record, count(*) AS records FROM {table} WHERE run_id = '{run_id}' GROUP BY record"
    ).collect()
    undecodable = {row["record"]: row["records"] for row in kept}
    for name, item in changed.items():
        counts = asdict(item.counts) | {"undecodable": undecodable.get(name, 0)}
        parts = {part: counts[part] for part in counts if part != "read"}
        if sum(parts.values()) != read[name]:
            raise OutOfBalance(f"{lakehouse.name} {name}", read[name], parts, f"Nothing was merged: branch {run}.")
    facts = [item for item in lakehouse.facts if item.event in changed]
    result = side_by_side(lambda item: _fact(session, catalog, item, changed[item.event]), facts)
    result += side_by_side(lambda item: _left(session, catalog, item, left), lakehouse.facts)
    problems = [problem for of_fact in result for problem in of_fact]
    for event in lakehouse.events:
        if (of_run := changed.get(event.name)) and of_run.counts.read:
            share = of_run.counts.rejected / of_run.counts.read
            if share > lakehouse.most_rejected:
                problems.append(
                    f"{share:.1%} of {event.name} were rejected, more than the {lakehouse.most_rejected:.0%} declared"
                )
    if problems:
        raise AuditFailed(run, problems)


def _left(session: SparkSession, catalog: Catalog, item: Fact, left: Collection[str]) -> list[str]:
    """Return what leads to members that have left: in all of a fact, also where the run has not touched it."""
    path = catalog.path(tables.fact(catalog.lakehouse, item))
    counts = [
        (lookup, session.sql(f"SELECT 1 FROM {path} WHERE {lookup.column} IN (TABLE left_{lookup.dimension})").count())
        for lookup in item.lookups
        if lookup.dimension in left
    ]
    return [
        f"{item.name}: {count} rows have a {lookup.column} that has left {lookup.dimension}"
        for lookup, count in counts
        if count
    ]


def _fact(session: SparkSession, catalog: Catalog, item: Fact, changed: Changed) -> list[str]:
    """Return what is wrong with a fact in the periods that a run has touched.

    That are keys that are there twice or lead nowhere, rows or sums that differ.
    """
    assert changed.touched is not None  # noqa: S101 - of an event
    lakehouse = catalog.lakehouse
    event = lakehouse.event(item.event)
    money = [field.name for field in event.fields if field.type.kind == "decimal"]
    sums = "".join(f", sum(`{name}`)" for name in money)
    path, silver = catalog.path(tables.fact(lakehouse, item)), catalog.path(tables.silver(event))
    ways = [(lookup.column, lookup.dimension, lakehouse.dimension(lookup.dimension).key) for lookup in item.lookups]
    ways += [("date_sk", tables.DATE, "date_sk"), ("time_sk", tables.TIME, "time_sk")]
    lost = "".join(f", count_if(way_{number}.key IS NULL)" for number in range(len(ways)))
    joins = "".join(
        f" LEFT JOIN (SELECT {key} AS key FROM {catalog.table('gold', name)}) way_{number}"
        f" ON way_{number}.key = rows.{column}"
        for number, (column, name, key) in enumerate(ways)
    )
    row = session.sql(
        f"SELECT count(*){sums}, count(*) - count(DISTINCT transaction_sk){lost}"
        f" FROM {path} rows{joins} WHERE {changed.touched.condition(f'rows.`{event.time}`')}"
    ).first()
    alive = " AND NOT coalesce(is_deleted, false)" if event.can_be_deleted else ""
    touched = changed.touched.condition(f"`{event.time}`")
    wanted = session.sql(f"SELECT count(*){sums} FROM {silver} WHERE NOT is_rejected{alive} AND {touched}").first()
    assert row is not None  # noqa: S101 - aggregates have one row
    assert wanted is not None  # noqa: S101
    problems = [
        f"{item.name}: {what} is {ours}, of accepted {event.name} it is {theirs}"
        for what, ours, theirs in zip(("rows", *money), row, wanted, strict=False)
        if ours != theirs
    ]
    counts = row[len(wanted) :]
    words = ["rows share a key", *(f"rows have a {column} that {name} lacks" for column, name, _ in ways)]
    return problems + [f"{item.name}: {count} {word}" for count, word in zip(counts, words, strict=True) if count]
