"""Columns of views, and the values derived when they are read.

Every view: ``meter_id``, ``minute`` | ``half_hour`` | ``hour`` | ``day`` …, ``readings``, ``covered_s``, ``flagged``,
``<measure>_sum|_min|_max``. Published and merged views add ``<level>_avg`` = sum / covered_s, the declared
derived values, and ``source`` (``batch`` | ``speed`` | ``both``).

Amounts have no ``_avg``: the mean of "Wh in an interval" depends on how long the intervals happened to be,
so it would change with the mixture of one-second and one-minute readings. Their sum is the figure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from meterlake.columns import BIGINT, DATE, DOUBLE, STRING, TIMESTAMP, Column, decimal
from meterlake.evaluate import evaluate
from meterlake.expressions import Expression, parse_expression
from meterlake.grains import is_fixed
from meterlake.units import to_float
from meterlake.validation import measure_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.columns import Dialect
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.grains import Grain
    from meterlake.state import State


def key_columns(dataset: MeterSeries, grain: Grain) -> list[Column]:
    """Return the meter's column and the time column of a view, which is named as its grain."""
    return [Column(dataset.key, STRING, doc="meter"), time_column(dataset, grain)]


def time_column(dataset: MeterSeries, grain: Grain) -> Column:
    """Return the time column of a view: the start of a row in UTC, or the local date of a day or month."""
    if is_fixed(grain):
        return Column(grain, TIMESTAMP, doc=f"start of the {grain.replace('_', ' ')}, UTC")
    docs = {
        "day": f"calendar day in {dataset.time_zone}",
        "month": f"first day of the calendar month in {dataset.time_zone}",
    }
    return Column(grain, DATE, doc=docs[grain])


def state_columns(dataset: MeterSeries) -> list[Column]:
    """Return the state's columns as Parquet holds them: physical, exact decimals."""
    columns = [
        Column("readings", BIGINT, doc="readings used"),
        Column("covered_s", BIGINT, doc="seconds covered by them"),
        Column("flagged", BIGINT, doc="readings that a flag applies to"),
    ]
    for measure in dataset.measures:
        columns += _measure_columns(measure)
    return columns


def view_columns(dataset: MeterSeries, grain: Grain) -> list[Column]:
    """Return the columns of a view as stored, in order; the partition column is not among them."""
    return [*key_columns(dataset, grain), *state_columns(dataset)]


def published_columns(dataset: MeterSeries, grain: Grain) -> list[Column]:
    """Return the columns of a published or merged view: as stored, averages, derived values, source."""
    averages = [
        Column(f"{level.name}_avg", DOUBLE, nullable=True, doc=f"{level.unit}, mean over covered_s")
        for level in dataset.levels
    ]
    derived = [Column(value.name, DOUBLE, nullable=True, doc=value.unit) for value in dataset.derived]
    source = Column("source", STRING, doc="layer that answers: batch, speed or both")
    return [*view_columns(dataset, grain), *averages, *derived, source]


@lru_cache(maxsize=64)
def read_time_values(dataset: MeterSeries) -> dict[str, Expression]:
    """Return name -> formula of every ``<level>_avg`` and derived value, over state columns only."""
    formulas = {f"{level.name}_avg": parse_expression(f"{level.name}_sum / covered_s") for level in dataset.levels}
    pending = list(dataset.derived)
    while pending:  # declarations are acyclic: each round resolves at least one
        names = {value.name for value in pending}
        ready = [value for value in pending if names.isdisjoint(value.expression.columns)]
        for value in ready:
            formulas[value.name] = value.expression.inline(formulas)
        pending = [value for value in pending if value not in ready]
    declared = [f"{level.name}_avg" for level in dataset.levels] + [value.name for value in dataset.derived]
    return {name: formulas[name] for name in declared}


def derived_sql(
    dataset: MeterSeries, dialect: Dialect, column: Callable[[str], str] | None = None
) -> list[tuple[str, str]]:
    """Return (name, SQL of a DOUBLE) of averages and derived values over a row's physical state columns.

    column: what stands for a state column, if not its name (a qualified name, a cast).
    """
    return [(name, formula.sql(dialect, column)) for name, formula in read_time_values(dataset).items()]


def derived_values(dataset: MeterSeries, state: State) -> dict[str, float | None]:
    """Return the averages and derived values of a state, computed as the engines compute them."""
    row = physical_row(dataset, state)
    return {name: _number(formula, row) for name, formula in read_time_values(dataset).items()}


def physical_row(dataset: MeterSeries, state: State) -> dict[str, float | int | None]:
    """Return a state's columns, measures as doubles in physical units."""
    row: dict[str, float | int | None] = dict(state.row())
    for measure in dataset.measures:
        for name in measure_columns(measure):
            units = state.row()[name]
            row[name] = None if units is None else to_float(units, measure.scale)
    return row


def _number(formula: Expression, row: dict[str, float | int | None]) -> float | None:
    value = evaluate(formula, row)
    return None if value is None else float(value)


def _measure_columns(measure: Measure) -> list[Column]:
    unit = f"{measure.unit} s" if measure.kind == "level" else measure.unit
    docs = (f"{unit}, exact sum", f"{measure.unit}, lowest", f"{measure.unit}, highest")
    return [
        Column(name, decimal(measure.scale), doc=doc) for name, doc in zip(measure_columns(measure), docs, strict=True)
    ]
