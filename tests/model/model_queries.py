"""The two streaming queries of the model: offsets are planned first, then work is done, then it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from model_world import (
    DATASET,
    PARTITIONS,
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

from meterlake import rules
from meterlake.reading import Reading

Range = tuple[int, int]
Most = tuple[int, ...]
"""How many messages of each partition a micro-batch takes at the most."""
ALL: Most = (1000,) * PARTITIONS
ArchiveStep = Literal["planned", "quarantined", "appended"]
SpeedStep = Literal["planned", "written"]


@dataclass
class Checkpoint:
    """What a query keeps: the offsets of each micro-batch, written before it is done, and how many are done."""

    query: int
    planned: list[dict[int, Range]] = field(default_factory=list)
    done: int = 0

    def next(self, world: World, most: Most) -> dict[int, Range]:
        """Return the offsets of the next micro-batch: those planned before a crash, or new ones."""
        if self.done == len(self.planned):
            last = self.planned[-1] if self.planned else {}
            begins = {partition: last.get(partition, (0, 0))[1] for partition in world.log}
            ends = world.ends()
            self.planned.append({p: (begin, min(ends[p], begin + most[p])) for p, begin in begins.items()})
        return self.planned[self.done]

    def reached(self) -> dict[int, int]:
        """Return the next offset of each partition."""
        return {partition: end for partition, (_, end) in self.planned[self.done - 1].items()} if self.done else {}


def messages(world: World, offsets: dict[int, Range]) -> list[Message]:
    """Return the messages of a micro-batch."""
    return [message for partition, (begin, end) in offsets.items() for message in world.log[partition][begin:end]]


class Archive:
    """Kafka to the master data set; what cannot be decoded or is off the grid goes to quarantine."""

    def __init__(self, world: World, query: int = 0) -> None:
        self.world, self.checkpoint = world, Checkpoint(query)

    def run(self, most: Most = ALL, crash: ArchiveStep | None = None) -> None:
        """Do one micro-batch, or what was left of one."""
        offsets = self.checkpoint.next(self.world, most)
        _stop(crash, "planned")
        found = messages(self.world, offsets)
        kept = tuple(m.reading for m in found if m.reading and not rules.quarantine_reason(DATASET, m.reading))
        bad = {(m.partition, m.offset) for m in found if m.reading is None or m.reading not in kept}
        self.world.quarantine[self.checkpoint.query] |= bad
        _stop(crash, "quarantined")
        identity = (self.checkpoint.query, self.checkpoint.done)
        if not any(append.archive == identity for append in self.world.appends):
            self.world.appends.append(Append(kept, identity, self._reached(offsets)))
        _stop(crash, "appended")
        self.checkpoint.done += 1

    def _reached(self, offsets: dict[int, Range]) -> dict[int, tuple[int, datetime]]:
        ends = {partition: end for partition, (_, end) in offsets.items() if end}
        return {partition: (end, self.world.log[partition][end - 1].at) for partition, end in ends.items()}


class Speed:
    """Kafka to Cassandra: each minute's state is the set of its readings, until the watermark has passed it."""

    def __init__(self, world: World, query: int = 0) -> None:
        self.world, self.checkpoint = world, Checkpoint(query)
        self.sets: dict[Cell, Readings] = {}
        self.newest = 0

    def run(self, most: Most = ALL, crash: SpeedStep | None = None) -> None:
        """Do one micro-batch, or again one that was not committed."""
        offsets = self.checkpoint.next(self.world, most)
        _stop(crash, "planned")
        watermark = self.newest - watermark_delay().total_seconds()
        taken = [m.reading for m in messages(self.world, offsets) if m.reading and _is_accepted(m.reading)]
        sets = {cell: found for cell, found in self.sets.items() if cell[1] > watermark}
        touched = set()
        for reading in taken:
            cell = cell_of(reading)
            if cell[1] > watermark:
                sets[cell] = sets.get(cell, frozenset()) | {reading}
                touched.add(cell)
        for cell in touched:
            self._upsert(cell, sets[cell])
        _stop(crash, "written")
        self.sets = sets
        self.newest = max([self.newest, *(cell_of(reading)[1] for reading in taken)])
        self.checkpoint.done += 1

    def _upsert(self, cell: Cell, readings: Readings) -> None:
        version = (max(reading.received_at for reading in readings), len(readings))
        before = self.world.speed.get(cell)
        if before is None or before.expires <= self.world.now or version >= before.version:
            self.world.speed[cell] = SpeedRow(Row(state(readings), {cell: readings}), version, self.world.now + TTL)


def watermark_delay() -> timedelta:
    """Return how far the watermark is behind the newest minute."""
    return DATASET.lateness + DATASET.clock_tolerance + timedelta(seconds=DATASET.cell_s)


def _is_accepted(reading: Reading) -> bool:
    return not rules.quarantine_reason(DATASET, reading) and not rules.reject_reason(DATASET, reading)


def _stop(crash: str | None, step: str) -> None:
    if crash == step:
        raise Crash
