"""What must hold between the parts of a text format's declaration."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake import timepattern, wallclock
from meterlake.errors import DeclarationError
from meterlake.meter_names import check_meter_id, pattern_problem
from meterlake.physical_units import same_quantity
from meterlake.text.columns import (
    ClockFlag,
    DayValues,
    Epoch,
    ExcelDay,
    MeasureColumn,
    MeterColumn,
    Moment,
    SerialColumn,
    UnitColumn,
    UtcOffset,
    Value,
)
from meterlake.text.encoding import ENCODINGS
from meterlake.text.values import NUMBER

if TYPE_CHECKING:
    from meterlake.fileformats.base import FileFormat
    from meterlake.text.format import TextFormat

_FACTOR: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_NUMBER: Final = re.compile(NUMBER)
_ONE_OF: Final = (Epoch, ExcelDay, UtcOffset, ClockFlag, MeterColumn, SerialColumn, UnitColumn, MeasureColumn)


def check(form: TextFormat) -> None:
    """Raise DeclarationError at the first contradiction."""
    where = f"Text format{f' {form.name!r}' if form.name else ''} of {form.dataset.name!r}"
    _check_layout(form, where)
    _check_measures(form, where)
    _check_absent(form, where)
    _check_units(form, where)
    _check_time(form, where)
    _check_clock(form, where)
    _check_days(form, where)
    _check_file(form, where)
    _check_numbers(form, where)
    _check_counters(form, where)
    _check_meter(form, where)


def _check_meter(form: TextFormat, where: str) -> None:
    said = [form.has_meters, bool(form.meter_id), bool(form.meter_from_name)]
    if sum(said) != 1:
        problem = "names a meter, and a column does, too" if form.has_meters else "says the meter twice"
        problem = problem if any(said) else "no column holds the meter"
        raise DeclarationError(where, problem, expected="Give one of MeterColumn, meter_id and meter_from_name")
    check_said_meter(form, where)


def check_said_meter(form: TextFormat | FileFormat, where: str) -> None:
    """Raise DeclarationError or UsageError where the meter that a declaration says cannot be one."""
    if form.meter_id:
        check_meter_id(form.meter_id)
    problem = pattern_problem(form.meter_from_name) if form.meter_from_name else None
    if problem:
        raise DeclarationError(
            where,
            f"meter_from_name={form.meter_from_name!r} {problem}",
            expected="Put the meter between brackets: 'house_([0-9]+)', or '(?P<meter>…)'",
        )


def _check_layout(form: TextFormat, where: str) -> None:
    for kind in _ONE_OF:
        count = sum(isinstance(column, kind) for column in form.columns)
        if count > 1 and kind is not ExcelDay and kind is not Epoch:
            raise DeclarationError(where, f"has {count} columns {kind.__name__}", expected="Give one at most")
    if form.is_wide and form.values:
        raise DeclarationError(
            where,
            "has both a Value and DayValues: a line holds one reading, or those of a day",
            expected="Leave one of them out, or declare two formats",
        )


def _check_measures(form: TextFormat, where: str) -> None:
    measures = [measure.name for measure in form.dataset.measures if measure.name != form.estimated]
    if form.is_long:
        if len(form.holders) != 1 or form.holders[0].measure:
            raise DeclarationError(
                where,
                "a MeasureColumn names the measure of each line, and so do its value columns",
                expected='Give one Value("…") or DayValues("…") without a measure',
            )
    elif any(not holder.measure for holder in form.holders):
        raise DeclarationError(
            where, "a column of values names no measure", expected="Name it, or give a MeasureColumn that does"
        )
    twice = len(form.holders) + len(form.absent) != len(measures) and not form.is_long
    if twice or sorted(form.measures) != sorted(measures):
        raise DeclarationError(
            where,
            f"its columns hold {form.measures}",
            expected=f'Give each of {measures} one column; one that files may lack has a value instead, absent="0"',
        )
    for column in form.columns:
        if isinstance(column, MeasureColumn):
            unknown = sorted({measure for measure, _ in column.absent} - {*measures})
            both = sorted({name for name, _ in column.names} & {*column.ignored})
            if unknown or both:
                problem = f"no measure is called {unknown}" if unknown else f"{both} are both read and ignored"
                raise DeclarationError(where, problem, expected=f"Measures: {measures}")


def _check_absent(form: TextFormat, where: str) -> None:
    given = [(column.measure, column.absent) for column in form.holders if isinstance(column, Value) and column.absent]
    given += [pair for column in form.columns if isinstance(column, MeasureColumn) for pair in column.absent]
    for measure, text in given:
        if not measure:
            raise DeclarationError(
                where,
                f"a MeasureColumn names the measures, and absent={text!r} says none",
                expected='Give it to the MeasureColumn: absent=(("energy", "0"),)',
            )
        if not _NUMBER.fullmatch(text):
            raise DeclarationError(where, f"absent={text!r} is no number", expected="Write '0', or leave it out")


def _check_units(form: TextFormat, where: str) -> None:
    units = {measure.name: measure.unit for measure in form.dataset.measures}
    has_units = any(isinstance(column, UnitColumn) for column in form.columns)
    open_to_units = False
    for column in [*form.holders, *form.absent]:
        place = f"{where}, column {column.header!r}"
        if column.unit and column.factor:
            raise DeclarationError(place, "has a unit and a factor", expected="Give one of the two")
        if column.factor and (not _FACTOR.fullmatch(column.factor) or not float(column.factor)):
            raise DeclarationError(
                place,
                f"its factor {column.factor!r} is no positive number of up to 9 digits on either side of the point",
                expected='Write a text such as "1000" or "0.001"',
            )
        wanted = [units[column.measure]] if column.measure else sorted(set(units.values()))
        for unit in wanted if column.unit else ():
            if not same_quantity(column.unit, unit):
                raise DeclarationError(
                    place,
                    f"{column.unit} cannot be turned into {unit}",
                    expected=f"Give a unit of what {unit} measures",
                )
        open_to_units |= not (column.unit or column.factor)
    if has_units and not open_to_units:
        raise DeclarationError(
            where,
            "a UnitColumn says the unit, and each column of values does, too",
            expected="Leave unit and factor out of the columns that it is for, or make it Skipped",
        )


def _check_time(form: TextFormat, where: str) -> None:
    epochs = [column for column in form.columns if isinstance(column, Epoch)]
    days = [column for column in form.columns if isinstance(column, ExcelDay)]
    if not form.pattern and not epochs and not days:
        raise DeclarationError(where, "no column holds the time", expected="Give a Moment, an Epoch or an ExcelDay")
    if len(epochs) > 1 or sum(map(bool, (epochs, form.pattern, days))) > 1:
        raise DeclarationError(
            where, "two columns hold the time", expected="Give Moments, or one Epoch, or ExcelDays: not two kinds"
        )
    patterns = [column.pattern for column in form.columns if isinstance(column, Moment)]
    for pattern in [*patterns, form.pattern] if patterns else []:
        problem = timepattern.problem(pattern) if pattern == form.pattern else None
        if problem:
            raise DeclarationError(
                where, f"the time {pattern!r} cannot be read: {problem}", expected="Write d/M/yyyy H:mm:ss or so"
            )
    if sum(map(timepattern.has_offset, patterns)) + any(isinstance(column, UtcOffset) for column in form.columns) > 1:
        raise DeclarationError(where, "says its offset twice", expected="Give one XXX, or one UtcOffset")
    if not 0 <= form.snap_s * 2 <= form.interval_s:
        raise DeclarationError(
            where,
            f"snap_s={form.snap_s} is more than half of its interval of {form.interval_s} s",
            expected=f"Give 0 to {form.interval_s // 2}",
        )


def _check_clock(form: TextFormat, where: str) -> None:
    if form.has_own_offset and (form.utc_offset or form.time_zone):
        kind = "an Epoch is UTC" if any(isinstance(one, Epoch) for one in form.columns) else "each line says its offset"
        raise DeclarationError(where, kind, expected="Leave utc_offset and time_zone out")
    if form.time_zone and form.utc_offset:
        raise DeclarationError(where, "has an offset and a time zone", expected="Give one of the two")
    if form.time_zone:
        wallclock.check_zone(form.time_zone, where)
    if form.flag and form.has_own_offset:
        raise DeclarationError(where, "a ClockFlag is for times without an offset", expected="Make that column Skipped")
    if form.flag and {*form.flag.summer} & {*form.flag.winter}:
        raise DeclarationError(
            where, "its ClockFlag has a text for both summer and winter", expected="Give each text once"
        )
    if form.utc_offset.microseconds or abs(form.utc_offset) > timedelta(hours=18):
        raise DeclarationError(
            where, f"its offset {form.utc_offset} is not one from UTC", expected="Give timedelta(hours=1) or so"
        )


def _check_days(form: TextFormat, where: str) -> None:
    if not form.is_wide:
        return
    if not form.pattern or timepattern.has_hours(form.pattern) or form.has_own_offset:
        raise DeclarationError(
            where, "the time of DayValues is a day", expected='Give a Moment with a date, such as "yyyy-MM-dd"'
        )
    if form.snap_s:
        raise DeclarationError(
            where, "snap_s is for times, and the times of DayValues are on the grid", expected="Leave it out"
        )
    if len({column.days for column in form.days}) > 1:
        raise DeclarationError(where, "its DayValues are both real and nominal", expected="Give one of the two")
    for column in form.days:
        if form.has_header and not column.is_named:
            raise DeclarationError(
                where,
                f"DayValues {column.header!r} do not say how its columns differ",
                expected='Write "HH{n}", "HH{n:02}" or "{time}", or has_header=False',
            )
        if column.days == "real" and "{time}" in column.header:
            raise DeclarationError(
                where, "columns named by {time} are nominal", expected='Write {n}, or days="nominal"'
            )


def _check_file(form: TextFormat, where: str) -> None:
    if form.interval_s not in form.dataset.intervals:
        raise DeclarationError(
            where,
            f"its interval of {form.interval_s} s is not one of the data set's",
            expected=f"Use one of {form.dataset.intervals}",
        )
    if len(form.separator) != 1 or form.separator in "\n\r\"'\\":
        raise DeclarationError(
            where, f"the separator {form.separator!r} cannot be used", expected="Use one character such as ;"
        )
    if form.encoding not in ENCODINGS:
        raise DeclarationError(
            where, f"the encoding {form.encoding!r} is not known", expected=f"Use one of {', '.join(ENCODINGS)}"
        )
    if form.skip_lines == "to_header" and not form.has_header:
        raise DeclarationError(
            where, "skips all lines up to a header that it does not have", expected="Give skip_lines a number"
        )
    if isinstance(form.skip_lines, int) and form.skip_lines < 0:
        raise DeclarationError(where, f"skips {form.skip_lines} lines", expected="Give 0 or more")
    try:
        re.compile(form.footer)
    except re.error as error:
        raise DeclarationError(
            where, f"its footer {form.footer!r} is no regular expression: {error}", expected='Write "Total.*" or so'
        ) from error
    if form.footer and re.search(r"\(\?[=!<]|\\[1-9]", form.footer):
        raise DeclarationError(
            where, f"its footer {form.footer!r} looks around or back", expected='Write "Total.*" or so'
        )


def _check_numbers(form: TextFormat, where: str) -> None:
    if form.decimal == form.separator:
        raise DeclarationError(
            where, f"{form.decimal!r} separates columns and fractions", expected="Give another separator or decimal"
        )
    if form.thousands == form.decimal:
        raise DeclarationError(
            where, f"{form.decimal!r} stands before fractions and thousands", expected="Give another decimal"
        )
    if form.thousands not in ("", ".", ",", " ", "'"):
        raise DeclarationError(
            where, f"the thousands mark {form.thousands!r} is not known", expected="Use one of . , ' and a blank"
        )
    if any(isinstance(column, DayValues) for column in form.columns) and not form.intervals_a_day:
        raise DeclarationError(where, "its interval is longer than a day", expected="Leave DayValues out")


def _check_counters(form: TextFormat, where: str) -> None:
    if not form.counts:
        if form.estimated or any(isinstance(column, SerialColumn) for column in form.columns):
            raise DeclarationError(
                where,
                "estimated and a SerialColumn are for counters, and no value is one",
                expected="Say register=Register(…) of its values, or leave them out",
            )
        return
    names = [measure.name for measure in form.dataset.measures]
    if form.estimated and form.estimated not in names:
        raise DeclarationError(where, f"no measure is called {form.estimated!r}", expected=f"Measures: {names}")
    given = [*form.holders, *form.absent]
    if not all(isinstance(column, Value) and column.register for column in given):
        raise DeclarationError(
            where,
            "some of its values are counters, and some are not",
            expected="Say register= of each Value, or declare two formats of two data sets",
        )
    if form.marks == "end" or form.snap_s:
        raise DeclarationError(
            where,
            "a register is read at an instant, not over an interval",
            expected="Leave marks and snap_s out; Register(snap_s=…) is for counters",
        )
    has_units = any(isinstance(column, UnitColumn) for column in form.columns)
    for column in (one for one in given if isinstance(one, Value) and one.register):
        of_line = has_units and not (column.unit or column.factor)
        if of_line and column.register and (column.register.digits or column.register.exchanges):
            raise DeclarationError(
                f"{where}, column {column.header!r}",
                "its digits and exchanges have no unit, since each line says its own",
                expected="Give the column a unit, or leave digits and exchanges out",
            )
        counted = (column.measure,) if column.measure else tuple(form.measures)
        if column.register:
            column.register.check(form.dataset, counted, form.estimated, where)
