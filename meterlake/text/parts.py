"""What the rows of all text formats have in common, in DuckDB's SQL: lines, values, and reasons in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.rules import MISSING_MEASURE, quarantine_reason_sql
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.text.columns import MeasureColumn, MeterColumn, SerialColumn, UnitColumn
from meterlake.text.fields import BAD_QUOTES, field_sql, fields_sql
from meterlake.text.times import is_on_the_wall, may_be_fractional
from meterlake.text.values import by_measure, given_sql, has_line_units, known_unit_sql, quoted, scale_of, value_sql
from meterlake.timegrid import OFF_GRID, off_grid_sql
from meterlake.wallclock import AMBIGUOUS_TIME, NO_SUCH_LOCAL_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.text.columns import DayValues, Value
    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are quoted.
# ruff: noqa: S608

LINES: Final = "lines"
"""The input: a table of ``line`` (its number in the file), ``text``, and ``undecoded`` (why it is no text, or NULL)."""

SKIPPED_LINE: Final = "skipped_line"
"""Reason of a line that the format declares to be no reading: it is counted, and nothing is wrong with it."""

MEASURE: Final = "measure_name"
"""Of a format whose lines name their measure: the column with its name."""

VALUE: Final = "measure_value"
"""… and with its value."""

UNIT: Final = "line_unit"
"""The column with the unit of a line's values, where it says one."""

SERIAL: Final = "line_serial"
"""The column with the number of the meter itself, where it says one."""

Cases = list[tuple[str, str]]
"""Conditions in order, each with SQL of the reason."""


def split_sql(form: TextFormat) -> str:
    """Return SQL of the lines below the header with their ``fields``."""
    return f"SELECT line, text, undecoded, {fields_sql(form)} AS fields FROM {LINES} WHERE line >= {form.first_line}"


def output_columns(form: TextFormat) -> str:
    """Return the columns of a row without its reason."""
    dataset = form.dataset
    key = [dataset.key] if form.has_meters else []
    measures = [MEASURE, VALUE] if form.is_long else [measure.name for measure in dataset.measures]
    measures += [SERIAL] if serial_sql(form) else []
    return ", ".join(["line", *key, dataset.event_time, dataset.interval, *measures])


def named_columns(form: TextFormat) -> str:
    """Return SQL of a line's meter, measure and unit as columns, each with a comma behind it, as far as it has any."""
    named = {form.dataset.key: meter_sql(form), UNIT: unit_sql(form), SERIAL: serial_sql(form)}
    if form.is_long:
        named[MEASURE] = measure_sql(form)
    return "".join(f"{sql} AS {name}, " for name, sql in named.items() if sql)


def meter_sql(form: TextFormat) -> str | None:
    """Return SQL of a line's meter over ``fields``, if a column says it."""
    places = [place for place, column in enumerate(form.columns) if isinstance(column, MeterColumn)]
    return field_sql(form, places[0]) if places else None


def value_columns(
    form: TextFormat, columns: Mapping[str, Value | DayValues], fields: Mapping[str, str], unit: str | None
) -> tuple[list[str], Cases]:
    """Return SQL of the values as columns, and the reasons why one makes a line no reading.

    columns, fields: the declared column of each measure, and SQL of its field; of a format whose lines name their
    measure (``MEASURE``), of the one column under an empty name. unit: SQL of the line's unit, if it says one.
    """
    if form.is_long:
        return _named_value(form, columns[""], fields[""], unit)
    values: list[str] = []
    reasons: Cases = []
    for name in (measure.name for measure in form.dataset.measures if measure.name in columns):
        of_line = unit if has_line_units(form, columns[name]) else None
        values.append(f"{value_sql(form, fields[name], scale_of(form, columns[name], name, of_line))} AS {name}")
    # A gap row has no value at all, in a file without the column, too.
    given_others = " OR ".join(f"{name} IS NOT NULL" for name in columns) or "false"
    values += [
        f"CASE WHEN {given_others} THEN {value}::DOUBLE END AS {name}"
        for name, value in form.instead.items()
        if name not in columns
    ]
    values += [f"CAST(NULL AS DOUBLE) AS {form.estimated}"] if form.estimated else []
    wanted = {measure.name: measure.unit for measure in form.dataset.measures}
    for name in (name for name in form.measures if name in columns):
        given = given_sql(form, fields[name])
        if unit and has_line_units(form, columns[name]):
            reasons.append((f"{given} AND NOT ({known_unit_sql(wanted[name], unit)})", f"'bad_unit:{name}'"))
        reasons += [
            (f"{given} AND {name} IS NULL", f"'bad_value:{name}'"),
            (f"NOT isfinite({name})", f"'not_finite:{name}'"),
        ]
    return values, reasons


def _named_value(
    form: TextFormat, column: Value | DayValues, field: str, unit: str | None
) -> tuple[list[str], Cases]:  # fmt: skip
    of_line = unit if has_line_units(form, column) else None
    units = {measure.name: measure.unit for measure in form.dataset.measures if measure.name in form.measures}
    scales = {name: scale_of(form, column, name, of_line) for name in units}
    given, reasons = given_sql(form, field), []
    if of_line:
        whens = " ".join(
            f"WHEN {quoted(name)} THEN {known_unit_sql(wanted, of_line)}" for name, wanted in units.items()
        )
        reasons.append((f"{given} AND NOT (CASE {MEASURE} {whens} END)", f"'bad_unit:' || {MEASURE}"))
    reasons += [
        (f"{given} AND {VALUE} IS NULL", f"'bad_value:' || {MEASURE}"),
        (f"NOT isfinite({VALUE})", f"'not_finite:' || {MEASURE}"),
    ]
    return [f"{value_sql(form, field, by_measure(scales, MEASURE))} AS {VALUE}"], reasons


def measure_sql(form: TextFormat) -> str:
    """Return SQL of the measure that a line names; NULL for none of ours."""
    column, field = measure_column(form)
    names = column.names or tuple((measure.name, measure.name) for measure in form.dataset.measures)
    whens = " ".join(f"WHEN {quoted(text)} THEN {quoted(measure)}" for text, measure in names)
    return f"CASE {field} {whens} END"


def measure_column(form: TextFormat) -> tuple[MeasureColumn, str]:
    """Return the column that names a line's measure, and SQL of its field."""
    place, column = next((at, one) for at, one in enumerate(form.columns) if isinstance(one, MeasureColumn))
    return column, field_sql(form, place)


def unit_sql(form: TextFormat) -> str | None:
    """Return SQL of a line's unit over ``fields``, if a column says it."""
    places = [place for place, column in enumerate(form.columns) if isinstance(column, UnitColumn)]
    return f"trim({field_sql(form, places[0])})" if places else None


def serial_sql(form: TextFormat) -> str | None:
    """Return SQL of the number of a line's meter itself over ``fields``, if a column says it."""
    places = [place for place, column in enumerate(form.columns) if isinstance(column, SerialColumn)]
    return f"trim({field_sql(form, places[0])})" if places else None


def line_cases(form: TextFormat) -> Cases:
    """Return why a line is none of readings at all, over ``text``, ``undecoded`` and ``fields``."""
    header = [(f"text = {quoted(form.header)}", "'header_again'")] if form.has_header else []
    skipped = [f"regexp_full_match(text, {quoted(form.footer)})"] if form.footer else []
    if form.is_long and (column := measure_column(form))[0].ignored:
        skipped.append(f"{column[1]} IN ({', '.join(map(quoted, column[0].ignored))})")
    return [
        ("undecoded IS NOT NULL", "undecoded"),
        ("text = ''", "'empty_line'"),
        *header,
        *((condition, f"'{SKIPPED_LINE}'") for condition in skipped),
        ("fields IS NULL", f"'{BAD_QUOTES}'"),
    ]


def count_cases(least: str, most: str, *, ignored: bool) -> Cases:
    """Return the reasons of lines with fewer or more fields than columns. least, most: SQL of their number."""
    extra = [] if ignored else [(f"len(fields) > {most}", "'extra_column'")]
    return [(f"len(fields) < {least}", "'missing_column'"), *extra]


def name_cases(form: TextFormat) -> Cases:
    """Return the reasons of lines whose meter or measure is none."""
    cases: Cases = []
    if form.has_meters:
        cases.append((f"NOT regexp_matches({form.dataset.key}, {quoted(KEY_PATTERN)})", "'bad_meter'"))
    if form.is_long:
        cases.append((f"{MEASURE} IS NULL", "'unknown_measure'"))
    return cases


def time_cases(form: TextFormat, clock: FileClock) -> Cases:
    """Return the reasons of lines whose time is none."""
    at = form.dataset.event_time
    cases: Cases = []
    if is_on_the_wall(form, clock):
        cases = [
            ("later_s IS NOT NULL AND place IS NULL", f"'{AMBIGUOUS_TIME}'"),
            ("is_skipped", f"'{NO_SUCH_LOCAL_TIME}'"),
        ]
    return [*cases, (f"{at} IS NULL OR NOT (epoch({at}) BETWEEN 0 AND {LATEST_TS})", "'bad_time'")]


def final_reason_sql(form: TextFormat) -> str:
    """Return SQL of why a line that could be read may not enter the master data set, or NULL."""
    if form.counts:  # a counter may be read at any time, and of some measures only
        return "NULL"
    dataset = form.dataset
    seconds = f"CAST(epoch({dataset.event_time}) AS BIGINT)"
    off = f"CASE WHEN {off_grid_sql(dataset, seconds)} THEN '{OFF_GRID}' END"
    fraction = f"CASE WHEN epoch_us({dataset.event_time}) % 1000000 <> 0 THEN '{OFF_GRID}' END"
    parts = [fraction] if may_be_fractional(form) else []
    parts.append(off if form.is_long else quarantine_reason_sql(dataset, "duckdb", seconds))
    return f"coalesce({', '.join(parts)})" if len(parts) > 1 else parts[0]


def missing_sql(form: TextFormat) -> str:
    """Return SQL of ``missing_measure`` where a row has some of its measures, and not all."""
    names = [measure.name for measure in form.dataset.measures]
    given, lacks = (" OR ".join(f"{name} IS {is_null}" for name in names) for is_null in ("NOT NULL", "NULL"))
    return f"CASE WHEN ({given}) AND ({lacks}) THEN '{MISSING_MEASURE}' END"


def reason_sql(cases: Cases, otherwise: str) -> str:
    """Return SQL of the first reason whose condition holds."""
    whens = "\n    ".join(f"WHEN {condition} THEN {reason}" for condition, reason in cases)
    return f"CASE {whens}\n    ELSE {otherwise} END"
