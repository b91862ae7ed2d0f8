"""The audit of a run's files before they are published: nothing lost, nothing twice, nothing impossible.

All sums are compared in units, as integers: equal, not close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import decimals
from batch_layer.views.scope import INSIDE
from batch_layer.views.slicing import MISPLACED
from engines import columns as shared
from meterlake import timegrid
from meterlake.errors import PermanentError
from meterlake.grains import is_fixed
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


@dataclass(frozen=True)
class Survey:
    """What one look at a view's rows has seen. inside, outside: states by meter, of recomputed rows and of others.

    keyless: rows without meter or time. misplaced: rows that lie outside their slice. most, least: seconds that a row
    covers; None without rows.
    """

    inside: Totals
    outside: Totals
    keyless: int
    misplaced: int
    most: int | None
    least: int | None


def survey(rows: DataFrame, dataset: Dataset, grain: Grain) -> Survey:
    """Return the states of each meter over rows as stored, merged, and what no row may be.

    rows: with ``inside``, and ``misplaced`` as ``slicing`` tells it.
    """
    keyless = F.col(dataset.key).isNull() | F.col(grain).isNull()
    looked = [
        F.count_if(keyless).alias("keyless"),
        F.count_if(MISPLACED).alias(MISPLACED),
        F.max("covered_s").alias("most"),
        F.min("covered_s").alias("least"),
    ]
    # Merged sums take names that rows have, so these are looked at under others.
    units = decimals.in_units(rows, dataset, grain, INSIDE, MISPLACED)
    grouped = units.groupBy(dataset.key, INSIDE)
    seen = [row.asDict() for row in grouped.agg(*shared.merge_columns(dataset), *looked).collect()]
    bounds = [(row.pop("keyless"), row.pop(MISPLACED), row.pop("most"), row.pop("least")) for row in seen]
    apart: dict[bool, Totals] = {True: {}, False: {}}
    for row in seen:
        apart[bool(row.pop(INSIDE))][row[dataset.key]] = row
    return Survey(
        apart[True],
        apart[False],
        keyless=sum(bound[0] for bound in bounds),
        misplaced=sum(bound[1] for bound in bounds),
        most=max((bound[2] for bound in bounds), default=None),
        least=min((bound[3] for bound in bounds), default=None),
    )


def all_inside(rows: DataFrame) -> DataFrame:
    """Return rows that come from several slices, all of them recomputed, as ``survey`` takes them."""
    return rows.withColumns({INSIDE: F.lit(True), MISPLACED: F.lit(False)})


def sums(found: Totals, dataset: Dataset) -> dict[str, int]:
    """Return the sums over all meters of what adds up: counts, seconds, and each measure."""
    names = [*STATE_COLUMNS, *(measure_columns(measure)[0] for measure in dataset.measures)]
    return {name: sum(row[name] for row in found.values()) for name in names}


def check_equal(run_id: str, place: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> None:
    """Raise AuditFailed, naming the first difference, unless both sides are equal."""
    for key in sorted(left.keys() | right.keys(), key=str):
        if left.get(key) != right.get(key):
            raise AuditFailed(run_id, place, f"{key}: {_shown(left.get(key), right.get(key))}")


def check_survey(run_id: str, found: Survey, dataset: Dataset, grain: Grain) -> None:
    """Raise AuditFailed where a row has no key, lies outside its slice, or covers nothing or more than its length.

    How long a local day or month is, ``check_calendar`` knows.
    """
    place = f"view {grain}"
    if found.keyless:
        raise AuditFailed(run_id, place, f"{found.keyless} rows have no meter or no time")
    if found.misplaced:
        raise AuditFailed(run_id, place, f"{found.misplaced} rows lie outside their slice")
    if found.least is not None and found.least <= 0:
        raise AuditFailed(run_id, place, f"a row covers {found.least} s")
    if is_fixed(grain) and found.most is not None:
        _check_most(run_id, place, found.most, timegrid.full_coverage(dataset, grain))


def check_calendar(run_id: str, rows: DataFrame, dataset: Dataset, grain: Grain) -> None:
    """Raise AuditFailed where a local day or month, whose length differs, is covered for longer than it is."""
    for row in rows.groupBy(grain).agg(F.max("covered_s").alias("most")).collect():
        length = timegrid.full_coverage(dataset, grain, row[grain])
        _check_most(run_id, f"view {grain}, {row[grain]}", row["most"], length)


def _check_most(run_id: str, place: str, most: int, length: int) -> None:
    if most > length:
        raise AuditFailed(run_id, place, f"a row covers {most} s of {length} s")


def _shown(left: Any, right: Any) -> str:  # noqa: ANN401 - numbers or rows of them
    if isinstance(left, dict) and isinstance(right, dict):
        name = next(name for name in left if left[name] != right.get(name))
        return f"{name} is {left[name]} on one side and {right.get(name)} on the other"
    return f"{left} on one side and {right} on the other"
