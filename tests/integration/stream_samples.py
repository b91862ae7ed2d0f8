"""Messages good and bad, what is in Kafka of them, and what the views must hold: computed by the core alone."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from confluent_kafka import Consumer, Producer, TopicPartition

from engines import topics
from engines.kafka import client_config
from meterlake import precedence, rules, timegrid, wire
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State, merge_all

Message = tuple[str, bytes | None]
"""Key and value."""


@dataclass(frozen=True)
class Arrived:
    """A message as Kafka has it."""

    partition: int
    offset: int
    received_at: datetime
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def reading(meter: str, ts: int, interval: int, pick: random.Random, revision: int = 0) -> Reading:
    power = round(pick.uniform(0, 9), 3)
    sub = round(pick.uniform(0, 3), 3)
    values = (
        power,
        round(pick.uniform(-1, 1), 3),
        round(pick.uniform(225, 235), 2),
        round(power / 0.23, 3),
        0.0,
        sub,
        sub,
    )
    return Reading(meter, ts, interval, values, revision)


def script(dataset: MeterSeries, start: int, minutes: int, seed: int) -> list[Message]:
    """Return messages of four meters in order of time, with all that may happen to them at once."""
    pick = random.Random(seed)  # noqa: S311 - repeatable, not secret
    sent: list[Message] = []
    for ts in range(start, start + minutes * 60):
        for meter in ("a", "b", "c"):
            if pick.random() < 0.5:
                continue  # not every second is covered
            good = reading(meter, ts, 1, pick)
            sent.append((meter, wire.encode(dataset, good)))
            sent += ((meter, wire.encode(dataset, other)) for other in _company(good, pick))
        if ts % 60 == 0:
            sent.append(("b", wire.encode(dataset, reading("b", ts, 60, pick))))
            # One clock runs a day ahead.
            sent.append(("ahead", wire.encode(dataset, reading("ahead", ts + 86_400, 1, pick))))
        if pick.random() < 0.17:
            sent.append(("a", bad(dataset, ts, pick)))
    return sent


def _company(good: Reading, pick: random.Random) -> Iterator[Reading]:
    """Yield what may come with a reading: itself again, another value, a revision, its withdrawal, nonsense."""
    chance = pick.random()
    if chance < 0.04:
        yield good
    elif chance < 0.06:
        yield replace(good, values=(1.0, *good.values[1:]))
    elif chance < 0.08:
        yield replace(good, values=(2.0, *good.values[1:]), revision=1)
    elif chance < 0.09:
        yield replace(good, values=(None,) * len(good.values))
    elif chance < 0.11:
        yield replace(good, ts=good.ts - 1, values=(-5.0, *good.values[1:]))


def bad(dataset: MeterSeries, ts: int, pick: random.Random) -> bytes | None:
    """Return a message that is no reading, of any kind there is."""
    good = json.loads(wire.encode(dataset, reading("a", ts, 1, pick)))
    measure = dataset.measures[0].name
    kinds: list[bytes | None] = [
        None,
        b"",
        b"not json",
        b"\xff\xfe",
        b"[1, 2]",
        b"{" * 2000,
        b" " * (dataset.max_message_bytes + 1),
        b"x" * 300_000,
        _json({**good, "v": 2}),
        _json({**good, "v": "1"}),
        _json({name: value for name, value in good.items() if name != "v"}),
        _json({name: value for name, value in good.items() if name != dataset.key}),
        _json({**good, dataset.key: 7}),
        _json({**good, dataset.key: "a\nline"}),
        _json({**good, dataset.event_time: ts + 0.5}),
        _json({**good, dataset.event_time: ts * 1000}),
        _json({**good, dataset.interval: 7}),
        _json({**good, dataset.interval: 60, dataset.event_time: ts - ts % 60 + 1}),
        _json({**good, measure: "1.0"}),
        _json({**good, measure: True}),
        _json({**good, measure: None}),
        _json({**good, measure: float("nan")}),
        _json({**good, measure: float("inf")}),
        _json({**good, "revision": -1}),
    ]
    return pick.choice(kinds)


def _json(message: object) -> bytes:
    return json.dumps(message).encode()


def send(settings: Settings, topic: str, messages: Iterable[Message]) -> int:
    producer = Producer(client_config(settings, **{"acks": "all", "enable.idempotence": True, "linger.ms": 5}))
    count = 0
    for key, value in messages:
        producer.produce(topic, value, key)
        producer.poll(0)
        count += 1
    assert producer.flush(30) == 0
    return count


def arrived(settings: Settings, name: str) -> list[Arrived]:
    """Return all that is in a topic, by partition and offset."""
    topic = topics.required(settings, name)
    spans = topics.spans(settings, topic)
    missing = sum(span.end - span.first for span in spans.values())
    consumer = Consumer(client_config(settings, **{"group.id": "meterlake-tests", "enable.auto.commit": False}))
    consumer.assign([TopicPartition(name, partition, span.first) for partition, span in spans.items()])
    result = []
    while missing:
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        headers = dict(message.headers() or [])
        result.append(Arrived(message.partition(), message.offset(), at, message.key(), message.value(), headers))
        missing -= 1
    consumer.close()
    return sorted(result, key=lambda each: (each.partition, each.offset))


def decoded(dataset: MeterSeries, messages: Iterable[Arrived]) -> tuple[list[Reading], dict[tuple[int, int], str]]:
    """Return the readings among messages, and by partition and offset why the others are none."""
    readings, reasons = [], {}
    for message in messages:
        outcome = wire.decode(
            dataset,
            message.value,
            received_at=message.received_at,
            origin_partition=message.partition,
            origin_offset=message.offset,
        )
        if isinstance(outcome, wire.Undecodable):
            reasons[message.partition, message.offset] = outcome.reason
        else:
            readings.append(outcome)
    return readings, reasons


def expected(dataset: MeterSeries, readings: Iterable[Reading]) -> dict[tuple[str, int], State]:
    """Return the state of every row of the finest view that there is."""
    accepted = [each for each in readings if rules.reject_reason(dataset, each) is None]
    verdicts = precedence.resolve(dataset, accepted)
    used = [each for each, verdict in zip(accepted, verdicts, strict=True) if verdict == "used"]
    cells: dict[tuple[str, int], dict[int, list[Reading]]] = defaultdict(lambda: defaultdict(list))
    for each in used:
        cells[each.meter_id, timegrid.floor_seconds(each.ts, dataset.cell_s)][each.interval_s].append(each)
    states = {}
    for cell, lengths in cells.items():
        length = timegrid.choose_interval({length: length * len(rows) for length, rows in lengths.items()})
        states[cell] = merge_all(dataset, (_state(dataset, each) for each in lengths[length]))
    return states


def _state(dataset: MeterSeries, each: Reading) -> State:
    units = [unit for unit in each.units(dataset) if unit is not None]
    return State.of_reading(dataset, each.interval_s, units, flagged=rules.is_flagged(dataset, each))
