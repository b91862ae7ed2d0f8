"""A publish that is killed is finished by the next command; one that loses Cassandra is whole."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import merged_samples as samples
import pytest
from commands import age_lease, kill_server
from merged_samples import BOUNDARIES, DATASET, NAME, clock, expected, seen
from publishing import present, publisher, roll_forward

from engines import spark
from meterlake.ddl import view_table
from meterlake.errors import TransientError
from meterlake.settings import Settings
from serving_layer.publish import records
from serving_layer.publish.history import History
from serving_layer.publish.publish import RECONCILIATION
from serving_layer.reconcile.reconcile import PENDING
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROGRAM = Path(__file__).with_name("publish_process.py")
ROOT = Path(__file__).parents[2]


def forget(settings: Settings) -> None:
    """Remove what an earlier test has left, also one that was ended in the middle of a publish."""
    with spark.session(settings, "chaos") as session:
        if session.catalog.tableExists("iceberg.serving.batch_runs"):
            session.sql(f"DELETE FROM iceberg.serving.batch_runs WHERE dataset = '{NAME}'")  # noqa: S608
    samples.forget(settings)


def words_of(settings: Settings, run: samples.Written, moment: tuple[str, int, int]) -> list[str]:
    """Return the command that publishes a run and sends itself a signal at a moment."""
    content = json.dumps({"run_id": run.run_id, "boundary": run.boundary.isoformat(), "tables": run.tables})
    place = [str(settings.home), str(settings.port_offset)]
    return [sys.executable, str(PROGRAM), content, json.dumps(moment), *place]


def die(settings: Settings, run: samples.Written, step: str) -> None:
    """Publish in a process that is killed before ``step``."""
    words = words_of(settings, run, (step, 0, signal.SIGKILL))
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=900
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.parametrize("step", [view_table(DATASET, "hour"), "views", "published"])
def test_a_killed_publish_is_finished_by_the_next_command(stack: Instance, settings: Settings, step: str) -> None:
    forget(settings)
    samples.make_speed_tables(settings)
    runs = samples.write_layers(settings, "chaos")
    with spark.session(settings, "chaos") as session:
        samples.show(settings, runs[0])
        die(settings, runs[2], step)
        age_lease(settings, NAME, clock)
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        settled = roll_forward(settings, DATASET, clock)
        assert (present(settled).run_id, present(settled).event) == (runs[2].run_id, "published")
        assert present(settled).boundary == BOUNDARIES[2]
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        session.sql(f"DELETE FROM iceberg.serving.batch_runs WHERE dataset = '{NAME}'")  # noqa: S608


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, brought back after the test."""
    yield stack
    launcher.up(select(["cassandra"]), stack, lambda *_: None)


def test_a_first_publish_does_not_take_the_speed_layer_for_missing_because_it_is_away(
    whole: Instance, settings: Settings
) -> None:
    """Live rows are shown before the first run; a batch that ends while Cassandra is down must not hide them."""
    forget(settings)
    samples.make_speed_tables(settings)
    runs = samples.write_layers(settings, "first")
    with spark.session(settings, "chaos") as session:
        with publisher(settings, DATASET, clock) as result:
            result.prepare(samples.shapes())
        before = {grain: seen(settings, grain) for grain in samples.GRAINS}
        assert all(before.values())
        kill_server(whole, "cassandra")
        with pytest.raises(TransientError, match="Cassandra"):
            samples.show(settings, runs[0])
        assert records.load(settings, NAME) == History()
        launcher.up(select(["cassandra"]), whole, lambda *_: None)
        assert {grain: seen(settings, grain) for grain in samples.GRAINS} == before
        samples.show(settings, runs[0])
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        session.sql(f"DELETE FROM iceberg.serving.batch_runs WHERE dataset = '{NAME}'")  # noqa: S608


def test_where_no_speed_layer_was_ever_shown_a_publish_needs_no_cassandra(whole: Instance, settings: Settings) -> None:
    forget(settings)
    run = samples.write_run(settings, "alone", BOUNDARIES[0], samples.TRUTH)
    with spark.session(settings, "chaos") as session:
        kill_server(whole, "cassandra")
        samples.show(settings, run)
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        session.sql(f"DELETE FROM iceberg.serving.batch_runs WHERE dataset = '{NAME}'")  # noqa: S608


def test_a_publish_that_loses_cassandra_is_whole_and_compared_when_it_is_back(
    whole: Instance, settings: Settings
) -> None:
    """To make views Trino needs to know Cassandra's tables, which it does by heart."""
    forget(settings)
    samples.make_speed_tables(settings)
    runs = samples.write_layers(settings, "away")

    def kill(step: str) -> None:
        if step == "views":
            kill_server(whole, "cassandra")

    with spark.session(settings, "chaos") as session:
        samples.show(settings, runs[0])
        record = samples.show(settings, runs[1], step=kill)
        assert (record.run_id, record.event) == (runs[1].run_id, "published")
        assert PENDING in record.details[RECONCILIATION]
        launcher.up(select(["cassandra"]), whole, lambda *_: None)
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        compared = samples.show(settings, runs[2]).details[RECONCILIATION]
        assert compared["since"] == record.details[RECONCILIATION][PENDING]["since"]
        assert PENDING not in compared
        assert compared["unexplained"] == 0
        assert all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)
        session.sql(f"DELETE FROM iceberg.serving.batch_runs WHERE dataset = '{NAME}'")  # noqa: S608
