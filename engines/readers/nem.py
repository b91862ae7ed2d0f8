"""NEM12 and NEM13 files: record by record, with their line numbers; each odd one is a row of quarantine.

Reasons beside those of ``rows``: ``unknown_record`` · ``bad_record:<field>`` · ``no_nmi`` (no valid 200 record before)
· ``unknown_channel:<suffix>`` · ``bad_unit:<unit>`` · ``missing_column`` · ``extra_column`` · ``no_quality`` (of a
variable day, no 400 record says it) · ``bad_value:<measure>`` · ``missing_value`` · ``partial_interval`` (the amount
before the first or after the last whole interval) · ``no_end_record`` (the file may be cut off).
"""

from __future__ import annotations

import csv
from datetime import datetime
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from engines.readers.counters import PARTIAL_INTERVAL
from engines.readers.joined import Item, Joined
from engines.readers.rows import BAD_METER, Rows
from meterlake.errors import DeclarationError
from meterlake.fileformats.base import WrongFile, conversion
from meterlake.fileformats.nem import ESTIMATED, NO_DATA, QUALITIES, UNITS, VARIABLE
from meterlake.fileformats.records import counter_units
from meterlake.fileformats.values import BAD_TIME, RefusedValue, Stamp, instant, number, physical
from meterlake.registers import COUNTER_WENT_BACK, Counter, CounterReading, IntervalAmount, Rule
from meterlake.textlines import blocks
from meterlake.units import to_float

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.declaration import Measure
    from meterlake.fileformats.nem import Channel, Nem12, Nem13
    from meterlake.wallclock import FileClock

_ONE: Final = Fraction(1)
_DAY_MINUTES: Final = 24 * 60
_OTHER: Final = {"100", "500", "550", "900"}
"""Records without readings."""


class _Line(NamedTuple):
    """A record. reason: why it is none."""

    place: int
    fields: list[str]
    text: str
    reason: str = ""

    @property
    def kind(self) -> str:
        return self.fields[0].strip() if self.fields else ""

    def field(self, at: int) -> str:
        return self.fields[at].strip() if at < len(self.fields) else ""

    def payload(self) -> str:
        return self.text


class _Stream(NamedTuple):
    """A data stream: what a 200 record opens. channel: None where it is not read."""

    meter: str
    channel: Channel | None
    factor: Fraction
    minutes: int


class _Day(NamedTuple):
    """A 300 record. qualities: one an interval, as 400 records change them."""

    line: _Line
    stream: _Stream
    begins: int
    qualities: list[str]


def read_nem12(form: Nem12, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a NEM12 file."""
    return _Nem12(form, options).read(stream)


def read_nem13(form: Nem13, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a NEM13 file."""
    return _Nem13(form, options).read(stream)


def _lines(stream: IO[bytes], version: str) -> Iterator[_Line]:
    """Yield the records of a file. Raises WrongFile where it does not begin with the header of its version."""
    begun, line = False, _Line(0, [], "")
    for block in blocks(stream.read):
        for at, text in enumerate(block.texts):
            line = _parsed(block.first + at, text, block.undecoded.get(at, ""))
            if not begun and line.reason != "empty_line":
                if line.kind != "100" or line.field(1) != version:
                    raise WrongFile(
                        f"does not begin with the header of {version}. Its first line is {text[:100]!r}",
                        f"Expected '100,{version},…'.",
                    )
                begun = True
            yield line
    if not begun:
        raise WrongFile("is empty", f"Expected a {version} file.")
    if line.kind != "900":
        yield _Line(line.place, [], "", "no_end_record")


def _parsed(place: int, text: str, undecoded: str) -> _Line:
    if undecoded or not text.strip(" ,"):
        return _Line(place, [], text, undecoded or "empty_line")
    try:
        fields = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
    except csv.Error:
        return _Line(place, [], text, "bad_record:quotes")
    return _Line(place, fields, text)


def _refuse(rows: Rows, line: _Line, reason: str) -> None:
    rows.refuse(line.place, reason, line.text)


def _channel(form: Nem12 | Nem13, suffix: str, unit: str) -> tuple[Channel | None, Fraction]:
    """Return a suffix's channel, None where it is ignored, and its unit's factor. Raises RefusedValue."""
    channel = form.by_suffix.get(suffix)
    if channel is None:
        if suffix in form.ignored:
            return None, _ONE
        raise RefusedValue(f"unknown_channel:{suffix[:20]}")
    try:
        return channel, conversion(form.dataset.measure(channel.measure), UNITS[unit.upper()], form.where)
    except (KeyError, DeclarationError):
        raise RefusedValue(f"bad_unit:{unit[:20]}") from None


def _date(text: str, pattern: str, clock: FileClock) -> int:
    """Return the seconds of a date or time of the market. Raises RefusedValue."""
    try:
        local = datetime.strptime(text, pattern)  # noqa: DTZ007 - of the file's clock
    except ValueError:
        raise RefusedValue(BAD_TIME) from None
    seconds = (local - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 - of the file's clock
    return instant(Stamp(int(seconds), is_utc=False), clock, None)


class _Nem12:
    """Reads one NEM12 file. A day waits for the 400 records below it, a meter for all of its channels."""

    def __init__(self, form: Nem12, options: Options) -> None:
        self._form, self._clock, self._rows = form, options.clock, Rows(form.dataset)
        self._stream: _Stream | None = None
        self._day: _Day | None = None
        self._meter, self._configuration = "", ""
        self._joined = Joined(form)

    def read(self, stream: IO[bytes]) -> Iterator[pa.Table]:
        """Yield the rows of a file."""
        for line in _lines(stream, "NEM12"):
            if line.kind != "400":
                yield from self._end_day()
            try:
                yield from self._take(line)
            except RefusedValue as refused:
                _refuse(self._rows, line, refused.reason)
            yield from self._rows.full()
        yield from self._end_day()
        yield from self._end_meter()
        yield from self._rows.rest()

    def _take(self, line: _Line) -> Iterator[pa.Table]:
        if line.reason:
            raise RefusedValue(line.reason)
        if line.kind == "200":
            self._stream = None
            opened = self._opened(line)
            if opened.meter != self._meter:
                yield from self._end_meter()
            self._stream, self._meter, self._configuration = opened, opened.meter, line.field(2)
        elif line.kind == "300":
            self._day = self._begun(line)
        elif line.kind == "400":
            self._change(line)
        elif line.kind not in _OTHER:
            raise RefusedValue("unknown_record")

    def _opened(self, line: _Line) -> _Stream:
        minutes = line.field(8)
        if not minutes.isdecimal() or not int(minutes) or _DAY_MINUTES % int(minutes):
            raise RefusedValue("bad_record:interval_length")
        meter = line.field(1)
        if self._rows.problem(meter, 0):
            raise RefusedValue(BAD_METER)
        channel, factor = _channel(self._form, line.field(4), line.field(7))
        return _Stream(meter, channel, factor, int(minutes))

    def _begun(self, line: _Line) -> _Day | None:
        if self._stream is None:
            raise RefusedValue("no_nmi")
        if self._stream.channel is None:
            return None
        begins = _date(line.field(1), "%Y%m%d", self._clock)
        count = _DAY_MINUTES // self._stream.minutes
        # Values, then quality, reason, its description, and one or two times; what is optional may be left out.
        more = len(line.fields) - 2 - count
        if more < 1 or more > 5:
            raise RefusedValue("missing_column" if more < 1 else "extra_column")
        return _Day(line, self._stream, begins, [_quality(line.field(2 + count))] * count)

    def _change(self, line: _Line) -> None:
        if self._stream and self._stream.channel is None:
            return
        if self._day is None:
            raise RefusedValue("bad_record:no_day")
        first, last = line.field(1), line.field(2)
        if not first.isdecimal() or not last.isdecimal():
            raise RefusedValue("bad_record:intervals")
        begin, end = int(first), int(last)
        if not 1 <= begin <= end <= len(self._day.qualities):
            raise RefusedValue("bad_record:intervals")
        self._day.qualities[begin - 1 : end] = [_quality(line.field(3))] * (end - begin + 1)

    def _end_day(self) -> Iterator[pa.Table]:
        day, self._day = self._day, None
        if day is None or day.stream.channel is None:
            return
        measure, interval_s = day.stream.channel.measure, day.stream.minutes * 60
        for at, quality in enumerate(day.qualities):
            try:
                value = self._value(day, at, quality)
            except RefusedValue as refused:
                self._rows.refuse(day.line.place, refused.reason, day.line.text)
                continue
            begins = day.begins + at * interval_s
            self._joined.put(Item(day.line.place, begins, interval_s, measure, value, quality in ESTIMATED))
        if len(self._form.channels) == 1:
            yield from self._end_meter()

    def _value(self, day: _Day, at: int, quality: str) -> float | None:
        """Return the value of an interval. Raises RefusedValue."""
        if quality == VARIABLE:
            raise RefusedValue("no_quality")
        if quality == NO_DATA or day.stream.channel is None:
            return None
        try:
            given = number(day.line.field(2 + at))
            return None if given is None else physical(given, day.stream.factor)
        except RefusedValue as refused:
            raise refused.of(day.stream.channel.measure) from None

    def _end_meter(self) -> Iterator[pa.Table]:
        for _ in self._joined.move(self._rows, self._meter, self._form.absent(self._configuration)):
            yield from self._rows.full()


def _quality(text: str) -> str:
    """Return the flag of a quality and method, such as S14. Raises RefusedValue."""
    if text[:1] not in QUALITIES:
        raise RefusedValue("bad_record:quality")
    return text[:1]


class _Read(NamedTuple):
    """A 250 record: what a meter counted between two reads."""

    begin: int
    end: int
    units: int
    estimated: bool
    line: _Line


class _Nem13:
    """Reads one NEM13 file."""

    def __init__(self, form: Nem13, options: Options) -> None:
        self._form, self._clock, self._rows = form, options.clock, Rows(form.dataset)
        self._reads: dict[str, dict[str, list[_Read]]] = {}
        self._configurations: dict[str, str] = {}

    def read(self, stream: IO[bytes]) -> Iterator[pa.Table]:
        """Yield the rows of a file; its reads are few, and are held until its end."""
        for line in _lines(stream, "NEM13"):
            try:
                self._take(line)
            except RefusedValue as refused:
                _refuse(self._rows, line, refused.reason)
            yield from self._rows.full()
        for meter, channels in self._reads.items():
            joined = Joined(self._form)
            for measure, reads in channels.items():
                self._spread(measure, sorted(reads, key=lambda read: (read.begin, read.end)), joined)
                yield from self._rows.full()
            for _ in joined.move(self._rows, meter, self._form.absent(self._configurations[meter])):
                yield from self._rows.full()
        yield from self._rows.rest()

    def _take(self, line: _Line) -> None:
        if line.reason:
            raise RefusedValue(line.reason)
        if line.kind != "250":
            if line.kind not in _OTHER:
                raise RefusedValue("unknown_record")
            return
        meter = line.field(1)
        if self._rows.problem(meter, 0):
            raise RefusedValue(BAD_METER)
        channel, factor = _channel(self._form, line.field(4), line.field(19))
        if channel is None:
            return
        begin, end = (_date(line.field(at), "%Y%m%d%H%M%S", self._clock) for at in (9, 14))
        if end <= begin or self._rows.problem(meter, begin) or self._rows.problem(meter, end):
            raise RefusedValue(BAD_TIME)
        units = _units(line, channel, factor, self._form.dataset.measure(channel.measure))
        read = _Read(begin, end, units, _quality(line.field(15)) in ESTIMATED, line)
        self._reads.setdefault(meter, {}).setdefault(channel.measure, []).append(read)
        self._configurations[meter] = line.field(2)

    def _spread(self, measure: str, reads: list[_Read], joined: Joined) -> None:
        """Bring the amounts of one channel, in order of time, onto the grid."""
        scale, rule = self._form.dataset.measure(measure).scale, self._rule()
        counter, at, total = Counter(rule), 0, 0
        for read, following in zip(reads, [*reads[1:], None], strict=True):
            if read.begin != at:
                counter, total = Counter(rule), 0
                counter.take(CounterReading(read.begin, 0))
                self._check_whole(read.begin, read.line)
            at, total = read.end, total + read.units
            for made in counter.take(CounterReading(at, total, place=read.line.place)):
                if isinstance(made, IntervalAmount):
                    value, estimated = to_float(made.units, scale), made.estimated or read.estimated
                    joined.put(Item(made.place, made.begins, rule.interval_s, measure, value, estimated))
                else:
                    _refuse(self._rows, read.line, made.reason)
            if following is None or following.begin != at:
                self._check_whole(at, read.line)

    def _check_whole(self, at: int, line: _Line) -> None:
        """Report where reads begin or end inside an interval: nothing is known of all of it."""
        if at % self._form.interval_s:
            _refuse(self._rows, line, PARTIAL_INTERVAL)

    def _rule(self) -> Rule:
        longest = int(self._form.dataset.jump_limit.total_seconds())
        return Rule(interval_s=self._form.interval_s, across_gap="spread", longest_gap_s=longest)


def _units(line: _Line, channel: Channel, factor: Fraction, measure: Measure) -> int:
    """Return the quantity of a 250 record. Raises RefusedValue."""
    try:
        quantity = number(line.field(18))
        units = None if quantity is None else counter_units(quantity, factor, measure)
    except RefusedValue as refused:
        raise refused.of(channel.measure) from None
    if units is None:
        raise RefusedValue("missing_value")
    if units < 0:
        raise RefusedValue(COUNTER_WENT_BACK)
    return units
