"""What a plan reckons with: each number with its unit, and where it was measured, how derived, or why assumed.

Numbers that were measured stand in ``docs/benchmarks.md``; a test looks for each there, in its section, word for word.
The table of them in that page is ``table()``: after a change, ``make generate`` writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from meterlake.settings import ROOT

PAGE: Final = ROOT / "docs/benchmarks.md"
HEADING: Final = "## Coefficients of a plan"
Origin = Literal["measured", "derived", "assumed"]


@dataclass(frozen=True)
class Coefficient:
    """A number. source: the benchmark and its date, how it was derived, or why it is assumed.

    quotes: (section of the page, what it says): the figures that it is, or is derived of.
    """

    what: str
    value: float
    unit: str
    origin: Origin
    source: str
    quotes: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.value:.3g} {self.unit}".strip()


_BACKLOG: Final = ("A backlog", "| **1, 27, 16, 14** |")
_ROWS: Final = tuple(("A backlog", text) for text in ("| 177, 174 |", "| 161, 91 |", "| 49, 37 |"))
_READINGS_A_ROW: Final = 100
"""In the backlog: an update of 200,000 readings of 2,000 meters."""
_ROWS_CLIENT: Final = 177 + 161 + 4 * 49
_ROWS_CASSANDRA: Final = 174 + 91 + 4 * 37
_UPDATE: Final = 0.9, 2_000
"""Seconds of an update of so many readings, on a quiet machine."""
_STEADY: Final = 9_510, 50_000
"""Readings a second, in updates of so many."""

STREAM_READING: Final = Coefficient(
    "stream: a reading, in Spark",
    1 + 27 + 16 - _ROWS_CLIENT / _READINGS_A_ROW,
    "µs a reading",
    "derived",
    "backlog.py, 2026-11-27: driver, JVM and workers of the steady half, without the rows that its updates wrote",
    (_BACKLOG, *_ROWS),
)
STREAM_ROW: Final = Coefficient(
    "stream: rows of a meter in an update (its minute, latest and recent readings), in Spark",
    _ROWS_CLIENT,
    "µs a meter and update",
    "derived",
    "2026-11-27: the driver's part of a minute, of a latest reading and of four recent ones, batches of one partition",
    _ROWS,
)
STREAM_UPDATE: Final = Coefficient(
    "stream: an update, whatever is in it",
    _UPDATE[0] - _UPDATE[1] * (_STEADY[1] / _STEADY[0] - _UPDATE[0]) / (_STEADY[1] - _UPDATE[1]),
    "s an update",
    "derived",
    "freshness.py, 2026-11-25, and backlog.py, 2026-11-26, both quiet, when the driver still wrote: the line through"
    " updates of 2,000 and of 50,000 readings of the same 2,000 meters, at none. The rows of 2,000 meters are in it: an"
    " upper bound",
    (("Freshness of the speed views", "from 1.9 s to 0.9 s"), ("A backlog", "| 9,510 |")),
)
STREAM_SPREAD: Final = Coefficient(
    "stream: how much updates differ (standard deviation of the logarithm of their time)",
    0.26,
    "",
    "derived",
    "freshness.py, 2026-11-25: with it, updates of 1.3 s give the measured p99 of 3.46 s",
    (
        ("Freshness of the speed views", "| **1.64 s** | 2.52 s | **3.46 s** |"),
        ("Freshness of the speed views", "1.3 s"),
    ),
)
STATE: Final = Coefficient(
    "stream: state of a reading of an open minute",
    210e6 / 26_000 / 60,
    "B a reading",
    "derived",
    "soak.py, 2026-11-25: 210 MB for 26,000 minutes of 60 readings",
    (("Soak", "26,000 open minutes at most in both halves, 210 MB at most"),),
)
STATE_CELL: Final = Coefficient(
    "stream: state of an open minute beside its readings",
    500,
    "B a minute",
    "assumed",
    "key, bounds and Java objects of an entry; not measured apart",
)
MESSAGE_MEMORY: Final = Coefficient(
    "a message while an update or append holds it",
    500,
    "B a message",
    "assumed",
    "the setting of the archive's appends: 200,000 messages take 100 MB",
)
CASSANDRA_READING: Final = Coefficient(
    "Cassandra: a reading of the stream, beside its rows",
    14 - _ROWS_CASSANDRA / _READINGS_A_ROW,
    "µs a reading",
    "derived",
    "backlog.py, 2026-11-27: Cassandra in the steady half, without the rows that the updates wrote",
    (_BACKLOG, *_ROWS),
)
CASSANDRA_ROW: Final = Coefficient(
    "Cassandra: rows of a meter in an update",
    _ROWS_CASSANDRA,
    "µs a meter and update",
    "derived",
    "2026-11-27: Cassandra's part of the same statements",
    _ROWS,
)
KAFKA_SENT: Final = Coefficient(
    "broker: a message that it takes",
    30.8,
    "µs a message",
    "measured",
    "backlog.py --query archive, 2026-11-27: a broker that had just begun and compiled its code, so an upper bound",
    (("A backlog", "| Kafka, while it was sent them | 240,000 | 30.8 |"),),
)
KAFKA_READ: Final = Coefficient(
    "broker: a message that a query reads",
    (240_000 * 13.3 - 40_000 * 49.5) / 200_000,
    "µs a message",
    "derived",
    "backlog.py --query archive, 2026-11-27: the broker during the first append, without the second, in which it idled",
    (
        ("A backlog", "| Kafka, while the archive read | 240,000 | 13.3 |"),
        ("A backlog", "| Kafka, the last 40,000 of them, in 100 s | 40,000 | 49.5 |"),
    ),
)
ARCHIVE_READING: Final = Coefficient(
    "archive: a reading",
    26.4,
    "µs a reading",
    "measured",
    "backlog.py --query archive, 2026-11-27: driver, JVM and workers of the second append of two",
    (("A backlog", "| the archive, the last 40,000 of them | 40,000 | 26.4 |"),),
)
ARCHIVE_APPEND: Final = Coefficient(
    "archive: an append, whatever is in it",
    3.5,
    "s an append",
    "measured",
    "freshness.py, 2026-11-25, on a busy machine: an append of 60,000 readings, so an upper bound",
    (("Freshness of the speed views", "one of the archive 3.5 s"),),
)
BATCH_READING: Final = Coefficient(
    "batch: a new reading",
    50,
    "µs a reading",
    "measured",
    "half_hourly_fleet.py, 2026-11-27: half hours of one measure in a run of one day; readings of seconds were not"
    " measured",
    (("A half-hourly fleet", "a new half hour costs the views 0.05 ms of CPU time in a run of one day"),),
)
BATCH_AGAIN: Final = Coefficient(
    "batch: a reading when all is computed again",
    20,
    "µs a reading",
    "measured",
    "half_hourly_fleet.py, 2026-11-27: half hours in a run of all days",
    (("A half-hourly fleet", "and 0.02 ms in one of all days"),),
)
BATCH_RUN: Final = Coefficient(
    "batch: a run, whatever is new",
    10.5,
    "s a run",
    "measured",
    "batch_growth.py day, 2026-11-27: runs of the last hour, with 60,000 readings each",
    (("What a batch run costs when much is there already", "| 10.5: **0.83 ×** |"),),
)
MESSAGE: Final = Coefficient(
    "Kafka: a message, lz4",
    36.5,
    "B a message",
    "measured",
    "storage.py, 2026-11-27",
    (("Storage", "| messages, in batches of 500 as Kafka keeps them (lz4) | 36.5 |"),),
)
MASTER: Final = Coefficient(
    "master: a reading after upkeep",
    9.1,
    "B a reading",
    "measured",
    "storage.py, 2026-11-27",
    (("Storage", "| **master data set after `meterlake maintain`** | **9.1** |"),),
)
MASTER_SLOW: Final = Coefficient(
    "master: a reading of more than a second, after upkeep",
    11.3 + 9.1 - 7.3,
    "B a reading",
    "derived",
    "storage.py --recorded, 2026-11-27: readings of minutes as plain Parquet, and what the master takes more than that",
    (("Storage", "| readings of minutes | 2,049,280 | 11.3 |"), ("Storage", "| 8.2, 7.8, **7.3** |")),
)
MASTER_NEW: Final = Coefficient(
    "master: a reading as the archive writes it",
    16.1,
    "B a reading",
    "measured",
    "storage.py, 2026-11-27",
    (("Storage", "| **master data set**, a file a minute, as the archive writes it | 16.1 |"),),
)
VIEW_FINEST: Final = Coefficient(
    "views: a row of the finest one",
    37,
    "B a row",
    "measured",
    "storage.py, 2026-11-27",
    (("Storage", "| minutes, a slice of one hour | 37 |"),),
)
VIEW_HOUR: Final = Coefficient(
    "views: a row of hours, and of what is coarser than the finest and finer than days",
    33.7,
    "B a row",
    "measured",
    "storage.py --recorded, 2026-11-27: four years of a house in a file",
    (("Storage", "| hours | 34,168 | 33.7 |"),),
)
VIEW_DAY: Final = Coefficient(
    "views: a row of days or months",
    55.5,
    "B a row",
    "measured",
    "storage.py --recorded, 2026-11-27: four years of a house in a file",
    (("Storage", "| days | 1,433 | 55.5 |"),),
)
CASSANDRA_MINUTE: Final = Coefficient(
    "Cassandra: a row of the finest view",
    106,
    "B a row",
    "measured",
    "fleet_dashboards.py, 2026-11-27",
    (("Storage", "| minutes in Cassandra (`fleet_dashboards.py`: 120,000 rows, flushed) | 106 |"),),
)
CASSANDRA_READING_ROW: Final = Coefficient(
    "Cassandra: a row of a recent or latest reading",
    75,
    "B a row",
    "assumed",
    "8 B a value and 11 B for its key, as if nothing were compressed; not measured",
)
FAILOVER: Final = Coefficient(
    "Kafka: until other brokers lead the partitions of a lost one",
    10,
    "s",
    "assumed",
    "Kafka gives a broker up after 9 s without a sign of life (broker.session.timeout.ms)",
)

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Coefficient))


def table() -> str:
    """Return all coefficients as Markdown."""
    rows = [
        f"| {one.what} | {one} | {one.origin} | {one.source}{_links(one)} |"
        for one in sorted(ALL, key=lambda one: one.what)
    ]
    return "\n".join(["| what | value | is | from |", "|--|--|--|--|", *rows])


def _links(one: Coefficient) -> str:
    sections = dict.fromkeys(section for section, _ in one.quotes)
    return "".join(f"; [{section}](#{anchor(section)})" for section in sections)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def written(page: str) -> str:
    """Return the page with its table of coefficients as it is now."""
    before, rest = page.split(f"{HEADING}\n", 1)
    text = re.sub(r"(?m)^\| what \| value .*(?:\n\|.*)*", lambda _: table(), rest, count=1)
    return f"{before}{HEADING}\n{text}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
