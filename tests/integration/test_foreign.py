"""Data sets that are not ours, each declared in a folder of its own, all the way: load, batch, stream, merged, verify,
reports and dashboards."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import commands
import layers_samples as layers
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import stream_samples as samples
from docs_commands import page
from docs_commands import run as run_script
from foreign_samples import FOLDER

from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request as Load
from batch_layer.pipeline.batch import run_batch
from batch_layer.views.plan import Request
from cli import merged_views
from engines import spark as engine
from engines import topics, trino
from meterlake import discovery, merged, wire
from meterlake.clock import system_clock
from meterlake.dataset import Entry
from meterlake.lateness import is_late
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.validation import STATE_COLUMNS, measure_columns
from speed_layer import session as streaming
from speed_layer import tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NOW = system_clock()
EARLIER = timedelta(hours=8)
"""So long before now the history is loaded, and computed first: what comes live is later than that boundary."""
KEY = uuid.uuid4().hex[:6]


@dataclass(frozen=True)
class World:
    """The servers, and the folder of the data sets."""

    settings: Settings
    folder: Path

    def entry(self, name: str) -> Entry:
        """Return a data set, which the tests have renamed so that they find nothing of an earlier run."""
        return discovery.in_folder(self.folder).entries[f"{name}_{KEY}"]

    def meterlake(self, *words: str) -> str:
        """Run a command as a user does who has named the folder; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words],
            env={**commands.environment(self.settings), "METERLAKE_DATASETS": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def world(stack: Instance, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("adopter") / "their_datasets"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "generated"))
    for module in folder.glob("*/__init__.py"):
        text = module.read_text(encoding="utf-8")
        module.write_text(re.sub(r'    name="(\w+)"', rf'    name="\1_{KEY}"', text), encoding="utf-8")
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "foreign", streaming.options(small)):
        yield World(small, folder)
        for entry in discovery.in_folder(folder).entries.values():
            layers.forget(small, entry.declaration)
    gc.collect()


@dataclass(frozen=True)
class Story:
    """What the meters of a data set measure. history, live: in order of time; None is a gap row."""

    name: str
    interval_s: int
    meters: tuple[str, ...]
    history: int
    live: int

    def readings(self, end: datetime, count: int) -> list[Reading]:
        """Return so many intervals of each meter up to that of a time, the last included; some without a value."""
        last = int(end.timestamp()) // self.interval_s
        return [
            Reading(
                meter,
                at * self.interval_s,
                self.interval_s,
                (None if (last - at) % 11 == 5 else at * 7 % 50 + place + 0.5,),
                received_at=end,
            )
            for at in range(last - count + 1, last + 1)
            for place, meter in enumerate(self.meters)
        ]

    def text(self, readings: list[Reading]) -> str:
        """Return a file of readings, as such files are."""
        lines = {"london": _london, "plugs": _plug, "works": _works}[self.name]
        return "\n".join([HEADERS[self.name], *(lines(each) for each in readings), ""])


HEADERS = {
    "london": "LCLid,stdorToU,DateTime,KWH/hh (per half hour) ",
    "plugs": "timestamp,power_w",
    "works": "End;Meter;kWh",
}


def _london(each: Reading) -> str:
    value = "Null" if each.is_gap else f" {each.values[0]} "
    local = datetime.fromtimestamp(each.ts, ZoneInfo("Europe/London"))
    return f"{each.meter_id},Std,{local:%Y-%m-%d %H:%M:%S}.0000000,{value}"


def _plug(each: Reading) -> str:
    return f"{each.ts},{'' if each.is_gap else each.values[0]}"


def _works(each: Reading) -> str:
    end = datetime.fromtimestamp(each.ts, UTC) + timedelta(hours=2)  # an hour later, in UTC+1
    value = "n/a" if each.is_gap else f"{each.values[0]}".replace(".", ",")
    return f"{end:%Y-%m-%dT%H:%M:%S};{each.meter_id};{value}"


STORIES = (
    Story("london", 1800, ("MAC000002", "Zähler 2/1+'a'"), history=96, live=10),
    Story("plugs", 1, ("plug-1",), history=600, live=150),
    Story("works", 3600, ("north", "south"), history=48, live=6),
)


def in_kafka(world: World, entry: Entry) -> list[Reading]:
    messages = samples.arrived(world.settings, entry.declaration.readings_topic)
    return samples.decoded(entry.declaration, messages)[0]


def seen(world: World, entry: Entry) -> layers.Rows:
    """Return the rows of the finest merged view, each of which must be there once."""
    dataset, grain = entry.declaration, entry.declaration.finest.grain
    names = [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]
    rows: list[Any] = trino.rows(
        world.settings, f"SELECT meter_id, {grain}, {', '.join(names)} FROM {merged.merged_view(dataset, grain)}"
    )
    values = {(row[0], int(row[1].replace(tzinfo=UTC).timestamp())): tuple(row[2:]) for row in rows}
    assert len(values) == len(rows)
    return values


def batch(world: World, entry: Entry, ago: timedelta = timedelta(0)) -> None:
    outcome = run_batch(world.settings, entry.declaration, Request(), lambda: system_clock() - ago)
    assert outcome.result == "published"


@pytest.mark.timeout(900)
# The others are among the long tests.
@pytest.mark.parametrize(
    "story",
    [STORIES[0], *(pytest.param(story, marks=pytest.mark.slow) for story in STORIES[1:])],
    ids=lambda story: story.name,
)
def test_a_foreign_data_set_goes_all_the_way(world: World, story: Story, tmp_path: Path) -> None:
    settings, entry = world.settings, world.entry(story.name)
    dataset, form = entry.declaration, entry.text_format()

    history = story.readings(NOW - timedelta(days=5), story.history)
    path = tmp_path / "history.csv"
    path.write_text(story.text(history), encoding="utf-8")
    request = Load((form,), (str(path),), form.meter_id, None)
    loaded = load(settings, request, lambda: system_clock() - EARLIER, lambda *_: None)
    gaps = sum(each.is_gap for each in history)
    assert (loaded.readings, loaded.gaps, loaded.quarantined) == (len(history) - gaps, gaps, {})

    batch(world, entry, EARLIER)
    assert seen(world, entry) == layers.truth(dataset, history)

    topics.ensure(settings, dataset)
    tables.apply(settings, dataset)
    merged_views.prepare(settings, dataset, system_clock)
    live = story.readings(system_clock(), story.live)
    samples.send(settings, dataset.readings_topic, [(each.meter_id, wire.encode(dataset, each)) for each in live])
    run(settings, dataset, Queries(archive=True, views=True, once=True), system_clock)
    arrived = in_kafka(world, entry)
    on_time = [each for each in arrived if not is_late(dataset, each)]
    shown = layers.truth(dataset, [*history, *on_time])
    assert len(shown) > len(layers.truth(dataset, history))
    assert seen(world, entry) == shown

    batch(world, entry)
    assert seen(world, entry) == layers.truth(dataset, [*history, *arrived])

    world.meterlake("verify", entry.name)
    world.meterlake("verify", entry.name, "--against", str(path), "--to", f"{NOW - timedelta(days=4):%Y-%m-%d}")
    exported = tmp_path / "rows.parquet"
    world.meterlake("export", entry.name, "--out", str(exported))
    assert pq.read_table(exported).num_rows == len(layers.truth(dataset, [*history, *arrived]))
    assert entry.name in world.meterlake("dataset", "list")
    listed = world.meterlake("report", entry.name, "--list")
    assert "gaps" in listed
    for report in ("gaps", "summary"):
        out = tmp_path / f"{report}.html"
        world.meterlake("report", entry.name, report, "--meter-id", story.meters[0], "--out", str(out))
        assert out.stat().st_size > 1000
    world.meterlake("dashboards", entry.name)
    assert " 0 wrong" in world.meterlake("dashboards", entry.name, "--check")


@pytest.mark.slow  # what needs no servers of it is a unit test
@pytest.mark.timeout(900)
def test_the_page_that_walks_through_one_ends_in_numbers(world: World, tmp_path: Path) -> None:
    extend = page("extend.md")
    (sample,) = extend.blocks("csv", "1.")
    (tmp_path / "sample.csv").write_text(sample, encoding="utf-8")
    begin, use = extend.blocks("sh", "2."), extend.blocks("sh", "6.")
    script = "\n".join([*begin, "export METERLAKE_DATASETS=my_datasets", *use])
    done = run_script(script, tmp_path, commands.environment(world.settings))
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        rows = re.findall(r"(canteen|gym) +2024-03-(\S+ \S+) +(\S+)", done.stdout)
        assert len(rows) == 9  # the gap row has none
        assert rows[0] == ("canteen", "30 22:30:00", "0.214")
        assert rows[-1] == ("gym", "31 00:30:00", "0.870")
    finally:
        entries = discovery.in_folder(tmp_path / "my_datasets").entries
        layers.forget(world.settings, entries["campus"].declaration)
