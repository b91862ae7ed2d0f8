"""Validation: what a reading may be refused or flagged for, in one order, for both layers.

1. Before the master data set (``quarantine_reason``): ``off_grid``, ``missing_measure``. A row without any
   value is a gap row and passes.
2. In the views (``reject_reason``), the first that applies: for each measure ``<measure>_not_finite``,
   ``<measure>_below_min``, ``<measure>_above_max``; then the declared rejects; then
   ``before_earliest``: ``ts`` lies before the declared earliest day; then ``received_before_event``: ``ts`` lies more
   than the tolerance after the **stored** time of arrival.
3. ``is_flagged``: whether a declared flag applies to an accepted reading.

Rules read the values as they arrived, in doubles. They look at the row alone, never at the present, so
that the same input gives the same output for ever.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from meterlake.evaluate import evaluate
from meterlake.rendering import double_literal
from meterlake.timegrid import OFF_GRID, epoch_seconds_sql, off_grid_sql, on_grid

if TYPE_CHECKING:
    from meterlake.columns import Dialect
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.reading import Reading

MISSING_MEASURE: Final = "missing_measure"
BEFORE_EARLIEST: Final = "before_earliest"
RECEIVED_BEFORE_EVENT: Final = "received_before_event"
Limits = float | dict[int, float]
"""A limit of a measure, or one for each declared interval length."""
_LARGEST: Final = "1.7976931348623157E308"


class RangeRule(NamedTuple):
    """A generated rule: its reason, and its condition as SQL of every dialect over a DOUBLE column."""

    reason: str
    sql: str


def reasons(dataset: MeterSeries) -> tuple[str, ...]:
    """Return every reason for which the views reject a reading, in the order in which they are tried."""
    ranges = [rule.reason for measure in dataset.measures for rule in range_rules(dataset, measure)]
    return (*ranges, *(rule.name for rule in dataset.rejects), BEFORE_EARLIEST, RECEIVED_BEFORE_EVENT)


def range_rules(dataset: MeterSeries, measure: Measure) -> tuple[RangeRule, RangeRule, RangeRule]:
    """Return the generated rules of a measure, in order.

    Not finite comes first, written so that every engine agrees: NaN is the largest double in Spark and
    DuckDB and incomparable in Trino, so that ``abs(v) <= largest`` is not true for it in any of them.
    """
    lows, highs = _limits(measure, dataset.intervals)
    name = measure.name
    return (
        RangeRule(f"{name}_not_finite", f"NOT (ABS({name}) <= {_LARGEST})"),
        RangeRule(f"{name}_below_min", f"{name} < {_limit_sql(dataset, lows)}"),
        RangeRule(f"{name}_above_max", f"{name} > {_limit_sql(dataset, highs)}"),
    )


@lru_cache(maxsize=256)
def _limits(measure: Measure, intervals: tuple[int, ...]) -> tuple[Limits, Limits]:
    """Return the lowest and the highest values accepted: one a declared length, or one number where all are equal."""
    limits = {length: measure.limits(length) for length in intervals}
    lows, highs = ({length: pair[side] for length, pair in limits.items()} for side in (0, 1))
    return _one_if_equal(lows), _one_if_equal(highs)


def _one_if_equal(limits: dict[int, float]) -> Limits:
    first, *others = set(limits.values())
    return limits if others else first


def _limit_sql(dataset: MeterSeries, limits: Limits) -> str:
    """Return a limit as a DOUBLE; NULL for a length that is not declared where limits depend on it."""
    if isinstance(limits, float):
        return double_literal(limits)
    branches = " ".join(f"WHEN {length} THEN {double_literal(limit)}" for length, limit in limits.items())
    return f"CASE {dataset.interval} {branches} END"


def quarantine_reason(dataset: MeterSeries, reading: Reading) -> str | None:
    """Return why a decoded reading may not enter the master data set, or None."""
    if not on_grid(dataset, reading.ts, reading.interval_s):
        return OFF_GRID
    missing = [value is None for value in reading.values]
    return MISSING_MEASURE if any(missing) and not all(missing) else None


def quarantine_reason_sql(dataset: MeterSeries, dialect: Dialect, epoch_seconds: str | None = None) -> str:
    """Return SQL of the reason why a decoded row may not enter the master data set, or NULL.

    epoch_seconds: SQL of the start in whole seconds, if the decoder has it at hand.
    """
    seconds = epoch_seconds or epoch_seconds_sql(dataset.event_time, dialect)
    given = " + ".join(f"CASE WHEN {m.name} IS NULL THEN 0 ELSE 1 END" for m in dataset.measures)
    partly = f"{given} BETWEEN 1 AND {len(dataset.measures) - 1}"
    return f"CASE WHEN {off_grid_sql(dataset, seconds)} THEN '{OFF_GRID}' WHEN {partly} THEN '{MISSING_MEASURE}' END"


def reject_reason(dataset: MeterSeries, reading: Reading) -> str | None:
    """Return the first reason for which the views reject a reading of the master data set, or None."""
    for measure, value in zip(dataset.measures, reading.values, strict=True):
        reason = None if value is None else _range_reason(dataset, measure, value, reading.interval_s)
        if reason:
            return reason
    row = reading.row(dataset)
    for rule in dataset.rejects:
        if evaluate(rule.expression, row) is True:
            return rule.name
    if dataset.earliest and reading.ts < earliest_ts(dataset):
        return BEFORE_EARLIEST
    tolerance = dataset.clock_tolerance.total_seconds()
    return RECEIVED_BEFORE_EVENT if reading.ts > reading.received_at.timestamp() + tolerance else None


def reject_reason_sql(dataset: MeterSeries, dialect: Dialect) -> str:
    """Return SQL of the first reason for which the views reject a row, or NULL."""
    branches = [(rule.sql, rule.reason) for measure in dataset.measures for rule in range_rules(dataset, measure)]
    branches += [(rule.expression.sql(dialect), rule.name) for rule in dataset.rejects]
    if dataset.earliest:
        seconds = epoch_seconds_sql(dataset.event_time, dialect)
        branches.append((f"{seconds} < {earliest_ts(dataset)}", BEFORE_EARLIEST))
    branches.append((received_before_event_sql(dataset), RECEIVED_BEFORE_EVENT))
    cases = " ".join(f"WHEN {condition} THEN '{reason}'" for condition, reason in branches)
    return f"CASE {cases} END"


def earliest_ts(dataset: MeterSeries) -> int:
    """Return the first second of the earliest day from which a reading can be; 0 where none is declared."""
    if dataset.earliest is None:
        return 0
    return int(datetime.combine(dataset.earliest, time(0), UTC).timestamp())


def received_before_event_sql(dataset: MeterSeries, received_at: str = "received_at") -> str:
    """Return the condition, in all dialects, that a reading claims to be from after its arrival."""
    seconds = int(dataset.clock_tolerance.total_seconds())
    return f"{dataset.event_time} > {received_at} + INTERVAL '{seconds}' SECOND"


def is_flagged(dataset: MeterSeries, reading: Reading) -> bool:
    """Return whether a declared flag applies to an accepted reading."""
    row = reading.row(dataset)
    return any(evaluate(rule.expression, row) is True for rule in dataset.flags)


def flagged_sql(dataset: MeterSeries, dialect: Dialect) -> str:
    """Return SQL of 1 where a declared flag applies to an accepted row, else 0."""
    conditions = [f"({rule.expression.sql(dialect)})" for rule in dataset.flags]
    return f"CASE WHEN {' OR '.join(conditions)} THEN 1 ELSE 0 END" if conditions else "0"


def _range_reason(dataset: MeterSeries, measure: Measure, value: float, interval_s: int) -> str | None:
    if not math.isfinite(value):
        return f"{measure.name}_not_finite"
    low, high = (
        limits if isinstance(limits, float) else limits.get(interval_s)
        for limits in _limits(measure, dataset.intervals)
    )
    if low is not None and value < low:
        return f"{measure.name}_below_min"
    return f"{measure.name}_above_max" if high is not None and value > high else None
