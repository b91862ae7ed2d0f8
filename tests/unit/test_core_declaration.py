"""A declaration refuses every contradiction at construction, and says what to do."""

from __future__ import annotations

import pickle
from datetime import date, timedelta
from typing import Any

import pytest
from core_samples import LONDON, TANK, changed

from meterlake import registry
from meterlake.declaration import (
    MAX_UNITS,
    Amount,
    Derived,
    Flag,
    Level,
    Measure,
    Reject,
    Retention,
    Rule,
    View,
    per_hour,
)
from meterlake.errors import DeclarationError, UnknownName

pytestmark = pytest.mark.unit

DAY = View("day", "year")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Level("Power", "kW", "1"), "Measure 'Power': the name 'Power' cannot be used"),
        (lambda: Level("offset", "kW", "1"), "the name 'offset' is a reserved word"),
        (lambda: Level("a" * 41, "kW", "1"), "at most 40 characters"),
        (lambda: Level("p", "", "1"), "has no unit"),
        (
            lambda: Level("p", "kW", "0.5"),
            "its resolution '0.5' is not a power of ten from 1 down to 1E-9. Write one of 1, 0.1",
        ),
        (lambda: Level("p", "kW", "10"), "its resolution '10'"),
        (lambda: Level("p", "kW", "fine"), "its resolution 'fine'"),
        (lambda: Level("p", "kW", "1E-10"), "its resolution '1E-10'"),
        (lambda: Amount("p", "Wh", "1", between=(3, 2)), r"its range \(3, 2\) is empty or reversed"),
        (lambda: Amount("p", "Wh", "1", between=(2, 2)), "is empty or reversed"),
        (lambda: Amount("p", "Wh", "0.001", between=(0, 2e8)), r"passes ±1e\+08 Wh .* coarsen the resolution"),
        (lambda: Measure("p", "kW", "1"), "neither a Level nor an Amount"),
        (lambda: Rule("r", "a > 1"), "neither a Reject nor a Flag"),
        (lambda: Reject("r", "a + 1"), "Rule 'r': 'a \\+ 1' is a number, not a boolean. Write a condition"),
        (lambda: Flag("r", "sum(a) > 1"), "the function 'SUM\\(a\\)' is not allowed"),
        (lambda: Derived("d", "1", "a > 1"), "is a boolean, not a number. Write a formula"),
        (lambda: Derived("d", "1", "x", where={"x": "max(a)"}), "Derived 'd', where 'x'"),
        (lambda: Level("p", "kW", "1", between=per_hour(0, 1)), r"its range per_hour\(0, 1\) is a rate, but a level"),
        (lambda: Amount("p", "Wh", "1", between=per_hour(1, 0)), r"its range per_hour\(1, 0\) is empty or reversed"),
        (lambda: View("week"), "its grain 'week' is neither a duration of 1 min, 5 min, 10 min, 15 min, 30 min, 1 h"),
        (lambda: View("45 min"), "its grain '45 min' is neither"),
        (lambda: View("day", "week"), "its partition 'week' is unknown"),  # type: ignore[arg-type]
        (lambda: View("month", "month"), "its partition 'month' has the name of its time column. Partition it by year"),
    ],
)
def test_parts_are_checked(make: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": ()}, "has no measures"),
        ({"views": ()}, "has no views"),
        ({"measures": list(TANK.measures)}, "its measures are not a tuple"),
        ({"intervals": ("soon",)}, "Interval: 'soon' is no duration"),
        ({"intervals": ("90 s",)}, "the interval of 90 s neither"),
        ({"intervals": ("500 ms",)}, "the interval of 0.5 s neither"),
        ({"intervals": ("2 h",)}, "the interval of 7200 s is longer than an hour. Use at most 3600 s"),
        ({"measures": (*TANK.measures, Level("pressure", "bar", "1"))}, "the column 'pressure' occurs 2 times"),
        ({"measures": (*TANK.measures, Level("inflow_sum", "l", "1"))}, "the column 'inflow_sum' occurs 2"),
        ({"measures": (*TANK.measures, Level("readings", "1", "1"))}, "the column 'readings' occurs 2 times"),
        ({"key": "source"}, "the column 'source' occurs 2 times"),
        ({"rules": (Flag("a", "inflow > 1"), Flag("a", "inflow > 2"))}, "the rule 'a' occurs 2 times"),
        ({"rules": (Flag("off_grid", "inflow > 1"),)}, "has the name of a generated one"),
        ({"rules": (Flag("a", "outflow > 1"),)}, "rule 'a': it reads the unknown column 'outflow'. It may read"),
        ({"derived": (Derived("d", "1", "inflow"),)}, "derived 'd': it reads the unknown column 'inflow'"),
        ({"derived": (Derived("d", "1", "inflow_avg"),)}, "unknown column 'inflow_avg'"),
        ({"derived": (Derived("d", "1", "1 + readings", where={"readings": "2"}),)}, "hides the column"),
        ({"derived": (Derived("d", "1", "e"), Derived("e", "1", "d"))}, "depend on each other: d -> e -> d"),
        ({"intervals": (7, 60)}, "the interval of 7 s neither divides a minute"),
        ({"intervals": (90,)}, "the interval of 90 s neither"),
        ({"intervals": (0,)}, "the interval of 0 s neither"),
        ({"intervals": (1.5,)}, "the interval of 1.5 s neither"),
        ({"intervals": (60, 60)}, "the interval length '60' occurs 2 times"),
        (
            {"intervals": (600, 900), "views": (View("15 min"),)},
            "'quarter_hour' does not consist of whole intervals of",
        ),
        ({"intervals": (420,), "views": (View("hour"),)}, "'hour' does not consist of whole intervals of 420 s"),
        ({"views": (View("10 min"), View("15 min"))}, "'quarter_hour' does not consist of whole rows of 'ten_minutes'"),
        ({"views": (DAY,)}, "its finest view 'day' follows the calendar. Declare a view of a minute to an hour"),
        ({"intervals": (900,)}, "its view 'minute' does not consist of whole intervals of 900 s"),
        ({"views": (DAY, DAY)}, "the view 'day' occurs 2 times"),
        ({"time_zone": "Europe/Atlantis"}, "there is no time zone 'Europe/Atlantis'. Did you mean 'Europe/Athens'"),
        (
            {"views": (View("hour", "month"), DAY)},
            r"local days of Asia/Kolkata \(UTC\+5.5 h\) cut its rows of 3600 s. Declare the view 'half_hour' too",
        ),
        (
            {"views": (View("30 min"), View("month")), "time_zone": "Asia/Kathmandu"},
            r"local days of Asia/Kathmandu \(UTC\+5.75 h\) cut its rows of 1800 s. Declare the view 'quarter_hour' too",
        ),
        (
            {"intervals": ("1 h",), "views": (View("hour"), DAY), "time_zone": "Asia/Singapore"},
            r"cut its rows of 3600 s. Declare earliest=date\(1982, 1, 1\), if no reading is older, or drop",
        ),
        (
            {"intervals": ("1 h",), "views": (View("hour"), DAY)},
            "cut its rows of 3600 s. Drop its views of days and months: its intervals of 1 h cannot be cut",
        ),
        ({"lateness": timedelta(seconds=60.5)}, "its lateness of 0:01:00.500000 is not whole seconds"),
        ({"retention": Retention(speed=timedelta(minutes=5))}, "it keeps recent records 1:00:00"),
        ({"table_format": "hudi"}, "the table format 'hudi' is unknown"),
        ({"wire_version": 0}, "wire_version is 0"),
        ({"max_message_bytes": 0}, "max_message_bytes is 0"),
        ({"name": "tank-2"}, "the name 'tank-2' cannot be used in every engine"),
    ],
)
def test_a_dataset_is_consistent(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        changed(**changes)


def test_what_is_declared_is_derived() -> None:
    assert TANK.readings_topic == "meterlake.tank.readings"
    assert TANK.rejected_topic == "meterlake.tank.rejected"
    assert [measure.scale for measure in TANK.measures] == [2, 0, 3]
    assert TANK.measure("temperature").limits(60) == (-float(MAX_UNITS), float(MAX_UNITS))
    assert TANK.finest.grain == "minute"
    assert [rule.name for rule in TANK.rejects] == ["frozen"]
    assert [rule.name for rule in TANK.flags] == ["hot", "odd"]
    assert TANK.cell_s == 60
    assert TANK.identity == ("meter_id", "ts", "interval_s")
    assert [field.name for field in TANK.fields] == ["pressure", "temperature", "inflow"]


def test_one_measure_is_all_that_a_meter_needs() -> None:
    assert LONDON.title == "London"
    assert LONDON.intervals == (1800,)
    assert [(view.grain, view.partition) for view in LONDON.views] == [
        ("half_hour", "month"),
        ("hour", "month"),
        ("day", "year"),
        ("month", "year"),
    ]
    assert LONDON.finest == View("half_hour") == View("1800s")
    assert LONDON.cell_s == 1800


def test_offsets_before_the_earliest_day_cut_nothing() -> None:
    hours = {"intervals": ("1 h",), "views": (View("hour"), DAY), "time_zone": "Asia/Singapore"}
    assert changed(**hours, earliest=date(1982, 1, 1)).finest.grain == "hour"


def test_seconds_and_durations_are_the_same_intervals() -> None:
    assert changed(intervals=("10 s", "1 min")) == TANK
    assert changed(intervals="60s", views=(View("minute"),)).intervals == (60,)


@pytest.mark.parametrize(
    ("interval_s", "limits"),
    [(1, (-1 / 3600, 0.1 / 3600)), (60, (-1 / 60, 0.1 / 60)), (1800, (-0.5, 0.05)), (3600, (-1.0, 0.1))],
)
def test_the_range_of_an_amount_is_in_proportion_to_its_interval(interval_s: int, limits: tuple[float, float]) -> None:
    assert Amount("e", "kWh", "0.001", between=per_hour(-1, 0.1)).limits(interval_s) == limits
    assert Amount("e", "kWh", "0.001", between=per_hour(None, 1)).limits(interval_s)[0] == -1e8


def test_it_travels_to_workers_unchanged() -> None:
    assert TANK.derived[0].expression  # cached parts travel too
    for dataset in (TANK, LONDON):
        copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
        assert copy == dataset
        assert hash(copy) == hash(dataset)


def test_the_registry_knows_its_names() -> None:
    assert registry.names() == ("half_hourly", "household")
    assert registry.declaration("household").name == "household"
    with pytest.raises(UnknownName, match=r"Unknown data set 'houshold'. Did you mean 'household'\?"):
        registry.declaration("houshold")
