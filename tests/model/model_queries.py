"""The two streaming queries of the model: offsets are planned first, then work is done, then it is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from model_world import (
    DATASET,
    PARTITIONS,
    TOPIC,
    TTL,
    Append,
    Cell,
    Crash,
    Message,
    Readings,
    Row,
    SpeedRow,
    World,
    cell_of,
    state,
)

from engines.archive_progress import Progress, Reached, in_force
from meterlake import rules
from meterlake.lateness import SPREAD, is_late, watermark_delay
from meterlake.reading import Reading
from meterlake.state import State
from speed_layer.checkpoint import reachable
from speed_layer.views.rows import minute_writes, version

Range = tuple[int, int]
Most = tuple[int, ...]
"""How many messages of each partition a micro-batch takes at the most."""
ALL: Most = (1000,) * PARTITIONS
ArchiveStep = Literal["planned", "quarantined", "appended"]
SpeedStep = Literal["planned", "written"]


@dataclass
class Checkpoint:
    """What a query keeps: the offsets of each micro-batch, written before it is done, and how many are done.

    starting: partition -> offset from which a new query reads.
    """

    starting: Mapping[int, int]
    planned: list[dict[int, Range]] = field(default_factory=list)
    done: int = 0

    def next(self, world: World, most: Most, *, lossless: bool) -> dict[int, Range]:
        """Return the offsets of the next micro-batch: those planned before a crash, or new ones.

        Raises MessagesLost where Kafka has dropped some of them, if ``lossless``.
        """
        spans = world.spans()
        reachable("model", TOPIC, self.reached(), spans, lossless=lossless)
        if self.done == len(self.planned):
            begins = {partition: max(offset, spans[partition].first) for partition, offset in self.reached().items()}
            self.planned.append({p: (begin, min(spans[p].end, begin + most[p])) for p, begin in begins.items()})
        return self.planned[self.done]

    def reached(self) -> dict[int, int]:
        """Return the next offset of each partition."""
        if not self.done:
            return dict(self.starting)
        return {partition: end for partition, (_, end) in self.planned[self.done - 1].items()}


def messages(world: World, offsets: dict[int, Range]) -> list[Message]:
    """Return the messages of a micro-batch that Kafka still has."""
    return [
        message
        for partition, (begin, end) in offsets.items()
        for message in world.log[partition][max(begin, world.first[partition]) : end]
    ]


class Archive:
    """Kafka to the master data set; what cannot be decoded or is off the grid goes to quarantine.

    Each table says in its own last commit which offsets it has, and takes only what lies behind them.
    """

    def __init__(self, world: World, query: int = 0) -> None:
        self.world, self.query, self.spans = world, query, world.spans()
        reached = self._in_force(world.archived())
        self.checkpoint = Checkpoint({p: reached[p].next_offset if p in reached else 0 for p in world.log})

    def run(self, most: Most = ALL, crash: ArchiveStep | None = None, *, lossless: bool = True) -> None:
        """Do one micro-batch, or what was left of one."""
        offsets = self.checkpoint.next(self.world, most, lossless=lossless)
        _stop(crash, "planned")
        found = messages(self.world, offsets)
        bad, progress = self._rest([message for message in found if not _is_kept(message)], self.world.quarantined)
        if bad:
            self.world.quarantine += bad
            self.world.quarantined = progress
        _stop(crash, "quarantined")
        rest, progress = self._rest(found, self.world.archived())
        if rest:
            kept = tuple(message for message in rest if _is_kept(message))
            readings = tuple(message.reading for message in kept if message.reading)
            self.world.appends.append(Append(readings, progress, kept))
        _stop(crash, "appended")
        self.checkpoint.done += 1

    def _rest(self, found: list[Message], before: Progress | None) -> tuple[list[Message], Progress]:
        """Return the messages that a table does not have, and how far it will be with them."""
        reached = self._in_force(before)
        rest = [m for m in found if m.partition not in reached or m.offset >= reached[m.partition].next_offset]
        reached |= {message.partition: Reached(message.offset + 1, message.at) for message in rest}
        return rest, Progress(TOPIC.name, TOPIC.id, str(self.query), self.checkpoint.done, reached)

    def _in_force(self, progress: Progress | None) -> dict[int, Reached]:
        return in_force(progress, TOPIC, str(self.query), self.spans)


def _is_kept(message: Message) -> bool:
    return message.reading is not None and not rules.quarantine_reason(DATASET, message.reading)


class Speed:
    """Kafka to Cassandra: each minute's state is the set of its readings, until the watermark has passed it.

    What is late, the watermark, what is written and which write wins are the product's own decisions.

    outrun: minutes of messages that one partition still held back when another had been read further than ``SPREAD``
    beyond them. The watermark may pass those (``meterlake.lateness``); batch has them.
    """

    def __init__(self, world: World) -> None:
        self.world, self.checkpoint = world, Checkpoint(world.first.copy())
        self.sets: dict[Cell, Readings] = {}
        self.newest = 0
        self.outrun: set[Cell] = set()

    def run(self, most: Most = ALL, crash: SpeedStep | None = None, *, lossless: bool = True) -> None:
        """Do one micro-batch, or again one that was not committed."""
        offsets = self.checkpoint.next(self.world, most, lossless=lossless)
        _stop(crash, "planned")
        watermark = self.newest - watermark_delay(DATASET).total_seconds()
        taken = [m.reading for m in messages(self.world, offsets) if m.reading and _is_accepted(m.reading)]
        sets = {cell: found for cell, found in self.sets.items() if cell[1] > watermark}
        touched = set()
        for reading in taken:
            cell = cell_of(reading)
            if cell[1] > watermark:
                sets[cell] = sets.get(cell, frozenset()) | {reading}
                touched.add(cell)
        self._write({cell: sets[cell] for cell in touched})
        _stop(crash, "written")
        self.sets = sets
        self.newest = max([self.newest, *(cell_of(reading)[1] for reading in taken)])
        self.checkpoint.done += 1
        self._note_outrun()

    def _note_outrun(self) -> None:
        reached = self.checkpoint.reached()
        read = [message.at for p, found in self.world.log.items() for message in found[: reached[p]]]
        waiting = [message for p, found in self.world.log.items() for message in found[reached[p] :]]
        behind = max(read, default=self.world.now) - SPREAD
        self.outrun |= {cell_of(m.reading) for m in waiting if m.reading and m.at < behind}

    def _write(self, minutes: Mapping[Cell, Readings]) -> None:
        """Let Cassandra take the product's writes; of two, the one with the later write time stays."""
        rows = [_row(cell, readings) for cell, readings in minutes.items()]
        for write in minute_writes(rows):
            (meter, _), (minute,) = write.partition, write.cluster
            cell = (meter, minute // 1000)
            before = self.world.speed.get(cell)
            if before is None or before.expires <= self.world.now or write.at >= before.version:
                shown = Row(state(minutes[cell]) if write.values else None, {cell: minutes[cell]})
                self.world.speed[cell] = SpeedRow(shown, write.at, self.world.now + TTL)


def _row(cell: Cell, readings: Readings) -> tuple[Any, ...]:
    """Return the row that the streaming query makes of a minute's readings."""
    arrived = max(reading.received_at for reading in readings)
    found = state(readings) or State.empty(DATASET)
    at = version(int(arrived.timestamp() * 1000), len(readings))
    return (cell[0], cell[1] * 1000, *found.row().values(), at)


def _is_accepted(reading: Reading) -> bool:
    if rules.quarantine_reason(DATASET, reading) or rules.reject_reason(DATASET, reading):
        return False
    return not is_late(DATASET, reading)


def _stop(crash: str | None, step: str) -> None:
    if crash == step:
        raise Crash
