"""Rules, precedence, balance and boundary: the decisions of both layers."""

# ruff: noqa: S608 - the SQL under test is generated

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from core_samples import NOON, TANK, changed, query, tank_columns, tank_readings
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.household.declaration import HOUSEHOLD
from meterlake.boundary import (
    PartitionProgress,
    check_kafka_retention,
    check_rollback,
    check_ttl,
    needed_ttl,
    next_boundary,
    speed_days,
    uncovered_by_rollback,
)
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.durations import duration_text
from meterlake.errors import KafkaRetentionTooShort, OutOfBalance, RollbackLosesMinutes, TtlTooShort
from meterlake.lateness import is_late, late_sql, watermark_delay
from meterlake.precedence import Balance, key_columns, order, order_sql, resolve
from meterlake.reading import Reading
from meterlake.rules import (
    flagged_sql,
    is_flagged,
    quarantine_reason,
    quarantine_reason_sql,
    reasons,
    reject_reason,
    reject_reason_sql,
)

pytestmark = pytest.mark.unit

T = int(NOON.timestamp())
RATED = changed(measures=(*TANK.measures[:2], Amount("inflow", "l", "0.001", between=per_hour(0, 108))))
GOOD = Reading("a", T, 60, (2.0, 300.0, 1.0), received_at=NOON)


@settings(max_examples=80)
@given(st.lists(tank_readings(wild=True), min_size=1, max_size=25), st.sampled_from([TANK, RATED]))
def test_rules_are_the_same_in_python_and_duckdb(readings: list[Reading], dataset: MeterSeries) -> None:
    expressions = (
        quarantine_reason_sql(dataset, "duckdb"), reject_reason_sql(dataset, "duckdb"), flagged_sql(dataset, "duckdb")
    )  # fmt: skip
    rows = query(f"SELECT {', '.join(expressions)} FROM t ORDER BY n", tank_columns(readings))
    for reading, (quarantined, rejected, flagged) in zip(readings, rows, strict=True):
        assert quarantined == quarantine_reason(dataset, reading)
        assert rejected == reject_reason(dataset, reading)
        if rejected is None:  # flags are for accepted readings
            assert flagged == is_flagged(dataset, reading)


@pytest.mark.parametrize(
    ("interval_s", "inflow", "reason"),
    [
        (10, 0.3, None),  # exactly what 108 l an hour are
        (10, math.nextafter(0.3, 1), "inflow_above_max"),
        (60, 1.8, None),
        (60, math.nextafter(1.8, 2), "inflow_above_max"),
        (60, 0.0, None),
        (10, -0.0001, "inflow_below_min"),
    ],
)
def test_the_limits_of_a_rate_are_exact_in_every_interval(interval_s: int, inflow: float, reason: str | None) -> None:
    reading = replace(GOOD, interval_s=interval_s, values=(2.0, 300.0, inflow))
    assert reject_reason(RATED, reading) == reason
    assert query(f"SELECT {reject_reason_sql(RATED, 'duckdb')} FROM t", tank_columns([reading])) == [(reason,)]


@pytest.mark.parametrize(("interval_s", "wh"), [(1, 8_400.0), (60, 8_400.0)])
def test_a_days_energy_sent_again_after_a_restart_is_no_reading_of_a_household(interval_s: int, wh: float) -> None:
    good = Reading("a", T, interval_s, (0.6, 0.1, 240.0, 2.6, 0.0, 0.0, 1.0), received_at=NOON)
    assert reject_reason(HOUSEHOLD, good) is None
    again = replace(good, values=(*good.values[:-1], wh))
    assert reject_reason(HOUSEHOLD, again) == "sub_metering_3_above_max"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"values": (-1.0, 300.0, 0.0)}, None),
        ({"values": (-1.0001, 300.0, 0.0)}, "pressure_below_min"),
        ({"values": (250.0001, 300.0, 0.0)}, "pressure_above_max"),
        ({"values": (math.nan, 300.0, -1.0)}, "pressure_not_finite"),
        ({"values": (0.0, -math.inf, 0.0)}, "temperature_not_finite"),
        ({"values": (0.0, 1.1e11, 0.0)}, "temperature_above_max"),
        ({"values": (300.0, 100.0, 1.0)}, "pressure_above_max"),  # ranges come before declared rules
        ({"values": (0.0, 100.0, 1.0)}, "frozen"),
        ({"values": (None, None, None)}, None),
        ({"received_at": NOON - timedelta(seconds=60)}, None),
        ({"received_at": NOON - timedelta(seconds=60, microseconds=1)}, "received_before_event"),
    ],
)
def test_the_first_reason_counts(change: dict[str, Any], reason: str | None) -> None:
    assert reject_reason(TANK, replace(GOOD, **change)) == reason
    assert reason is None or reason in reasons(TANK)


def test_quarantine_takes_what_is_off_the_grid_or_half_measured() -> None:
    assert quarantine_reason(TANK, replace(GOOD, ts=T + 10)) == "off_grid"
    assert quarantine_reason(TANK, replace(GOOD, interval_s=30)) == "off_grid"
    assert quarantine_reason(TANK, replace(GOOD, values=(1.0, None, 1.0))) == "missing_measure"
    assert quarantine_reason(TANK, replace(GOOD, values=(None, None, None))) is None


def test_flags_count_but_do_not_reject() -> None:
    hot = replace(GOOD, values=(2.0, 351.0, 100.0))
    assert is_flagged(TANK, hot)
    assert reject_reason(TANK, hot) is None
    assert not is_flagged(TANK, replace(GOOD, values=(2.0, 349.0, 100.0)))


def test_verdicts() -> None:
    gap = replace(GOOD, values=(None, None, None))
    other = replace(GOOD, values=(9.0, 300.0, 1.0), origin_offset=5)
    same = replace(GOOD, values=(2.001, 300.4, 1.0), origin_offset=1)  # equal in units
    revised = replace(other, revision=1, received_at=NOON + timedelta(hours=1))
    assert resolve(TANK, [GOOD, same, other]) == ["used", "duplicate", "conflicting"]
    assert resolve(TANK, [GOOD, same, revised, gap]) == ["superseded", "superseded", "used", "superseded"]
    assert resolve(TANK, [replace(gap, received_at=NOON - timedelta(hours=1)), GOOD]) == ["superseded", "used"]
    assert resolve(TANK, [gap, replace(gap, origin_offset=1)]) == ["gap", "duplicate"]
    assert resolve(TANK, [GOOD, replace(gap, revision=1)]) == ["superseded", "gap"]  # a withdrawal
    late = replace(other, received_at=NOON - timedelta(milliseconds=1))
    assert resolve(TANK, [GOOD, late]) == ["conflicting", "used"]
    assert resolve(TANK, [GOOD, replace(GOOD, interval_s=10)]) == ["used", "used"]  # another key
    assert resolve(TANK, []) == []


ARRIVALS = st.lists(
    st.one_of(tank_readings(), tank_readings(wild=True).map(lambda r: replace(r, values=(None, None, None)))),
    max_size=12,
    unique_by=lambda r: (r.key, r.origin, r.origin_partition, r.origin_offset),
)


@given(ARRIVALS, st.randoms(use_true_random=False))
def test_precedence_does_not_depend_on_order(readings: list[Reading], random: Any) -> None:
    shuffled = random.sample(readings, len(readings))
    verdicts = dict(zip(map(id, readings), resolve(TANK, readings), strict=True))
    assert resolve(TANK, shuffled) == [verdicts[id(reading)] for reading in shuffled]
    Balance.of(len(readings), verdicts.values()).check()
    winners = [reading for reading in readings if verdicts[id(reading)] in ("used", "gap")]
    assert sorted(reading.key for reading in winners) == sorted({reading.key for reading in readings})


@settings(max_examples=40)
@given(ARRIVALS.filter(bool))
def test_duckdb_picks_the_same_winners(readings: list[Reading]) -> None:
    window = f"PARTITION BY {', '.join(key_columns(TANK))} ORDER BY {', '.join(order_sql(TANK))}"
    rows = query(f"SELECT ROW_NUMBER() OVER ({window}) FROM t ORDER BY n", tank_columns(readings))
    winners = [verdict in ("used", "gap") for verdict in resolve(TANK, readings)]
    assert [row[0] == 1 for row in rows] == winners


def test_the_whole_order_is_the_same_in_sql() -> None:
    readings = [
        Reading("a", T, 60, (value, value, value), revision, received_at, origin, partition, offset)
        for value in (None, 1.0)
        for revision in (0, 1)
        for received_at in (NOON, NOON + timedelta(milliseconds=1))
        for origin in ("meterlake.tank.readings", "old.csv")
        for partition in (0, 1)
        for offset in (8, 9)
    ]
    ordered = sorted(range(len(readings)), key=lambda index: order(readings[index]))
    rows = query(f"SELECT n FROM t ORDER BY {', '.join(order_sql(TANK))}", tank_columns(readings))
    assert [row[0] for row in rows] == ordered


def test_a_balance_that_does_not_hold_says_what_is_missing() -> None:
    half = Balance(read=5, used=3, rejected=2)
    (half + half).check()
    with pytest.raises(OutOfBalance, match=r"Run 7: 11 readings were read, but 6 used .* makes 10: 1 are missing"):
        replace(half + half, read=11).check("Run 7")


TIMES = st.integers(-7200, 7200).map(lambda s: NOON + timedelta(seconds=s))
PROGRESS = st.lists(
    st.builds(PartitionProgress, st.integers(0, 3), st.one_of(st.none(), TIMES), st.booleans()), max_size=4
)
LATENESS = st.integers(0, 3600).map(lambda s: timedelta(seconds=s))


WAITS = st.integers(60, 3600).map(lambda s: replace(TANK, lateness=timedelta(seconds=s)))


@given(PROGRESS, TIMES, WAITS, st.one_of(st.none(), TIMES.map(lambda t: t.replace(second=0))))
def test_the_boundary_is_safe_and_never_falls(
    progress: list[PartitionProgress], clock: datetime, dataset: MeterSeries, current: datetime | None
) -> None:
    boundary = next_boundary(dataset, progress, clock, current)
    assert boundary.second == boundary.microsecond == 0
    if current is not None:
        assert boundary >= current
    free = next_boundary(dataset, progress, clock)
    assert free <= clock - dataset.lateness
    for partition in progress:
        if not partition.at_end and partition.archived_until is not None:
            assert free <= partition.archived_until - dataset.lateness


@given(PROGRESS, TIMES, TIMES, WAITS)
def test_the_boundary_grows_with_the_archive(
    progress: list[PartitionProgress], one: datetime, two: datetime, dataset: MeterSeries
) -> None:
    earlier, later = sorted((one, two))
    assert next_boundary(dataset, progress, earlier) <= next_boundary(dataset, progress, later)
    finished = [replace(partition, at_end=True) for partition in progress]
    assert next_boundary(dataset, progress, later) <= next_boundary(dataset, finished, later)


def test_boundary_examples() -> None:
    behind = PartitionProgress(0, NOON - timedelta(minutes=30, seconds=10), at_end=False)
    done = PartitionProgress(1, NOON - timedelta(hours=9), at_end=True)
    assert next_boundary(TANK, [], NOON) == NOON - timedelta(minutes=10)
    assert next_boundary(TANK, [done], NOON) == NOON - timedelta(minutes=10)
    assert next_boundary(TANK, [behind, done], NOON) == NOON - timedelta(minutes=41)
    assert next_boundary(TANK, [PartitionProgress(2, None, at_end=False)], NOON).year == 1970
    half_hours = replace(TANK, intervals=(1800,), views=(View("hour", "month"),), lateness=timedelta(minutes=40))
    assert next_boundary(half_hours, [], NOON) == NOON - timedelta(hours=1)


# Late


MILLISECONDS = st.integers(-5000, 5000)


@given(MILLISECONDS, st.integers(0, 119), WAITS)
def test_what_is_late_depends_on_the_reading_alone_and_is_the_same_in_sql(
    beyond: int, start: int, dataset: MeterSeries
) -> None:
    """Around the limit, to the millisecond: the end of the cell and the lateness."""
    end = T + start // 60 * 60 + 60
    received = datetime.fromtimestamp(end, UTC) + dataset.lateness + timedelta(milliseconds=beyond)
    reading = Reading("a", T + start // 10 * 10, 10, (1.0, 1.0, 1.0), received_at=received)
    assert is_late(dataset, reading) == (beyond >= 0)
    columns = tank_columns([reading])
    assert query(f"SELECT {late_sql(dataset, 'duckdb')} FROM t", columns) == [(beyond >= 0,)]


@given(st.integers(-10, 40 * 60), st.integers(0, 59_999), WAITS, st.integers(0, 5000))
def test_nothing_that_is_on_time_is_missing_when_the_boundary_has_passed(
    behind: int, phase: int, dataset: MeterSeries, unarchived: int
) -> None:
    """A record that the archive lacks came at A_p or later; of a cell before the boundary it can only be late."""
    archived = NOON + timedelta(milliseconds=phase)
    received = archived + timedelta(milliseconds=unarchived)
    reading = Reading("a", int(received.timestamp()) - behind, 10, (1.0, 1.0, 1.0), received_at=received)
    boundary = next_boundary(dataset, [PartitionProgress(0, archived, at_end=False)], NOON + timedelta(hours=2))
    begins = reading.ts // dataset.cell_s * dataset.cell_s
    assert begins >= boundary.timestamp() or is_late(dataset, reading)


@given(st.integers(0, 2 * 3600), st.integers(-60, 3600), st.integers(0, 60), WAITS)
def test_the_watermark_never_drops_what_is_on_time(ago: int, newest: int, spread: int, dataset: MeterSeries) -> None:
    """However far ahead a meter's clock may be, and where partitions are read a minute apart."""
    arrived = NOON + timedelta(seconds=spread)
    ahead = min(newest, int(dataset.clock_tolerance.total_seconds()))
    newest_cell = (T + spread + ahead) // dataset.cell_s * dataset.cell_s
    watermark = newest_cell - watermark_delay(dataset).total_seconds()
    received = arrived - timedelta(seconds=spread)
    reading = Reading("a", T - ago, 10, (1.0, 1.0, 1.0), received_at=received)
    assert is_late(dataset, reading) or reading.ts // dataset.cell_s * dataset.cell_s > watermark


def test_the_view_asks_for_every_day_from_the_boundary_on() -> None:
    boundary = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    days = speed_days(boundary, NOON, timedelta(days=3))
    assert days[0] == "2026-11-20"
    assert days[-1] == "2026-11-26"
    assert len(days) == 7
    assert speed_days(NOON + timedelta(days=99), NOON, timedelta(days=3)) == ["2027-02-28"]


def test_a_short_ttl_is_refused_in_words() -> None:
    hours = timedelta(hours=1)
    assert needed_ttl(4 * hours, hours) == 9 * hours
    check_ttl("household", 9 * hours, 4 * hours, hours)
    with pytest.raises(TtlTooShort) as refused:
        check_ttl("household", 6 * hours, 4 * hours, hours)
    assert str(refused.value) == (
        "Cassandra TTL of household (6 h) is shorter than batch interval + lateness + one missed run (9 h): "
        "minutes would be lost between the layers. Set METERLAKE_SPEED_TTL to at least 9h, or run batch more often."
    )


def test_a_kafka_that_forgets_too_soon_is_refused_in_words() -> None:
    hours = timedelta(hours=1)
    for enough in (None, 9 * hours):
        check_kafka_retention("household", enough, 4 * hours, hours)
    with pytest.raises(KafkaRetentionTooShort) as refused:
        check_kafka_retention("household", 6 * hours, 4 * hours, hours)
    assert str(refused.value) == (
        "Kafka keeps the readings of household for 6 h, shorter than batch interval + lateness + one missed run (9 h):"
        " a query that begins again would show minutes that lack readings. Set retention.ms of its topic to at least"
        " 9 h (METERLAKE_KAFKA_RETENTION for new topics), or run batch more often."
    )


def test_a_roll_back_over_expired_rows_is_refused() -> None:
    ttl = timedelta(days=3)
    young = NOON - timedelta(days=2)
    assert uncovered_by_rollback(young, NOON, NOON, ttl) is None
    old = NOON - timedelta(days=4)
    uncovered = uncovered_by_rollback(old, NOON, NOON, ttl)
    assert uncovered is not None
    assert (uncovered.since, uncovered.until) == (old, NOON - timedelta(days=3, minutes=-1))
    with pytest.raises(RollbackLosesMinutes, match=r"from 2026-11-17 12:00 UTC to .* --allow-gap"):
        check_rollback("tank", uncovered, ttl)
    check_rollback("tank", uncovered, ttl, allow_gap=True)
    check_rollback("tank", None, ttl)


MINUTES = TIMES.map(lambda moment: moment.replace(second=0))


@given(MINUTES, MINUTES, LATENESS)
def test_a_hole_is_what_has_expired_and_nothing_else(older: datetime, current: datetime, ttl: timedelta) -> None:
    uncovered = uncovered_by_rollback(older, current, NOON, ttl)
    if uncovered is None:
        assert older >= current or older + ttl > NOON
        return
    assert uncovered.since == older
    assert uncovered.until == current or (uncovered.until < current and uncovered.until + ttl > NOON)
    assert uncovered.until - timedelta(minutes=1) + ttl <= NOON


def test_durations_read_as_people_write_them() -> None:
    texts = [duration_text(timedelta(seconds=s)) for s in (0, 0.5, 1, 60, 3600, 86_400, 93_784)]
    assert texts == ["0 s", "500 ms", "1 s", "1 min", "1 h", "1 d", "1 d 2 h 3 min 4 s"]
