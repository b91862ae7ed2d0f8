"""A publish that falls asleep at any moment, and is overtaken, changes nothing when it wakes up; readers are right."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import merged_samples as samples
import psutil
import pytest
from commands import age_lease
from merged_samples import BOUNDARIES, DATASET, NAME, clock, expected, seen, show
from publishing import roll_back
from test_merged_chaos import words_of

from engines import metastore, spark
from meterlake.ddl import HIVE_DATABASE, view_table
from meterlake.settings import Settings
from serving_layer.publish import records, tables
from serving_layer.sql import views
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[2]
DAY, HOUR, MINUTE = (view_table(DATASET, grain) for grain in ("day", "hour", "minute"))
# A step, and how often the lease has been checked since it began. The second check of a table's step is the last thing
# before the metastore hears of the switch, the third of "views" that before the first merged view.
MOMENTS = [
    ("publishing", 0),
    ("publishing", 1),
    (DAY, 0),
    (DAY, 1),
    (HOUR, 2),
    (MINUTE, 0),
    (MINUTE, 2),
    ("reconcile", 0),
    ("reconcile", 1),
    ("views", 0),
    ("views", 3),
    ("views", 5),
    ("published", 0),
    ("published", 1),
]
SHORT = [(MINUTE, 2), ("views", 3)]


@contextmanager
def asleep(settings: Settings, run: samples.Written, moment: tuple[str, int]) -> Iterator[psutil.Popen]:
    """Publish a run in a process of its own until it falls asleep; it is killed in the end."""
    words = words_of(settings, run, (*moment, signal.SIGSTOP))
    process = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        while process.status() != psutil.STATUS_STOPPED:
            assert process.status() != psutil.STATUS_ZOMBIE, process.communicate()[1][-3000:]
            time.sleep(0.1)
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.communicate()


def woken(process: psutil.Popen) -> str:
    """Let a process go on to its end; return what it said."""
    os.kill(process.pid, signal.SIGCONT)
    said: str = process.communicate(timeout=900)[1]
    assert process.returncode == 1, said[-3000:]
    return said


def right(settings: Settings) -> bool:
    return all(seen(settings, grain) == expected(grain) for grain in samples.GRAINS)


@pytest.fixture(scope="module")
def runs(stack: Instance, settings: Settings) -> Iterator[list[samples.Written]]:
    samples.forget(settings)
    samples.make_speed_tables(settings)
    with spark.session(settings, "overtaken") as session:
        if session.catalog.tableExists(records.FULL_NAME):
            session.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{NAME}'")  # noqa: S608
        yield samples.write_layers(settings, "overtaken")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(
            each, marks=[pytest.mark.short] * (each in SHORT), id=f"{each[0].removeprefix(f'{NAME}_')}{each[1]}"
        )
        for each in MOMENTS
    ],
)
def test_a_publish_that_sleeps_and_is_overtaken_gives_up(
    runs: list[samples.Written], settings: Settings, moment: tuple[str, int]
) -> None:
    show(settings, runs[0])
    with asleep(settings, runs[2], moment) as process:
        assert right(settings)
        age_lease(settings, NAME, clock)
        record = show(settings, runs[3])
        assert right(settings)
        said = woken(process)
    assert "LeaseLost" in said or "Overtaken" in said
    assert right(settings)
    history = records.load(settings, NAME)
    assert history.current == record
    assert history.begun is None
    assert views.shown(settings, DATASET) == history.seq
    assert views.current_cutover(settings, DATASET) == BOUNDARIES[3]
    with metastore.client(settings) as client:
        for table in (DAY, HOUR, MINUTE):
            assert tables.locations(client, table) == runs[3].tables[table]
            assert len(metastore.partitions_from(client, HIVE_DATABASE, table, "~")) == 1


@pytest.mark.parametrize("moment", [("views", 3), ("views", 7)])
def test_views_that_were_replaced_after_a_roll_back_are_put_right_by_who_replaced_them(
    runs: list[samples.Written], settings: Settings, moment: tuple[str, int]
) -> None:
    show(settings, runs[0])
    with asleep(settings, runs[2], moment) as process:
        age_lease(settings, NAME, clock)
        roll_back(settings, DATASET, runs[0].run_id, clock)
        assert right(settings)
        assert "LeaseLost" in woken(process)
    assert right(settings)
    assert views.current_cutover(settings, DATASET) == BOUNDARIES[0]
    assert views.shown(settings, DATASET) == records.load(settings, NAME).seq
