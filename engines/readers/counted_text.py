"""Text whose values are those of counters: its lines as readings of counters, and the rows that these make."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines.readers.counters import Counters
from engines.readers.joined import Joined
from engines.readers.port import PAYLOAD, PLACE, REASON
from engines.readers.rows import Rows
from meterlake.fileformats.records import counter_units
from meterlake.fileformats.values import RefusedValue
from meterlake.registers import CounterReading
from meterlake.rules import MISSING_MEASURE
from meterlake.text.parts import MEASURE, SERIAL, VALUE
from meterlake.text.values import factor_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from engines.readers.port import Options
    from meterlake.registers import Rule
    from meterlake.text.format import TextFormat

_ONE: Final = Fraction(1)


def counted_rows(form: TextFormat, options: Options, lines: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of a file. lines: what each line says, as ``rows.rows_sql`` and its payload."""
    rows, counters = Rows(form.dataset), Counters(options)
    for table in lines:
        for line in _with_seconds(form, table).to_pylist():
            _take(form, options, line, rows, counters)
            yield from rows.full()
    absent = {measure: float(value) for measure, value in form.instead.items()}
    for meter in counters.meters:
        joined = Joined(form)
        for _ in counters.move(rows, joined, _rules(form, meter), meter):
            yield from rows.full()
        for _ in joined.move(rows, meter, absent):
            yield from rows.full()
    yield from rows.rest()


def _with_seconds(form: TextFormat, table: pa.Table) -> pa.Table:
    """Return lines with their time in whole seconds: what is no reading may have one that Python does not have."""
    at = table.column_names.index(form.dataset.event_time)
    seconds = pc.floor(pc.divide(pc.cast(table[at], "int64"), 1_000_000.0))
    return table.set_column(at, form.dataset.event_time, pc.cast(seconds, "int64"))


def _take(form: TextFormat, options: Options, line: dict[str, Any], rows: Rows, counters: Counters) -> None:
    place, payload = line[PLACE], line[PAYLOAD]
    if line[REASON]:
        rows.refuse(place, line[REASON], payload)
        return
    shown = {line[MEASURE]: line[VALUE]} if form.is_long else {name: line.get(name) for name in form.measures}
    given = {measure: value for measure, value in shown.items() if value is not None}
    if not given:
        rows.refuse(place, MISSING_MEASURE, payload)
        return
    meter = line[form.dataset.key] if form.has_meters else options.meter_id
    serial = line.get(SERIAL) or ""
    try:
        units = {measure: _units(form, measure, value) for measure, value in given.items()}
    except RefusedValue as refused:
        rows.refuse(place, refused.reason, payload)
        return
    for measure, shows in units.items():
        counters.add(meter, measure, CounterReading(line[form.dataset.event_time], shows, serial, place))


def _units(form: TextFormat, measure: str, value: float) -> int:
    """Return units of a value; a double is the decimal that is its shortest text: all 15 digits of a counter."""
    try:
        return counter_units(Decimal(repr(value)), _ONE, form.dataset.measure(measure))
    except RefusedValue as refused:
        raise refused.of(measure) from None


def _rules(form: TextFormat, meter: str) -> dict[str, Rule]:
    """Return how the counters of a meter are read."""
    dataset, rules = form.dataset, dict[str, Any]()
    for column in form.values:
        for name in [column.measure] if column.measure else form.measures:
            measure = dataset.measure(name)
            if column.register:
                factor = factor_of(column, measure.unit)
                rules[name] = column.register.rule(dataset, measure, factor, form.interval_s, meter)
    return rules
