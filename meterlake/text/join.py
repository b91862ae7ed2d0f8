"""Lines that name their measure, joined to readings, in DuckDB's SQL.

The lines of a meter and time make one reading, wherever they stand in the file. Where a measure comes twice, the second
lines make a second reading, and which of them counts is the business of precedence. Where one is missing, none of the
lines is a reading: each is ``missing_measure``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.text.parts import MEASURE, VALUE, missing_sql
from meterlake.text.values import quoted

if TYPE_CHECKING:
    from meterlake.text.format import TextFormat

# Names come from the declaration.
# ruff: noqa: S608

CELLS: Final = "cells"
"""The input: a table of what ``rows.rows_sql`` returns of all lines of a file, and ``payload``, the line."""


def joined_sql(form: TextFormat) -> str:
    """Return SQL of rows as ``rows.rows_sql`` describes them, and ``payload``, over ``CELLS``.

    A reading is in its first line. Nothing in it has to fit into memory: sorts, joins and groups can go to disk.
    """
    dataset = form.dataset
    whose = [*([dataset.key] if form.has_meters else []), dataset.event_time, dataset.interval]
    key = ", ".join(whose)
    names = [measure.name for measure in dataset.measures]
    values = ", ".join(f"{_value(name, form.instead.get(name))} AS {name}" for name in names)
    none = ", ".join(f"CAST(NULL AS DOUBLE) AS {name}" for name in names)
    return f"""
WITH copies AS MATERIALIZED (
  SELECT *, row_number() OVER (PARTITION BY {key}, {MEASURE} ORDER BY line) AS copy FROM {CELLS} WHERE reason IS NULL
), joined AS (
  SELECT {key}, copy, min(line) AS line, {values} FROM copies GROUP BY {key}, copy
), judged AS MATERIALIZED (
  SELECT *, {missing_sql(form)} AS reason FROM joined
)
SELECT line, {key}, {", ".join(names)}, reason, CAST(NULL AS VARCHAR) AS payload FROM judged WHERE reason IS NULL
UNION ALL
SELECT copies.line, {key}, {", ".join(names)}, judged.reason, payload
FROM copies JOIN judged USING ({key}, copy) WHERE judged.reason IS NOT NULL
UNION ALL
SELECT line, {key}, {none}, reason, payload FROM {CELLS} WHERE reason IS NOT NULL
ORDER BY line, {dataset.event_time}"""


def _value(measure: str, instead: str | None) -> str:
    """Return SQL of a measure's value in a group of lines; ``instead`` where no line is of it, and it is no gap."""
    mine = f"FILTER (WHERE {MEASURE} = {quoted(measure)})"
    value = f"max({VALUE}) {mine}"
    if instead is None:
        return value
    return f"CASE WHEN count(*) {mine} = 0 AND max({VALUE}) IS NOT NULL THEN {instead}::DOUBLE ELSE {value} END"
