"""How many readings a second the simulator makes and Kafka takes, beside a bare client that sends finished messages.

The simulator lives the household's history with so many meters, as `meterlake simulate household --speed max` does, and
sends with acknowledgements of all replicas. The peer, librdkafka with the same settings and no callback, sends the very
same messages, which it was given in memory.

    meterlake up kafka
    python benchmarks/producing.py --meters 2000 --seconds 300

Turns alternate; each has a topic of its own. Prints one JSON object: the median readings a second and CPU seconds a
million of each, and the ratio of rates. Exit code 1 if a turn was not acknowledged as a whole, or if two turns of the
simulator made other bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import sys
import time
import uuid
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from engines import topics
from engines.kafka import client_config
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.settings import ROOT, Settings, load_settings
from producers import simulate as run
from producers.kafka_sink import KafkaSink
from producers.pace import Pace, Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries
    from producers.faults import Message
    from producers.script import Script

START: Final = 1_790_000_040
ROOM: Final = 50_000
"""Messages that may wait in the bare client before it is asked to send."""


@dataclass
class Kept:
    """A sink that keeps what it is given."""

    messages: list[Message]
    where: str = "memory"
    trouble: str = ""

    def send(self, messages: Sequence[Message]) -> int:
        """Take all."""
        self.messages.extend(messages)
        return len(messages)

    def flush(self) -> None:
        """There is nothing to wait for."""


@dataclass(frozen=True)
class Turn:
    """What a turn took: seconds, and of these of a processor."""

    readings: int
    seconds: float
    cpu_seconds: float


def ours(settings: Settings, script: Script, dataset: MeterSeries, seconds: int) -> Turn:
    """Simulate, and send to a topic. Raises SystemExit where not all was acknowledged."""
    topics.ensure(settings, dataset)
    plan = Schedule(START, START + seconds, system_clock(), math.inf)
    totals, stop = run.begun(script, plan), Event()
    begin, cpu = time.monotonic(), time.process_time()
    run.simulate(script, plan, {}, Pace(plan, system_clock, stop), KafkaSink(settings, dataset, totals, stop), totals)
    turn = Turn(totals.acknowledged, time.monotonic() - begin, time.process_time() - cpu)
    if totals.acknowledged != totals.readings:
        raise SystemExit(f"Kafka acknowledged {totals.acknowledged:,} of {totals.readings:,} readings.")
    return turn


def bare(settings: Settings, messages: Sequence[Message], dataset: MeterSeries) -> Turn:
    """Send finished messages to a topic. Raises SystemExit where not all was acknowledged."""
    topics.ensure(settings, dataset)
    options = {"enable.idempotence": True, "acks": "all", "compression.type": "lz4", "partitioner": "murmur2_random"}
    begin, cpu = time.monotonic(), time.process_time()
    producer, topic = Producer(client_config(settings, **options)), dataset.readings_topic
    for message in messages:
        producer.produce(topic, message.value, message.key)
        while len(producer) >= ROOM:
            producer.poll(0.01)
    if left := producer.flush(120):
        raise SystemExit(f"Kafka did not take {left:,} messages.")
    return Turn(len(messages), time.monotonic() - begin, time.process_time() - cpu)


def remove(settings: Settings, dataset: MeterSeries) -> None:
    """Remove the topics of a turn."""
    admin = AdminClient(client_config(settings))
    for outcome in admin.delete_topics([dataset.readings_topic, dataset.rejected_topic]).values():
        outcome.exception(30)


def made(script: Script, seconds: int) -> list[Message]:
    """Return the messages of a run."""
    plan = Schedule(START, START + seconds, system_clock(), math.inf)
    sink = Kept([])
    run.simulate(script, plan, {}, Pace(plan, system_clock, Event()), sink, run.begun(script, plan))
    return sink.messages


def digest(messages: Sequence[Message]) -> str:
    """Return what stands for all bytes of messages."""
    total = hashlib.sha256()
    for message in messages:
        total.update(message.key + b"\t" + (message.value or b"") + b"\n")
    return total.hexdigest()


def medians(turns: Sequence[Turn]) -> dict[str, float]:
    """Return the figures of several turns."""
    return {
        "per_second": round(statistics.median(turn.readings / turn.seconds for turn in turns)),
        "cpu_s_per_million": round(statistics.median(turn.cpu_seconds / turn.readings * 1e6 for turn in turns), 2),
    }


def main() -> int:
    """Return 1 if two turns of the simulator made other bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=300, help="of event time: one reading a meter and second")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    settings, replay, load = load_settings(), registry.replay("household"), os.getloadavg()[0]
    request = run.Request(
        replay=replay, history=ROOT / replay.history, offset=replay.form.clock, meter_id=replay.form.meter_id,
        meters=options.meters, seed=1, rebase=system_clock(), others=registry.entry("household").text_formats,
    )  # fmt: skip
    script = run.script(request, settings.cache_dir)
    messages = made(script, options.seconds)
    same = digest(messages) == digest(made(run.script(request, settings.cache_dir), options.seconds))
    times: dict[str, list[Turn]] = {"simulator": [], "bare": []}
    for _ in range(options.turns):
        for name, turns in times.items():
            dataset = replace(replay.dataset, name=f"producing{uuid.uuid4().hex[:8]}")
            try:
                turns.append(
                    ours(settings, script, dataset, options.seconds)
                    if name == "simulator"
                    else bare(settings, messages, dataset)
                )
            finally:
                remove(settings, dataset)
    figures = {name: medians(turns) for name, turns in times.items()}
    ratio = round(figures["bare"]["per_second"] / figures["simulator"]["per_second"], 2)
    shown = {"readings": len(messages), **figures, "ratio": ratio, "same_bytes": same}
    print(json.dumps({**shown, "load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1)}))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
