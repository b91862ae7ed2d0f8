"""Every query of the dashboards on the real servers: empty, with live data, and Cassandra is never scanned.

History and both layers together are looked at after the demo: ``meterlake dashboards --check``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlparse

import pytest
from trino import dbapi as trino_client
from trino.exceptions import TrinoUserError

from cli import ddl_command
from engines import cassandra, trino
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.settings import Settings
from serving_layer.dashboards import asked, catalogue, cql, macros, sql
from serving_layer.dashboards.check import check, columns_missing
from serving_layer.dashboards.queries import CassandraQuery
from speed_layer.views.sink import Sink

pytestmark = pytest.mark.integration

HOUSEHOLD = registry.declaration("household")
METERS = ["dashboard-1", "dashboard-2"]


@pytest.fixture(scope="module")
def ready(stack: object, settings: Settings) -> Settings:
    """Tables and views, as `meterlake ddl --apply` makes them."""
    ddl_command.make_all(settings, registry.declarations())
    return settings


@pytest.fixture(scope="module")
def live(ready: Settings) -> Iterator[datetime]:
    """Two minutes of two meters, as the stream writes them; removed afterwards (and so written once: a row is as old as
    its reading, and would not outlive a later removal)."""
    now = system_clock()
    with cassandra.session(ready) as session:
        sink = Sink(ready, HOUSEHOLD, session)
        sink.write_minutes(row for meter in METERS for row in _minutes(meter, now))
        readings = [row for meter in METERS for row in _readings(meter, now)]
        sink.write_latest(readings)
        sink.write_recent(readings, 0)
        yield now
        for meter in METERS:
            session.execute("DELETE FROM speed.household_latest WHERE meter_id = %s", [meter])
            session.execute("DELETE FROM speed.household_recent WHERE meter_id = %s", [meter])
            for back in (0, 1):
                day = f"{now - timedelta(days=back):%Y-%m-%d}"
                session.execute("DELETE FROM speed.household_minute WHERE meter_id = %s AND day = %s", [meter, day])


def _minutes(meter: str, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Rows of 60 readings of 1.234 kW, 0.4 kvar, 230 V, 5.6 A, and sub-meters that count more than the main meter."""
    for back in (1, 2):
        minute = int(now.timestamp()) // 60 * 60 - back * 60
        units = (1234, 400, 23_000, 5600, 7000, 8000, 9000)
        states = [value for unit in units for value in (unit * 60, unit, unit)]
        yield (meter, minute * 1000, 60, 60, 3, *states, int(now.timestamp() * 1_000_000))


def _readings(meter: str, now: datetime) -> Iterator[tuple[Any, ...]]:
    for back in range(3):
        start = int(now.timestamp()) - back
        yield (meter, start * 1000, 1, 1.234, 0.4, 230.0, 5.6, 7.0, 8.0, 9.0, start)


def test_nobody_sees_an_error(ready: Settings) -> None:
    """Whatever other tests have left: no query is refused, no column is missing, none is unbounded."""
    result = check(ready, catalogue.whole(), system_clock)
    assert len(result) > 40
    assert [(finding.where, finding.problem) for finding in result if finding.state == "wrong"] == []


def test_with_live_data_nobody_sees_an_error_and_both_layers_show_it(ready: Settings, live: datetime) -> None:
    result = {finding.where: finding for finding in check(ready, catalogue.whole(), system_clock)}
    assert [(finding.where, finding.problem) for finding in result.values() if finding.state == "wrong"] == []
    shown = ("Active power (A)", "Voltage (A)", "Energy by sub-meter (A)", "Energy today so far (A)")
    assert {result[f"meterlake-household-merged: {title}"].state for title in shown} == {"ok"}
    assert {finding.state for where, finding in result.items() if where.startswith("meterlake-household-live")} == {
        "ok"
    }


def test_a_missing_row_is_a_null_in_the_line_of_its_meter(ready: Settings) -> None:
    rows = (
        "SELECT TIMESTAMP '2026-11-25 10:00 UTC' + minute * INTERVAL '1' MINUTE AS time, 60 AS step_s, meter_id, kw\n"
        "FROM (VALUES ('a', 0, 1.0), ('a', 1, 1.5), ('b', 2, 9.0), ('a', 4, 2.0)) AS seen (meter_id, minute, kw)"
    )
    names, result = trino.select(ready, sql.with_gaps(rows, ["kw"], "meter_id"))
    assert names == ["time", "meter_id", "kw"]
    by_meter = {meter: [(at.minute, kw) for at, name, kw in result if name == meter] for meter in "ab"}
    assert by_meter["a"] == [(0, Decimal("1.0")), (1, Decimal("1.5")), (2, None), (4, Decimal("2.0"))]
    assert by_meter["b"] == [(2, Decimal("9.0"))]


def test_grafanas_user_of_trino_can_read_and_not_write(ready: Settings) -> None:
    """Grafana lets an editor write any statement; its plugin calls itself ``grafana``."""
    assert _as_grafana(ready, "SELECT count(*) FROM hive.merged.household_day WHERE meter_id = 'none'") == [[0]]
    for statement in (
        "CREATE OR REPLACE VIEW hive.merged.household_day AS SELECT 1 AS one",
        "CREATE TABLE hive.batch.mine AS SELECT 1 AS one",
        "DROP VIEW hive.published.household_day",
        "DELETE FROM iceberg.master.household",
        "INSERT INTO cassandra.speed.household_latest (meter_id) VALUES ('x')",
    ):
        with pytest.raises(TrinoUserError, match="Access Denied"):
            _as_grafana(ready, statement)


def test_live_panels_show_what_the_stream_has_written(ready: Settings, live: datetime) -> None:
    for asks in _live_panels():
        names, rows = _ask(ready, asks.query, live)
        assert {row[0] for row in rows} == ({cql.ALL_ID} if _of_all(asks) else set(METERS)), asks.where
        assert columns_missing(asks.query, names, rows) == "", asks.where
    # In words of the declaration: the mean, the energy, and the rest, which is negative and stays so.
    values = cql.values(HOUSEHOLD)
    columns = {name: values[name] for name in ("voltage_avg", "energy_wh", "power_factor", "other_devices_wh")}
    _, rows = _ask(ready, CassandraQuery(cql.minutes(HOUSEHOLD, columns)), live)
    assert len(rows) == 4
    for _, voltage, energy, factor, rest, _ in rows:
        assert voltage == 230.0
        assert energy == pytest.approx(1.234 * 60 / 3.6)
        assert factor == pytest.approx(1.234 / (1.234**2 + 0.4**2) ** 0.5)
        assert rest == pytest.approx(1.234 * 60 / 3.6 - 24 * 60)
        assert rest < 0


def test_figures_of_all_meters_are_those_of_their_latest_readings(ready: Settings, live: datetime) -> None:
    """Other tests have left meters, too: what is expected is computed here, from the rows."""
    with cassandra.session(ready) as session:
        rows = list(session.execute("SELECT ts, global_active_power FROM speed.household_latest"))
    since, until = (live + timedelta(minutes=shift) for shift in (-15, 1))
    sending = [power for ts, power in rows if since <= ts.replace(tzinfo=UTC) <= until]
    result = {}
    for asks in _live_panels():
        if _of_all(asks):
            names, answer = _ask(ready, asks.query, live)
            result[asks.where.rpartition(": ")[2]] = [row[names.index("value")] for row in answer]
    assert result["Meters (A)"] == [len(sending)]
    assert result["Meters (B)"] == [len(rows)]
    assert result["Active power now (A)"][0] == pytest.approx(sum(sending), rel=1e-12)
    assert sorted(result["Highest now (A)"]) == sorted(result["Lowest now (A)"]) == sorted(sending)


@pytest.fixture
def fleet(ready: Settings) -> Iterator[list[str]]:
    """More meters than the list of names holds, each with 1 W more than the one before; removed afterwards."""
    now = system_clock()
    names = [f"dashboard-fleet-{number:03}" for number in range(sql.MOST_METERS + 51)]
    with cassandra.session(ready) as session:
        start = int(now.timestamp()) * 1000
        Sink(ready, HOUSEHOLD, session).write_latest(
            [(name, start, 1, number / 1000, 0.1, 230.0, 1.0, 0.0, 0.0, 0.0, 0) for number, name in enumerate(names)]
        )
        yield names
        for name in names:
            session.execute("DELETE FROM speed.household_latest WHERE meter_id = %s", [name])


def test_of_a_fleet_totals_and_spread_are_of_all_meters_that_match(ready: Settings, fleet: list[str]) -> None:
    now = system_clock()
    values = {"search": "Dashboard-Fleet-", "grain": "auto", "meter": fleet[: sql.MOST_METERS], "layer": "published"}
    chosen = macros.Dashboard(now - timedelta(hours=24), now, values)
    listed = {asks.where.rpartition(": ")[2]: asks.query for asks in _asked("household-merged")}
    answer = {
        name: trino.rows(ready, macros.trino(listed[name], chosen))
        for name in ("variable meter", "variable listed", "variable layer", "Active power (A)")
    }
    assert len(answer["variable meter"]) == sql.MOST_METERS
    assert answer["variable listed"] == [["200 of 251"]]
    assert answer["variable layer"] == [["published"]]
    # Meters of 0, 1, … 250 W: a tenth is below 25, half below 125, nine tenths below 225.
    spread = {which: round(value * 1000) for _, which, value in answer["Active power (A)"] if value is not None}
    assert spread.keys() == set(sql.SPREAD)
    assert [spread[which] for which in sql.SPREAD] == pytest.approx([25, 125, 225], abs=2)
    together = trino.rows(ready, macros.trino(listed["Active power, all chosen meters (A)"], chosen))
    assert [row[1] for row in together if row[1] is not None] == [pytest.approx(sum(range(251)) / 1000)]


def test_of_a_fleet_some_that_were_picked_are_asked_for_by_name(ready: Settings, fleet: list[str]) -> None:
    now = system_clock()
    chosen = macros.Dashboard(
        now - timedelta(hours=1), now, {"search": "", "grain": "auto", "meter": fleet[:3], "layer": "merged"}
    )
    query = next(asks.query for asks in _asked("household-merged") if asks.where.endswith(": Active power (A)"))
    plan = "\n".join(row[0] for row in trino.rows(ready, f"EXPLAIN (TYPE LOGICAL) {macros.trino(query, chosen)}"))
    # The branches of a fleet are gone: nothing reads the latest readings, or the published views without the boundary.
    assert "household_latest" not in plan
    assert "household_minute" in plan


def test_panels_read_single_partitions_and_those_of_all_meters_only_the_latest_readings(
    ready: Settings, live: datetime
) -> None:
    """Cassandra's own trace says how it read; the one table that may be read whole has a row a meter."""
    scans = r"seq scan|range slice|Executing read on .* using index"
    with cassandra.session(ready) as session:
        for asks in _live_panels():
            result = session.execute(macros.cassandra(asks.query, _chosen(live)), trace=True)
            events = [event.description for event in result.get_query_trace(max_wait_sec=60).events]
            single = any(re.search(r"single-partition query on \w+", event) for event in events)
            scanned = any(re.search(scans, event) for event in events)
            assert (single, scanned) == ((False, True) if _of_all(asks) else (True, False)), (asks.where, events)
            if _of_all(asks):
                assert re.findall(r"FROM speed\.(\w+)", asks.query.text) == ["household_latest"], asks.where


def _as_grafana(settings: Settings, statement: str) -> list[list[Any]]:
    address = urlparse(settings.trino)
    with trino_client.connect(host=address.hostname, port=address.port, user="grafana") as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        rows: list[list[Any]] = cursor.fetchall()
        return rows


def _asked(board: str) -> list[asked.Asked]:
    return [asks for asks in asked.queries(catalogue.all_boards(), ()) if asks.board == f"meterlake-{board}"]


def _live_panels() -> list[asked.Asked]:
    """Return those that show readings of ``METERS``."""
    return [
        asks
        for asks in _asked("household-live")
        if isinstance(asks.query, CassandraQuery) and "variable" not in asks.where
    ]


def _of_all(asks: asked.Asked) -> bool:
    """Return whether a panel is one of all meters: as one series."""
    return f"'{cql.ALL_ID}'" in asks.query.text


def _chosen(now: datetime) -> macros.Dashboard:
    days = {"today": f"{now:%Y-%m-%d}", "yesterday": f"{now - timedelta(days=1):%Y-%m-%d}"}
    return macros.Dashboard(
        now - timedelta(minutes=15),
        now + timedelta(minutes=1),
        {"meter": METERS, "shown": METERS, "search": "", **days},
    )


def _ask(settings: Settings, query: Any, now: datetime) -> tuple[list[str], list[tuple[Any, ...]]]:
    with cassandra.session(settings) as session:
        result = session.execute(macros.cassandra(query, _chosen(now)))
        return list(result.column_names), [tuple(row) for row in result]
