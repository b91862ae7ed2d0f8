"""The world of the model: clocks, Kafka's log, the master data set, Cassandra, and what readers are shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Final

from engines.archive_progress import Progress
from engines.topics import Span, Topic
from meterlake import timegrid
from meterlake.boundary import needed_ttl
from meterlake.declaration import Amount, Derived, Flag, Level, MeterSeries, Reject, View
from meterlake.judgement import judge, state_of
from meterlake.merged import Cutover
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State
from serving_layer.publish.history import History, Record

DATASET: Final = MeterSeries(
    name="pump",
    title="A pump; its days begin half past the hour",
    intervals=(10, 60),
    time_zone="Asia/Kolkata",
    measures=(Level("pressure", "bar", "0.01", between=(-1, 250)), Amount("volume", "l", "0.001", between=(0, None))),
    rules=(Reject("dry", "pressure < 0 AND volume > 0"), Flag("high", "pressure > 200")),
    derived=(Derived("flow", "l/s", "volume_sum / covered_s"),),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
BEGIN: Final = datetime(2026, 11, 30, 17, 40, tzinfo=UTC)
"""Soon after it a local day, a UTC day and a month end."""
PARTITIONS: Final = 2
BATCH_INTERVAL: Final = timedelta(hours=1)
TTL: Final = needed_ttl(BATCH_INTERVAL, DATASET.lateness)
"""The shortest life of speed rows that passes the check."""
RETENTION: Final = TTL
"""How long Kafka keeps a message: the shortest that passes the check."""
SETTINGS: Final = Settings(batch_interval=BATCH_INTERVAL, speed_ttl=TTL, kafka_retention=RETENTION)
TOPIC: Final = Topic(DATASET.readings_topic, "topic-id", tuple(range(PARTITIONS)))

Cell = tuple[str, int]
"""A meter's minute: meter, and start in seconds."""
Readings = frozenset[Reading]
Time = datetime | date
Key = tuple[str, Time]
"""A row of a view: meter, and start."""
Tables = Mapping[str, Mapping[str, str]]


class Crash(Exception):
    """Ends a step where it stands, as kill -9 does."""


@dataclass(frozen=True, eq=False)
class Message:
    """A message in the log. reading: None where it cannot be decoded. Equal only to itself."""

    partition: int
    offset: int
    at: datetime
    reading: Reading | None


@dataclass(frozen=True)
class Append:
    """One commit to the master data set. progress and messages: where it is the archive's."""

    readings: tuple[Reading, ...]
    progress: Progress | None = None
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of a view, and the readings behind each of its minutes. state: None where none of them counts."""

    state: State | None
    cells: Mapping[Cell, Readings]


@dataclass(frozen=True)
class SpeedRow:
    """A row in Cassandra, or that it was deleted: of no state. version: its write time; expires: when it is gone."""

    row: Row
    version: int
    expires: datetime


@dataclass
class World:
    """Everything that survives a crash, and the clocks. snapshot: a count of ``appends``."""

    now: datetime = BEGIN
    broker_skew: timedelta = timedelta(0)
    host_skew: timedelta = timedelta(0)
    has_stepped: bool = False
    """Whether a clock was ever moved."""
    latest_clock: datetime = BEGIN
    log: dict[int, list[Message]] = field(default_factory=lambda: {partition: [] for partition in range(PARTITIONS)})
    """All that was ever sent; Kafka still has what is from ``first`` on."""
    first: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    arrived: dict[Reading, datetime] = field(default_factory=dict)
    appends: list[Append] = field(default_factory=list)
    loads: set[int] = field(default_factory=set)
    lost: set[Message] = field(default_factory=set)
    """What Kafka dropped before the archive took it."""
    quarantine: list[Message] = field(default_factory=list)
    quarantined: Progress | None = None
    """As the quarantine's last commit says."""
    speed: dict[Cell, SpeedRow] = field(default_factory=dict)
    folders: dict[str, dict[Key, Row]] = field(default_factory=dict)
    audited: set[str] = field(default_factory=set)
    tables: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    cutover: Cutover | None = None
    cutover_record: int = 0
    """The record as of which the views are."""
    lease: str | None = None
    """Who may publish; somebody who died or sleeps, until another takes over."""
    fences: dict[str, str] = field(default_factory=dict)
    between: Callable[[], None] = lambda: None
    """What happens between the check of a lease and what is done after it."""
    records: list[Record] = field(default_factory=list)
    history: History = field(default_factory=History)

    def broker_clock(self) -> datetime:
        """Return the broker's time."""
        return self._shown(self.now + self.broker_skew)

    def host_clock(self) -> datetime:
        """Return the time of the host on which batch runs."""
        return self._shown(self.now + self.host_skew)

    def send(self, meter: str, make: Callable[[datetime, int, int], Reading | None]) -> Reading | None:
        """Append a message to the log. make: gets its time of arrival, partition and offset."""
        partition = sum(meter.encode()) % PARTITIONS
        offset, at = len(self.log[partition]), self.broker_clock()
        reading = make(at, partition, offset)
        self.log[partition].append(Message(partition, offset, at, reading))
        if reading is not None:
            self.arrived[reading] = self.latest_clock
        return reading

    def ends(self) -> dict[int, int]:
        """Return the end of each partition."""
        return {partition: len(messages) for partition, messages in self.log.items()}

    def spans(self) -> dict[int, Span]:
        """Return what Kafka has of each partition."""
        return {partition: Span(self.first[partition], end) for partition, end in self.ends().items()}

    def drop_old(self) -> None:
        """Let Kafka drop what is older than its retention; what of that nobody had archived is lost."""
        since, old = self.broker_clock() - RETENTION, []
        for partition, messages in self.log.items():
            dropped = list(takewhile(lambda message: message.at < since, messages[self.first[partition] :]))
            self.first[partition] += len(dropped)
            old += dropped
        taken = {*self.quarantine, *(message for append in self.appends for message in append.messages)}
        self.lost |= set(old) - taken

    def is_lost(self, reading: Reading) -> bool:
        """Return whether Kafka dropped a reading before it was archived."""
        is_message = reading.origin == TOPIC.name
        return is_message and self.log[reading.origin_partition][reading.origin_offset] in self.lost

    def archived(self, snapshot: int | None = None) -> Progress | None:
        """Return the progress in the archive's last commit, as of a snapshot."""
        return next((append.progress for append in reversed(self.appends[:snapshot]) if append.progress), None)

    def master(self, snapshot: int) -> list[Reading]:
        """Return the readings of the master data set as of a snapshot."""
        return [reading for append in self.appends[:snapshot] for reading in append.readings]

    def living(self) -> dict[Cell, Row]:
        """Return the rows that Cassandra has not expired."""
        return {cell: result.row for cell, result in self.speed.items() if result.expires > self.now}

    def is_kept(self, reading: Reading) -> bool:
        """Return whether a reading that speed shows must be in batch once the boundary has passed.

        All must, as long as no clock was moved; after that, those that came within the lateness, by whatever clock was
        furthest ahead until then.
        """
        if not self.has_stepped:
            return True
        seen = self.arrived.get(reading)
        return seen is not None and cell_of(reading)[1] >= (seen - DATASET.lateness).timestamp()

    def _shown(self, moment: datetime) -> datetime:
        self.latest_clock = max(self.latest_clock, moment)
        return moment


def cell_of(reading: Reading) -> Cell:
    """Return the cell of a reading."""
    return reading.meter_id, timegrid.floor_seconds(reading.ts, DATASET.cell_s)


def by_cell(readings: Iterable[Reading]) -> dict[Cell, Readings]:
    """Return readings in their cells."""
    result: dict[Cell, set[Reading]] = defaultdict(set)
    for reading in readings:
        result[cell_of(reading)].add(reading)
    return {cell: frozenset(members) for cell, members in result.items()}


@lru_cache(maxsize=200_000)
def state(readings: Readings) -> State | None:
    """Return the state that the readings of a cell make."""
    return state_of(DATASET, judge(DATASET, list(readings)))
