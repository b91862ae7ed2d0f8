"""The audit of a run's files before they are published: nothing lost, nothing twice, nothing impossible.

All sums are compared in units, as integers: equal, not close. They are compared meter by meter where the rows are; what
comes back is the same few figures whatever the number of meters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import decimals
from batch_layer.views.scope import INSIDE
from batch_layer.views.slicing import MISPLACED
from engines import columns as shared
from meterlake import state, timegrid
from meterlake.errors import PermanentError
from meterlake.validation import STATE_COLUMNS, measure_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

COMPUTED: Final = "computed"
COPIED: Final = "copied"
_KEYLESS: Final = "keyless"
_OURS: Final = "ours"
_CHECK: Final = "check"
_VIEW: Final = "view"
_BEYOND: Final = "beyond"
_USED: Final = "used"


class AuditFailed(PermanentError):
    """The files of a run contradict its input or each other."""

    def __init__(self, run_id: str, place: str, actual: str) -> None:
        self.run_id, self.place = run_id, place
        super().__init__(
            f"Audit of run {run_id}, {place}: {actual}.",
            hint="Nothing was published; readers still see the run before. Run again with --full;"
            " if it stays, report it: it is a bug.",
        )


@dataclass(frozen=True)
class Looked:
    """What one look at a view's new files has seen.

    sums: over the computed rows, of what adds up: counts, seconds and each measure. wrong: ``computed`` or ``copied``
    -> the first meter of which the rows are not what they must be, and how. keyless: rows without meter or time.
    misplaced: rows that lie outside their slice. least: seconds that a row covers; None without rows. beyond: a row
    that covers more seconds than it lasts, and how.
    """

    sums: dict[str, int]
    wrong: dict[str, str]
    keyless: int
    misplaced: int
    least: int | None
    beyond: str | None


@dataclass(frozen=True)
class View:
    """What is to be compared of one view.

    new: its new rows, with ``inside``, and ``misplaced`` as ``slicing`` gives it. copied: the rows that are copied,
    where they were. source: the finer view of which it is made; None of the finest. made_of: the rows of that one of
    which the computed rows are made; None: those that were computed of it, which are looked at anyway.
    """

    grain: Grain
    new: DataFrame
    copied: DataFrame | None
    source: Grain | None = None
    made_of: DataFrame | None = None


def look(dataset: MeterSeries, views: Sequence[View]) -> dict[Grain, Looked]:
    """Compare the rows of the views' new files, by meter, with what they must be; all views in one query."""
    sides = reduce(DataFrame.unionByName, (side for view in views for side in _sides_of(view, dataset)))
    seen = _compared(_used_again(_sums(sides, dataset), views), dataset)
    return {view.grain: _looked(dataset, view, [row for row in seen if row[_VIEW] == view.grain]) for view in views}


def _sides_of(view: View, dataset: MeterSeries) -> Iterator[DataFrame]:
    """Return the rows of all sides alike, with what they are to be compared for."""
    key, grain = dataset.key, view.grain
    names = [key, *STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]
    check = f"IF({INSIDE}, '{COMPUTED}', '{COPIED}') AS {_CHECK}"
    keyless = f"({key} IS NULL OR {grain} IS NULL) AS {_KEYLESS}"
    beyond = f"covered_s - {timegrid.full_coverage_sql(dataset, grain)} AS {_BEYOND}"
    whose, right = f"'{grain}' AS {_VIEW}", [f"false AS {name}" for name in (_OURS, _KEYLESS, MISPLACED)]
    right.append(f"CAST(NULL AS BIGINT) AS {_BEYOND}")
    yield view.new.selectExpr(*names, whose, check, f"true AS {_OURS}", keyless, MISPLACED, beyond)
    for rows, name in ((view.made_of, COMPUTED), (view.copied, COPIED)):
        if rows is not None:
            yield rows.selectExpr(*names, whose, f"'{name}' AS {_CHECK}", *right)


def _looked(dataset: MeterSeries, view: View, seen: list[Any]) -> Looked:
    compared = {COMPUTED: view.source is not None, COPIED: True}
    figures = {row[_CHECK]: row for row in seen}
    counted = figures.get(COMPUTED)
    return Looked(
        sums={name: int((counted[name] if counted else None) or 0) for name in _added(dataset)},
        wrong={name: _shown(row["wrong"]) for name, row in figures.items() if compared[name] and row["wrong"]},
        keyless=sum(row[_KEYLESS] or 0 for row in seen),
        misplaced=sum(row[MISPLACED] or 0 for row in seen),
        least=min((row["least"] for row in seen if row["least"] is not None), default=None),
        beyond=_beyond(dataset, view) if any((row[_BEYOND] or 0) > 0 for row in seen) else None,
    )


def _sums(sides: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the merged states of each meter, by what they are to be compared for."""
    looked = (
        f"count_if({_KEYLESS}) AS {_KEYLESS}",
        f"count_if({MISPLACED}) AS {MISPLACED}",
        f"max({_BEYOND}) AS {_BEYOND}",
        "min(covered_s) AS least",
    )
    units = decimals.in_units(sides, dataset, _VIEW, _CHECK, _OURS, _KEYLESS, MISPLACED, _BEYOND)
    # Merged sums take names that rows have, so these are looked at under others.
    return units.groupBy(_VIEW, _CHECK, dataset.key, _OURS).agg(*shared.merge_columns(dataset), *map(F.expr, looked))


def _used_again(sums: DataFrame, views: Sequence[View]) -> DataFrame:
    """Return the sums with those of computed rows also as what another view is made of, where these are the same."""
    uses: dict[Grain, list[Grain]] = {}
    for view in views:
        if view.source is not None and view.made_of is None:
            uses.setdefault(view.source, []).append(view.grain)
    if not uses:
        return sums
    own = f"struct({_VIEW} AS {_VIEW}, {_OURS} AS {_OURS})"
    other = f"struct('{{}}' AS {_VIEW}, false AS {_OURS})"
    cases = [
        f"WHEN '{source}' THEN array({', '.join([own, *(other.format(grain) for grain in grains)])})"
        for source, grains in uses.items()
    ]
    sides = f"CASE IF({_OURS} AND {_CHECK} = '{COMPUTED}', {_VIEW}, '') {' '.join(cases)} ELSE array({own}) END"
    used = sums.withColumn(_USED, F.explode(F.expr(sides)))
    return used.withColumns({name: F.col(f"{_USED}.{name}") for name in (_VIEW, _OURS)}).drop(_USED)


def _compared(sums: DataFrame, dataset: MeterSeries) -> list[Any]:
    """Return one row a view and check: sums over all meters, and the first meter whose sides differ.

    In SQL: columns that are made one by one take longer than the query.
    """
    names = [name for name, _ in state.merge_aggregates(dataset, "spark")]
    both = [f"max(IF({_OURS}, {name}, NULL)) AS {name}" for name in (*names, _KEYLESS, MISPLACED, _BEYOND, "least")]
    theirs = [f"max(IF({_OURS}, NULL, {name})) AS other_{name}" for name in names]
    meters = sums.groupBy(_VIEW, _CHECK, dataset.key).agg(*map(F.expr, (*both, *theirs)))
    differs = " AND ".join(f"{name} <=> other_{name}" for name in names)
    pairs = ", ".join(f"struct('{name}' AS name, {name} AS ours, other_{name} AS other)" for name in names)
    # A struct without key would be the least of all, so that a row without a meter is named first.
    result = f"struct(coalesce({dataset.key}, '') AS meter, array({pairs}) AS pairs)"
    totals = [f"sum({name}) AS {name}" for name in (*_added(dataset), _KEYLESS, MISPLACED)]
    figures = (
        *totals,
        f"min(IF({differs}, NULL, {result})) AS wrong",
        f"max({_BEYOND}) AS {_BEYOND}",
        "min(least) AS least",
    )
    return meters.groupBy(_VIEW, _CHECK).agg(*map(F.expr, figures)).collect()


def _added(dataset: MeterSeries) -> list[str]:
    """Return the state's columns that add up."""
    return [*STATE_COLUMNS, *(measure_columns(measure)[0] for measure in dataset.measures)]


def check_equal(run_id: str, place: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> None:
    """Raise AuditFailed, naming the first difference, unless both sides are equal."""
    for key in sorted(left.keys() | right.keys(), key=str):
        if left.get(key) != right.get(key):
            raise AuditFailed(run_id, place, f"{key}: {_sides(left.get(key), right.get(key))}")


def check_rows(run_id: str, seen: Looked, dataset: MeterSeries, view: View, table: str) -> None:
    """Raise AuditFailed where rows differ from what they must be, or one is impossible."""
    place = f"view {view.grain}"
    if seen.keyless:
        raise AuditFailed(run_id, place, f"{seen.keyless} rows have no meter or no time")
    if seen.misplaced:
        raise AuditFailed(run_id, place, f"{seen.misplaced} rows lie outside their slice")
    if seen.least is not None and seen.least <= 0:
        raise AuditFailed(run_id, place, f"a row covers {seen.least} s")
    if seen.beyond is not None:
        raise AuditFailed(run_id, place, seen.beyond)
    if COMPUTED in seen.wrong:
        raise AuditFailed(run_id, f"{dataset.name}_{view.source} and {table}", seen.wrong[COMPUTED])
    if COPIED in seen.wrong:
        raise AuditFailed(run_id, f"copied rows of {table}", seen.wrong[COPIED])


def _beyond(dataset: MeterSeries, view: View) -> str:
    """Return the first row that covers more seconds than it lasts."""
    lasts = timegrid.full_coverage_sql(dataset, view.grain)
    rows = view.new.selectExpr(f"CAST({view.grain} AS STRING) AS time", "covered_s", f"{lasts} AS lasts_s")
    time, covered, of = rows.where("covered_s > lasts_s").orderBy("time").collect()[0]
    return f"a row of {time} covers {covered} s of {of} s"


def _shown(wrong: Any) -> str:  # noqa: ANN401 - a row
    name, ours, other = next((name, ours, other) for name, ours, other in wrong["pairs"] if ours != other)
    return f"{wrong['meter']}: {name} is {ours} on one side and {other} on the other"


def _sides(left: Any, right: Any) -> str:  # noqa: ANN401 - numbers or rows of them
    return f"{left} on one side and {right} on the other"
