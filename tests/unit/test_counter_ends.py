"""Counters that go on from file to file: in any order of loading, the amounts are those of one file with all of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_layer.ingest.counters import Mine, _place_of, _placed_rows, _rows
from engines.readers.counters import _outcomes
from meterlake.counter_ends import Ends, Neighbours, place
from meterlake.registers import AcrossGap, CounterReading, IntervalAmount, KnownExchange, Rule

pytestmark = pytest.mark.unit
HOUR = 3600


def readings(*hours: float) -> list[CounterReading]:
    """Return readings of a counter that runs 100 an hour."""
    return [CounterReading(round(at * HOUR), round(100 * at), "", place=n) for n, at in enumerate(hours, start=1)]


def loaded(files: list[list[CounterReading]], rule: Rule) -> dict[int, tuple[int, bool]]:
    """Load files one after the other, each in a load of its own; return the amounts that count, as batch decides."""
    stored: list[Ends] = []
    made: list[tuple[int, int, IntervalAmount]] = []
    for number, file in enumerate(files):
        ends = Ends.of(file, rule.interval_s)
        neighbours, revision = place(ends, stored, rule.interval_s)
        made += [
            (-revision, number, one) for one in _outcomes(file, rule, neighbours) if isinstance(one, IntervalAmount)
        ]
        stored.append(Ends(ends.head, ends.tail, f"{number}", revision, is_stored=True))
    counting: dict[int, tuple[int, bool]] = {}
    for _, _, one in sorted(made, key=lambda each: each[:2]):
        counting.setdefault(one.begins, (one.units, one.estimated))
    return counting


def amounts(file: list[CounterReading], rule: Rule) -> dict[int, tuple[int, bool]]:
    return {
        one.begins: (one.units, one.estimated)
        for one in _outcomes(file, rule, Neighbours())
        if isinstance(one, IntervalAmount)
    }


def test_the_ends_are_what_a_neighbour_needs() -> None:
    on_grid = Ends.of(readings(1, 2, 3, 4), HOUR)
    assert ([one.at for one in on_grid.head], [one.at for one in on_grid.tail]) == ([HOUR], [4 * HOUR])
    off = Ends.of(readings(1.2, 1.5, 2.1, 3.9, 4.3, 4.6), HOUR)
    assert [one.units for one in off.head] == [120, 150, 210]
    assert [one.units for one in off.tail] == [390, 430, 460]
    alone = Ends.of(readings(1.2), HOUR)
    assert alone.head == alone.tail
    assert (alone.first, alone.last) == (4320, 4320)


def test_a_daily_file_goes_on_where_the_last_one_ended() -> None:
    rule = Rule(interval_s=HOUR)
    first, second = readings(0, 1, 2), readings(3, 4)
    assert loaded([first, second], rule) == {n * HOUR: (100, False) for n in range(4)}
    assert loaded([second, first], rule) == {n * HOUR: (100, False) for n in range(4)}
    # Exports that share a reading, or repeat a part, are told apart.
    assert loaded([readings(0, 1, 2), readings(2, 3)], rule) == {n * HOUR: (100, False) for n in range(3)}
    assert loaded([readings(0, 1, 2, 3), readings(1, 2), readings(0, 1, 2, 3, 4)], rule) == {
        n * HOUR: (100, False) for n in range(4)
    }


def test_files_of_one_load_take_from_the_earlier_one_only() -> None:
    january, march = Ends.of(readings(0, 1), HOUR), Ends.of(readings(3, 4), HOUR)
    assert place(january, [march], HOUR).neighbours == Neighbours()
    assert [one.at for one in place(march, [january], HOUR).neighbours.before] == [HOUR]


def test_a_file_that_comes_between_replaces_what_was_estimated() -> None:
    rule = Rule(interval_s=HOUR, across_gap="spread")
    early, late = readings(0, 1), readings(4, 5)
    between = [CounterReading(2 * HOUR, 100, "", 1), CounterReading(3 * HOUR, 390, "", 2)]
    assert loaded([early, late], rule)[2 * HOUR] == (100, True)
    assert loaded([early, late, between], rule) == {
        0: (100, False),
        HOUR: (0, False),
        2 * HOUR: (290, False),
        3 * HOUR: (10, False),
        4 * HOUR: (100, False),
    }


@settings(max_examples=100)
@given(
    data=st.data(),
    across=st.sampled_from(["drop", "spread", "one_interval"]),
    on_grid=st.booleans(),
    modulus=st.sampled_from([None, 1000]),
    known=st.booleans(),
)
def test_any_order_of_files_makes_what_one_file_makes(
    data: st.DataObject, across: AcrossGap, on_grid: bool, modulus: int | None, known: bool
) -> None:
    """Also where the counter rolls over, begins again at zero, or is another (known: declared with its values)."""
    steps = st.sampled_from([60, 120] if on_grid else [13, 20, 60, 95, 130])
    ran = st.sampled_from([0, 1, 7, 50, 900, -1, -30])
    lengths: list[Any] = data.draw(
        st.lists(st.tuples(steps, ran, st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=14)
    )
    at, shown, serial, every, exchanges = 0, 990, 0, list[CounterReading](), list[KnownExchange]()
    for number, (length, amount, another) in enumerate(lengths, start=1):
        at, shown, serial = at + length, max(0, shown + amount) % (modulus or 10**9), serial + another
        if another and known:
            exchanges.append(KnownExchange(at - 5, (shown + 3) % (modulus or 10**9), 2))
            shown = 4
        every.append(CounterReading(at, shown, str(serial), number))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(every)), max_size=5)) | {len(every)})
    files = [every[begin:end] for begin, end in zip([0, *cuts[:-1]], cuts, strict=True)]
    rule = Rule(interval_s=60, across_gap=across, modulus=modulus, resets=True, exchanges=tuple(exchanges))
    assert loaded(data.draw(st.permutations(files)), rule) == amounts(every, rule)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_task_places_counters_as_the_driver_does(data: st.DataObject) -> None:
    """What is stored goes through a table in either case; the files of the load are beside each other."""
    cuts = sorted(data.draw(st.sets(st.integers(1, 39), min_size=3, max_size=8)))
    hours = [HOUR * n + data.draw(st.sampled_from([0, 0, 900])) for n in range(40)]
    every = [CounterReading(at, at // 36, data.draw(st.sampled_from(["", "x"]))) for at in hours]
    ends = [Ends.of(every[a:b], HOUR) for a, b in zip([0, *cuts], [*cuts, 40], strict=True)]
    key, mine_at = ("m", "energy"), data.draw(st.sets(st.integers(0, len(ends) - 1), min_size=1, max_size=2))
    mine = Mine({key: {n: ends[n] for n in mine_at}}, frozenset(mine_at), dict.fromkeys(mine_at, HOUR))
    stored = [
        {"meter_id": "m", "load_id": f"{n}", **dict(zip(STORED, row[1:7], strict=True))}
        for n, one in enumerate(ends)
        if n not in mine_at
        for row in _rows(key, one, f"{n}", n)
    ]
    expected = mine.placed(
        key,
        [replace(one, load_id=f"{n}", revision=n, is_stored=True) for n, one in enumerate(ends) if n not in mine_at],
    )
    made = _placed_rows(mine, "meter_id", pa.Table.from_pylist(stored)).to_pylist()
    by_file: dict[int, list[Any]] = {}
    for row in made:
        by_file.setdefault(row["file"], []).append(SimpleNamespace(**row))
    assert {file: _place_of(rows) for file, rows in by_file.items()} == dict(expected)


STORED = ("read_at", "measure", "edge", "units", "serial", "revision")
