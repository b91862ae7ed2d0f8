"""What is written to the speed tables for an update: pure decisions; ``sink`` carries them out.

Each row carries its write time: of two writers, or of a replay and what it repeats, the row that knows more stays,
whatever comes last. That holds for deleted rows, too.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

MOST_RECENT: Final = 4
"""Of one meter's readings that come at once, so many are shown: a live meter has fewer, a backlog more."""
BATCH_ROWS: Final = 30
"""Rows of one unlogged batch at most: ten times as fast as single rows."""
MOST_COUNTED: Final = 999
OFFSETS: Final = 1_000_000
"""So many offsets in a row have write times of their own; a reading's start has only seconds."""
_DAY_MS: Final = 86_400_000
Row = TypeVar("Row")


class Write(NamedTuple):
    """One row. partition, cluster: its key. values: the other columns; None deletes the row. at: its write time."""

    partition: tuple[Any, ...]
    cluster: tuple[Any, ...]
    values: tuple[Any, ...] | None
    at: int


def version(arrived_ms: int, readings: int) -> int:
    """Return the write time of a minute's row: larger for a larger set of readings.

    arrived_ms: broker time of the latest of them; readings: how many. A broker's clock has only milliseconds.
    """
    return arrived_ms * 1000 + min(readings, MOST_COUNTED)


def minute_writes(rows: Iterable[tuple[Any, ...]]) -> Iterator[Write]:
    """Return writes for rows of (meter, minute in milliseconds, readings, more of the state …, version).

    A row without readings deletes the minute: all of them have been withdrawn.
    """
    for meter, minute, *state, at in rows:
        yield Write((meter, _day(minute)), (minute,), tuple(state) if state[0] else None, at)


def keep_latest(latest: dict[str, tuple[Any, ...]], rows: Iterable[tuple[Any, ...]]) -> None:
    """Keep in ``latest`` each meter's latest reading: the one with the highest write time.

    rows: readings of (meter, start in milliseconds, interval, measures …, offset).
    """
    for row in rows:
        kept = latest.get(row[0])
        if kept is None or _version_of(row) > _version_of(kept):
            latest[row[0]] = row


def shown(
    meters: Sequence[int], starts: Sequence[int], offsets: Sequence[int], contended: Sequence[bool]
) -> NDArray[np.intp]:
    """Return the places of the readings to write to the live tables: the latest few of each meter.

    meters: a number for each. Of a minute in which readings compete all are written: an earlier one of them may have
    been written before.
    """
    versions = np.asarray(starts, np.int64) * 1000 + np.asarray(offsets, np.int64) % OFFSETS
    numbers = np.asarray(meters, np.int64)
    by_meter = np.lexsort((versions, numbers))
    ordered = numbers[by_meter]
    # Of so many places further on, another meter's reading stands there, or none.
    few = np.ones(len(ordered), bool)
    few[:-MOST_RECENT] = ordered[:-MOST_RECENT] != ordered[MOST_RECENT:]
    chosen = np.array(contended, bool)
    chosen[by_meter[few]] = True
    return np.flatnonzero(chosen)


def latest_writes(rows: Iterable[tuple[Any, ...]]) -> Iterator[Write]:
    """Return writes for each meter's latest of readings as ``keep_latest`` takes them."""
    latest: dict[str, tuple[Any, ...]] = {}
    keep_latest(latest, rows)
    for meter, *values, offset in latest.values():
        yield Write((meter,), (), tuple(values), _reading_version(values[0], offset))


def recent_writes(rows: Iterable[tuple[Any, ...]], first_ms: float) -> Iterator[Write]:
    """Return writes for readings as ``keep_latest`` takes them, from a start on: earlier ones would have expired."""
    for meter, start, interval, *values, offset in rows:
        if start >= first_ms:
            yield Write((meter,), (start, interval), tuple(values), _reading_version(start, offset))


def batches(rows: Iterable[tuple[Hashable, Row]]) -> Iterator[list[Row]]:
    """Return rows, each given with its partition, in batches of one partition: a node passes on what is not its own."""
    partitions: dict[Hashable, list[Row]] = defaultdict(list)
    for partition, row in rows:
        partitions[partition].append(row)
    for one in partitions.values():
        for first in range(0, len(one), BATCH_ROWS):
            yield one[first : first + BATCH_ROWS]


def _version_of(row: tuple[Any, ...]) -> int:
    return _reading_version(row[1], row[-1])


def _reading_version(start_ms: int, offset: int) -> int:
    """Return the write time of a reading's row: its start; two of one start are never mixed."""
    return start_ms * 1000 + offset % OFFSETS


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // _DAY_MS * 86_400, UTC).date().isoformat()
