"""The batch command and its servers are killed: readers see the last run or the next one, and that is whole."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from batch_samples import DAYS, NAME, expected, fresh, history, load, readings, seen
from commands import age_lease, command, kill, kill_server, run, said_until

from batch_layer import lease
from engines import hdfs, spark
from meterlake.settings import Settings
from stack import launcher
from stack.instance import Instance
from stack.services import select

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Story:
    """The days that are loaded so far, and what readers must see of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.days: list[date] = []
        self.shown: list[date] = []

    def load_a_day(self) -> None:
        self.load(max(self.days) + timedelta(days=1))

    def load(self, *days: date) -> None:
        with spark.session(self.settings, "batch-test") as session:
            load(session, self.settings, [row for day in days for row in readings(day)])
        self.days += days

    def check(self, days: list[date]) -> None:
        for grain in ("minute", "hour", "day"):
            rows = [row for day in days for row in readings(day)]
            assert seen(self.settings, grain) == expected(rows, grain)

    def publish(self) -> None:
        """Run the command to its end; readers then see all that is loaded."""
        code, said = run(self.settings, NAME, "batch", NAME)
        assert code == 0, said
        self.shown = list(self.days)
        self.check(self.days)
        self.nothing_is_staged()

    def nothing_is_staged(self) -> None:
        result = hdfs.client(self.settings).list(f"/meterlake/batch/{NAME}_minute")
        assert not [name for name in result if name.startswith("_staging")]

    def only_runs_within_reach_are_left(self) -> None:
        """After upkeep: what a killed run had put in its place before it was published is nobody's."""
        code, said = run(self.settings, NAME, "maintain", NAME)
        assert code == 0, said
        kept = history(self.settings).folders_in_use
        base = f"/meterlake/batch/{NAME}_minute"
        result = hdfs.client(self.settings)
        for place, folders, _ in result.walk(base, depth=3):
            assert not any(name.startswith("_staging") for name in folders), folders
            assert {f"{self.settings.hdfs}{place}/{name}" for name in folders if name.startswith("run=")} <= kept


@pytest.fixture(scope="module")
def story(stack: Instance, settings: Settings) -> Story:
    with fresh(settings):
        pass
    result = Story(settings)
    result.load(*DAYS)
    result.publish()
    return result


@pytest.fixture
def whole(stack: Instance) -> Iterator[Instance]:
    """The stack, brought back after the test."""
    yield stack
    launcher.up(select([]), stack, lambda *_: None)


@pytest.mark.parametrize("doing", ["judging", f"writing {NAME}_minute", f"writing {NAME}_gaps", "auditing"])
def test_a_killed_batch_shows_nothing_and_its_lease_is_taken_over(story: Story, settings: Settings, doing: str) -> None:
    story.load_a_day()
    before = history(settings)
    with command(settings, NAME, "batch", NAME) as batch:
        said_until(batch, doing)
        kill(batch)
    assert history(settings) == before
    story.check(story.shown)
    code, said = run(settings, NAME, "batch", NAME)
    assert code == 1
    assert f"error: Another run of {NAME} is under way: batch of {NAME} by process {batch.pid} on" in said
    assert "a dead one loses its lease by itself" in said
    age_lease(settings, NAME)
    story.publish()


def test_a_batch_killed_while_it_publishes_is_finished_by_the_next_when_its_lease_has_run_out(
    story: Story, settings: Settings
) -> None:
    story.load_a_day()
    with command(settings, NAME, "batch", NAME) as batch:
        said_until(batch, "publishing")
        time.sleep(2)
        kill(batch)
    assert seen(settings) in [
        expected([row for day in days for row in readings(day)], "minute") for days in (story.shown, story.days)
    ]
    until = time.monotonic() + 2 * lease.TERM.total_seconds()
    while run(settings, NAME, "batch", NAME)[0]:
        assert time.monotonic() < until, "the lease of a dead run was not taken over"
        time.sleep(5)
    assert history(settings).begun is None
    story.publish()


@pytest.mark.parametrize(
    ("service", "doing", "says"),
    [
        ("metastore", f"writing {NAME}_minute", "error: Hive metastore at thrift://.* does not answer"),
        ("metastore", "publishing", "error: (Hive metastore|Trino) at .* does not answer"),
        ("namenode", f"writing {NAME}_minute", "error: HDFS at .* does not answer"),
        ("datanode", f"writing {NAME}_hour", "error: HDFS at .* does not answer"),
    ],
)
def test_a_server_that_dies_in_the_middle_is_named_and_the_next_run_is_whole(
    story: Story, whole: Instance, settings: Settings, service: str, doing: str, says: str
) -> None:
    story.load_a_day()
    with command(settings, NAME, "batch", NAME) as batch:
        said_until(batch, doing)
        kill_server(whole, service)
        said = batch.communicate(timeout=900)[0]
    assert batch.returncode == 1, said
    assert re.search(says, said), said
    assert "Traceback" not in said
    launcher.up(select([]), whole, lambda *_: None)
    age_lease(settings, NAME)
    story.publish()


def test_a_repeated_batch_waits_for_servers_and_ends_in_order(
    story: Story, whole: Instance, settings: Settings
) -> None:
    story.load_a_day()
    with command(settings, NAME, "batch", NAME, "--every", "5s") as batch:
        said_until(batch, "published")
        story.shown = list(story.days)
        kill_server(whole, "metastore")
        said_until(batch, "Trying again in 5 s.")
        launcher.up(select([]), whole, lambda *_: None)
        story.load_a_day()
        said_until(batch, "published")
        batch.send_signal(signal.SIGTERM)
        batch.communicate(timeout=900)
    assert batch.returncode == 128 + signal.SIGTERM
    assert hdfs.client(settings).status(f"{lease.FOLDER}/{NAME}.json", strict=False) is None
    story.check(story.days)


def test_upkeep_removes_what_killed_runs_have_left(story: Story) -> None:
    story.only_runs_within_reach_are_left()
    story.check(story.days)
