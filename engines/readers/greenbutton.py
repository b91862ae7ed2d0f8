"""Green Button files, entry by entry: once to learn what each reading means, once for the readings.

Reasons beside those of ``rows``: ``no_reading_type`` · ``bad_unit:<unit>`` · ``unknown_direction:<code>`` ·
``cumulative_register`` · ``missing_value`` · ``bad_interval`` · ``bad_value:<measure>``. The place of a row is
the number of its IntervalReading in the file, counted from 1.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from engines.readers.joined import Item, Joined
from engines.readers.rows import BAD_METER, Rows
from engines.readers.streams import seekable
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.greenbutton import CUMULATIVE, DIRECTIONS, ESTIMATED, UNITS
from meterlake.fileformats.values import BAD_TIME, RefusedValue, number, physical
from meterlake.physical_units import UnitsDiffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from meterlake.fileformats.greenbutton import GreenButton

_METER_READING: Final = re.compile(r"(UsagePoint/([^/]+)/MeterReading/[^/]+)")
_READING_TYPE: Final = re.compile(r"ReadingType/[^/]+")
_WHOLE: Final = re.compile(r"-?\d{1,12}")


class _Reading(NamedTuple):
    """An IntervalReading, as it is written."""

    place: int
    start: str
    duration: str
    value: str
    quality: str

    def payload(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._asdict().items() if name != "place")


@dataclass
class _Entry:
    """An entry of the feed."""

    links: list[str] = field(default_factory=list)
    itself: str = ""
    readings: list[_Reading] = field(default_factory=list)
    reading_type: dict[str, str] = field(default_factory=dict)

    @property
    def meter_reading(self) -> str:
        """What it belongs to: ``UsagePoint/1/MeterReading/2``; empty where no link says it."""
        return next((result[1] for link in (self.itself, *self.links) if (result := _METER_READING.search(link))), "")


class _Meaning(NamedTuple):
    """What readings of a type mean. measure: empty where they are not read."""

    measure: str
    factor: Fraction
    length: str


@dataclass
class _Links:
    """What the feed says of its readings."""

    types: dict[str, dict[str, str]] = field(default_factory=dict)
    type_of: dict[str, str] = field(default_factory=dict)

    def add(self, entry: _Entry) -> None:
        """Learn from an entry."""
        if entry.reading_type:
            result = _READING_TYPE.search(entry.itself)
            self.types[result[0] if result else f"unnamed {len(self.types)}"] = entry.reading_type
        for link in entry.links:
            result = _READING_TYPE.search(link)
            if result and entry.meter_reading and not entry.readings and not entry.reading_type:
                self.type_of[entry.meter_reading] = result[0]

    def of(self, meter_reading: str) -> dict[str, str]:
        """Return the type of a meter reading's readings. Raises RefusedValue."""
        named = self.types.get(self.type_of.get(meter_reading, ""))
        if named is None and len(self.types) == 1:
            named = next(iter(self.types.values()))
        if named is None:
            raise RefusedValue("no_reading_type")
        return named

    def directions(self) -> dict[str, set[str]]:
        """Return usage point -> the directions of its readings."""
        result: dict[str, set[str]] = {}
        for meter_reading in self.type_of:
            code = self.types.get(self.type_of[meter_reading], {}).get("flowDirection", "0")
            result.setdefault(meter_reading.split("/")[1], set()).add(DIRECTIONS.get(code, ""))
        return result


def read(form: GreenButton, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a Green Button file."""
    with ExitStack() as stack:
        stream, links = seekable(stream, stack), _Links()
        for entry in _entries(stream):
            links.add(entry)
        stream.seek(0)
        yield from _Feed(form, options, links).read(stream)


class _Feed:
    """The readings of one file; a usage point's wait for all of its directions."""

    def __init__(self, form: GreenButton, options: Options, links: _Links) -> None:
        self._form, self._options, self._links = form, options, links
        self._rows, self._joined = Rows(form.dataset), Joined(form)
        self._meter, self._point = "", ""
        self._directions = links.directions()

    def read(self, stream: IO[bytes]) -> Iterator[pa.Table]:
        """Yield the rows of the file."""
        for entry in _entries(stream):
            if entry.readings:
                yield from self._take(entry)
                yield from self._rows.full()
        yield from self._end_meter()
        yield from self._rows.rest()

    def _take(self, entry: _Entry) -> Iterator[pa.Table]:
        path = entry.meter_reading
        point = path.split("/")[1] if path else ""
        meter = self._options.meter_id or point
        if (meter, point) != (self._meter, self._point):
            yield from self._end_meter()
            self._meter, self._point = meter, point
        try:
            meaning = _meaning(self._form, self._links.of(path))
        except RefusedValue as refused:
            self._refuse(entry, refused.reason)
            return
        if self._rows.problem(meter, 0):
            self._refuse(entry, BAD_METER)
        elif meaning.measure:
            for reading in entry.readings:
                self._put(reading, meaning)
        if len(self._form.flows) == 1:
            yield from self._end_meter()

    def _refuse(self, entry: _Entry, reason: str) -> None:
        for reading in entry.readings:
            self._rows.refuse(reading.place, reason, reading.payload())

    def _put(self, reading: _Reading, meaning: _Meaning) -> None:
        try:
            self._joined.put(_item(reading, meaning))
        except RefusedValue as refused:
            self._rows.refuse(reading.place, refused.reason, reading.payload())

    def _end_meter(self) -> Iterator[pa.Table]:
        absent = self._form.absent(self._directions.get(self._point, set()))
        for _ in self._joined.move(self._rows, self._meter, absent):
            yield from self._rows.full()


def _item(reading: _Reading, meaning: _Meaning) -> Item:
    length = reading.duration or meaning.length
    if not _WHOLE.fullmatch(reading.start):
        raise RefusedValue(BAD_TIME)
    if not _WHOLE.fullmatch(length) or not 0 < int(length) < 10**9:
        raise RefusedValue("bad_interval")
    try:
        given = number(reading.value)
        value = None if given is None else physical(given, meaning.factor)
    except RefusedValue as refused:
        raise refused.of(meaning.measure) from None
    if value is None:
        raise RefusedValue("missing_value")
    return Item(reading.place, int(reading.start), int(length), meaning.measure, value, reading.quality in ESTIMATED)


def _meaning(form: GreenButton, kind: dict[str, str]) -> _Meaning:
    """Return what readings of a type mean. Raises RefusedValue."""
    code, length = kind.get("uom", ""), kind.get("intervalLength", "")
    unit, power = UNITS.get(code, code), kind.get("powerOfTenMultiplier") or "0"
    if unit in form.ignored:
        return _Meaning("", Fraction(1), length)
    if code not in UNITS or not _WHOLE.fullmatch(power) or abs(int(power)) > 30:
        raise RefusedValue(f"bad_unit:{unit[:20]}")
    direction = kind.get("flowDirection") or "0"
    flow = form.by_direction.get(DIRECTIONS.get(direction, ""))
    if flow is None:
        raise RefusedValue(f"unknown_direction:{direction[:20]}")
    if kind.get("accumulationBehaviour") in CUMULATIVE:
        raise RefusedValue("cumulative_register")
    try:
        return _Meaning(flow.measure, form.factor(flow.measure, unit, int(power)), length)
    except UnitsDiffer:
        raise RefusedValue(f"bad_unit:{unit[:20]}") from None


def _entries(stream: IO[bytes]) -> Iterator[_Entry]:
    """Yield the entries of the feed, and forget each. Raises WrongFile."""
    number_, entry, root, seen = 0, _Entry(), None, False
    try:
        for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
            root = element if root is None else root
            if event == "start":
                continue
            name = _name(element)
            if name == "link":
                _add_link(entry, element)
            elif name == "ReadingType":
                entry.reading_type = {_name(one): (one.text or "").strip() for one in element}
            elif name == "IntervalReading":
                number_ += 1
                seen = True
                entry.readings.append(_reading(number_, element))
                element.clear()
            elif name == "entry":
                yield entry
                entry = _Entry()
                root.clear()
    except (ParseError, DefusedXmlException, UnicodeError, LookupError, ValueError) as error:
        raise WrongFile(f"is damaged XML, or holds what a feed must not ({error})"[:600], "Get it again.") from error
    if entry.readings:  # not in an Atom feed
        yield entry
    if not seen:
        raise WrongFile("has no IntervalReading", "Expected a Green Button feed with IntervalBlocks.")


def _add_link(entry: _Entry, element: Any) -> None:
    href = element.get("href") or ""
    if element.get("rel") == "self":
        entry.itself = href
    else:
        entry.links.append(href)


def _reading(place: int, element: Any) -> _Reading:
    texts = {_name(one): (one.text or "").strip() for one in element.iter()}
    return _Reading(place, *(texts.get(name, "") for name in ("start", "duration", "value", "quality")))


def _name(element: Any) -> str:
    """Return an element's name without its namespace, which files spell in several ways."""
    return str(element.tag).rpartition("}")[2]
