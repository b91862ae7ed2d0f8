"""Corrections and erasures on the real servers, by the commands: what counts, who made it, and what is left nowhere."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import layers_samples as layers
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import stream_samples as samples
from typer.testing import CliRunner

from batch_layer.ingest.raw_store import RAW
from batch_layer.pipeline import erase as erasing
from cli.app import app
from engines import cassandra, hdfs, metastore, topics, trino
from engines import spark as engine
from meterlake import registry, wire
from meterlake.clock import system_clock
from meterlake.dataset import DataSet
from meterlake.declaration import Amount, MeterSeries, View
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.text.format import MeterColumn, Moment, TextFormat, Value
from speed_layer import session as streaming
from speed_layer.run import Queries
from speed_layer.run import run as stream
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HOMES = MeterSeries(
    name=f"homes{uuid.uuid4().hex[:8]}",
    time_zone="Europe/Paris",
    intervals=("1 h",),
    measures=(Amount("energy", "Wh", "1"),),
    views=(View("hour"), View("day")),
    lateness=timedelta(hours=3),
)
TIME = Moment("time", "yyyy-MM-dd HH:mm")
ENERGY = Value("wh", "energy")
DATASET = DataSet(
    declaration=HOMES,
    formats=(
        TextFormat(
            name="many", dataset=HOMES, columns=(TIME, MeterColumn("home"), Value("wh", "energy")), interval_s=3600
        ),
        TextFormat(name="one", dataset=HOMES, columns=(TIME, Value("wh", "energy")), interval_s=3600, meter_id="x"),
    ),
)
MASTER = f"iceberg.master.{HOMES.name}"
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
NOW = int(system_clock().timestamp()) // 3600 * 3600
Rows = list[tuple[str, datetime, int]]


class Killed(BaseException):
    """What ends a process in the middle; nobody catches it."""


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    small = settings.model_copy(update={"spark_master": "local[2]"})
    with engine.session(small, "changes", streaming.options(small)), registry.added(DATASET):
        yield small
        layers.forget(small, HOMES)
        hdfs.client(small).delete(f"{RAW}/{HOMES.name}", recursive=True)
    gc.collect()


@pytest.fixture(autouse=True)
def small(surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLAKE_SPARK_MASTER", "local[2]")


def command(*words: str) -> Any:
    """Run a command in this process; return what it prints as JSON."""
    name, *others = words
    result = CliRunner().invoke(app, [name, HOMES.name, *others, "--output", "json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def hours(home: str, first: int, count: int, base: int) -> Rows:
    return [(home, BEGIN + timedelta(hours=first + n), base + n) for n in range(count)]


def text(rows: Rows, *more: str, home: bool = True) -> str:
    lines = [f"{at:%Y-%m-%d %H:%M},{f'{name},' if home else ''}{wh}" for name, at, wh in rows]
    return "\n".join([f"time,{'home,' if home else ''}wh", *lines, *more]) + "\n"


def seen(settings: Settings) -> dict[tuple[str, datetime], int]:
    """Return the amounts of all hours before today as batch shows them."""
    rows = trino.rows(settings, f"SELECT meter_id, hour, energy_sum FROM hive.batch.{HOMES.name}_hour")
    return {(row[0], row[1]): int(row[2]) for row in rows if row[1].year == BEGIN.year and row[1].month == BEGIN.month}


def wanted(*parts: Rows) -> dict[tuple[str, datetime], int]:
    return {(home, at.replace(tzinfo=None)): wh for rows in parts for home, at, wh in rows}


MIXED = sorted([*hours("a", 0, 48, 100), *hours("b", 0, 48, 500)], key=lambda row: row[1])
JUNK = ("2026-03-03 00:00,a,junk", "2026-03-03 00:00,b,junk", "a")
ALONE = {home: hours(home, 48, 24, base) for home, base in (("a", 1000), ("b", 2000))}

# The tests below are one story and run in this order.


def test_1_a_correction_counts_and_says_who_and_why(live: Settings, tmp_path: Path) -> None:
    (tmp_path / "homes").mkdir()
    (tmp_path / "homes" / "mixed.csv").write_text(text(MIXED, *JUNK))
    for home, rows in ALONE.items():
        (tmp_path / "homes" / f"{home}.csv").write_text(text(rows, "nonsense", home=False))
    [loaded] = command("load", str(tmp_path / "homes"), "--meter-id-from-name", "^([ab])")
    assert (loaded["readings"], loaded["quarantined"]) == (144, {"bad_value:energy": 2, "missing_column": 3})

    right = [("a", BEGIN, 7), ("a", BEGIN + timedelta(hours=1), 8), ("b", BEGIN, 9)]
    (tmp_path / "right.csv").write_text(text(right, "2026-03-01 02:00,a,"))
    words = ("correct", str(tmp_path / "right.csv"), "--by", "A. Martin", "--why", "invoice 118")
    [done] = command(*words)
    assert (done["revision"], done["readings"], done["gaps"], done["overlap"]["differing"]) == (1000, 3, 1, 4)
    assert command(*words)[0]["already_loaded"]
    assert command("batch")[0]["result"] == "published"
    after = {**wanted(MIXED, *ALONE.values()), **wanted(right)}
    del after["a", BEGIN.replace(tzinfo=None) + timedelta(hours=2)]
    assert seen(live) == after

    [told] = command("explain", "a", "2026-03-01T00:00")
    made = {reading["verdict"]: reading["correction"] for reading in told["readings"]}
    assert made["superseded"] is None
    assert (made["used"]["by"], made["used"]["why"]) == ("A. Martin", "invoice 118")
    listed = [row for row in command("runs") if row["event"] == "correction"]
    assert [(row["status"], row["by"], row["why"], row["id"]) for row in listed] == [
        ("done", "A. Martin", "invoice 118", done["load_id"])
    ]


def send(settings: Settings, meters: tuple[str, ...], first: int) -> list[Reading]:
    sent = [Reading(meter, NOW - 3600 * n, 3600, (float(n),)) for n in range(first, first + 2) for meter in meters]
    messages: list[samples.Message] = [(row.meter_id, wire.encode(HOMES, row)) for row in sent]
    messages += [(meter, json.dumps({"v": 1, "meter_id": meter, "ts": "x"}).encode()) for meter in meters]
    samples.send(settings, HOMES.readings_topic, messages)
    stream(settings, HOMES, Queries(archive=True, views=True, once=True), system_clock)
    return sent


def in_cassandra(settings: Settings) -> set[str]:
    """Return the meters that have rows in any live table."""
    with cassandra.session(settings) as session:
        tables = [f"speed.{HOMES.name}_{name}" for name in ("hour", "latest", "recent")]
        return {row[0] for table in tables for row in session.execute(f"SELECT meter_id FROM {table}")}


def raw_lines(settings: Settings) -> list[str]:
    """Return the lines of all raw files, and of their indexes."""
    client = hdfs.client(settings)
    names = [name for name in client.list(f"{RAW}/{HOMES.name}") if name != "loads"]
    return [
        line for name in names for line in hdfs.read_bytes(settings, f"{RAW}/{HOMES.name}/{name}").decode().split("\n")
    ]


def meters_in_files(settings: Settings, table: str) -> set[str]:
    """Return the meters in any data file that lies in a table's folder, whoever may still read it."""
    with metastore.client(settings) as client:
        result = metastore.get_table(client, "master", table)
    assert result is not None
    folder, client, seen_there = urlparse(result.location).path, hdfs.client(settings), set()
    for path, _, names in client.walk(f"{folder}/data"):
        for name in names:
            content = pq.read_table(io.BytesIO(hdfs.read_bytes(settings, f"{path}/{name}")))
            column = "meter_id" if "meter_id" in content.column_names else "payload"
            seen_there |= set(content[column].to_pylist())
    return seen_there


def test_2_an_erasure_is_complete_also_after_it_was_interrupted(
    live: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.ensure(live, HOMES)
    send(live, ("a", "b"), 0)
    command("batch")
    before = seen(live)
    words = ("erase", "a", "--by", "A. Martin", "--why", "moved out")
    [would] = command("erase", "a", "--dry-run")
    counts = {
        "readings in the master data set": 48 + 24 + 3 + 2,
        "rows in quarantine": 4,  # two lines of mixed.csv, one of a.csv, a message
        "raw files": 1,
        "lines in raw files": 48 + 2 + 3,
        f"rows of speed.{HOMES.name}_hour": 2,
        f"rows of speed.{HOMES.name}_latest": 1,
    }
    assert would["result"] == "would be erased"
    assert {name: would["removed"][name] for name in counts} == counts
    assert seen(live) == before

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "publish_erasure", dies)
        with pytest.raises(Killed):
            command(*words)
    assert [row["status"] for row in command("runs") if row["event"] == "erasure"] == ["unfinished"]
    [receipt] = command(*words)
    assert receipt["result"] == "erased"
    assert receipt["removed"] == would["removed"]
    assert seen(live) == {key: wh for key, wh in before.items() if key[0] == "b"}
    assert [row[0] for row in trino.rows(live, f"SELECT DISTINCT meter_id FROM {MASTER}")] == ["b"]
    assert in_cassandra(live) == {"b"}
    [again] = command(*words)
    assert (again["result"], set(again["removed"].values())) == ("nothing to erase", {0})


def test_3_no_bytes_of_it_are_left(live: Settings) -> None:
    assert meters_in_files(live, HOMES.name) == {"b"}
    left = sorted(line for line in meters_in_files(live, f"{HOMES.name}_quarantine") if len(line) < 40)
    assert left == [JUNK[1], "nonsense"]
    lines = raw_lines(live)
    assert not [line for line in lines if ",a," in line or line == "a" or '"a.csv"' in line]
    assert len([line for line in lines if ",b," in line]) == 48 + 1 + 1
    assert lines.count(" ") == 48 + 2 + 3  # the others keep their numbers
    client, views = hdfs.client(live), "/meterlake/batch"
    mine = [f"{views}/{name}" for name in client.list(views) if HOMES.name in name]  # others' come and go meanwhile
    folders = [path for view in mine for path, _, names in client.walk(view) if names]
    assert folders
    assert {folder.rpartition("run=")[2] for folder in folders} <= {
        row["run"] for row in command("runs", "--all") if row["event"] == "published"
    }


def test_4_the_record_and_what_remains(live: Settings) -> None:
    [listed] = [row for row in command("runs", "--all") if row["event"] == "erasure"]
    assert (listed["status"], listed["by"], listed["why"], listed["meter"]) == ("done", "A. Martin", "moved out", "a")
    remains = {each["where"]: each for each in listed["details"]["remains"]}
    counts = {where: each["what"].split()[0] for where, each in remains.items() if "afka" in where}
    # The first message of the partition was the meter's: it could be deleted.
    assert counts == {
        f"Kafka topic {HOMES.readings_topic}": "2",
        f"Kafka topic {HOMES.rejected_topic}": "1",
        "files of Kafka's brokers": "1",
    }
    assert len(samples.arrived(live, HOMES.readings_topic)) == 5
    assert datetime.fromisoformat(remains[f"Kafka topic {HOMES.readings_topic}"]["until"]) > system_clock()
    result = CliRunner().invoke(app, ["explain", HOMES.name, "a", "2026-03-01T00:00"])
    assert "by A. Martin: moved out" in str(result.exception)
    verified = CliRunner().invoke(app, ["verify", HOMES.name])
    assert verified.exit_code == 0, verified.output


@pytest.mark.slow
def test_5_what_arrives_later_is_new_and_nothing_is_doubled(live: Settings, tmp_path: Path) -> None:
    send(live, ("b",), 2)
    result = trino.rows(live, f"SELECT count(*), count(DISTINCT ts) FROM {MASTER} WHERE origin LIKE 'meterlake%'")
    assert result == [[4, 4]]
    # A file that others are in is known as loaded; one that was the meter's alone is not known any more.
    (tmp_path / "mixed.csv").write_text(text(MIXED, *JUNK))
    assert command("load", str(tmp_path / "mixed.csv"))[0]["already_loaded"]
    (tmp_path / "a.csv").write_text(text(ALONE["a"], "nonsense", home=False))
    assert command("load", str(tmp_path / "a.csv"), "--meter-id", "a")[0]["readings"] == 24
    [receipt] = command("erase", "a", "--before", "2026-03-03T12:00:00", "--by", "B", "--why", "kept for a day")
    assert receipt["removed"]["readings in the master data set"] == 12
    assert {at.hour for home, at in seen(live) if home == "a"} == set(range(12, 24))
