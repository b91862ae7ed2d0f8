"""The declaration of a source of live messages: where they come, what their fields mean, how they become readings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from meterlake import wallclock
from meterlake.errors import DeclarationError
from meterlake.fileformats.base import conversion
from meterlake.fileformats.records import Register, Time, Value
from meterlake.fileformats.values import time_problem
from meterlake.names import check_unique

if TYPE_CHECKING:
    from fractions import Fraction

    from meterlake.declaration import Measure, MeterSeries
    from meterlake.registers import Rule
    from meterlake.wallclock import FileClock

__all__ = ["LiveSource", "Payload", "Register", "Time", "TopicLevel", "Value"]

Transport: TypeAlias = Literal["mqtt", "kafka"]
Payload: TypeAlias = Literal["json", "avro", "senml", "number"]

_LEVEL: Final = re.compile(r"[^+#\0]*|\+")
_SHARED: Final = "$share/"
_KAFKA_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class TopicLevel:
    """The level of the topic, counted from 1, that is the meter: 2 in ``tele/+/SENSOR``."""

    number: int


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """Messages of one kind.

    topic: of MQTT a filter, with the wildcards ``+`` and ``#``; of Kafka a name (transport="kafka"). payload: a JSON
    object or list of them, an Avro record whose schema a registry has (of Kafka), SenML (RFC 8428), or a plain number.
    at: the path of the list of readings in a JSON object. meter: a level of the topic, or the path of a field; of
    SenML, if not given, what stands before a declared field in a record's name.

    values: fields with a measure. counters: fields that are cumulative, and the amounts of intervals are made of them
    as ``register`` says; across a time of ``longest_gap`` without messages nothing is made. Messages of a meter come in
    any order within ``lateness``, by default that of the data set. serial: the field with the number of the meter
    itself. estimated: a measure that is 1 where amounts are interpolated, and else 0. interval_s: of the readings.
    time: the field with the time of a message; without it, that of its arrival counts. utc_offset, time_zone: of times
    without an offset. missing: texts that stand for no value. qos: 0 where a message that is late by hours would do
    more harm than one that is lost.
    """

    dataset: MeterSeries
    topic: str
    transport: Transport = "mqtt"
    interval_s: int
    payload: Payload = "json"
    at: str = ""
    meter: TopicLevel | str = ""
    values: tuple[Value, ...] = ()
    counters: tuple[Value, ...] = ()
    register: Register | None = None
    longest_gap: timedelta = timedelta(days=1)
    lateness: timedelta | None = None
    serial: str = ""
    estimated: str = ""
    time: Time | None = None
    utc_offset: timedelta = timedelta(0)
    time_zone: str = ""
    missing: tuple[str, ...] = ("",)
    qos: Literal[0, 1] = 1

    def __post_init__(self) -> None:
        if self.transport == "kafka":
            self._check_kafka_topic()
        else:
            self._check_topic()
        self._check_payload()
        self._check_time()
        self._check_measures()
        for value in (*self.values, *self.counters):
            conversion(self.dataset.measure(value.measure), value.unit, self.where)
        if self.interval_s not in self.dataset.intervals:
            raise self._wrong(
                f"its interval of {self.interval_s} s is not one of the data set's",
                f"Use one of {self.dataset.intervals}",
            )

    @property
    def where(self) -> str:
        """As errors name it."""
        return f"Live source {self.topic!r} of {self.dataset.name!r}"

    @property
    def reorder_ms(self) -> int:
        """By how many milliseconds a message may be older than the newest one of its meter."""
        return round((self.dataset.lateness if self.lateness is None else self.lateness).total_seconds() * 1000)

    @cached_property
    def clock(self) -> FileClock:
        """The clock of times without an offset."""
        return wallclock.zone(self.time_zone) if self.time_zone else self.utc_offset

    @cached_property
    def factors(self) -> dict[str, Fraction]:
        """Measure -> by what a message's value is multiplied."""
        return {
            value.measure: conversion(self.dataset.measure(value.measure), value.unit, self.where)
            for value in (*self.values, *self.counters)
        }

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """The measures of the data set by name, in its order."""
        return {measure.name: measure for measure in self.dataset.measures}

    def rule(self, measure: str, meter_id: str) -> Rule:
        """Return how the counter of a meter is read."""
        if self.register is None:
            raise KeyError(measure)
        rule = self.register.rule(
            self.dataset, self.measures[measure], self.factors[measure], self.interval_s, meter_id
        )
        return replace(rule, longest_gap_s=int(self.longest_gap.total_seconds()))

    def _wrong(self, problem: str, expected: str) -> DeclarationError:
        return DeclarationError(self.where, problem, expected=expected)

    def _check_topic(self) -> None:
        levels = self.topic.split("/")
        if levels[-1] == "#":
            levels = levels[:-1]
        if not self.topic or len(self.topic.encode()) > 65_535 or not all(map(_LEVEL.fullmatch, levels)):
            raise self._wrong(
                "it is no topic filter", "Write + for one whole level, and # as the last one for the rest"
            )
        if self.topic.startswith(_SHARED):
            raise self._wrong(
                "a shared subscription gives the messages of a meter to several readers", "Name the topic itself"
            )
        if isinstance(self.meter, TopicLevel):
            highest = 65_535 if self.topic.endswith("#") else len(levels)
            if not 1 <= self.meter.number <= highest:
                raise self._wrong(
                    f"its topics have no level {self.meter.number}", f"Count from 1 to {highest}: / parts levels"
                )

    def _check_kafka_topic(self) -> None:
        if not _KAFKA_TOPIC.fullmatch(self.topic):
            raise self._wrong("it is no name of a Kafka topic", "Name one, without wildcards")
        if self.topic in (self.dataset.readings_topic, self.dataset.rejected_topic):
            raise self._wrong("it is a topic of the data set itself", "Name the topic of the others")
        if isinstance(self.meter, TopicLevel):
            raise self._wrong("a topic of Kafka has no levels", "Name the field with the meter")

    def _check_payload(self) -> None:
        given = (*self.values, *self.counters)
        if self.payload == "avro" and self.transport != "kafka":
            raise self._wrong("Avro messages are those of a topic in Kafka", "Say transport='kafka'")
        if self.payload == "number":
            if len(given) != 1 or given[0].field:
                raise self._wrong("a plain number is one value without a field", "Write Value('', 'measure', 'unit')")
            if self.at or self.time or self.serial:
                raise self._wrong("a plain number has no fields", "Leave at, time and serial out")
        elif not all(value.field for value in given):
            raise self._wrong("a value has no field", "Name the field of each")
        if self.payload == "senml" and (self.at or self.time or self.serial or isinstance(self.meter, str)):
            if self.at or self.time or self.serial or self.meter:
                raise self._wrong(
                    "SenML says itself where values and times are", "Leave at, time and serial out; meter: a TopicLevel"
                )
        elif not self.meter or (self.payload == "number" and isinstance(self.meter, str)):
            raise self._wrong("nothing says the meter", "Give meter=TopicLevel(2) or so, or a field of the message")

    def _check_time(self) -> None:
        if self.time_zone and self.utc_offset:
            raise self._wrong("it has an offset and a time zone", "Give one of the two")
        if self.time_zone:
            wallclock.check_zone(self.time_zone, self.where)
        problem = time_problem(self.time.pattern) if self.time else None
        if self.time and problem:
            raise self._wrong(f"the time {self.time.pattern!r} cannot be read: {problem}", "Write iso, epoch_s or so")

    def _check_measures(self) -> None:
        counted = tuple(value.measure for value in self.counters)
        given = [*(value.measure for value in self.values), *counted, *([self.estimated] if self.estimated else [])]
        check_unique(given, self.where, "measure")
        if sorted(given) != sorted(self.measures):
            raise self._wrong(f"it gives the measures {given}", f"Give each of {list(self.measures)} once")
        if bool(counted) != bool(self.register):
            raise self._wrong(
                "counters and register belong together", "Say register=Register(across_gap='spread') or so"
            )
        if self.register:
            self.register.check(self.dataset, counted, self.estimated, self.where)
            if self.reorder_ms < 0:
                raise self._wrong(f"its lateness is {self.lateness}", "Give timedelta(0) or longer")
        elif self.estimated:
            raise self._wrong("only amounts of counters are estimated", "Leave estimated out")
