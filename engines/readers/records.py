"""Records with named fields, decoded as a ``RecordFormat`` says; each reader of such files is a source of records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from engines.readers.counters import Counters
from engines.readers.joined import Joined
from engines.readers.rows import BAD_METER, Rows
from engines.readers.streams import seekable
from meterlake import wallclock
from meterlake.fileformats.records import counter_units
from meterlake.fileformats.values import RefusedValue, Stamp, instant, is_doubtful, number, physical, stamp
from meterlake.registers import CounterReading
from meterlake.rules import MISSING_MEASURE
from meterlake.wallclock import Doubtful

if TYPE_CHECKING:
    from decimal import Decimal
    from fractions import Fraction

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.fileformats.records import RecordFormat, Value
    from meterlake.registers import Rule

EMPTY: Mapping[str, Any] = {}


def text_of(value: object) -> str:
    """Return a value of a record as text, like JSON."""
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


class Record(NamedTuple):
    """A record of a file. place: counted from 1. reason: why it is none. text: as it stands in the file, if known."""

    place: int
    fields: Mapping[str, Any]
    reason: str = ""
    text: str | None = None

    def payload(self) -> str:
        """The record as text."""
        if self.text is not None:
            return self.text
        return text_of(self.fields)


Source: TypeAlias = Callable[[IO[bytes]], Iterator[Record]]
"""Yields the records of a file. Raises WrongFile where it has none of its format, or is damaged."""


def read_records(form: RecordFormat, source: Source, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a file of records."""
    with ExitStack() as stack:
        places: dict[int, int] = {}
        if isinstance(options.clock, ZoneInfo):
            # Which of two equal times is which, only the whole file says.
            stream = seekable(stream, stack)
            places = wallclock.places(_doubtful(form, source(stream), options), options.clock)
            stream.seek(0)
        rows, counters, decoder = Rows(form.dataset), Counters(options), _Decoder(form, options, places)
        for record in source(stream):
            if record.reason:
                rows.refuse(record.place, record.reason, record.payload())
            else:
                decoder.decode(record, rows, counters)
            yield from rows.full()
        for meter in counters.meters:
            joined = Joined(form)
            for _ in counters.move(rows, joined, decoder.rules(meter), meter):
                yield from rows.full()
            for _ in joined.move(rows, meter):
                yield from rows.full()
        yield from rows.rest()


def _doubtful(form: RecordFormat, records: Iterator[Record], options: Options) -> Iterator[Doubtful]:
    decoder = _Decoder(form, options, {})
    for record in records:
        if not record.reason:
            try:
                moment = decoder.said(record.fields)
                meter = decoder.meter(record.fields)
            except RefusedValue:
                continue
            if is_doubtful(moment, options.clock):
                yield Doubtful(record.place, meter, moment.seconds)


class _Decoder:
    """Decodes the records of one file."""

    def __init__(self, form: RecordFormat, options: Options, places: Mapping[int, int]) -> None:
        self._form, self._options, self._places = form, options, places
        self._lead = form.interval_s if form.marks == "end" else 0
        self._values = [(value, form.factors[value.measure]) for value in form.values]
        order = {value.measure: at for at, value in enumerate(form.values)}
        self._order = [order[measure.name] for measure in form.dataset.measures if measure.name in order]

    def rules(self, meter: str) -> dict[str, Rule]:
        """Return how the counters of a meter are read."""
        form, register = self._form, self._form.register
        if register is None:
            return {}
        return {
            value.measure: register.rule(
                form.dataset, form.dataset.measure(value.measure), factor, form.interval_s, meter
            )
            for value, factor in self._values
        }

    def said(self, fields: Mapping[str, Any]) -> Stamp:
        """Return a record's time as the file says it. Raises RefusedValue."""
        return stamp(_field(fields, self._form.time.field), self._form.time.pattern)

    def meter(self, fields: Mapping[str, Any]) -> str:
        """Return a record's meter. Raises RefusedValue."""
        if not self._form.meter:
            return self._options.meter_id
        given = _field(fields, self._form.meter)
        if isinstance(given, (str, int)) and not isinstance(given, bool):
            return str(given).strip()
        raise RefusedValue(BAD_METER)

    def decode(self, record: Record, rows: Rows, counters: Counters) -> None:
        """Add a record to rows, or its values to counters."""
        try:
            meter = self.meter(record.fields)
            at = instant(self.said(record.fields), self._options.clock, self._places.get(record.place)) - self._lead
            given = [self._number(record.fields, value) for value, _ in self._values]
            if self._form.register:
                self._count(record, meter, at, given, rows, counters)
            else:
                rows.add(record.place, meter, at, self._form.interval_s, self._physical(given), record.payload)
        except RefusedValue as refused:
            rows.refuse(record.place, refused.reason, record.payload())

    def _number(self, fields: Mapping[str, Any], value: Value) -> Decimal | None:
        try:
            return number(_field(fields, value.field), self._form.missing)
        except RefusedValue as refused:
            raise refused.of(value.measure) from None

    def _physical(self, given: list[Decimal | None]) -> list[float | None]:
        result: list[float | None] = []
        for shown, (value, factor) in zip(given, self._values, strict=True):
            try:
                result.append(None if shown is None else physical(shown, factor))
            except RefusedValue as refused:
                raise refused.of(value.measure) from None
        return [result[at] for at in self._order]

    def _count(
        self, record: Record, meter: str, at: int, given: list[Decimal | None], rows: Rows, counters: Counters
    ) -> None:
        problem = rows.problem(meter, at)
        if problem or given.count(None) == len(given):
            rows.refuse(record.place, problem or MISSING_MEASURE, record.payload())
            return
        serial = str(_field(record.fields, self._form.serial)).strip() if self._form.serial else ""
        counted = [
            (value.measure, None if shown is None else self._units(shown, factor, value.measure))
            for shown, (value, factor) in zip(given, self._values, strict=True)
        ]
        for measure, units in counted:
            if units is not None:
                counters.add(meter, measure, CounterReading(at, units, serial, record.place))

    def _units(self, shown: Decimal, factor: Fraction, measure: str) -> int:
        try:
            return counter_units(shown, factor, self._form.dataset.measure(measure))
        except RefusedValue as refused:
            raise refused.of(measure) from None


_ABSENT: Any = object()


def _field(fields: Mapping[str, Any], path: str) -> Any:
    """Return a field by its name or path. Raises RefusedValue where there is none."""
    result: Any = fields.get(path, _ABSENT)
    if result is _ABSENT and "." in path:
        result = fields
        for name in path.split("."):
            result = result.get(name, _ABSENT) if isinstance(result, dict) else _ABSENT
    if result is _ABSENT:
        raise RefusedValue(f"missing_field:{path}")
    return result
