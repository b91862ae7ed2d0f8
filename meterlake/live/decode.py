"""From a message to samples: what a meter showed at an instant. Whatever is none is refused with its reason.

Reasons: ``too_large`` · ``not_utf8`` · ``not_json`` · ``not_object`` · ``not_list`` · ``empty_list`` · those of Avro
(``not_avro``, ``unknown_schema``) · those of SenML
(``not_senml``, ``senml_version``, ``senml_must_understand``, ``senml_name``, ``no_declared_field``,
``bad_unit:<measure>``) · ``missing_field:<path>`` · ``bad_meter`` · ``bad_time`` · ``no_such_local_time`` ·
``received_before_event`` (of a source with counters) · ``bad_value:<measure>`` · ``not_finite:<measure>``.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from meterlake.fileformats.records import counter_units
from meterlake.fileformats.values import (
    BAD_TIME,
    EPOCH_MS,
    EPOCH_S,
    RefusedValue,
    instant,
    is_doubtful,
    number,
    physical,
    stamp,
)
from meterlake.live import senml
from meterlake.live.sources import TopicLevel
from meterlake.physical_units import UnitsDiffer, exact_factor
from meterlake.rules import RECEIVED_BEFORE_EVENT
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.wallclock import FIRST, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction

    from meterlake.fileformats.records import Value
    from meterlake.live.sources import LiveSource

MAX_PAYLOAD: Final = 1 << 20
BAD_METER: Final = "bad_meter"
_KEY: Final = re.compile(KEY_PATTERN.removesuffix("$") + r"\Z")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FRACTION: Final = re.compile(r"(?<=\d\d:\d\d:\d\d)[.,](\d+)")
_MOST_UNITS: Final = 1 << 62
_SEPARATORS: Final = ":/._-"
_ABSENT: Final[Any] = object()


class Sample(NamedTuple):
    """What a meter showed at an instant, in milliseconds since 1970 UTC.

    values: of ``source.values``, in the measures' units. counters: of ``source.counters``, in units of resolution.
    """

    meter: str
    at_ms: int
    values: tuple[float | None, ...]
    counters: tuple[int | None, ...] = ()
    serial: str = ""


class Refusal(NamedTuple):
    """Why a message, or one of its readings, makes none. item: which one of a list, counted from 1."""

    reason: str
    meter: str = ""
    item: int = 0


def decode(
    source: LiveSource, topic: str, payload: bytes, arrived_ms: int, avro: Callable[[bytes], Any] | None = None
) -> list[Sample | Refusal]:
    """Return the samples of a message, in its order, and why others are none.

    avro: returns what an Avro message says; raises RefusedValue.
    """
    if len(payload) > MAX_PAYLOAD:
        return [Refusal("too_large")]
    try:
        if source.payload == "number":
            return [_of_fields(source, topic, ({"": _number_text(payload)},), arrived_ms)]
        content = avro(payload) if avro and source.payload == "avro" else _json(payload)
        if source.payload == "senml":
            return list(_of_senml(source, topic, content, arrived_ms))
        return list(_of_json(source, topic, content, arrived_ms))
    except RefusedValue as refused:
        return [Refusal(refused.reason, _said_meter(source, topic, ()))]


def _number_text(payload: bytes) -> str:
    try:
        return payload.decode("ascii").strip()
    except UnicodeDecodeError:
        raise RefusedValue("bad_value") from None


def _json(payload: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(payload.decode("utf-8"), parse_float=Decimal, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise RefusedValue("not_utf8") from None
    except (ValueError, RecursionError):
        raise RefusedValue("not_json") from None


def _no_number(name: str) -> Any:  # noqa: ANN401 - it never returns
    raise ValueError(name)


def _of_json(source: LiveSource, topic: str, content: object, arrived_ms: int) -> Iterator[Sample | Refusal]:
    if source.at:
        result = field_of((content,), source.at)
        if not isinstance(result, list):
            raise RefusedValue("not_list")
    else:
        result = content
    if not isinstance(result, list):
        yield _of_item(source, topic, (result,), arrived_ms)
        return
    if not result:
        raise RefusedValue("empty_list")
    for item, fields in enumerate(result, start=1):
        yield _of_item(source, topic, (fields, content), arrived_ms, item)


def _of_item(
    source: LiveSource, topic: str, scopes: Sequence[object], arrived_ms: int, item: int = 0
) -> Sample | Refusal:
    try:
        return _of_fields(source, topic, scopes, arrived_ms)
    except RefusedValue as refused:
        return Refusal(refused.reason, _said_meter(source, topic, scopes), item)


def _said_meter(source: LiveSource, topic: str, scopes: Sequence[object]) -> str:
    """Return whose a message is that makes no sample, as far as it says it: so that an erasure finds it."""
    try:
        return _meter(source, topic, scopes)
    except RefusedValue:
        return ""


def _of_fields(source: LiveSource, topic: str, scopes: Sequence[object], arrived_ms: int) -> Sample:
    """Return the sample in an object. scopes: the object, then what it lies in."""
    if not isinstance(scopes[0], dict):
        raise RefusedValue("not_object")
    meter = _meter(source, topic, scopes)
    at_ms = arrived_ms
    if source.time:
        given = field_of(scopes, source.time.field)
        at_ms = _checked(source, _moment(source, given, source.time.pattern, arrived_ms), arrived_ms)
    shown = [_number(source, value, field_of(scopes, value.field)) for value in (*source.values, *source.counters)]
    serial = str(field_of(scopes, source.serial)).strip() if source.serial else ""
    return _sample(source, meter, at_ms, shown, serial)


def _number(source: LiveSource, value: Value, given: object) -> Decimal | None:
    try:
        return number(given, source.missing)
    except RefusedValue as refused:
        raise refused.of(value.measure) from None


def _sample(source: LiveSource, meter: str, at_ms: int, shown: Sequence[Decimal | None], serial: str = "") -> Sample:
    """Return a sample. shown: of values, then of counters, in the message's units."""
    split = len(source.values)
    values = tuple(
        None if given is None else _physical(given, source.factors[value.measure], value.measure)
        for value, given in zip(source.values, shown[:split], strict=True)
    )
    counters = tuple(
        None if given is None else _units(source, given, value.measure)
        for value, given in zip(source.counters, shown[split:], strict=True)
    )
    return Sample(meter, at_ms, values, counters, serial)


def _units(source: LiveSource, given: Decimal, measure: str) -> int:
    units = counter_units(given, source.factors[measure], source.measures[measure])
    if abs(units) > _MOST_UNITS:
        raise RefusedValue(f"not_finite:{measure}")
    return units


def _physical(given: Decimal, factor: Fraction, measure: str) -> float:
    try:
        return physical(given, factor)
    except RefusedValue as refused:
        raise refused.of(measure) from None


def _meter(source: LiveSource, topic: str, scopes: Sequence[object]) -> str:
    if isinstance(source.meter, TopicLevel):
        return _checked_meter(level_of(topic, source.meter))
    given = field_of(scopes, source.meter)
    if not isinstance(given, (str, int, UUID)) or isinstance(given, bool):
        raise RefusedValue(BAD_METER)
    return _checked_meter(str(given).strip())


def level_of(topic: str, level: TopicLevel) -> str:
    """Return a level of a topic. Raises RefusedValue where it has fewer."""
    levels = topic.split("/")
    if level.number > len(levels):
        raise RefusedValue(BAD_METER)
    return levels[level.number - 1]


def _checked_meter(meter: str) -> str:
    if not _KEY.match(meter) or _LONE_SURROGATE.search(meter):
        raise RefusedValue(BAD_METER)
    return meter


def field_of(scopes: Sequence[object], path: str) -> object:
    """Return a field by its name, or by its path such as ``emeters.0.power``, of the first object that has it.

    Raises RefusedValue where none has.
    """
    for content in scopes:
        result = content.get(path, _ABSENT) if isinstance(content, dict) else _ABSENT
        if result is _ABSENT:
            result = content
            for name in path.split("."):
                result = _child(result, name)
        if result is not _ABSENT:
            return result
    raise RefusedValue(f"missing_field:{path}")


def _child(content: object, name: str) -> object:
    if isinstance(content, dict):
        return content.get(name, _ABSENT)
    if isinstance(content, list) and name.isdecimal() and int(name) < len(content):
        return content[int(name)]
    return _ABSENT


def _moment(source: LiveSource, given: object, pattern: str, arrived_ms: int) -> int:
    """Return a time in milliseconds. Of a time that the clock shows twice, the one nearer to the arrival counts."""
    thousandths = 0
    if isinstance(given, datetime):
        thousandths, given = given.microsecond // 1000, given.replace(microsecond=0)
    elif pattern in (EPOCH_S, EPOCH_MS):
        return _epoch(given, 1000 if pattern == EPOCH_S else 1)
    if isinstance(given, str):
        fraction = _FRACTION.search(given)
        if fraction:
            thousandths = int(f"{fraction[1]}000"[:3])
            given = given[: fraction.start()] + given[fraction.end() :]
    moment = stamp(given, pattern)
    if is_doubtful(moment, source.clock):
        both = (instant(moment, source.clock, place) for place in (FIRST, SECOND))
        seconds = min(both, key=lambda one: abs(one * 1000 - arrived_ms))
    else:
        seconds = instant(moment, source.clock, None)
    return seconds * 1000 + thousandths


def _epoch(given: object, per_unit: int) -> int:
    try:
        value = number(given)
    except RefusedValue:
        raise RefusedValue(BAD_TIME) from None
    if value is None or value.adjusted() > 14:
        raise RefusedValue(BAD_TIME)
    return int((value * per_unit) // 1)


def _checked(source: LiveSource, at_ms: int, arrived_ms: int) -> int:
    """Return a time. Of a counter, one that is ahead would make all that comes later one of the past."""
    if not 0 <= at_ms <= LATEST_TS * 1000:
        raise RefusedValue(BAD_TIME)
    if source.counters and at_ms > arrived_ms + source.dataset.clock_tolerance.total_seconds() * 1000:
        raise RefusedValue(RECEIVED_BEFORE_EVENT)
    return at_ms


def _of_senml(source: LiveSource, topic: str, content: object, arrived_ms: int) -> Iterator[Sample | Refusal]:
    """Yield a sample for each meter and time of a pack."""
    declared = (*source.values, *source.counters)
    groups: dict[tuple[str, Decimal], dict[str, Decimal]] = {}
    for record in senml.resolve(content, Decimal(arrived_ms) / 1000):
        matched = _declared(declared, record.name)
        if matched:
            value, before = matched
            meter = level_of(topic, source.meter) if isinstance(source.meter, TopicLevel) else before
            groups.setdefault((meter, record.at), {})[value.measure] = _in_declared_unit(source, value, record)
    if not groups:
        raise RefusedValue("no_declared_field")
    for item, ((meter, at), shown) in enumerate(groups.items(), start=1):
        try:
            if at.adjusted() > 14:
                raise RefusedValue(BAD_TIME)  # noqa: TRY301 - as the other reasons
            at_ms = _checked(source, int((at * 1000) // 1), arrived_ms)
            yield _sample(source, _checked_meter(meter), at_ms, [shown.get(value.measure) for value in declared])
        except RefusedValue as refused:
            yield Refusal(refused.reason, meter if _KEY.match(meter) else "", item)


def _declared(declared: Sequence[Value], name: str) -> tuple[Value, str] | None:
    """Return the value whose field a SenML name ends with, the longest one, and what stands before it."""
    best: tuple[Value, str] | None = None
    for value in declared:
        before = name.removesuffix(value.field)
        is_its = before != name and (not before or before[-1] in _SEPARATORS)
        if is_its and (best is None or len(value.field) > len(best[0].field)):
            best = (value, before.rstrip(_SEPARATORS))
    return best


def _in_declared_unit(source: LiveSource, value: Value, record: senml.Record) -> Decimal:
    """Return a record's value in the declared unit, from the unit that the record names."""
    if record.value is None:
        raise RefusedValue(f"bad_value:{value.measure}")
    declared = value.unit or source.measures[value.measure].unit
    if not record.unit or record.unit == declared:
        return record.value
    try:
        factor = exact_factor(record.unit, declared)
    except UnitsDiffer:
        raise RefusedValue(f"bad_unit:{value.measure}") from None
    return record.value * factor.numerator / factor.denominator
