"""The lines of a text file as rows, by DuckDB: what each says, or why it is no reading."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake.rules import quarantine_reason_sql
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.textformat import NUMBER, Epoch, MeterColumn, Moment, Value
from meterlake.timepattern import FRACTION, has_fraction
from meterlake.wallclock import AMBIGUOUS_TIME, SECOND

if TYPE_CHECKING:
    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are quoted.
# ruff: noqa: S608

SEGMENTS: Final = "clock_segments"
"""Of a clock on the wall: ``begins``, ``offset_s``, ``later_s``, as ``wallclock.segments``."""

PLACES: Final = "clock_places"
"""``line`` and ``place``, as ``wallclock.places``."""

LINES: Final = "lines"
"""The input: a table of ``line`` (its number in the file), ``text``, and ``undecoded`` (why it is no text, or NULL)."""


def rows_sql(form: TextFormat, clock: FileClock) -> str:
    """Return SQL of the lines below the header: ``line``, the event time, the interval, the measures and ``reason``;
    also the meter, where a column says it.

    reason: the first why a line is no reading, or NULL. clock: the file's; of one on the wall, the tables
    ``SEGMENTS`` and ``PLACES`` are read too.
    """
    dataset, at = form.dataset, form.dataset.event_time
    places = {column.measure: place for place, column in enumerate(form.columns) if isinstance(column, Value)}
    fields = {measure.name: _field(form, places[measure.name]) for measure in dataset.measures}
    missing = ", ".join(map(_quoted, form.missing))
    given = {name: f"({field} NOT IN ({missing}))" for name, field in fields.items()}
    numbers = [
        f"CASE WHEN {given[name]} AND regexp_full_match({number}, {_quoted(NUMBER)})"
        f" THEN try_cast({number} AS DOUBLE) END AS {name}"
        for name, number in ((name, _number(form, field)) for name, field in fields.items())
    ]
    meter = next((_field(form, at) for at, column in enumerate(form.columns) if isinstance(column, MeterColumn)), None)
    key = f"{meter} AS {dataset.key}, " if meter else ""
    seconds = f"epoch({at})"
    cases = [
        ("undecoded IS NOT NULL", "undecoded"),
        ("text = ''", "'empty_line'"),
        (f"text = {_quoted(form.header)}", "'header_again'"),
        (f"len(fields) < {len(form.columns)}", "'missing_column'"),
        (f"len(fields) > {len(form.columns)}", "'extra_column'"),
        *([(f"NOT regexp_matches({dataset.key}, {_quoted(KEY_PATTERN)})", "'bad_meter'")] if meter else []),
        ("later_s IS NOT NULL AND place IS NULL", f"'{AMBIGUOUS_TIME}'"),
        (f"{at} IS NULL OR NOT ({seconds} BETWEEN 0 AND {LATEST_TS})", "'bad_time'"),
    ]
    for measure in form.measures:
        cases += [
            (f"{given[measure]} AND {measure} IS NULL", f"'bad_value:{measure}'"),
            (f"NOT isfinite({measure})", f"'not_finite:{measure}'"),
        ]
    whens = "\n    ".join(f"WHEN {condition} THEN {reason}" for condition, reason in cases)
    off = quarantine_reason_sql(dataset, "duckdb", f"CAST({seconds} AS BIGINT)")
    listed, lead = ",\n    ".join(numbers), int(form.lead.total_seconds())
    return f"""
WITH split AS (
  SELECT line, text, undecoded, {_fields(form)} AS fields FROM {LINES} WHERE line > 1
), timed AS (
  SELECT *, {_moment(form)} AS said FROM split
), decoded AS (
  SELECT line, text, undecoded, fields, place, later_s, {form.interval_s} AS {dataset.interval},
    {key}said - to_seconds(CASE WHEN place = {SECOND} THEN later_s ELSE offset_s END + {lead}) AS {at},
    {listed}
  FROM ({_placed(clock)})
)
SELECT line, {f"{dataset.key}, " if meter else ""}{at}, {dataset.interval}, {", ".join(fields)},
  CASE {whens}
    ELSE {off} END AS reason
FROM decoded"""


def doubtful_sql(form: TextFormat) -> str:
    """Return SQL of the lines whose time a clock on the wall shows twice: number, meter and local time in seconds."""
    meter = next((_field(form, at) for at, column in enumerate(form.columns) if isinstance(column, MeterColumn)), "''")
    return f"""
WITH split AS (
  SELECT line, {_fields(form)} AS fields FROM {LINES} WHERE line > 1 AND undecoded IS NULL
), timed AS (
  SELECT *, {_moment(form)} AS said FROM split
)
SELECT line, {meter}, CAST(epoch(said) AS BIGINT) FROM timed ASOF JOIN {SEGMENTS} ON said >= begins
WHERE later_s IS NOT NULL ORDER BY line"""


def _placed(clock: FileClock) -> str:
    """Return SQL of lines with the offset of their time, a later one where it comes twice, and which of both it is."""
    if isinstance(clock, timedelta):
        offset = round(clock.total_seconds())
        return f"SELECT *, {offset} AS offset_s, CAST(NULL AS INT) AS later_s, CAST(NULL AS INT) AS place FROM timed"
    return (
        f"SELECT timed.*, offset_s, later_s, place FROM timed ASOF LEFT JOIN {SEGMENTS} ON said >= begins"
        f" LEFT JOIN {PLACES} ON {PLACES}.line = timed.line"
    )


def _fields(form: TextFormat) -> str:
    fields = f"string_split(text, {_quoted(form.separator)})"
    quoted = "len(field) > 1 AND starts_with(field, '\"') AND ends_with(field, '\"')"
    plain = f"list_transform({fields}, lambda field: CASE WHEN {quoted} THEN field[2:-2] ELSE field END)"
    return f"CASE WHEN contains(text, '\"') THEN {plain} ELSE {fields} END"


def _moment(form: TextFormat) -> str:
    """Return SQL of a line's time, as the file's clock says it; NULL for no such time."""
    for place, column in enumerate(form.columns):
        if isinstance(column, Epoch):
            field = _field(form, place)
            whole = f"regexp_full_match({field}, '[0-9]{{1,10}}')"
            return f"make_timestamp(CASE WHEN {whole} THEN CAST({field} AS BIGINT) * 1000000 END)"
    moments = [place for place, column in enumerate(form.columns) if isinstance(column, Moment)]
    clock = " || ' ' || ".join(_field(form, place) for place in moments)
    if has_fraction(form.pattern):
        clock = f"regexp_replace({clock}, {_quoted(FRACTION)}, '')"
    return (
        f"CASE WHEN regexp_full_match({clock}, {_quoted(form.time_regex)})"
        f" THEN try_strptime({clock}, {_quoted(form.strptime)}) END"
    )


def _field(form: TextFormat, place: int) -> str:
    field = f"coalesce(fields[{place + 1}], '')"
    return f"trim({field})" if form.padded else field


def _number(form: TextFormat, field: str) -> str:
    return field if form.decimal == "." else f"translate({field}, ',.', '.x')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
