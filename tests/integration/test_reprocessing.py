"""A changed rule, computed again over all history while readers ask: each row is of one run or the other, not mixed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import batch_samples as samples
import pytest
from batch_samples import DATASET, DAYS, readings
from publishing import roll_back
from pyspark.sql import SparkSession
from reader_loop import reading

from batch_layer.views.plan import Request
from cli import batch_commands
from meterlake import rules
from meterlake.declaration import MeterSeries, Reject
from meterlake.grains import Grain
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME = "reprocessing_test"
BEFORE: MeterSeries = replace(DATASET, name=NAME)
AFTER: MeterSeries = replace(BEFORE, rules=(Reject("too_high", "voltage > 240", doc="A limit that came later."),))
GRAINS: tuple[Grain, ...] = ("minute", "hour", "day")
READINGS = [row for day in DAYS for row in readings(day)]
Rows = dict[tuple[str, Any], Any]


@pytest.fixture(scope="module")
def loaded(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with samples.fresh(settings, BEFORE) as session:
        samples.load(session, settings, READINGS, BEFORE)
        yield session


def computed(settings: Settings, dataset: MeterSeries, **request: Any) -> str:
    code: str = batch_commands.batch_once(settings, dataset, Request(**request), samples.clock)["result"]
    return code


def expected(dataset: MeterSeries, grain: Grain) -> Rows:
    kept = [row for row in READINGS if rules.reject_reason(dataset, row) is None]
    return samples.expected(kept, grain)


def test_a_changed_rule_is_computed_over_all_history_and_can_be_taken_back(
    loaded: SparkSession, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = ({grain: expected(dataset, grain) for grain in GRAINS} for dataset in (BEFORE, AFTER))
    assert all(old[grain] != new[grain] for grain in GRAINS)
    computed(settings, BEFORE)
    first = samples.current(settings, BEFORE).run_id

    def check(grain: Grain, _: int) -> str:
        rows = samples.seen(settings, grain, BEFORE)
        strange = [key for key, row in rows.items() if row not in (old[grain].get(key), new[grain].get(key))]
        lost = [key for key in new[grain] if key not in rows]
        return f"rows of no run {strange[:3]}, or missing {lost[:3]}" if strange or lost else ""

    with reading(check, readers=2) as answers:
        capsys.readouterr()
        assert computed(settings, AFTER) == "nothing has changed"  # no reading has: it has to be asked for
        assert f"The declaration of {NAME} has changed" in capsys.readouterr().err
        assert computed(settings, AFTER, full=True) == "published"
        assert "has changed" not in capsys.readouterr().err
        assert {grain: samples.seen(settings, grain, BEFORE) for grain in GRAINS} == new
        roll_back(settings, AFTER, first, samples.clock)
        assert {grain: samples.seen(settings, grain, BEFORE) for grain in GRAINS} == old
    assert answers.wrong == []
    assert all(answers.counts[grain] for grain in GRAINS)
