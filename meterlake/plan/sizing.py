"""From demand to servers: work in cores, bytes, and the machines that carry both with head-room (``docs/plan.md``).

All of it is linear in what was measured on two cores (``coefficients``). An update of the stream must end within the
part of its interval that head-room leaves; what it costs whatever is in it, no further core makes shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meterlake.errors import UsageError
from meterlake.grains import GRAIN_SECONDS, is_calendar
from meterlake.plan import coefficients as of

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries, View
    from meterlake.plan.coefficients import Coefficient
    from meterlake.settings import Settings

DAY: Final = 86_400
YEAR: Final = 365.25 * DAY
UPDATES: Final = (2.0, 5.0, 10.0, 30.0, 60.0)
"""Intervals of updates that are offered, in seconds."""
WORTH: Final = 2.0
"""By default the stream is as fresh as it can be for so many times the cores that updates once a minute take."""
KNOWN_READINGS_S: Final = 10_000_000
MEASURED_READINGS_S: Final = 17_273
"""Readings a second that were measured, of a backlog, on two cores."""
MEASURED_METERS: Final = 2_000
LEAST_CORES: Final = 2
"""Of Spark, for each of its commands: that is what was measured."""
CATCH_UP: Final = 3
"""An update or append may take so many times the messages of a usual one."""
QUERIES: Final = 2
"""Archive and views read each message."""
EXECUTOR_CORES: Final = 4
_LEAST: Final = "the least"


@dataclass(frozen=True)
class Machine:
    """A server: cores, GB of memory, TB of disks."""

    cores: int = 16
    memory: int = 64
    disk: int = 20


@dataclass(frozen=True)
class Request:
    """What is asked for. interval_s: seconds between two readings of a meter. headroom: the part that is kept free.

    update_s: interval of the stream's updates; None: chosen by cost.
    """

    dataset: MeterSeries
    settings: Settings
    meters: int
    interval_s: float
    years: float
    copies: int = 3
    headroom: float = 0.4
    update_s: float | None = None
    machine: Machine = Machine()

    def __post_init__(self) -> None:
        limits = {
            "--meters": (self.meters, 1, 10**10),
            "--history": (self.years, 0, 200),
            "--replication": (self.copies, 1, 10),
            "--headroom": (self.headroom, 0, 0.9),
            "--cores": (self.machine.cores, 1, 1024),
            "--memory": (self.machine.memory, 1, 100_000),
            "--disk": (self.machine.disk, 1, 10_000),
        }
        for option, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise UsageError(f"{option} {value:g} makes no plan.", hint=f"Give {least:,} to {most:,}.")
        if self.update_s is not None and self.budget(self.update_s) <= 0:
            raise UsageError(
                f"--update {self.update_s:g}s is too often: it takes {of.STREAM_UPDATE.value:.2f} s whatever is in it,"
                f" and {self.headroom:.0%} of its time stays free.",
                hint=f"Give more than {of.STREAM_UPDATE.value / self.used:.1f} s, or less --headroom.",
            )

    @property
    def used(self) -> float:
        """The part of cores, time, memory and disks that is used."""
        return 1 - self.headroom

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.meters / self.interval_s

    def budget(self, update_s: float) -> float:
        """Return the seconds of an update in which its readings can be worked at."""
        return self.used * update_s - of.STREAM_UPDATE.value

    def columns(self, fixed: int, a_measure: int) -> float:
        """Return how wide a row is, as a part of the household's: so many columns, and so many for each measure."""
        return (fixed + a_measure * len(self.dataset.measures)) / (fixed + a_measure * 7)

    def rows_a_day(self, view: View) -> float:
        """Return the rows of a view in a day; readings that are longer than its rows have a row each."""
        return self.meters * DAY / max(GRAIN_SECONDS[view.grain], self.interval_s)


@dataclass(frozen=True)
class Work:
    """Cores that a part keeps busy, all the time on average. at: by which coefficient; wide: times what."""

    part: str
    what: str
    cores: float
    at: Coefficient
    wide: float


@dataclass(frozen=True)
class Stored:
    """What lies on disks: so many rows (or messages), one copy, in bytes. part: where. at, wide: as of ``Work``."""

    part: str
    what: str
    rows: float
    size: float
    at: Coefficient
    wide: float


@dataclass(frozen=True)
class Part:
    """What a part of the installation needs. nodes: servers of it, or executors. limit: what decides their number."""

    part: str
    nodes: int
    cores: int
    memory: float
    disk: float
    limit: str


@dataclass(frozen=True)
class Plan:
    """A sized installation."""

    request: Request

    @cached_property
    def update_s(self) -> float:
        """Seconds between two updates of the speed views."""
        if self.request.update_s is not None:
            return self.request.update_s
        offered = [one for one in UPDATES if self.request.budget(one) > 0]
        cost = {one: replace(self, request=replace(self.request, update_s=one)).live_cores for one in offered}
        return next(one for one in offered if cost[one] <= WORTH * cost[offered[-1]])

    @property
    def live_cores(self) -> int:
        """Cores of the stream and of Cassandra, which freshness decides."""
        return self.cores["stream"] + self.cores["Cassandra"]

    @cached_property
    def rows_a_second(self) -> float:
        """Return of how many meters a second an update writes rows."""
        return min(self.request.meters / self.update_s, self.request.rate)

    @cached_property
    def work(self) -> tuple[Work, ...]:
        """What keeps cores busy."""
        one, wide = self.request, max(1.0, self.request.columns(0, 1))
        reads = QUERIES + one.copies - 1

        def busy(part: str, what: str, times: float, at: Coefficient) -> Work:
            return Work(part, what, times * at.value / 1e6 * wide, at, wide)

        return (
            busy("Kafka", f"messages taken, {one.copies} times", one.rate * one.copies, of.KAFKA_SENT),
            busy("Kafka", f"messages read, {reads} times", one.rate * reads, of.KAFKA_READ),
            busy("stream", "readings", one.rate, of.STREAM_READING),
            busy("stream", "rows", self.rows_a_second, of.STREAM_ROW),
            busy("archive", "readings", one.rate, of.ARCHIVE_READING),
            busy("batch", "new readings", one.rate, of.BATCH_READING),
            busy("Cassandra", f"readings, {one.copies} times", one.rate * one.copies, of.CASSANDRA_READING),
            busy("Cassandra", f"rows, {one.copies} times", self.rows_a_second * one.copies, of.CASSANDRA_ROW),
        )

    def busy(self, part: str) -> float:
        """Return the cores that a part keeps busy."""
        return math.fsum(work.cores for work in self.work if work.part == part)

    @cached_property
    def needed(self) -> dict[str, float]:
        """Cores with which each part ends its work in time."""
        settings = self.request.settings
        archive, batch = settings.archive_trigger.total_seconds(), settings.batch_interval.total_seconds()
        return {
            "Kafka": self.busy("Kafka") / self.request.used,
            "stream": self._within("stream", self.update_s, of.STREAM_UPDATE),
            "archive": self._within("archive", archive, of.ARCHIVE_APPEND),
            "batch": self._within("batch", batch, of.BATCH_RUN),
            # It works while the stream writes, and must be as fast.
            "Cassandra": self._within("Cassandra", self.update_s, of.STREAM_UPDATE),
        }

    @cached_property
    def cores(self) -> dict[str, int]:
        """Whole cores of each part."""
        least = {"Kafka": self.request.copies, "Cassandra": self.request.copies}
        return {part: max(least.get(part, LEAST_CORES), math.ceil(cores)) for part, cores in self.needed.items()}

    def _within(self, part: str, interval_s: float, fixed: Coefficient) -> float:
        """Return the cores that end a part's work of an interval in time."""
        budget = self.request.used * interval_s - fixed.value
        if budget <= 0:
            raise UsageError(
                f"{part.capitalize()} every {interval_s:g} s leaves no time: {fixed} are gone whatever is in it.",
                hint=f"Let it run less often, or give less --headroom than {self.request.headroom:g}.",
            )
        return self.busy(part) * interval_s / budget

    @cached_property
    def stored(self) -> tuple[Stored, ...]:
        """What lies on disks."""
        one, settings = self.request, self.request.settings
        wire, master, state, reading = one.columns(4, 1), one.columns(8, 1), one.columns(5, 3), one.columns(3, 1)
        life, recent = settings.speed_ttl.total_seconds(), one.dataset.retention.recent.total_seconds()
        finest = one.rows_a_day(one.dataset.finest)
        at_rest = of.MASTER if one.interval_s <= 1 else of.MASTER_SLOW

        def kept(part: str, what: str, rows: float, at: Coefficient, wide: float) -> Stored:
            return Stored(part, what, rows, rows * at.value * wide, at, wide)

        days = settings.kafka_retention.total_seconds() / DAY
        views = (
            kept("HDFS", f"view {view.grain}", one.rows_a_day(view) * one.years * YEAR / DAY, at, state)
            for view in one.dataset.views
            for at in [_bytes_of(view, one.dataset.finest)]
        )
        return (
            kept("Kafka", f"messages, {days:g} days", one.rate * days * DAY, of.MESSAGE, wire),
            kept("HDFS", f"master, years: {one.years:g}", one.rate * one.years * YEAR, at_rest, master),
            kept("HDFS", "master before upkeep", one.rate * DAY, of.MASTER_NEW, master),
            *views,
            kept("Cassandra", f"{one.dataset.finest.grain}, {life / DAY:g} days", finest * life / DAY,
                 of.CASSANDRA_MINUTE, state),
            kept("Cassandra", f"recent, {recent / 3600:g} h", one.rate * recent, of.CASSANDRA_READING_ROW, reading),
            kept("Cassandra", "latest", one.meters, of.CASSANDRA_READING_ROW, reading),
        )  # fmt: skip

    def disk(self, part: str) -> float:
        """Return the bytes of a part, with all copies."""
        return self.request.copies * math.fsum(one.size for one in self.stored if one.part == part)

    @cached_property
    def state(self) -> float:
        """Bytes of memory of the stream: readings of open minutes, and the messages of an update that catches up."""
        one, series = self.request, self.request.dataset
        open_s = (series.lateness + series.clock_tolerance).total_seconds() + 2 * series.cell_s
        cells = open_s / max(series.cell_s, one.interval_s)
        readings = one.rate * open_s * of.STATE.value * one.columns(4, 1)
        return one.meters * cells * of.STATE_CELL.value + readings + self.most * of.MESSAGE_MEMORY.value

    @property
    def most(self) -> int:
        """Messages that an update takes at most."""
        return max(self.request.settings.stream_max_offsets, math.ceil(CATCH_UP * self.request.rate * self.update_s))

    @property
    def most_archived(self) -> int:
        """Messages that an append takes at most."""
        every = self.request.settings.archive_trigger.total_seconds()
        return max(self.request.settings.archive_max_offsets, math.ceil(CATCH_UP * self.request.rate * every))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What each part needs."""
        held = self.most_archived * of.MESSAGE_MEMORY.value
        return (
            self._servers("Kafka", "brokers"),
            self._executors("stream", self.state),
            self._executors("archive", held),
            self._executors("batch", 0),
            self._servers("Cassandra", "nodes"),
            self._servers("HDFS", "data nodes"),
        )

    def _servers(self, part: str, kind: str) -> Part:
        one, disk, cores = self.request, self.disk(part), self.cores.get(part, 0)
        needs = {
            "copies": one.copies,
            "cores": math.ceil(cores / one.machine.cores),
            "disk": math.ceil(disk / one.used / (one.machine.disk * 1e12)),
        }
        limit = max(needs, key=lambda name: needs[name])
        return Part(f"{part} {kind}", needs[limit], cores, 0, disk, limit if needs[limit] > 1 else _LEAST)

    def _executors(self, part: str, memory: float) -> Part:
        machine, cores = self.request.machine, self.cores[part]
        each = EXECUTOR_CORES * machine.memory / machine.cores * 1e9
        needs = {
            "cores": math.ceil(cores / EXECUTOR_CORES),
            "memory": math.ceil(memory / self.request.used / each),
        }
        limit = max(needs, key=lambda name: needs[name])
        return Part(f"executors, {part}", needs[limit], cores, memory, 0, limit if needs[limit] > 1 else _LEAST)

    @cached_property
    def total(self) -> Part:
        """How many machines carry all parts, side by side, and what decides that."""
        machine, used, parts = self.request.machine, self.request.used, self.parts
        # Parts that need less than a whole core share it.
        cores, memory = math.ceil(math.fsum(self.needed.values())), math.fsum(part.memory for part in parts)
        disk = math.fsum(part.disk for part in parts)
        needs = {
            "copies": self.request.copies,
            "cores": math.ceil(cores / machine.cores),
            "memory": math.ceil(memory / used / (machine.memory * 1e9)),
            "disk": math.ceil(disk / used / (machine.disk * 1e12)),
        }
        limit = max(needs, key=lambda name: needs[name])
        return Part("all, in machines", needs[limit], cores, memory, disk, limit if needs[limit] > 1 else _LEAST)

    @property
    def partitions(self) -> int:
        """Partitions of the topic: a task of the stream each, as many on each broker."""
        brokers = self.parts[0].nodes
        return math.ceil(max(self.request.settings.kafka_partitions, self.cores["stream"]) / brokers) * brokers

    @property
    def recompute_days(self) -> float:
        """Days in which all of the history is computed again, on batch's cores and beside nothing else."""
        readings = self.request.rate * self.request.years * YEAR
        return readings * of.BATCH_AGAIN.value / 1e6 / self.cores["batch"] / DAY

    @property
    def settings(self) -> dict[str, str]:
        """Settings that the plan wants."""
        return {
            "KAFKA_PARTITIONS": str(self.partitions),
            "KAFKA_REPLICATION": str(self.request.copies),
            "CASSANDRA_REPLICATION": str(self.request.copies),
            "HDFS_REPLICATION": str(self.request.copies),
            "SPARK_SHUFFLE_PARTITIONS": str(self.cores["stream"]),
            "STREAM_TRIGGER": f"{self.update_s:g}s",
            "STREAM_MAX_OFFSETS": str(self.most),
            "ARCHIVE_MAX_OFFSETS": str(self.most_archived),
        }


def _bytes_of(view: View, finest: View) -> Coefficient:
    if view == finest:
        return of.VIEW_FINEST
    return of.VIEW_DAY if is_calendar(view.grain) else of.VIEW_HOUR
