"""The periods that a run touches, as conditions; how tables are partitioned by them."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from datasets.telecom.declaration import TELECOM
from datasets.utility.declaration import UTILITY
from lakehouse.layers import tables
from lakehouse.layers.periods import Periods, end_of
from lakehouse.layers.tables import Catalog

pytestmark = pytest.mark.unit


def test_a_condition_names_ranges_of_neighbours() -> None:
    months = frozenset({date(2026, 1, 1), date(2025, 12, 1), date(2026, 4, 1)})
    assert Periods("month", months).condition("t") == (
        "((t >= TIMESTAMP_NTZ'2025-12-01 00:00:00' AND t < TIMESTAMP_NTZ'2026-02-01 00:00:00')"
        " OR (t >= TIMESTAMP_NTZ'2026-04-01 00:00:00' AND t < TIMESTAMP_NTZ'2026-05-01 00:00:00'))"
    )
    assert Periods("day", frozenset({date(2026, 2, 28)}), undated=True).condition("t") == (
        "((t >= TIMESTAMP_NTZ'2026-02-28 00:00:00' AND t < TIMESTAMP_NTZ'2026-03-01 00:00:00') OR t IS NULL)"
    )
    assert Periods("day", frozenset()).condition("t") == "false"


def test_times_that_nobody_means_are_in_the_first_or_last_period() -> None:
    ends = frozenset({date(1, 1, 1), date(9999, 12, 1)})
    assert Periods("month", ends).condition("t") == (
        "((t < TIMESTAMP_NTZ'0001-02-01 00:00:00') OR (t >= TIMESTAMP_NTZ'9999-12-01 00:00:00'))"
    )
    assert end_of(date(9999, 12, 1), "month") == end_of(date(9999, 12, 1), "day") == date.max


def test_many_ranges_are_joined_where_they_are_closest() -> None:
    days = [date(2020, 1, 1) + timedelta(days=number**2) for number in range(100)]
    condition = Periods("day", frozenset(days)).condition("t")
    assert condition.count(" OR ") == 39
    connection = duckdb.connect()
    sql = f"SELECT {condition.replace('TIMESTAMP_NTZ', 'TIMESTAMP ')} FROM (SELECT CAST(? AS TIMESTAMP) AS t)"  # noqa: S608
    met = {day for day in days if connection.execute(sql, [day]).fetchall() == [(True,)]}
    assert met == set(days)
    # The gaps grow: the days of the last ones stay by themselves.
    assert connection.execute(sql, [days[-1] - timedelta(days=1)]).fetchall() == [(False,)]
    assert connection.execute(sql, [days[1] + timedelta(days=1)]).fetchall() == [(True,)]


def test_tables_are_partitioned_as_their_event_says() -> None:
    calls, outages = TELECOM.event("calls"), UTILITY.event("outages")
    assert tables.silver(calls).partitioned == ("days(`timestamp`)", "`is_rejected`")
    assert tables.silver(outages).partitioned == (f"months(`{outages.time}`)", "`is_rejected`")
    assert tables.silver(UTILITY.reference("feeders")).partitioned == ()
    fact = UTILITY.fact_of("outages")
    assert fact is not None
    table, catalog = tables.fact(UTILITY, fact), Catalog("c", UTILITY)
    assert table.partitioned == (f"months(`{outages.time}`)",)
    assert catalog.partition(table, table.partitioned) == []
    assert catalog.partition(table, [f"days(`{outages.time}`)"]) == [
        f"ALTER TABLE c.utility_gold.fact_outage DROP PARTITION FIELD days(`{outages.time}`)",
        f"ALTER TABLE c.utility_gold.fact_outage ADD PARTITION FIELD months(`{outages.time}`)",
    ]
