"""Lines that name their measure, joined to readings, in DuckDB's SQL.

The lines of a meter and time make one reading, wherever they stand in the file. Where a measure comes twice, the second
lines make a second reading, and which of them counts is the business of precedence. Where one is missing, none of the
lines is a reading: each is ``missing_measure``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.textparts import MEASURE, VALUE, missing_sql
from meterlake.textvalues import quoted

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat

# Names come from the declaration.
# ruff: noqa: S608

CELLS: Final = "cells"
"""The input: a table of what ``textrows.rows_sql`` returns, of all lines of a file."""


def joined_sql(form: TextFormat) -> str:
    """Return SQL of rows as ``textrows.rows_sql`` describes them, over ``CELLS``; a reading is in its first line."""
    dataset = form.dataset
    key = [dataset.key] if form.has_meters else []
    whose = ", ".join([*key, dataset.event_time, dataset.interval])
    names = [measure.name for measure in dataset.measures]
    values = ", ".join(f"max({VALUE}) FILTER (WHERE {MEASURE} = {quoted(name)}) AS {name}" for name in names)
    listed = ", ".join(["line", whose, *names])
    none = ", ".join(f"CAST(NULL AS DOUBLE) AS {name}" for name in names)
    return f"""
WITH copies AS (
  SELECT *, row_number() OVER (PARTITION BY {whose}, {MEASURE} ORDER BY line) AS copy FROM {CELLS} WHERE reason IS NULL
), joined AS (
  SELECT {whose}, copy, min(line) AS line, list(line ORDER BY line) AS lines, {values}
  FROM copies GROUP BY {whose}, copy
), judged AS (
  SELECT *, {missing_sql(form)} AS reason FROM joined
)
SELECT {listed}, reason FROM judged WHERE reason IS NULL
UNION ALL
SELECT unnest(lines) AS line, {whose}, {", ".join(names)}, reason FROM judged WHERE reason IS NOT NULL
UNION ALL
SELECT line, {whose}, {none}, reason FROM {CELLS} WHERE reason IS NOT NULL
ORDER BY line"""
