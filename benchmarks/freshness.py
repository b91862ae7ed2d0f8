"""How fresh the speed views are: readings are sent as they are measured, and read back from Cassandra.

Each second every meter sends one reading. A reader asks for the minute of some meters again and again, and notes when a
row says that it has the reading of a second: the time from that reading's event time (the start of its second) to the
moment at which a client has read its minute's row with it. That counts all of it: sender, Kafka, the stream's trigger,
Spark, Cassandra, and the reader's own pause.

    meterlake up
    meterlake stream household --with-archive --metrics-port 9464 &
    python benchmarks/freshness.py --meters 2000 --seconds 300 --metrics-port 9464

Prints one JSON object; with the stream's metrics, how many updates there were and where they spent their time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import threading
import time
import urllib.request
from bisect import bisect_left
from dataclasses import dataclass, field

from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from engines import cassandra, topics
from engines.kafka import client_config
from meterlake import registry, wire
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.settings import Settings, load_settings

WATCHED = 20
"""Meters that are read back."""
PAUSE_S = 0.1
WARM_UP_S = 30
UPDATES = "updates"


@dataclass
class Sent:
    """What the sender did. late_s: how long after its second the last reading of it was handed over, at most."""

    count: int = 0
    late_s: float = 0.0
    failed: int = 0


@dataclass
class Seen:
    """Ages at which readings were read back, in seconds."""

    ages: list[float] = field(default_factory=list)
    missing: int = 0


def send(settings: Settings, dataset: MeterSeries, meters: list[str], first: int, seconds: int, sent: Sent) -> None:
    """Send one reading a meter and second, when the second begins."""
    pick = random.Random(1)  # noqa: S311
    config = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 5}
    producer = Producer(client_config(settings, **config))

    def on_delivery(error: object, _message: object) -> None:
        sent.failed += error is not None

    for ts in range(first, first + seconds):
        while (ahead := ts - now()) > 0:
            time.sleep(min(ahead, 0.01))
        for meter in meters:
            power = pick.randrange(0, 9000) / 1000
            values = (power, 0.1, 230.0, power / 0.23, 0.0, 0.1, 0.2)
            producer.produce(
                dataset.readings_topic,
                wire.encode(dataset, Reading(meter, ts, 1, values)),
                meter,
                on_delivery=on_delivery,
            )
            sent.count += 1
        producer.poll(0)
        sent.late_s = max(sent.late_s, now() - ts)
    producer.flush(30)


def watch(settings: Settings, dataset: MeterSeries, meters: list[str], first: int, seconds: int, seen: Seen) -> None:
    """Read minutes until each second of them is there, or a minute has passed without it."""
    counted = {(meter, start): 0 for meter in meters for start in range(first - first % 60, first + seconds, 60)}
    with cassandra.session(settings) as session:
        query = session.prepare(
            f"SELECT readings FROM speed.{dataset.name}_minute WHERE meter_id = ? AND day = ? AND minute = ?"  # noqa: S608
        )
        pending = sorted(counted, key=lambda cell: cell[1])
        while pending:
            time.sleep(PAUSE_S)
            for cell in [cell for cell in pending if cell[1] <= now()]:
                meter, start = cell
                row = session.execute(query, [meter, time.strftime("%Y-%m-%d", time.gmtime(start)), start * 1000]).one()
                at, readings = now(), row.readings if row else 0
                base = max(start, first)
                # One reading a second in order: the n-th one is that of second base + n.
                seen.ages += [at - (base + n) for n in range(counted[cell], readings)]
                counted[cell] = readings
                full = min(start + 60, first + seconds) - base
                if readings >= full or at > start + 120:
                    seen.missing += full - readings
                    pending.remove(cell)


def phases(port: int) -> dict[str, dict[str, float]]:
    """Return, by query, the stream's count of updates and its seconds by phase, so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    measured: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "meterlake_stream_phase_seconds_total":
                measured.setdefault(sample.labels["query"], {})[sample.labels["phase"]] = sample.value
            elif sample.name == "meterlake_stream_batch_duration_seconds_count":
                measured.setdefault(sample.labels["query"], {})[UPDATES] = sample.value
    return measured


def per_update(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return, by query, the number of updates between two reports, and the milliseconds of a mean one by phase."""
    report: dict[str, dict[str, float]] = {}
    for query, figures in after.items():
        new = {name: value - before.get(query, {}).get(name, 0) for name, value in figures.items()}
        count = new.pop(UPDATES)
        report[query] = {UPDATES: count} | {name: round(1000 * value / count) for name, value in new.items() if count}
    return report


def now() -> float:
    """Return the machine's clock: event times are real ones here."""
    return time.time()  # noqa: TID251


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="household")
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--metrics-port", type=int, default=0, help="the stream's; 0: none")
    options = parser.parse_args()
    settings, dataset = load_settings(), registry.declaration(options.dataset)
    topics.ensure(settings, dataset)
    # Names of this run only: readings of another one would be in the same minutes.
    run = f"{int(now()):x}"
    meters = [f"f{run}-{n}" for n in range(options.meters)]
    first, sent, seen = int(now()) + 3, Sent(), Seen()
    watched = meters[:: max(1, len(meters) // WATCHED)][:WATCHED]
    load_before, phases_before = os.getloadavg()[0], phases(options.metrics_port) if options.metrics_port else {}
    given = (settings, dataset, watched, first, options.seconds, seen)
    reader = threading.Thread(target=watch, args=given)
    reader.start()
    send(settings, dataset, meters, first, options.seconds, sent)
    reader.join()
    warm = len(watched) * WARM_UP_S
    ages = sorted(seen.ages[warm:] or seen.ages)
    result = {
        "readings_per_second": options.meters,
        "seconds": options.seconds,
        "sent": sent.count,
        "failed": sent.failed,
        "sender_late_s": round(sent.late_s, 2),
        "watched": len(seen.ages),
        "missing": seen.missing,
        "p50_s": round(quantile(ages, 0.5), 2),
        "p95_s": round(quantile(ages, 0.95), 2),
        "p99_s": round(quantile(ages, 0.99), 2),
        "max_s": round(ages[-1], 2),
        "share_within_5_s": round(bisect_left(ages, 5.0) / len(ages), 4),
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }
    if options.metrics_port:
        result["ms_per_update"] = per_update(phases_before, phases(options.metrics_port))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
