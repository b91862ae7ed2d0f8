"""What is written to the speed tables for an update: pure decisions; ``sink`` carries them out.

Each row carries its write time: of two writers, or of a replay and what it repeats, the row that knows more stays,
whatever comes last. That holds for deleted rows, too.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

MOST_RECENT: Final = 4
"""Of one meter's readings that come at once, so many are shown: a live meter has fewer, a backlog more."""
BATCH_ROWS: Final = 30
"""Rows of one unlogged batch at most: ten times as fast as single rows."""
MOST_COUNTED: Final = 999
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


def shown(meters: Sequence[str], starts: Sequence[int], offsets: Sequence[int], contended: Sequence[bool]) -> list[int]:
    """Return the places of the readings to write to the live tables: the latest few of each meter.

    Of a minute in which readings compete all are written: an earlier one of them may have been written before.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, meter in enumerate(meters):
        places[meter].append(place)

    def version_at(place: int) -> int:
        return _reading_version(starts[place], offsets[place])

    few = {
        place
        for one in places.values()
        for place in (one if len(one) <= MOST_RECENT else nlargest(MOST_RECENT, one, key=version_at))
    }
    return [place for place, competes in enumerate(contended) if competes or place in few]


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
    return start_ms * 1000 + offset % 1_000_000


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // _DAY_MS * 86_400, UTC).date().isoformat()
