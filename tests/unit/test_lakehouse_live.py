"""What is shown live of a lakehouse is declared, and its boundary waits for what may still arrive."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from cli.app import app
from datasets.telecom.declaration import TELECOM
from datasets.utility import DATASET as UTILITY
from meterlake.boundary import BEGINNING
from meterlake.errors import DeclarationError
from meterlake.lakehouse import live
from meterlake.lakehouse.live import Live, LiveEvent
from meterlake.settings import ROOT
from serving_layer.dashboards import asked, catalogue

pytestmark = pytest.mark.unit

CALLS = LiveEvent("calls", "from_cell_sk", "city", "amount", "currency")


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (replace(CALLS, event="letters"), "'letters' is no event with a fact. There are calls, payments"),
        (replace(CALLS, member="cell_sk"), "fact_calls has no member 'cell_sk'. There are from_cell_sk, from_device"),
        (replace(CALLS, place="country"), "a member 'from_cell_sk' has no 'country'. There are cell_id, city"),
        (replace(CALLS, currency=""), "'calls' has one of amount and currency"),
        (replace(CALLS, amount="price"), "'calls' has no field 'price'"),
        (replace(CALLS, amount="call_duration_seconds"), "'call_duration_seconds' has not 2 decimals"),
    ],
)
def test_what_is_not_declared_cannot_be_shown(item: LiveEvent, problem: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        replace(TELECOM, live=Live(timedelta(minutes=2), (item,)))
    assert problem in str(refused.value).replace("\n", " ")


def test_the_boundary_waits_for_the_slowest_partition_and_for_what_may_be_late() -> None:
    noon = datetime(2026, 11, 26, 12, 0, 59, tzinfo=UTC)
    assert live.boundary(TELECOM, [noon]) == datetime(2026, 11, 26, 11, 58, tzinfo=UTC)
    slow = noon - timedelta(hours=1)
    assert live.boundary(TELECOM, [noon, slow, noon]) == datetime(2026, 11, 26, 10, 58, tzinfo=UTC)
    assert live.boundary(TELECOM, [BEGINNING]) == BEGINNING


def test_tables_hold_a_row_a_minute_and_place_in_partitions_of_a_day() -> None:
    table, boundaries = live.cassandra_ddl(TELECOM, timedelta(days=3))
    assert "speed.telecom_live (event TEXT, day TEXT, minute TIMESTAMP, place TEXT, currency TEXT, " in table
    assert "events BIGINT, amount BIGINT, PRIMARY KEY ((event, day), minute, place, currency))" in table
    assert table.endswith("default_time_to_live = 259200")
    assert boundaries.endswith("speed.lakehouse_boundary (dataset TEXT PRIMARY KEY, boundary TIMESTAMP)")


def test_the_command_prints_the_sql_of_both_layers_and_refuses_what_is_for_meters() -> None:
    runner = CliRunner()
    assert TELECOM.live is not None
    assert runner.invoke(app, ["stream", "telecom", "--sql"]).stdout == live.merged_sql(TELECOM, TELECOM.live) + "\n"
    for words, problem in (
        (["telecom", "--with-archive"], "are for meters"),
        (["household", "--sql"], "--sql is for lakehouses"),
        (["utility"], "utility shows nothing live"),
    ):
        refused = runner.invoke(app, ["stream", *words])
        assert problem in str(refused.exception)
    assert UTILITY.live is None


def test_a_dashboard_shows_events_of_both_layers() -> None:
    (board,) = (board for board in catalogue.pushed() if board.uid == "meterlake-telecom-events")
    assert (ROOT / board.path).read_text() == board.text()
    queries = list(asked.queries([board], ()))
    assert len(queries) == 4
    assert not [query for query in queries if asked.unbounded(query)]
    assert asked.problems(board) == []
    targets = [target for panel in json.loads(board.text())["panels"] for target in panel["targets"]]
    assert all("(layer = 'batch') = (minute < boundary) AND $__timeFilter(minute)" in one["rawSQL"] for one in targets)
