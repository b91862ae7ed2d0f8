"""Batch of the model. Publishing is the product's own code; only its tables, views and records are in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from model_world import (
    DATASET,
    SETTINGS,
    TOPIC,
    Cell,
    Crash,
    Key,
    Readings,
    Row,
    Tables,
    Time,
    World,
    by_cell,
    cell_of,
    state,
)

from engines.archive_progress import at_ends
from meterlake import timegrid
from meterlake.boundary import PartitionProgress, next_boundary
from meterlake.ddl import view_table
from meterlake.declaration import View
from meterlake.errors import LeaseLost
from meterlake.grains import Grain
from meterlake.judgement import judge
from meterlake.merged import Cutover
from meterlake.precedence import Balance
from meterlake.reading import Reading
from meterlake.reconciliation import explain
from meterlake.state import merge_all
from serving_layer.publish import publish as product
from serving_layer.publish.errors import Overtaken
from serving_layer.publish.folders import Change, applied
from serving_layer.publish.history import History, Record

GRAINS: tuple[Grain, ...] = ("minute", "hour", "day")
Step = Callable[[str], None]


def row_key(cell: Cell, grain: Grain) -> Key:
    """Return the row of a view that holds a cell."""
    return cell[0], timegrid.row_time(_moment(cell), grain, DATASET.time_zone)


def rolled_up(rows: Iterable[Row], grain: Grain) -> dict[Key, Row]:
    """Return coarser rows; no cell may be in two of the given ones."""
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        (key,) = {row_key(cell, grain) for cell in row.cells}
        groups[key].append(row)
    return {key: _merged(members) for key, members in groups.items()}


def _merged(rows: list[Row]) -> Row:
    cells: dict[Cell, Readings] = {}
    for row in rows:
        twice = cells.keys() & row.cells.keys()
        assert not twice, f"counted twice: {sorted(twice)}"
        cells |= row.cells
    states = [row.state for row in rows if row.state is not None]
    return Row(merge_all(DATASET, states) if states else None, cells)


@dataclass
class Batch:
    """Runs over the master data set, and what is published of them."""

    world: World
    runs: int = 0

    def run(self, *, full: bool = False, meanwhile: Callable[[], None] = lambda: None, step: Step) -> None:
        """Compute, audit, publish. meanwhile: what happens between the reading of the clock and of Kafka's ends."""
        world = self.world
        with self._publisher(step) as publisher:
            history = publisher.roll_forward()
            present = history.current
            run_clock = world.host_clock()
            snapshot = len(world.appends)
            meanwhile()
            progress = self._progress(snapshot)
            boundary = next_boundary(DATASET, progress, run_clock, present.boundary if present else None)
            self.runs += 1
            after = self._compute(f"run{self.runs}", history, snapshot, full=full)
            step("computed")
            publication = product.Publication.of(history, (f"run{self.runs}", boundary, snapshot), after)
            publisher.publish(publication, [])
            self._clean_up()

    def roll_back(self, run_id: str, *, allow_gap: bool, step: Step) -> None:
        """Let readers see an earlier run; raises what the product raises."""
        with self._publisher(step) as publisher:
            publisher.roll_back(run_id, allow_gap=allow_gap)

    def roll_forward(self) -> None:
        """Finish what was interrupted."""
        with self._publisher(lambda _: None) as publisher:
            publisher.roll_forward()

    def _progress(self, snapshot: int) -> list[PartitionProgress]:
        archived = self.world.archived(snapshot)
        if archived is not None:
            return at_ends(archived, TOPIC, self.world.spans())
        firsts = {p: messages[self.world.first[p] :] for p, messages in self.world.log.items()}
        # As ``archive_progress.untouched``: nothing is missing before the first messages.
        return [PartitionProgress(p, kept[0].at, at_end=False) for p, kept in firsts.items() if kept]

    def _compute(self, run_id: str, history: History, snapshot: int, *, full: bool) -> Tables:
        before, present = history.tables, history.current
        read = 0 if full or present is None else present.snapshot or 0
        changed = {cell_of(reading) for append in self.world.appends[read:snapshot] for reading in append.readings}
        days = {_moment(cell).date() for cell in changed}
        cells = by_cell(self.world.master(snapshot))
        _audit(self.world.master(snapshot), cells)
        touched = {cell: found for cell, found in cells.items() if _moment(cell).date() in days}
        minutes = [Row(state(found), {cell: found}) for cell, found in touched.items()]
        after: dict[str, dict[str, str]] = {}
        finest = self._write(after, "minute", run_id, before, days, rolled_up(minutes, "minute"))
        hours = [row for (_, time), row in finest.items() if _utc_day(time) in days]
        self._write(after, "hour", run_id, before, days, rolled_up(hours, "hour"))
        zone = DATASET.time_zone
        local = {found for day in days for found in timegrid.local_days_of_utc_day(day, zone)}
        parts = [row for (_, time), row in finest.items() if timegrid.row_time(_aware(time), "day", zone) in local]
        self._write(after, "day", run_id, before, local, rolled_up(parts, "day"))
        return after

    def _write(
        self,
        after: dict[str, dict[str, str]],
        grain: Grain,
        run_id: str,
        before: Tables,
        days: set[date],
        rows: Mapping[Key, Row],
    ) -> dict[Key, Row]:
        """Write the partitions that hold ``days``, other days copied; return every row of the table."""
        table, view = view_table(DATASET, grain), DATASET.view(grain)
        old = before.get(table, {})
        rewritten = {_partition(view, day) for day in days}
        contents: dict[str, dict[Key, Row]] = {value: {} for value in rewritten}
        for value in rewritten & old.keys():
            kept = {key: row for key, row in self.world.folders[old[value]].items() if _day(key[1]) not in days}
            contents[value] |= kept
        for key, row in rows.items():
            contents[_partition(view, _day(key[1]))][key] = row
        after[table] = dict(old)
        for value, content in contents.items():
            folder = f"{table}/{value}/run={run_id}"
            self.world.folders[folder] = content
            self.world.audited.add(folder)
            after[table][value] = folder
        return {key: row for folder in after[table].values() for key, row in self.world.folders[folder].items()}

    def _clean_up(self) -> None:
        used = self.world.history.folders_in_use
        self.world.folders = {name: rows for name, rows in self.world.folders.items() if name in used}

    @contextmanager
    def _publisher(self, step: Step) -> Iterator[product.Publisher]:
        """Take the lease, over from whoever has it: in the model nobody asks for one that is in use."""
        lease = _Lease(self.world, f"lease{next(_TOKENS)}", self.world.lease is not None)
        self.world.lease = lease.token
        with self._ports():
            try:
                yield product.Publisher(SETTINGS, DATASET, lease, self.world.host_clock, step)
            except Crash:
                raise
            except Exception:
                lease.release()
                raise
            lease.release()

    def _ports(self) -> AbstractContextManager[Any]:
        return patch.multiple(
            product,
            records=_Records(self.world),
            tables=_Tables(self.world),
            views=_Views(self.world),
            trino=_Trino(),
            reconcile=lambda *about: _reconcile(self.world, *about[2][:2], about[3]),
        )


_TOKENS: Final = count(1)


@dataclass
class _Lease:
    world: World
    token: str
    took_over: bool

    def check(self) -> None:
        if self.world.lease != self.token:
            raise LeaseLost(DATASET.name, "2 min")
        self.world.between()

    def settled(self) -> None:
        self.took_over = False

    def release(self) -> None:
        if self.world.lease == self.token:
            self.world.lease = None


@dataclass(frozen=True)
class _Records:
    world: World

    def load(self, *_: object) -> History:
        return self.world.history

    def append(self, _: object, history: History, record: Record) -> History:
        if history.seq != self.world.history.seq:
            raise Overtaken(record.dataset, record.run_id, history.seq, self.world.history.seq)
        self.world.records.append(record)
        self.world.history = history.after(record)
        return self.world.history


@dataclass(frozen=True)
class _Tables:
    world: World

    def ensure(self, *_: object, **__: object) -> None:
        """Nothing to create."""

    def fence_off(self, _settings: object, _dataset: str, token: str) -> None:
        self.world.fences = {view_table(DATASET, grain): token for grain in GRAINS}

    def switch(
        self, _: object, table: str, changed: Mapping[str, Change], whole: Mapping[str, str], lease: _Lease
    ) -> None:
        fence = self.world.fences.setdefault(table, lease.token)
        lease.check()
        if self.world.fences[table] != fence:
            lease.check()  # as a metastore that does not find the fence
            raise AssertionError(f"the fence of {table} was moved, and the lease was not")
        self.world.tables[table] = dict(applied(self.world.tables, {table: changed}).get(table, {}))
        assert self.world.tables[table] == whole


@dataclass(frozen=True)
class _Views:
    world: World

    def has_speed_layer(self, *_: object) -> bool:
        return True

    def shown(self, *_: object) -> int:
        return self.world.cutover_record

    def replace(
        self,
        _settings: object,
        _dataset: object,
        cutover: Cutover | None,
        seq: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        check()
        self.world.cutover, self.world.cutover_record = cutover, seq


class _Trino:
    def settle(self, *_: object) -> None:
        """No query of the model outlives a step."""


def _reconcile(world: World, since: datetime, until: datetime, snapshot: int) -> dict[str, Any]:
    """Return what became of each minute that the boundary moves over, from the tables as they are switched now."""
    batch = {
        key: row for f in world.tables[view_table(DATASET, "minute")].values() for key, row in world.folders[f].items()
    }
    speed = {row_key(cell, "minute"): row for cell, row in world.living().items()}
    readings, now = by_cell(world.master(snapshot)), by_cell(world.master(len(world.appends)))
    outcomes = {}
    for key in batch.keys() | speed.keys():
        meter, time = key
        if since <= _aware(time) < until:
            have, live = batch.get(key), speed.get(key)
            cell = (meter, int(_aware(time).timestamp()))
            known = readings.get(cell, frozenset())
            newer = now.get(cell, frozenset()) - known
            states = (have.state if have else None, live.state if live else None)
            outcomes[minute_name(meter, time)] = explain(DATASET, *states, list(known), list(newer))
    return outcomes


def minute_name(meter: str, time: Time) -> str:
    """Return how the reconciliation of the model names a minute."""
    return f"{meter} {time}"


def _partition(view: View, day: date) -> str:
    value = view.partition_value(day)
    return f"{view.partition}={value}/slice={value}"


def _audit(read: list[Reading], cells: Mapping[Cell, Readings]) -> None:
    verdicts = [found.verdict for members in cells.values() for found in judge(DATASET, list(members))]
    Balance.of(len(set(read)), verdicts).check("model")


def _moment(cell: Cell) -> datetime:
    return datetime.fromtimestamp(cell[1], UTC)


def _aware(time: Time) -> datetime:
    assert isinstance(time, datetime)
    return time


def _utc_day(time: Time) -> date:
    return _aware(time).date()


def _day(time: Time) -> date:
    return time.date() if isinstance(time, datetime) else time
