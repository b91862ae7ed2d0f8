"""Lines with the values of a whole day, in DuckDB's SQL: a row for each interval of the day.

On a day on which the clock changes, ``real`` columns are its 46 or 50 half-hours one after the other, and ``nominal``
ones stand each at the place of its time: nothing may stand in the skipped hour (``no_such_local_time``), and what
stands in the doubled one is ``ambiguous_time``. A column that says nothing is a gap row, if its interval exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.schema import LATEST_TS
from meterlake.textcolumns import DayValue
from meterlake.textfields import field_sql
from meterlake.textparts import (
    UNIT,
    count_cases,
    final_reason_sql,
    line_cases,
    name_cases,
    named_columns,
    output_columns,
    reason_sql,
    split_sql,
    time_cases,
    unit_sql,
    value_columns,
)
from meterlake.texttimes import SEGMENTS, instant_sql, is_on_the_wall, placed_sql, said_sql
from meterlake.textvalues import given_sql
from meterlake.wallclock import NO_SUCH_LOCAL_TIME

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are quoted.
# ruff: noqa: S608

_WHOLE_LINE: Final = "line_reason"


def day_rows_sql(form: TextFormat, clock: FileClock) -> str:
    """Return ``textrows.rows_sql`` of a format with ``DayValues``."""
    dataset, at = form.dataset, form.dataset.event_time
    real = form.days[0].days == "real" and is_on_the_wall(form, clock)
    columns = {column.measure: column for column in form.days}
    fields = {column.measure: f"value_{of}" for of, column in enumerate(form.days)}
    values, reasons = value_columns(form, columns, fields, UNIT if unit_sql(form) else None)
    exists, times = "n <= day_n", [("n > day_n", f"'{NO_SUCH_LOCAL_TIME}'")]
    start = f"make_timestamp((first_s + (n - 1) * {form.interval_s}) * 1000000)"
    placed = "timed"
    if not real:
        exists += " AND NOT is_skipped AND (later_s IS NULL OR place IS NOT NULL)"
        times += time_cases(form, clock)
        start, placed = instant_sql(form), f"({placed_sql(form, clock, 'timed')})"
    given = " OR ".join(given_sql(form, field) for field in fields.values())
    cases = [(f"{_WHOLE_LINE} IS NOT NULL", _WHOLE_LINE), *times, *reasons]
    listed = ",\n    ".join([f"{start} AS {at}", *values])
    return f"""
WITH split AS (
  {split_sql(form)}
), days AS (
  SELECT *, {named_columns(form)}{said_sql(form)} AS day FROM split
), counted AS (
  {_counted(form) if real else f"SELECT *, {form.intervals_a_day} AS day_n FROM days"}
), judged AS (
  SELECT *, {_line_reason(form)} AS {_WHOLE_LINE} FROM counted
), cells AS (
  SELECT * EXCLUDE (text, fields), {_cells(form)} FROM judged
), timed AS (
  SELECT *, day + to_seconds((n - 1) * {form.interval_s}) AS said FROM cells
), decoded AS (
  SELECT *, {form.interval_s} AS {dataset.interval},
    {listed}
  FROM {placed}
)
SELECT {output_columns(form)}, {reason_sql(cases, final_reason_sql(form))} AS reason
FROM decoded WHERE {_WHOLE_LINE} IS NOT NULL OR ({exists}) OR {given}"""


def _counted(form: TextFormat) -> str:
    """Return SQL of lines with the first second of their day, and how many intervals it has."""
    first, second = (
        f"CASE WHEN {name}.offset_s IS NULL THEN {name}.skipped_at"
        f" ELSE CAST(epoch({day}) AS BIGINT) - {name}.offset_s END"
        for name, day in (("begun", "day"), ("ended", "next_day"))
    )
    begun = (
        f"SELECT days.*, day + INTERVAL 1 DAY AS next_day, {first} AS first_s"
        f" FROM days ASOF LEFT JOIN {SEGMENTS} begun ON day >= begun.begins"
    )
    return (
        f"SELECT found.*, ({second} - first_s) // {form.interval_s} AS day_n"
        f" FROM ({begun}) found ASOF LEFT JOIN {SEGMENTS} ended ON next_day >= ended.begins"
    )


def _line_reason(form: TextFormat) -> str:
    """Return SQL of the reason why all of a line is no reading, or NULL."""
    cells = sum(isinstance(column, DayValue) for column in form.columns)
    others = len(form.columns) - cells
    least = str(len(form.columns))
    shortened = all(isinstance(column, DayValue) for column in form.columns[others:]) and len(form.days) == 1
    if form.days[0].days == "real" and shortened:
        least = f"{others} + coalesce(least(day_n, {cells}), 0)"
    cases = [
        *line_cases(form),
        *count_cases(least, str(len(form.columns)), ignored=form.extra == "ignore"),
        *name_cases(form),
        (f"day IS NULL OR NOT (epoch(day) BETWEEN 0 AND {LATEST_TS})", "'bad_time'"),
    ]
    return reason_sql(cases, "NULL")


def _cells(form: TextFormat) -> str:
    """Return SQL that makes a row of each of a day's intervals, and one of a line that is no reading."""
    places = {(one.of, one.number): place for place, one in enumerate(form.columns) if isinstance(one, DayValue)}
    numbers = range(1, max(number for _, number in places) + 1)
    lists = {"n": ([str(number) for number in numbers], "0")}
    for of in range(len(form.days)):
        cells = [field_sql(form, places[of, number]) if (of, number) in places else "''" for number in numbers]
        lists[f"value_{of}"] = (cells, "''")
    return ", ".join(
        f"unnest(CASE WHEN {_WHOLE_LINE} IS NULL THEN [{', '.join(items)}] ELSE [{none}] END) AS {name}"
        for name, (items, none) in lists.items()
    )
