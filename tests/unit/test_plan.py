"""Sizing an installation: numbers that the docs have, servers that grow with demand, and bad hours by hand."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from docs_commands import DOCS
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.app import app
from datasets.half_hourly.declaration import HALF_HOURLY
from datasets.household.declaration import HOUSEHOLD
from meterlake.errors import UsageError
from meterlake.plan import coefficients, incidents, notes, sizing
from meterlake.plan.coefficients import ALL, Coefficient
from meterlake.plan.queueing import Phase, Server, arrived, passed_on, quantiles, simulate, updates
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

PAGE = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


def planned(meters: int, interval_s: float = 1, years: float = 1, **options: Any) -> sizing.Plan:
    return sizing.Plan(sizing.Request(HOUSEHOLD, SETTINGS, meters, interval_s, years, **options))


# Coefficients


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.what)
def test_a_coefficient_is_what_the_page_of_measurements_says(one: Coefficient) -> None:
    sections = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")[1:]}
    for section, words in one.quotes:
        assert words in sections[section], f"{one.what}: {section} does not say {words!r}"
    assert bool(one.quotes) == (one.origin != "assumed"), "what is measured says where; what is assumed is not there"
    if one.origin == "measured":
        numbers = f"{one.value:g}", f"{one.value / 1000:g} ms"
        assert any(number in words for _, words in one.quotes for number in numbers)


def test_the_page_has_the_table_of_coefficients() -> None:
    assert coefficients.written(PAGE) == PAGE, "make generate writes it"
    assert coefficients.table() in PAGE


def test_derived_coefficients_add_up_to_what_was_measured() -> None:
    spark = coefficients.STREAM_READING.value + coefficients.STREAM_ROW.value / 100
    cassandra = coefficients.CASSANDRA_READING.value + coefficients.CASSANDRA_ROW.value / 100
    assert spark + cassandra == pytest.approx(58)  # µs a reading of the backlog
    # Through both measured updates: 2,000 readings in 0.9 s, and 50,000 at 9,510 a second.
    slope = (50_000 / 9_510 - 0.9) / 48_000
    assert coefficients.STREAM_UPDATE.value + 2_000 * slope == pytest.approx(0.9)


# Sizing


def test_bytes_by_hand() -> None:
    plan = planned(10_000_000, years=5, copies=3)
    stored = {one.what: one.size for one in plan.stored}
    assert stored["messages, 7 days"] == pytest.approx(10_000_000 * 7 * 86_400 * 36.5)
    assert stored["master, years: 5"] == pytest.approx(10_000_000 * 5 * 365.25 * 86_400 * 9.1)
    assert stored["view minute"] == pytest.approx(10_000_000 * 5 * 365.25 * 1440 * 37)
    assert stored["minute, 3 days"] == pytest.approx(10_000_000 * 3 * 1440 * 106)
    brokers = plan.parts[0]
    assert brokers.disk == pytest.approx(3 * stored["messages, 7 days"])
    nodes = next(part for part in plan.parts if part.part == "HDFS data nodes")
    assert (nodes.nodes, nodes.limit) == (math.ceil(nodes.disk / 0.6 / 20e12), "disk")


def test_cores_by_hand() -> None:
    plan = planned(100_000, update_s=10.0, headroom=0.4)
    work = {(one.part, one.what): one.cores for one in plan.work}
    assert work["stream", "readings"] == pytest.approx(0.1 * coefficients.STREAM_READING.value)
    assert work["stream", "rows"] == pytest.approx(0.01 * 534)  # 10,000 meters a second
    budget = 0.6 * 10 - coefficients.STREAM_UPDATE.value
    assert plan.cores["stream"] == math.ceil((work["stream", "readings"] + work["stream", "rows"]) * 10 / budget)
    assert plan.partitions % plan.parts[0].nodes == 0
    assert plan.partitions >= plan.cores["stream"]


def test_what_is_written_rarely_is_a_row_each() -> None:
    assert planned(100_000, interval_s=1800, update_s=2.0).rows_a_second == pytest.approx(100_000 / 1800)
    assert planned(100_000, interval_s=1, update_s=2.0).rows_a_second == 50_000


def test_by_default_updates_are_as_frequent_as_is_worth_it() -> None:
    small, large = planned(100), planned(10_000_000)
    assert small.update_s == 2
    assert large.update_s == 30
    minutely = planned(10_000_000, update_s=60.0)
    assert large.live_cores <= sizing.WORTH * minutely.live_cores
    assert planned(10_000_000, update_s=10.0).live_cores > sizing.WORTH * minutely.live_cores


def test_measures_and_grains_of_the_declaration_count() -> None:
    request = sizing.Request(HALF_HOURLY, SETTINGS, 2_000_000, 1800, 10)
    stored = {one.what: one for one in sizing.Plan(request).stored}
    assert stored["view half_hour"].rows == pytest.approx(2_000_000 * 48 * 3652.5)
    assert stored["view half_hour"].wide == pytest.approx(8 / 26)
    assert stored["master, years: 10"].at is coefficients.MASTER_SLOW


def test_retention_of_settings_and_declaration_count() -> None:
    longer = SETTINGS.model_copy(update={"kafka_retention": 2 * SETTINGS.kafka_retention})
    plan = sizing.Plan(sizing.Request(HOUSEHOLD, longer, 1000, 1, 1))
    assert plan.disk("Kafka") == pytest.approx(2 * planned(1000).disk("Kafka"))


@given(
    meters=st.integers(1, 10_000_000), more=st.integers(0, 10_000_000), interval_s=st.sampled_from([1, 60, 900, 1800]),
    copies=st.integers(1, 4), headroom=st.floats(0, 0.6),
)  # fmt: skip
def test_more_of_anything_never_takes_less(
    meters: int, more: int, interval_s: int, copies: int, headroom: float
) -> None:
    plan = planned(meters, interval_s, copies=copies, headroom=headroom, update_s=10.0)
    for larger in (
        planned(meters + more, interval_s, copies=copies, headroom=headroom, update_s=10.0),
        planned(meters, interval_s, copies=copies + 1, headroom=headroom, update_s=10.0),
        planned(meters, interval_s, copies=copies, headroom=headroom + 0.1, update_s=10.0),
        planned(meters, interval_s, years=2, copies=copies, headroom=headroom, update_s=10.0),
        planned(meters, interval_s, copies=copies, headroom=headroom, update_s=5.0),
    ):
        assert larger.total.nodes >= plan.total.nodes
        assert all(b.nodes >= a.nodes and b.cores >= a.cores for a, b in zip(plan.parts, larger.parts, strict=True))


@given(meters=st.integers(1, 10_000_000), headroom=st.floats(0, 0.6))
def test_an_update_ends_within_its_share_of_the_interval(meters: int, headroom: float) -> None:
    plan = planned(meters, headroom=headroom, update_s=5.0)
    assert incidents.server(plan).seconds(meters * 5) <= (1 - headroom) * 5 * (1 + 1e-9)


def test_settings_of_a_plan_are_settings() -> None:
    wanted = planned(10_000_000).settings
    assert {name.lower() for name in wanted} <= Settings.model_fields.keys()
    read = Settings(_env_file=None, **{name.lower(): value for name, value in wanted.items()})  # type: ignore[call-arg, arg-type]
    assert read.stream_trigger.total_seconds() == 30
    assert read.kafka_replication == 3


# Bad hours

STEADY = Phase(10, 1000)


def test_a_backlog_is_gone_after_its_size_by_what_is_spare() -> None:
    server = Server(every=0.5, fixed=0, work=((1 / 4000, 0),))
    result = simulate(server, [STEADY, replace(STEADY, seconds=600, streaming=False), replace(STEADY, seconds=4000)])
    assert result.caught_up == pytest.approx(600 * 1000 / (4000 - 1000), abs=2)
    assert result.behind == pytest.approx(600 * 1000, rel=0.01)


def test_a_backlog_with_updates_of_limited_size_goes_by_their_capacity() -> None:
    # 2,000 in an update of 0.1 + 0.4 s: 4,000 a second.
    server = Server(every=0.1, fixed=0.1, work=((1 / 5000, 0),), most=2000)
    assert server.most / max(server.every, server.seconds(server.most)) == pytest.approx(4000)
    result = simulate(server, [STEADY, replace(STEADY, seconds=600, streaming=False), replace(STEADY, seconds=4000)])
    assert result.caught_up == pytest.approx(200, abs=2)


def test_steady_ages_are_a_wait_of_up_to_an_interval_and_an_update() -> None:
    server = Server(every=2, fixed=0.5, work=((0.5 / 2000, 0),))
    result = simulate(server, [STEADY, replace(STEADY, seconds=200), STEADY])
    assert result.p50 == pytest.approx(1 + 1.0, abs=0.06)  # half an interval, and an update of a second
    assert result.worst == pytest.approx(2 + 1.0, abs=0.06)


def test_rows_cost_once_an_update_and_meter_and_the_slowest_server_counts() -> None:
    server = Server(every=1, fixed=1, work=((0.001, 0.01), (0.003, 0)), rows=100)
    assert server.seconds(50) == pytest.approx(1 + 0.05 + 0.5)
    assert server.seconds(1000) == pytest.approx(1 + 3)


def test_brokers_that_are_too_few_keep_a_burst_waiting_before_them() -> None:
    burst = Phase(600, 5000, brokers=2000)
    phases = [Phase(10, 1000, 2000), burst, Phase(4000, 1000, 2000)]
    passed = passed_on(phases)
    assert passed.at(610) == pytest.approx(10_000 + 600 * 2000)
    assert passed.when(arrived(phases).at(2410)) == pytest.approx(2410)  # 1,800,000 behind, 1,000 a second spare
    result = simulate(Server(every=0.5, fixed=0, work=((1 / 9000, 0),)), phases)
    assert result.caught_up == pytest.approx(1800, abs=2)


@given(
    rates=st.lists(
        st.tuples(st.floats(1, 1000), st.floats(0, 5000), st.floats(0, 5000)), min_size=1, max_size=6
    )
)  # fmt: skip
def test_brokers_pass_on_no_more_than_came_and_than_they_can(rates: list[tuple[float, float, float]]) -> None:
    phases = [Phase(seconds, rate, brokers) for seconds, rate, brokers in rates]
    sent, passed = arrived(phases), passed_on(phases)
    for (t0, n0), (t1, n1) in pairwise(zip(passed.times, passed.counts, strict=True)):
        assert n1 >= n0 - 1e-6
        assert n1 <= sent.at(t1) + 1e-6
        most = max(phase.brokers for phase in phases)
        assert n1 - n0 <= most * (t1 - t0) + 1e-3


@settings(max_examples=30)
@given(outage=st.integers(60, 3600), longer=st.integers(0, 3600), load=st.floats(0.1, 0.8))
def test_a_longer_outage_takes_no_less_to_catch_up(outage: int, longer: int, load: float) -> None:
    server = Server(every=5, fixed=0.5, work=((load / 1000, 0),), most=20_000)

    def after(seconds: int) -> float:
        steady = Phase(50, 1000)
        result = simulate(
            server, [steady, replace(steady, seconds=seconds, streaming=False), replace(steady, seconds=90_000)]
        )
        assert result.caught_up is not None
        assert result.p50 <= result.p99 <= result.worst
        return result.caught_up

    assert after(outage + longer) >= after(outage) - 2 * server.every


def test_updates_take_each_reading_once() -> None:
    phases = [STEADY, Phase(100, 3000, 2000), Phase(50, 0, 2000, streaming=False), Phase(300, 1000, 2000)]
    taken = list(updates(Server(every=2, fixed=0.1, work=((1 / 9000, 0),), most=9000, spread=0.3), phases, seed=7))
    assert taken[0][2] == 0
    assert all(one[3] == other[2] and one[1] <= other[0] for one, other in pairwise(taken))
    assert all(not 110 <= begin < 160 for begin, *_ in taken)
    assert taken[-1][3] == pytest.approx(passed_on(phases).at(taken[-1][0]))


def test_the_model_gives_what_was_measured_of_freshness() -> None:
    """2,000 meters on 25 November: a mean update of 1.3 s, p50 1.64 s, p99 3.46 s; rows are read before it ends."""
    server = Server(every=0.5, fixed=1.3, work=((0, 0),), spread=coefficients.STREAM_SPREAD.value)
    steady = Phase(10, 2000)
    result = simulate(server, [steady, replace(steady, seconds=600), steady])
    assert 1.64 <= result.p50 <= 1.3 * 1.64
    assert result.p99 == pytest.approx(3.46, rel=0.05)
    assert result == simulate(server, [steady, replace(steady, seconds=600), steady])


def test_a_lost_broker_stops_what_has_no_copy() -> None:
    kept = {one.what: one.freshness for one in incidents.incidents(planned(2000, copies=3), 3600)}
    lost = {one.what: one.freshness for one in incidents.incidents(planned(2000, copies=1), 3600)}
    assert 10 < kept["1 of 3 brokers away, 1 h"].worst < 20
    assert lost["1 of 1 brokers away, 1 h"].worst > 3590
    assert kept["nothing"].p99 < kept["stream away, 1 h"].p50
    longest = incidents.incidents(planned(2000, update_s=2.0), 2 * sizing.DAY)
    assert all(one.freshness.caught_up is not None for one in longest)


def test_two_brokers_with_too_little_room_fall_behind_when_one_is_lost() -> None:
    plan = planned(
        8_000_000, years=0, copies=2, headroom=0.2, machine=sizing.Machine(1024, 4096, 10_000), update_s=30.0
    )
    assert plan.parts[0].nodes == 2
    (*_, lost) = incidents.incidents(plan, 3600)
    assert lost.freshness.worst > 600


def test_quantiles_by_weight() -> None:
    assert quantiles([(3, 1), (1, 98), (2, 1)], (0.5, 0.98, 0.99, 1.0)) == [1, 1, 2, 3]


# The command


def shown(*words: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, ["plan", *words], env={"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("width", [80, 200])
def test_the_screen_has_tables_that_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli import output

    monkeypatch.setattr(output.console, "_width", width)
    text = shown("--meters", "10000000", "--rate", "1s", "--history", "5", width=width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(len(line) for line in lines) <= width
    headers = ("part       what ", "part  ", "what happens ", "updates every ", "setting ")
    assert all(any(line.startswith(header) for line in lines) for header in headers)
    assert any(line.startswith("1 of ") and "brokers away, 1 h" in line for line in lines)
    assert "Extrapolated: this is 579 times that rate" in " ".join(lines)
    assert "36.5 B a message" in text


def test_the_page_shows_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    from cli import output

    monkeypatch.setattr(output.console, "_width", 80)
    printed = shown("--meters", "10000000", "--rate", "1s", "--history", "5")
    lines = {line.rstrip() for line in printed.splitlines()}
    page = (DOCS / "plan.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    assert {line for block in blocks for line in block.splitlines()} <= lines


def test_json_has_all_of_it_with_sources() -> None:
    (record,) = json.loads(
        shown("--meters", "100", "--rate", "30min", "--history", "1.5", "--dataset", "half_hourly", "-o", "json")
    )
    assert record["interval_s"] == 1800
    assert all(line["at"]["source"] and line["at"]["origin"] for line in [*record["work"], *record["stored"]])
    assert record["machines"]["nodes"] == 3
    assert {one["what"] for one in record["incidents"]} >= {"nothing", "stream away, 1 h"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--meters", "0", "--rate", "1", "--history", "1"), "--meters 0"),
        (("--meters", "-5", "--rate", "1", "--history", "1"), "--meters -5"),
        (("--meters", "10", "--rate", "0", "--history", "1"), "--rate 0"),
        (("--meters", "10", "--rate", "50", "--history", "1"), "at most 1 reading a second"),
        (("--meters", "10", "--rate", "often", "--history", "1"), "--rate: 'often' is no duration"),
        (("--meters", "10", "--rate", "nan", "--history", "1"), "--rate nan"),
        (("--meters", "10", "--rate", "1", "--history", "-1"), "--history -1"),
        (("--meters", "10", "--rate", "1", "--history", "nan"), "--history nan"),
        (("--meters", "10", "--rate", "1", "--history", "1", "--replication", "0"), "--replication 0"),
        (("--meters", "10", "--rate", "1", "--history", "1", "--headroom", "1"), "--headroom 1"),
        (("--meters", "10", "--rate", "1", "--history", "1", "--update", "1s"), "--update 1s is too often"),
        (("--meters", "10", "--rate", "1", "--history", "1", "--outage", "1s"), "--outage 1s"),
        (("--meters", "10", "--rate", "1", "--history", "1", "--dataset", "nothing"), "nothing"),
    ],
)
def test_what_makes_no_plan_is_said(words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["plan", *words])
    assert result.exit_code != 0
    shown_error = str(result.exception) + str(getattr(result.exception, "hint", ""))
    assert isinstance(result.exception, UsageError) or "nothing" in said
    assert said in shown_error


def test_notes_say_what_goes_beyond_what_was_measured() -> None:
    def text(plan: sizing.Plan) -> str:
        return " ".join(notes.notes(plan))

    assert "This is within it" in text(planned(100))
    assert "Without copies one machine" in text(planned(100))
    assert "Extrapolated" in text(planned(2_000_000))
    assert "nobody has thought" in text(planned(20_000_000))
    assert "nobody has thought" not in text(planned(10_000_000))
    assert "household takes readings of 1 s, 60 s" in text(planned(1000, interval_s=900))
