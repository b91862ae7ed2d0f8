"""What is written to the speed tables: by partition, with write times that keep the row that knows more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speed_layer.views import rows
from speed_layer.views.rows import BATCH_ROWS, Write

pytestmark = pytest.mark.unit

NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 1000
MINUTE, DAY = 60_000, 86_400_000


def minute(meter: str, at: int, readings: int = 1, version: int = 7) -> tuple[Any, ...]:
    return (meter, at, readings, 60 * readings, 0, 5, 5, 5, version)


def test_a_minute_is_written_into_the_partition_of_its_utc_day() -> None:
    writes = list(rows.minute_writes([minute("a", NOON), minute("a", NOON + DAY)]))
    assert writes == [
        Write(("a", "2026-11-21"), (NOON,), (1, 60, 0, 5, 5, 5), 7),
        Write(("a", "2026-11-22"), (NOON + DAY,), (1, 60, 0, 5, 5, 5), 7),
    ]


def test_a_minute_without_readings_is_deleted() -> None:
    gone = ("a", NOON, 0, 0, 0, 0, None, None, 9)
    assert list(rows.minute_writes([gone])) == [Write(("a", "2026-11-21"), (NOON,), None, 9)]


def test_of_a_meters_readings_the_latest_stays_and_recent_ones_are_kept() -> None:
    readings = [
        ("a", NOON, 1, 1.5, 40),
        ("a", NOON + 1000, 1, 2.5, 41),
        ("b", NOON, 60, 3.5, 7),
        ("a", NOON, 1, 9.5, 42),
    ]
    assert list(rows.latest_writes(readings)) == [
        Write(("a",), (), (NOON + 1000, 1, 2.5), (NOON + 1000) * 1000 + 41),
        Write(("b",), (), (NOON, 60, 3.5), NOON * 1000 + 7),
    ]
    assert [(write.partition, write.cluster) for write in rows.recent_writes(readings, NOON + 1)] == [
        (("a",), (NOON + 1000, 1))
    ]


def test_of_many_readings_at_once_the_latest_few_are_shown_and_all_that_compete() -> None:
    sent = [("a", second, False) for second in (3, 9, 1, 7, 8, 2, 6)] + [
        ("b", 5, False),
        ("a", 0, True),
        ("b", 4, True),
    ]
    meters, seconds, contended = zip(*sent, strict=True)
    starts, offsets = [NOON + 1000 * second for second in seconds], list(range(len(sent)))
    places = rows.shown(["ab".index(meter) for meter in meters], starts, offsets, contended)
    assert [(meters[place], seconds[place]) for place in places] == [
        ("a", 9), ("a", 7), ("a", 8), ("a", 6), ("b", 5), ("a", 0), ("b", 4)
    ]  # fmt: skip
    assert rows.shown([], [], [], []).tolist() == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=60),
    st.integers(1, 20),
)
def test_of_readings_that_come_in_parts_the_same_are_shown(sent: list[tuple[int, int, bool]], size: int) -> None:
    """A task chooses of each batch, and at the end of all that it has chosen."""
    readings = [(meter, NOON + 1000 * second, offset, odd) for offset, (meter, second, odd) in enumerate(sent)]

    def chosen(some: list[tuple[int, int, int, bool]]) -> list[tuple[int, int, int, bool]]:
        columns = zip(*some, strict=True) if some else [()] * 4
        return [some[place] for place in rows.shown(*columns)]

    parts = [chosen(readings[first : first + size]) for first in range(0, len(readings), size)]
    result = chosen([one for part in parts for one in part])
    assert result == chosen(readings)
    for meter in {one[0] for one in readings}:
        of_meter = sorted((one for one in readings if one[0] == meter), key=lambda one: one[1:3])
        last = of_meter[-rows.MOST_RECENT :]
        assert [one for one in of_meter if one in result] == [one for one in of_meter if one[3] or one in last]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(1, 4),
    st.permutations(range(40)),
)
def test_the_latest_of_all_tasks_stays_whatever_each_has_seen(
    sent: list[tuple[str, int]], tasks: int, order: list[int]
) -> None:
    """Each task writes the latest that it knows; of rows of one key Cassandra keeps the one with the highest time."""
    readings = [(meter, NOON + second * 1000, 1, float(offset), offset) for offset, (meter, second) in enumerate(sent)]
    kept: dict[tuple[Any, ...], Write] = {}
    for task in sorted(range(tasks), key=lambda number: order[number]):
        seen = [readings[place] for place in order if place < len(readings) and place % tasks == task]
        for write in rows.latest_writes(seen):
            if write.partition not in kept or write.at > kept[write.partition].at:
                kept[write.partition] = write
    for meter in {meter for meter, _ in sent}:
        start, offset = max((each[1], each[-1]) for each in readings if each[0] == meter)
        assert kept[meter,].values == (start, 1, float(offset))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * 1440)), max_size=300))
def test_a_batch_holds_rows_of_one_partition_and_all_are_written_once(cells: list[tuple[str, int]]) -> None:
    given_rows = [minute(meter, NOON + at * MINUTE, version=n) for n, (meter, at) in enumerate(cells)]
    writes = rows.minute_writes(given_rows)
    result = list(rows.batches((write.partition, write) for write in writes))
    assert all(len({write.partition for write in some}) == 1 for some in result)
    assert all(1 <= len(some) <= BATCH_ROWS for some in result)
    assert sorted(write.at for some in result for write in some) == list(range(len(cells)))
    sizes = [len(some) for some in result if len(some) < BATCH_ROWS]
    assert len(sizes) <= len({write.partition for some in result for write in some})


@given(st.integers(0, 10**6), st.integers(1, 5000), st.integers(0, 10**6), st.integers(1, 5000))
def test_a_later_arrival_or_more_readings_make_a_later_write_time(one: int, few: int, two: int, many: int) -> None:
    if one < two:
        assert rows.version(NOON + one, few) < rows.version(NOON + two, many)
    assert rows.version(NOON + one, few) <= rows.version(NOON + one, few + many)
