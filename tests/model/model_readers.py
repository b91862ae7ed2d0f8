"""Readers of the model, and what they may rely on at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from model_batch import GRAINS, rolled_up, row_key
from model_world import DATASET, TTL, Cell, Key, Readings, Row, World, by_cell, cell_of, state

from meterlake import timegrid
from meterlake.ddl import view_table
from meterlake.reading import Reading
from meterlake.state import merge_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.grains import Grain
    from serving_layer.publish.history import Run

SLACK = timedelta(minutes=20)
"""How far the model's clocks may be apart."""


def merged(world: World, grain: Grain) -> dict[Key, Row]:
    """Return what a reader of the merged view sees now."""
    if world.cutover is None:
        return _batch(world, grain)
    cutover, zone = world.cutover, DATASET.time_zone
    begin = timegrid.row_time(cutover.at, grain, zone)
    whole = {key: row for key, row in _batch(world, grain).items() if key[1] < begin}
    since = timegrid.row_begins(begin, zone)
    pieces = [row for key, row in _batch(world, "minute").items() if since <= key[1] < cutover.at]
    days = set(cutover.days)
    live = {cell: row for cell, row in world.living().items() if _moment(cell).date().isoformat() in days}
    pieces += [row for cell, row in live.items() if _moment(cell) >= cutover.at]
    rest = rolled_up(pieces, grain)
    assert not whole.keys() & rest.keys()
    return whole | rest


def _batch(world: World, grain: Grain) -> dict[Key, Row]:
    """Return the rows of a table; a folder that is gone, or that no audited run wrote, is an error."""
    folders = world.tables[view_table(DATASET, grain)].values()
    assert set(folders) <= world.audited
    return {key: row for folder in folders for key, row in world.folders[folder].items()}


@dataclass
class Reader:
    """Looks again and again, and remembers what it has seen: nothing seen may go by itself, but what Kafka lost."""

    world: World
    seen: dict[Cell, set[Reading]] = field(default_factory=dict)

    def look(self) -> None:
        """Check everything that holds at any time, in the middle of a publish too."""
        for grain in GRAINS:
            result = merged(self.world, grain)
            for key, row in result.items():
                _check_row(key, row, grain)
            self._nothing_is_gone(result, grain)

    def remember(self) -> None:
        """Note what is shown and must stay. For quiet moments."""
        for row in merged(self.world, "minute").values():
            for cell, readings in row.cells.items():
                is_batch = self.world.cutover is None or _moment(cell) < self.world.cutover.at
                kept = {reading for reading in readings if is_batch or self.world.is_kept(reading)}
                self.seen.setdefault(cell, set()).update(kept)

    def forget(self, run: Run, *, lost: bool) -> None:
        """Expect only what a roll-back to a run promises. lost: it may open a hole where speed rows have expired."""
        folders = run.tables.get(view_table(DATASET, "minute"), {}).values()
        batch = {
            cell: result
            for f in folders
            for row in self.world.folders[f].values()
            for cell, result in row.cells.items()
        }
        living = {cell: row.cells[cell] for cell, row in self.world.living().items()}
        for cell in self.seen:
            if _moment(cell) < run.record.boundary:
                self.seen[cell] &= batch.get(cell, frozenset())
            else:
                self.seen[cell] &= living.get(cell, frozenset()) if lost else self._came_live(cell)

    def _came_live(self, cell: Cell) -> Readings:
        row = self.world.speed.get(cell)
        return row.row.cells[cell] if row else frozenset()

    def _nothing_is_gone(self, rows: dict[Key, Row], grain: Grain) -> None:
        for cell, readings in self.seen.items():
            if readings and not self._may_have_expired(cell):
                row = rows.get(row_key(cell, grain))
                shown = row.cells.get(cell, frozenset()) if row else frozenset()
                gone = {reading for reading in readings - shown if not self.world.is_lost(reading)}
                assert not gone, f"{grain} of {cell}: gone: {sorted(map(str, gone))}"

    def _may_have_expired(self, cell: Cell) -> bool:
        is_live = self.world.cutover is not None and _moment(cell) >= self.world.cutover.at
        return is_live and self.world.now + SLACK >= _moment(cell) + TTL


def oracle(readings: Iterable[Reading], grain: Grain) -> dict[Key, object]:
    """Return the states that all readings make, computed at once."""
    rows = [Row(state(result), {cell: result}) for cell, result in by_cell(readings).items()]
    return {key: row.state for key, row in rolled_up(rows, grain).items() if row.state is not None}


def states(world: World, grain: Grain) -> dict[Key, object]:
    """Return the states that a reader of the merged view sees."""
    return {key: row.state for key, row in merged(world, grain).items() if row.state is not None}


def _check_row(key: Key, row: Row, grain: Grain) -> None:
    assert {row_key(cell, grain) for cell in row.cells} == {key}
    assert all(cell_of(reading) == cell for cell, readings in row.cells.items() for reading in readings)
    parts = [part for part in map(state, row.cells.values()) if part is not None]
    assert row.state == (merge_all(DATASET, parts) if parts else None)


def _moment(cell: Cell) -> datetime:
    return datetime.fromtimestamp(cell[1], UTC)
