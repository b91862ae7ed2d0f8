"""The aggregate state of a group of readings: a monoid over integers.

``readings`` counts them, ``covered_s`` is Σ interval_s, ``flagged`` counts those that a Flag applies to;
each measure has ``sum`` (level: Σ units · interval_s; amount: Σ units), ``min`` and ``max`` of its units.
``merge`` is associative and commutative with ``empty`` as its neutral element, and exact: any order,
layer, retry or roll-up gives the same integers.

Bounds (see ``declaration.MAX_UNITS``): one value is at most 10^11 units, a local day at most 90,000 s and
covered at most once, so no sum of a view passes 9.0·10^15: exact as DOUBLE, DECIMAL(18, s) and BIGINT.

The same aggregation as SQL works on rows with one column ``<measure>_u`` of BIGINT units for each
measure, the interval's column, and ``flagged`` (0 or 1). Used readings have all their measures, so one
count serves all of them; counting each costs Spark a quarter of the whole job.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Literal, NamedTuple

from meterlake.columns import decimal
from meterlake.units import decimal_to_units_sql, units_sql, units_to_decimal_sql
from meterlake.validation import measure_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from meterlake.columns import Dialect
    from meterlake.declaration import Measure, MeterSeries

Stored = Literal["units", "decimal"]
"""How a state column holds a measure: BIGINT units (Cassandra), or DECIMAL(18, s) physical (Parquet)."""


class MeasureState(NamedTuple):
    """Sum, minimum and maximum of a measure, in units (the sum of a level in units · s)."""

    sum: int
    min: int | None
    max: int | None


@dataclass(frozen=True)
class State:
    """State of a group of readings. ``measures`` is keyed by measure name."""

    readings: int
    covered_s: int
    flagged: int
    measures: Mapping[str, MeasureState]

    @classmethod
    def empty(cls, dataset: MeterSeries) -> State:
        """Return the state of no reading: the neutral element of ``merge``."""
        return cls(0, 0, 0, {measure.name: MeasureState(0, None, None) for measure in dataset.measures})

    @classmethod
    def of_reading(cls, dataset: MeterSeries, interval_s: int, units: Sequence[int], *, flagged: bool = False) -> State:
        """Return the state of one used reading.

        units: one integer a measure, in the order of ``dataset.measures``.
        """
        measures = {
            measure.name: MeasureState(value * interval_s if measure.kind == "level" else value, value, value)
            for measure, value in zip(dataset.measures, units, strict=True)
        }
        return cls(1, interval_s, int(flagged), measures)

    def merge(self, other: State) -> State:
        """Return the state of both groups together. Raises ValueError for states of different measures."""
        if self.measures.keys() != other.measures.keys():
            raise ValueError(f"States of {list(self.measures)} and of {list(other.measures)} do not merge.")
        return State(
            self.readings + other.readings,
            self.covered_s + other.covered_s,
            self.flagged + other.flagged,
            {name: _merge_measure(value, other.measures[name]) for name, value in self.measures.items()},
        )

    def row(self) -> dict[str, int | None]:
        """Return the state as columns, measures in units, named as in every table."""
        row: dict[str, int | None] = {
            "readings": self.readings,
            "covered_s": self.covered_s,
            "flagged": self.flagged,
        }
        for name, value in self.measures.items():
            row |= {f"{name}_sum": value.sum, f"{name}_min": value.min, f"{name}_max": value.max}
        return row

    @classmethod
    def from_row(cls, dataset: MeterSeries, row: Mapping[str, int]) -> State:
        """Return the state held in a row of columns in units; the inverse of ``row``."""
        measures = {
            measure.name: MeasureState(*(row[column] for column in measure_columns(measure)))
            for measure in dataset.measures
        }
        return cls(row["readings"], row["covered_s"], row["flagged"], measures)


def merge_all(dataset: MeterSeries, states: Iterable[State]) -> State:
    """Return the state of all groups together."""
    return reduce(State.merge, states, State.empty(dataset))


def _merge_measure(left: MeasureState, right: MeasureState) -> MeasureState:
    lows = [value for value in (left.min, right.min) if value is not None]
    highs = [value for value in (left.max, right.max) if value is not None]
    return MeasureState(left.sum + right.sum, min(lows, default=None), max(highs, default=None))


def unit_column(measure: Measure) -> str:
    """Return the name of the column that holds a reading's value in units."""
    return f"{measure.name}_u"


def unit_columns(dataset: MeterSeries) -> list[tuple[str, str]]:
    """Return (column, SQL) that turn a reading's DOUBLE columns into BIGINT units, for all dialects."""
    return [(unit_column(measure), units_sql(measure.name, measure.scale)) for measure in dataset.measures]


def state_aggregates(dataset: MeterSeries, dialect: Dialect, only: str | None = None) -> list[tuple[str, str]]:
    """Return (state column, SQL aggregate) over rows of readings in units; results are BIGINT units.

    The rows need ``unit_columns``, the interval's column and ``flagged`` (0 or 1). only: a BOOLEAN column: rows where
    it is false do not count, and where no row of a group counts the result is the empty state.
    """
    chosen = f" FILTER (WHERE {only})" if only else ""
    aggregates = [
        ("readings", f"COUNT(*){chosen}"),
        ("covered_s", _total(dataset.interval, dialect, chosen)),
        ("flagged", _total("flagged", dialect, chosen)),
    ]
    for measure in dataset.measures:
        units = unit_column(measure)
        weighted = f"{units} * {dataset.interval}" if measure.kind == "level" else units
        total, low, high = measure_columns(measure)
        aggregates += [
            (total, _total(weighted, dialect, chosen)),
            (low, f"MIN({units}){chosen}"),
            (high, f"MAX({units}){chosen}"),
        ]
    return aggregates


def merge_aggregates(dataset: MeterSeries, dialect: Dialect, stored: Stored = "units") -> list[tuple[str, str]]:
    """Return (state column, SQL aggregate) that rolls rows of state columns up into coarser ones.

    stored: how the measures are held; the results are held the same way.
    """
    aggregates = [(name, _sum(name, dialect)) for name in ("readings", "covered_s", "flagged")]
    for measure in dataset.measures:
        total, low, high = measure_columns(measure)
        exact = f"CAST(SUM({total}) AS {decimal(measure.scale).sql(dialect)})"
        summed = exact if stored == "decimal" else _sum(total, dialect)
        aggregates += [(total, summed), (low, f"MIN({low})"), (high, f"MAX({high})")]
    return aggregates


def physical(dataset: MeterSeries, dialect: Dialect) -> list[tuple[str, str]]:
    """Return (state column, SQL) that turn a row's measures from BIGINT units to DECIMAL(18, s)."""
    return _convert(dataset, lambda name, scale: units_to_decimal_sql(name, scale, dialect))


def units(dataset: MeterSeries, dialect: Dialect) -> list[tuple[str, str]]:
    """Return (state column, SQL) that turn a row's measures from DECIMAL(18, s) to BIGINT units."""
    return _convert(dataset, lambda name, scale: decimal_to_units_sql(name, scale, dialect))


def _convert(dataset: MeterSeries, sql: Callable[[str, int], str]) -> list[tuple[str, str]]:
    columns = [(name, name) for name in ("readings", "covered_s", "flagged")]
    for measure in dataset.measures:
        columns += [(name, sql(name, measure.scale)) for name in measure_columns(measure)]
    return columns


def _total(expression: str, dialect: Dialect, chosen: str) -> str:
    """SUM of the chosen rows as BIGINT, 0 where none is chosen; without a choice, a group has a row."""
    if not chosen:
        return _sum(expression, dialect)
    total = f"COALESCE(SUM({expression}){chosen}, 0)"
    return f"CAST({total} AS BIGINT)" if dialect == "duckdb" else total


def _sum(expression: str, dialect: Dialect) -> str:
    """SUM as BIGINT; DuckDB's is a HUGEINT."""
    return f"CAST(SUM({expression}) AS BIGINT)" if dialect == "duckdb" else f"SUM({expression})"
