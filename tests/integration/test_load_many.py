"""Many files in one load: all of them in one commit, once, each accounted for; and what is wrong with them is named."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import gc
import importlib.util
import json
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from load_samples import DAY, HEADER, text_of
from pyspark.sql import SparkSession

from batch_layer.ingest import load as module
from batch_layer.ingest.errors import NotThisFormat, Unreadable
from batch_layer.ingest.load import load
from batch_layer.ingest.raw_store import RAW
from batch_layer.ingest.request import Progress, Request, Result
from datasets.household.text import HOUSEHOLD_TEXT
from engines import hdfs, trino
from engines import spark as engine
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.records import JsonLines, Time, Value, Workbook
from meterlake.meter_names import NoMeter
from meterlake.settings import Settings
from meterlake.text.columns import MeterColumn
from meterlake.text.format import TextFormat
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
PATTERN = "house_([a-z]+)"


@pytest.fixture(scope="module")
def session(settings: Settings, stack: Instance) -> Iterator[SparkSession]:
    """Held open, so that every load of these tests finds it open."""
    with engine.session(settings, "load") as spark:
        yield spark


@pytest.fixture
def form(session: SparkSession) -> Iterator[TextFormat]:
    """A data set of its own for each test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=name))
    for table in (name, f"{name}_quarantine"):
        session.sql(f"DROP TABLE IF EXISTS iceberg.master.{table} PURGE")
    gc.collect()


def run(settings: Settings, form: TextFormat, *paths: object, now: datetime = NOW, **more: Any) -> Result:
    seen: list[Progress] = []
    given = {"meter_from_name": PATTERN, **more}
    request = Request((form,), tuple(map(str, paths)), "", None, **given)
    result = load(settings, request, lambda: now, seen.append)
    assert seen[-1].files == seen[-1].of_files
    return result


def rows(settings: Settings, sql: str, form: TextFormat) -> list[list[Any]]:
    return trino.rows(settings, sql.format(master=f"iceberg.master.{form.dataset.name}"))


def hour(hour_: int, power: str = "4.216") -> list[str]:
    return [line.replace("4.216", power) for line in DAY[60 * hour_ : 60 * (hour_ + 1)]]


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text_of(lines))
    return path


def statuses(result: Result) -> dict[str, tuple[str, int, int]]:
    return {Path(file.path).name: (file.status, file.readings, file.quarantined) for file in result.files}


def test_files_of_a_folder_come_in_one_commit_and_only_what_is_new_comes_again(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    write(folder / "x" / "house_a.csv", [*hour(0), "junk"])
    write(folder / "house_b.csv", hour(0))
    (folder / ".part").write_text("not for us")
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("house_c.csv", text_of(hour(1)))
        archive.writestr("n/house_d.csv", text_of(hour(2)))
    first = run(settings, form, folder)
    assert statuses(first) == {
        "house_b.csv": ("loaded", 60, 0),
        "house_a.csv": ("loaded", 60, 1),
        "z.zip!house_c.csv": ("loaded", 60, 0),
        "house_d.csv": ("loaded", 60, 0),
    }
    assert (first.lines, first.readings, first.quarantined) == (241, 240, {"missing_column": 1})
    by_file = (
        "SELECT meter_id, origin, count(*), min(origin_offset), max(origin_offset) FROM {master}"
        " GROUP BY 1, 2 ORDER BY 1"
    )
    assert rows(settings, by_file, form) == [
        ["a", "x/house_a.csv", 60, 2, 61],
        ["b", "house_b.csv", 60, 2, 61],
        ["c", "z.zip!house_c.csv", 60, 2, 61],
        ["d", "z.zip!n/house_d.csv", 60, 2, 61],
    ]
    snapshots = f'SELECT count(*) FROM iceberg.master."{form.dataset.name}$snapshots"'
    assert trino.rows(settings, snapshots) == [[1]]
    kept = rows(settings, "SELECT origin, origin_offset, payload FROM {master}_quarantine", form)
    assert kept == [["x/house_a.csv", 62, "junk"]]

    # One is new, one has grown, one has changed, the others are as they were.
    write(folder / "house_e.csv", hour(3))
    write(folder / "house_b.csv", [*hour(0), *hour(1)])
    write(folder / "x" / "house_a.csv", hour(0, "1.000"))
    again = run(settings, form, folder, now=NOW + timedelta(hours=1))
    assert {name: status for name, (status, *_) in statuses(again).items()} == {
        "house_a.csv": "loaded",
        "house_b.csv": "loaded",
        "house_e.csv": "loaded",
        "z.zip!house_c.csv": "already loaded",
        "house_d.csv": "already loaded",
    }
    grown = {Path(file.path).name: (file.readings, file.as_before) for file in again.with_status("loaded")}
    assert grown == {"house_b.csv": (120, 60), "house_e.csv": (60, 0), "house_a.csv": (60, 0)}
    assert (again.overlap.same, again.overlap.differing) == (60, 60)
    nothing = run(settings, form, folder, now=NOW + timedelta(hours=2))
    assert nothing.already_loaded
    assert rows(settings, "SELECT count(*) FROM {master}", form) == [[480]]


def test_raw_bytes_lie_in_bundles_and_are_written_once(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / f"house_{name}.csv", hour(0, f"{ord(name) % 7}.000"))
    run(settings, form, f"{tmp_path}/*.csv")
    client, folder = hdfs.client(settings), f"{RAW}/{form.dataset.name}"
    bundle, index = sorted(name for name in client.list(folder) if name != "loads")
    assert index == f"{bundle}.json"
    files = json.loads(hdfs.read_bytes(settings, f"{folder}/{index}"))["files"]
    assert [file["name"] for file in files if "house_a" in file["name"]] == ["house_a.csv"]
    content = hdfs.read_bytes(settings, f"{folder}/{bundle}")
    parts = {file["name"]: content[file["offset"] : file["offset"] + file["length"]] for file in files}
    assert parts == {f"house_{name}.csv": (tmp_path / f"house_{name}.csv").read_bytes() for name in "abc"}
    write(tmp_path / "house_d.csv", hour(5))
    assert run(settings, form, tmp_path).readings == 60
    assert len([name for name in client.list(folder) if name != "loads"]) == 4
    assert len(client.list(f"{folder}/loads")) == 2  # whose readings the files hold, for erasures


def test_a_bad_file_stops_the_load_or_is_set_aside(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    write(tmp_path / "house_a.csv", hour(0))
    swapped = write(tmp_path / "house_b.csv", [line.replace("16/12/", "12/16/") for line in hour(0)])
    document = tmp_path / "readme.pdf"
    document.write_bytes(b"%PDF-1.7")
    with pytest.raises(Unreadable, match=r"readme.pdf is a PDF document"):
        run(settings, form, tmp_path)
    with pytest.raises(NotThisFormat, match=r"house_b.csv: 60 of 60 lines.*60 bad_time"):
        run(settings, form, f"{tmp_path}/*.csv")
    with pytest.raises(NoMeter, match=r"house_a.csv: the pattern 'flat_\(.\)' finds no meter"):
        run(settings, form, tmp_path / "house_a.csv", meter_from_name="flat_(.)")
    assert rows(settings, "SELECT count(*) FROM {master}", form) == [[0]]
    result = run(settings, form, tmp_path, skip_bad_files=True)
    assert {Path(file.path).name: file.status for file in result.files} == {
        "house_a.csv": "loaded",
        "house_b.csv": "set aside",
        "readme.pdf": "set aside",
    }
    assert {Path(file.path).name: file.reason.partition(" ")[2][:30] for file in result.with_status("set aside")} == {
        swapped.name: "60 of 60 lines are no readings",
        document.name: "is a PDF document.",
    }
    assert rows(settings, "SELECT count(*) FROM {master}", form) == [[60]]
    assert rows(settings, "SELECT count(*) FROM {master}_quarantine", form) == [[0]]


def test_files_that_contradict_each_other_are_named_and_the_first_counts(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    one = write(tmp_path / "2-house_a.csv", hour(0))
    other = write(tmp_path / "1-house_a.csv", [*hour(0)[:30], *hour(0, "9.000")[30:]])
    result = run(settings, form, one, other)
    conflicts = result.conflicts
    assert (conflicts.readings, conflicts.meter, conflicts.time) == (30, "a", datetime(2006, 12, 15, 23, 30))  # noqa: DTZ001
    assert (conflicts.counting, conflicts.losing) == (str(one), str(other))
    counting = "SELECT DISTINCT min_by(global_active_power, received_at) FROM {master} GROUP BY ts"
    assert rows(settings, counting, form) == [[4.216]]


def test_files_are_divided_and_far_readings_are_set_aside_in_each(
    settings: Settings, form: TextFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_layer.ingest.lines.Lines.__init__.__defaults__", (10_000,))
    monkeypatch.setattr("batch_layer.ingest.tasks.dealt.__defaults__", (20_000,))
    far = DAY[0].replace("16/12/2006", "1/1/2070")
    write(tmp_path / "house_a.csv", [*DAY, far])
    write(tmp_path / "house_b.csv", DAY)
    result = run(settings, form, tmp_path)
    assert statuses(result) == {"house_a.csv": ("loaded", 1440, 1), "house_b.csv": ("loaded", 1440, 0)}
    assert result.quarantined == {"far_from_others": 1}
    kept = rows(settings, "SELECT origin, origin_offset, payload FROM {master}_quarantine", form)
    assert kept == [["house_a.csv", 1442, far]]
    assert rows(settings, "SELECT sum(origin_offset), max(ts) FROM {master}", form) == [
        [2 * sum(range(2, 1442)), datetime(2006, 12, 16, 22, 59)]  # noqa: DTZ001
    ]


def test_readings_are_far_from_the_others_of_their_meter_whatever_other_meters_have(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    both = replace(form, meter_id="", columns=(MeterColumn("meter"), *form.columns))
    later = [line.replace("/2006;", "/2008;") for line in DAY]
    lines = [*(f"a;{line}" for line in [*DAY, *later]), f"b;{DAY[7]}", *(f"b;{line}" for line in later)]
    path = tmp_path / "two.csv"
    path.write_text("\n".join([f"meter;{HEADER}", *lines, ""]))
    result = run(settings, both, path, meter_from_name="")
    assert (result.readings, result.quarantined) == (3 * 1440, {"far_from_others": 1})
    aside = f"SELECT origin_offset FROM iceberg.master.{form.dataset.name}_quarantine"
    assert trino.rows(settings, aside) == [[2 + 2 * 1440]]


def test_a_load_that_another_overtakes_in_part_brings_the_rest(
    settings: Settings, form: TextFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write(tmp_path / "house_a.csv", [*hour(0), "junk"])
    write(tmp_path / "house_b.csv", hour(0))
    original = module._Load._compare  # noqa: SLF001 - the moment at which it is overtaken

    def overtaken(self: Any, *more: Any) -> Any:
        monkeypatch.undo()
        assert run(settings, form, one).readings == 60
        return original(self, *more)

    monkeypatch.setattr(module._Load, "_compare", overtaken)  # noqa: SLF001
    result = run(settings, form, tmp_path)
    assert {Path(file.path).name: file.status for file in result.files} == {
        "house_a.csv": "already loaded",
        "house_b.csv": "loaded",
    }
    assert rows(settings, "SELECT meter_id, count(*) FROM {master} GROUP BY 1 ORDER BY 1", form) == [
        ["a", 60],
        ["b", 60],
    ]
    assert rows(settings, "SELECT count(*) FROM {master}_quarantine", form) == [[1]]


def test_a_folder_in_hdfs_is_loaded(settings: Settings, form: TextFormat) -> None:
    folder = f"/tmp/{form.dataset.name}"  # noqa: S108 - in HDFS
    for name in ("house_a.csv", "x/house_b.csv", "x/.hidden"):
        hdfs.write_bytes(settings, f"{folder}/{name}", text_of(hour(0)))
    assert [Path(file.path).name for file in run(settings, form, f"hdfs://{folder}").files] == [
        "house_a.csv",
        "house_b.csv",
    ]
    assert run(settings, form, f"hdfs://{folder}/*/*.csv").already_loaded
    with pytest.raises(Unreadable, match="No file matches"):
        run(settings, form, f"hdfs://{folder}/*.txt")
    assert HEADER in hdfs.read_bytes(settings, f"{folder}/house_a.csv").decode()
    hdfs.client(settings).delete(folder, recursive=True)


def test_files_of_other_formats_come_in_the_same_load(
    session: SparkSession, settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    """JSON lines beside text, and a workbook that is cut off: named, and set aside on request."""
    measures = form.dataset.measures
    lines = JsonLines(
        dataset=form.dataset,
        meter="id",
        time=Time("at"),
        values=tuple(Value(measure.name, measure.name) for measure in measures),
        interval_s=60,
    )
    sheet = Workbook(dataset=form.dataset, meter="id", time=Time("at"), values=lines.values, interval_s=60)
    write(tmp_path / "house_a.csv", hour(0))
    values = {measure.name: 1.5 for measure in measures}
    readings = [{"id": "b", "at": f"2006-12-16T00:{minute:02}:00Z", **values} for minute in range(60)]
    texts = [json.dumps(reading) for reading in [*readings, {"id": "b", "at": "never", **values}]]
    (tmp_path / "b.jsonl").write_text("\n".join(texts))
    with zipfile.ZipFile(tmp_path / "c.xlsx", "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")

    forms = (form, lines, sheet)
    request = Request(forms, (str(tmp_path),), "", None, meter_from_name=PATTERN)
    with pytest.raises(WrongFile, match=r"c\.xlsx"):
        load(settings, request, lambda: NOW, lambda _: None)
    result = load(settings, replace(request, skip_bad_files=True), lambda: NOW, lambda _: None)
    assert statuses(result) == {
        "house_a.csv": ("loaded", 60, 0),
        "b.jsonl": ("loaded", 60, 1),
        "c.xlsx": ("set aside", 0, 0),
    }
    assert result.quarantined == {"bad_time": 1}
    sums = "SELECT meter_id, count(*), min(origin_offset), sum(voltage) FROM {master} GROUP BY 1 ORDER BY 1"
    assert rows(settings, sums, form) == [["a", 60, 2, pytest.approx(60 * 234.84)], ["b", 60, 1, 90.0]]


def test_the_small_form_of_the_benchmark(session: SparkSession, settings: Settings) -> None:
    spec = importlib.util.spec_from_file_location("load_many", ROOT / "benchmarks" / "load_many.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.measure(settings, 3)
    assert (result["files"], result["readings"]) == (3, 3 * 1440)
