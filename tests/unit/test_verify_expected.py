"""The second engine's own aggregation against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from datasets.household.declaration import HOUSEHOLD
from meterlake.declaration import Amount, Derived, Flag, Level, MeterSeries, Reject, View, per_hour
from meterlake.schema import master_fields
from serving_layer.verify import expected
from serving_layer.verify.errors import EmptyRange
from serving_layer.verify.scope import Scope

pytestmark = pytest.mark.unit

DATASET = MeterSeries(
    name="heat",
    title="Heat",
    intervals=(1, 60),
    time_zone="Europe/Paris",
    measures=(Level("flow", "l/s", "0.01", between=(0, 100)), Amount("warmth", "Wh", "0.1", between=(None, 1000))),
    rules=(Reject("still", "flow = 0 AND warmth > 0"), Flag("fast", "flow > 50")),
    derived=(
        Derived("double_rest", "Wh", "rest * 2"),
        Derived("rest", "Wh", "warmth_sum - 1"),
    ),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)
LATER = datetime(2030, 1, 1)  # noqa: DTZ001
T = "2020-06-01 10:00:00"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    result = duckdb.connect()
    yield result
    result.close()


def build(connection: duckdb.DuckDBPyConnection, *rows: dict[str, Any], dataset: MeterSeries = DATASET) -> None:
    fields = master_fields(dataset)
    types = ", ".join(f"{field.name} {field.type.sql('duckdb')}" for field in fields)
    connection.execute(f"CREATE TABLE readings ({types})")
    for line, row in enumerate(rows):
        given = {
            "meter_id": "m", "ts": at(T), "interval_s": 60, "flow": 1.0, "warmth": 1.0, "revision": 0,
            "received_at": LATER, "origin": "f", "origin_partition": 0, "origin_offset": line, "load_id": "l", **row,
        }  # fmt: skip
        values = [given[field.name] for field in fields]
        connection.execute(f"INSERT INTO readings VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
    expected.build(connection, dataset)


def rows(connection: duckdb.DuckDBPyConnection, view: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM want_{view} ORDER BY ALL").fetchall()  # noqa: S608


def test_state_of_a_minute_of_both_kinds(connection: duckdb.DuckDBPyConnection) -> None:
    build(
        connection,
        *({"ts": at(T) + timedelta(seconds=s), "interval_s": 1, "flow": 0.5 + s, "warmth": 0.1} for s in (0, 1, 59)),
    )
    result = rows(connection, "minute")
    assert result == [
        (
            "m", at(T), 3, 3, 1,
            Decimal("61.50"), Decimal("0.50"), Decimal("59.50"),  # 0.5 + 1.5 + 59.5 over one second each
            Decimal("0.3"), Decimal("0.1"), Decimal("0.1"),
        )
    ]  # fmt: skip


def test_a_level_counts_by_its_seconds_an_amount_does_not(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection, {"flow": 0.25, "warmth": -7.0})
    assert rows(connection, "hour", "meter_id, hour, covered_s, flow_sum, warmth_sum") == [
        ("m", at(T), 60, Decimal("15.00"), Decimal("-7.0"))
    ]


@pytest.mark.parametrize(
    ("value", "kept"), [(0.125, "0.13"), (0.375, "0.38"), (0.1249, "0.12"), (0.005, "0.01"), (0.0, "0.00")]
)
def test_halves_are_rounded_upwards(connection: duckdb.DuckDBPyConnection, value: float, kept: str) -> None:
    build(connection, {"flow": value, "warmth": 0.0})
    assert rows(connection, "minute", "meter_id, flow_min") == [("m", Decimal(kept))]


def test_negative_halves_are_rounded_upwards_too(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection, {"warmth": -0.25})
    assert rows(connection, "minute", "meter_id, warmth_min") == [("m", Decimal("-0.2"))]


@pytest.mark.parametrize(
    ("others", "flow"),
    [
        ([{"flow": 1.0}], "1.00"),  # a duplicate counts once
        ([{"flow": 9.0}], "1.00"),  # a conflict: the first by offset
        ([{"flow": 9.0, "received_at": LATER - timedelta(days=1)}], "9.00"),  # the first received
        ([{"flow": 9.0, "revision": 1}], "9.00"),
        ([{"flow": 9.0, "revision": 2}, {"flow": 5.0, "revision": 1}], "9.00"),
        ([{"flow": None, "warmth": None, "received_at": LATER - timedelta(days=1)}], "1.00"),  # values before gap rows
        ([{"flow": 0.0, "warmth": 5.0, "revision": 1}], "1.00"),  # rejected: takes no part
        ([{"flow": 200.0, "revision": 1}], "1.00"),  # out of range
        ([{"flow": float("nan"), "revision": 1}], "1.00"),
        ([{"warmth": None, "revision": 1}], "1.00"),  # half a reading
    ],
)
def test_one_reading_a_key_counts(
    connection: duckdb.DuckDBPyConnection, others: list[dict[str, Any]], flow: str
) -> None:
    build(connection, {}, *others)
    assert rows(connection, "minute", "meter_id, readings, flow_min, flow_max") == [
        ("m", 1, Decimal(flow), Decimal(flow))
    ]


def test_a_gap_row_of_a_higher_revision_withdraws_the_values(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection, {}, {"flow": None, "warmth": None, "revision": 1})
    assert rows(connection, "minute") == []


def test_what_is_off_the_grid_or_from_the_future_does_not_count(connection: duckdb.DuckDBPyConnection) -> None:
    arrived = at(T)
    build(
        connection,
        {"ts": at(T) + timedelta(seconds=30)},
        {"interval_s": 7},
        {"ts": arrived + timedelta(minutes=2), "received_at": arrived},
        {"ts": arrived + timedelta(minutes=1), "received_at": arrived},
    )
    assert rows(connection, "minute", "meter_id, minute") == [("m", arrived + timedelta(minutes=1))]


@pytest.mark.parametrize(("seconds", "covered", "readings"), [(59, 60, 1), (60, 60, 60)])
def test_of_two_lengths_the_one_that_covers_more_counts_and_at_a_tie_the_finer(
    connection: duckdb.DuckDBPyConnection, seconds: int, covered: int, readings: int
) -> None:
    fine = [{"ts": at(T) + timedelta(seconds=s), "interval_s": 1} for s in range(seconds)]
    build(connection, {}, *fine)
    assert rows(connection, "minute", "meter_id, covered_s, readings") == [("m", covered, readings)]


def test_local_days_at_both_changes_of_the_clock(connection: duckdb.DuckDBPyConnection) -> None:
    start, hours = at("2020-03-27 23:00:00"), 24 * 3
    spring = [{"ts": start + timedelta(hours=h)} for h in range(hours)]
    autumn = [{"ts": at("2020-10-23 22:00:00") + timedelta(hours=h)} for h in range(hours)]
    build(connection, *spring, *autumn)
    assert [row[1:] for row in rows(connection, "day", "meter_id, day, readings")] == [
        (date(2020, 3, 28), 24), (date(2020, 3, 29), 23), (date(2020, 3, 30), 24), (date(2020, 3, 31), 1),
        (date(2020, 10, 24), 24), (date(2020, 10, 25), 25), (date(2020, 10, 26), 23),
    ]  # fmt: skip


def test_gaps_lie_inside_and_are_cut_at_months(connection: duckdb.DuckDBPyConnection) -> None:
    build(
        connection,
        {"ts": at("2020-05-31 23:57:00")},
        {"ts": at("2020-05-31 23:58:00"), "flow": None, "warmth": None},
        {"ts": at("2020-06-01 00:02:00")},
        {"ts": at("2020-06-01 00:03:00")},
        {"ts": at("2020-06-01 00:09:00"), "flow": None, "warmth": None},
        {"meter_id": "n"},
    )
    assert rows(connection, "gaps") == [
        ("m", at("2020-05-31 23:58:00"), at("2020-06-01 00:00:00"), 120),
        ("m", at("2020-06-01 00:00:00"), at("2020-06-01 00:02:00"), 120),
    ]


def test_derived_values_whatever_their_order(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection, {"flow": 0.25, "warmth": 7.0})
    result = connection.execute(
        f"SELECT flow_avg, double_rest, rest FROM ({expected.published_sql(DATASET, 'want_minute')})"  # noqa: S608
    ).fetchall()
    assert result == [(0.25, 12.0, 6.0)]


def test_no_reading_makes_empty_views(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection)
    assert [rows(connection, view) for view in ("minute", "hour", "day", "gaps")] == [[]] * 4


def test_a_scope_leaves_whole_local_days(connection: duckdb.DuckDBPyConnection) -> None:
    build(connection, *({"ts": at("2020-06-01 21:00:00") + timedelta(hours=h)} for h in range(30)))
    expected.limit(connection, Scope(DATASET, ("m",), date(2020, 6, 2), date(2020, 6, 3)))
    assert len(rows(connection, "minute")) == len(rows(connection, "hour")) == 24
    assert rows(connection, "minute", "min(minute), max(minute)") == [
        (at("2020-06-01 22:00:00"), at("2020-06-02 21:00:00"))
    ]
    assert rows(connection, "day", "meter_id, day") == [("m", date(2020, 6, 2))]
    assert len(rows(connection, "gaps")) == 24
    expected.limit(connection, Scope(DATASET, ("m",), date(2020, 6, 3), None))
    assert rows(connection, "gaps") == []


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(EmptyRange):
        Scope(HOUSEHOLD, (), date(2020, 1, 2), date(2020, 1, 2))


def test_a_coarse_data_set(connection: duckdb.DuckDBPyConnection) -> None:
    views = (View("hour", "month"), View("day", "year"))
    coarse = replace(DATASET, intervals=(1800,), views=views, lateness=timedelta(hours=1))
    build(
        connection,
        {"interval_s": 1800}, {"interval_s": 1800, "ts": at(T) + timedelta(minutes=30)},
        {"interval_s": 1800, "ts": at(T) + timedelta(hours=3)},
        dataset=coarse,
    )  # fmt: skip
    assert rows(connection, "hour", "meter_id, hour, readings, covered_s")[0] == ("m", at(T), 2, 3600)
    assert rows(connection, "gaps") == [("m", at(T) + timedelta(hours=1), at(T) + timedelta(hours=3), 7200)]


def test_half_hours_with_rates_and_months(connection: duckdb.DuckDBPyConnection) -> None:
    views = (View("30 min"), View("hour"), View("day"), View("month"))
    energy = Amount("warmth", "kWh", "0.001", between=per_hour(0, 100))
    london = MeterSeries(
        name="london", intervals=("30 min",), time_zone="Europe/London", measures=(energy,), views=views
    )  # fmt: skip
    start = at("2020-05-31 22:00:00")  # 23:00 in London, the last hour of May
    build(
        connection,
        *({"ts": start + timedelta(minutes=30 * n), "interval_s": 1800, "warmth": w} for n, w in enumerate([1, 2, 4])),
        {"ts": start + timedelta(minutes=120), "interval_s": 1800, "warmth": 50.0},
        {"ts": start + timedelta(minutes=150), "interval_s": 1800, "warmth": 50.001},  # more than 100 kWh an hour
        dataset=london,
    )
    times = [start + timedelta(minutes=minutes) for minutes in (0, 30, 60, 120)]
    assert rows(connection, "half_hour", "half_hour, readings, covered_s, warmth_sum") == [
        (time, 1, 1800, Decimal(value)) for time, value in zip(times, (1, 2, 4, 50), strict=True)
    ]
    assert rows(connection, "hour", "hour, warmth_sum") == [
        (start, Decimal(3)), (times[2], Decimal(4)), (times[3], Decimal(50))
    ]  # fmt: skip
    assert rows(connection, "day", "day, warmth_sum") == [
        (date(2020, 5, 31), Decimal(3)),
        (date(2020, 6, 1), Decimal(54)),
    ]
    assert rows(connection, "month", "month, readings, warmth_sum") == [
        (date(2020, 5, 1), 2, Decimal(3)),
        (date(2020, 6, 1), 2, Decimal(54)),
    ]
    assert rows(connection, "gaps") == [("m", times[2] + timedelta(minutes=30), times[3], 1800)]
    published = connection.execute(expected.published_sql(london, "want_half_hour")).fetchall()
    assert sorted(row[1] for row in published) == times
    expected.limit(connection, Scope(london, until=date(2020, 6, 15)))
    assert rows(connection, "month", "month") == [(date(2020, 5, 1),)]  # June is not whole
