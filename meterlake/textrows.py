"""The lines of a text file as rows, by DuckDB: the one decision of what each line is.

A line is a reading, a gap row (no value at all), or none with the first reason that applies:

``line_too_long`` · ``nul_byte`` · ``not_utf8`` (or another encoding) · ``empty_line`` · ``header_again`` ·
``skipped_line`` (as the format declares) · ``bad_quotes`` · ``missing_column`` · ``extra_column`` · ``bad_meter`` ·
``unknown_measure`` · ``ambiguous_time`` · ``no_such_local_time`` · ``bad_time`` (no such moment, or not between 1970
and 2100) · for each measure in order ``bad_unit:<measure>``, ``bad_value:<measure>`` and ``not_finite:<measure>`` ·
``off_grid`` · ``missing_measure``.

A line of ``DayValues`` is a row for each interval of its day (``textdays``); lines that name their measure become rows
when they are joined (``textjoin``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.textdays import day_rows_sql
from meterlake.textfields import field_sql
from meterlake.textparts import (
    LINES,
    SKIPPED_LINE,
    UNIT,
    count_cases,
    final_reason_sql,
    line_cases,
    measure_column,
    meter_sql,
    name_cases,
    named_columns,
    output_columns,
    reason_sql,
    split_sql,
    time_cases,
    unit_sql,
    value_columns,
)
from meterlake.texttimes import PLACES, SEGMENTS, instant_sql, placed_sql, said_sql

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

__all__ = ["LINES", "PLACES", "SEGMENTS", "SKIPPED_LINE", "doubtful_sql", "rows_sql"]

# Names come from the declaration, values are quoted.
# ruff: noqa: S608


def rows_sql(form: TextFormat, clock: FileClock) -> str:
    """Return SQL of the lines below the header: ``line``, the event time, the interval, the measures and ``reason``;
    also the meter, where a column says it.

    Where each line names its measure, there are ``MEASURE`` and ``VALUE`` instead of the measures: ``textjoin`` makes
    rows of them. reason: the first why a line is no reading, or NULL. clock: the file's; of one on the wall, the tables
    ``SEGMENTS`` and ``PLACES`` are read too.
    """
    return day_rows_sql(form, clock) if form.is_wide else _line_rows_sql(form, clock)


def _line_rows_sql(form: TextFormat, clock: FileClock) -> str:
    columns = {column.measure: column for column in form.values}
    fields = {name: field_sql(form, form.columns.index(column)) for name, column in columns.items()}
    values, reasons = value_columns(form, columns, fields, UNIT if unit_sql(form) else None)
    cases = [
        *line_cases(form),
        *count_cases(str(len(form.columns)), str(len(form.columns)), ignored=form.extra == "ignore"),
        *name_cases(form),
        *time_cases(form, clock),
        *reasons,
    ]
    dataset, at = form.dataset, form.dataset.event_time
    listed = ",\n    ".join([f"{instant_sql(form)} AS {at}", *values])
    return f"""
WITH split AS (
  {split_sql(form)}
), timed AS (
  SELECT *, {named_columns(form)}{said_sql(form)} AS said FROM split
), decoded AS (
  SELECT *, {form.interval_s} AS {dataset.interval},
    {listed}
  FROM ({placed_sql(form, clock, "timed")})
)
SELECT {output_columns(form)}, {reason_sql(cases, final_reason_sql(form))} AS reason
FROM decoded"""


def doubtful_sql(form: TextFormat) -> str:
    """Return SQL of the lines whose time a clock on the wall shows twice: number, meter and local time in seconds.

    Where a line names its measure, lines of one are in an order of their own.
    """
    meter = meter_sql(form) or "''"
    whose = f"{meter} || chr(0) || {measure_column(form)[1]}" if form.is_long else meter
    return f"""
WITH split AS (
  {split_sql(form)} AND undecoded IS NULL
), timed AS (
  SELECT *, {said_sql(form)} AS said FROM split
)
SELECT line, {whose}, CAST(epoch(said) AS BIGINT) FROM timed ASOF JOIN {SEGMENTS} ON said >= begins
WHERE later_s IS NOT NULL ORDER BY line"""
