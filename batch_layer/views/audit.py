"""The audit of a run's files before they are published: nothing lost, nothing twice, nothing impossible.

All sums are compared in units, as integers: equal, not close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.decimals import in_units
from engines import columns as shared
from engines.verdicts import VERDICT
from meterlake import rules, state, timegrid
from meterlake.errors import PermanentError
from meterlake.precedence import Balance
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from meterlake.declaration import Dataset
    from meterlake.grains import Grain

Totals = dict[Any, dict[str, Any]]
"""Group -> state column -> value."""


class AuditFailed(PermanentError):
    """The files of a run contradict its input or each other."""

    def __init__(self, run_id: str, place: str, found: str) -> None:
        self.run_id, self.place = run_id, place
        super().__init__(
            f"Audit of run {run_id}, {place}: {found}.",
            hint="Nothing was published; readers still see the run before. Run again with --full;"
            " if it stays, report it: it is a bug.",
        )


def totals(rows: DataFrame, dataset: Dataset, grain: Grain) -> Totals:
    """Return the state of each meter over rows as stored, merged."""
    units = in_units(rows, dataset, grain)
    found = units.groupBy(dataset.key).agg(*shared.merge_columns(dataset)).collect()
    return {row[dataset.key]: row.asDict() for row in found}


def tally(judged: DataFrame, dataset: Dataset, read: int) -> tuple[Balance, dict[str, int]]:
    """Count the verdicts, and sum the used readings up without grouping: what the views' sums must be.

    read: how many readings there are, counted elsewhere.
    """
    used = F.col(VERDICT) == "used"  # the values of others may not even fit into units
    measures = [F.when(used, F.expr(sql)).alias(name) for name, sql in state.unit_columns(dataset)]
    flagged = F.when(used, F.expr(rules.flagged_sql(dataset, "spark")).cast("bigint")).alias("flagged")
    wanted = {*STATE_COLUMNS, *(measure_columns(measure)[0] for measure in dataset.measures)}
    sums = shared.columns(pair for pair in state.state_aggregates(dataset, "spark") if pair[0] in wanted)
    rows = judged.select(VERDICT, dataset.interval, flagged, *measures).groupBy(VERDICT).agg(*sums).collect()
    counts = {row[VERDICT]: row["readings"] for row in rows}
    expected = next((row.asDict() for row in rows if row[VERDICT] == "used"), dict.fromkeys(wanted, 0))
    expected.pop(VERDICT, None)
    return Balance(read, **counts), expected


def sums(found: Totals, dataset: Dataset) -> dict[str, int]:
    """Return the sums over all meters of what adds up: counts, seconds, and each measure."""
    names = [*STATE_COLUMNS, *(measure_columns(measure)[0] for measure in dataset.measures)]
    return {name: sum(row[name] for row in found.values()) for name in names}


def check_equal(run_id: str, place: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> None:
    """Raise AuditFailed, naming the first difference, unless both sides are equal."""
    for key in sorted(left.keys() | right.keys(), key=str):
        if left.get(key) != right.get(key):
            raise AuditFailed(run_id, place, f"{key}: {_shown(left.get(key), right.get(key))}")


def check_rows(run_id: str, rows: DataFrame, dataset: Dataset, grain: Grain) -> None:
    """Raise AuditFailed where a row has no key, comes twice, or covers more than its length."""
    span = F.col(grain) if grain == "day" else F.lit(0)
    keyless = F.col(dataset.key).isNull() | F.col(grain).isNull()
    found = (
        rows.groupBy(span.alias("span"))
        .agg(F.count_if(keyless).alias("keyless"), F.max("covered_s").alias("most"), F.min("covered_s").alias("least"))
        .collect()
    )
    for row in found:
        place = f"view {grain}"
        if row["keyless"]:
            raise AuditFailed(run_id, place, f"{row['keyless']} rows have no meter or no time")
        length = timegrid.full_coverage(dataset, grain, row["span"] if grain == "day" else None)
        if row["most"] > length:
            raise AuditFailed(run_id, place, f"a row covers {row['most']} s of {length} s ({row['span'] or grain})")
        if row["least"] <= 0:
            raise AuditFailed(run_id, place, f"a row covers {row['least']} s")


def _shown(left: Any, right: Any) -> str:  # noqa: ANN401 - numbers or rows of them
    if isinstance(left, dict) and isinstance(right, dict):
        name = next(name for name in left if left[name] != right.get(name))
        return f"{name} is {left[name]} on one side and {right.get(name)} on the other"
    return f"{left} on one side and {right} on the other"
