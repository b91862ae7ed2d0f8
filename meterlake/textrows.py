"""The lines of a text file as rows, by DuckDB: the same decisions as those of ``textformat`` in Spark SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.rules import quarantine_reason_sql
from meterlake.schema import LATEST_TS
from meterlake.textformat import NUMBER, Moment, Value

if TYPE_CHECKING:
    from datetime import timedelta

    from meterlake.textformat import TextFormat

# Names come from the declaration, values are quoted.
# ruff: noqa: S608

LINES: Final = "lines"
"""The input: a table of ``line`` (its number in the file), ``text``, and ``undecoded`` (why it is no text, or NULL)."""


def rows_sql(form: TextFormat, offset: timedelta) -> str:
    """Return SQL of the lines below the header: ``line``, the event time, the interval, the measures and ``reason``.

    reason: the first why a line is no reading, or NULL. offset: of the file's clock from UTC.
    """
    dataset, at = form.dataset, form.dataset.event_time
    places = {column.measure: place for place, column in enumerate(form.columns) if isinstance(column, Value)}
    fields = {measure.name: _field(places[measure.name]) for measure in dataset.measures}
    missing = ", ".join(map(_quoted, form.missing))
    given = {name: f"({field} NOT IN ({missing}))" for name, field in fields.items()}
    numbers = [
        f"CASE WHEN {given[name]} AND regexp_full_match({field}, {_quoted(NUMBER)})"
        f" THEN try_cast({field} AS DOUBLE) END AS {name}"
        for name, field in fields.items()
    ]
    seconds = f"epoch({at})"
    cases = [
        ("undecoded IS NOT NULL", "undecoded"),
        ("text = ''", "'empty_line'"),
        (f"text = {_quoted(form.header)}", "'header_again'"),
        (f"len(fields) < {len(form.columns)}", "'missing_column'"),
        (f"len(fields) > {len(form.columns)}", "'extra_column'"),
        (f"{at} IS NULL OR NOT ({seconds} BETWEEN 0 AND {LATEST_TS})", "'bad_time'"),
    ]
    for measure in form.measures:
        cases += [
            (f"{given[measure]} AND {measure} IS NULL", f"'bad_value:{measure}'"),
            (f"NOT isfinite({measure})", f"'not_finite:{measure}'"),
        ]
    whens = "\n    ".join(f"WHEN {condition} THEN {reason}" for condition, reason in cases)
    off = quarantine_reason_sql(dataset, "duckdb", f"CAST({seconds} AS BIGINT)")
    listed = ",\n    ".join(numbers)
    return f"""
WITH split AS (
  SELECT line, text, undecoded, {_fields(form)} AS fields FROM {LINES} WHERE line > 1
), decoded AS (
  SELECT line, text, undecoded, fields, {form.interval_s} AS {dataset.interval},
    {_moment(form)} - INTERVAL {round(offset.total_seconds())} SECOND AS {at},
    {listed}
  FROM split
)
SELECT line, {at}, {dataset.interval}, {", ".join(fields)},
  CASE {whens}
    ELSE {off} END AS reason
FROM decoded"""


def _fields(form: TextFormat) -> str:
    fields = f"string_split(text, {_quoted(form.separator)})"
    quoted = "len(field) > 1 AND starts_with(field, '\"') AND ends_with(field, '\"')"
    plain = f"list_transform({fields}, lambda field: CASE WHEN {quoted} THEN field[2:-2] ELSE field END)"
    return f"CASE WHEN contains(text, '\"') THEN {plain} ELSE {fields} END"


def _moment(form: TextFormat) -> str:
    moments = [place for place, column in enumerate(form.columns) if isinstance(column, Moment)]
    clock = " || ' ' || ".join(map(_field, moments))
    return (
        f"CASE WHEN regexp_full_match({clock}, {_quoted(form.time_regex)})"
        f" THEN try_strptime({clock}, {_quoted(form.strptime)}) END"
    )


def _field(place: int) -> str:
    return f"coalesce(fields[{place + 1}], '')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
