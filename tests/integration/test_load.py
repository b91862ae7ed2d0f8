"""Loads against the real servers: exact, once, all or nothing; and every bad input with a clear answer."""

from __future__ import annotations

import gc
import gzip
import lzma
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from load_samples import DAY, GAP, REFUSED, VALUES, text_of, write
from pyspark.sql import SparkSession

from batch_layer.ingest import load as module
from batch_layer.ingest import tasks
from batch_layer.ingest.compare import Overlap
from batch_layer.ingest.errors import Unreadable, WallClock
from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request, Result
from datasets.household.text import HOUSEHOLD_TEXT
from engines import hdfs, master, trino
from engines import spark as engine
from engines.errors import EngineUnavailable, StorageFull
from engines.table_format import AlreadyPublished, NotYetAvailable, SnapshotExpired
from meterlake.errors import OutOfBalance
from meterlake.settings import Settings
from meterlake.text.format import TextFormat
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


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


def run(settings: Settings, form: TextFormat, path: str, now: datetime = NOW, **more: Any) -> Result:
    request = Request((form,), (path,), more.pop("meter_id", "m1"), more.pop("offset", form.utc_offset), **more)
    return load(settings, request, lambda: now, lambda *_: None)


def rows(settings: Settings, sql: str, form: TextFormat) -> list[list[Any]]:
    return trino.rows(settings, sql.format(master=f"iceberg.master.{form.dataset.name}"))


def count(settings: Settings, form: TextFormat) -> int:
    return int(rows(settings, "SELECT count(*) FROM {master}", form)[0][0])


def test_a_load_is_exact_and_seen_by_trino(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    bad = "16/12/2006;24:00:00;" + VALUES
    result = run(settings, form, write(tmp_path, text_of([*DAY, bad, GAP, GAP + ";"])))
    assert (result.lines, result.readings, result.gaps, result.days) == (1443, 1440, 1, 2)
    assert result.quarantined == {"bad_time": 1, "extra_column": 1}
    assert (result.first, result.last) == (datetime(2006, 12, 15, 23), datetime(2006, 12, 16, 23))  # noqa: DTZ001
    answer = rows(settings, "SELECT count(*), sum(voltage), min(ts), max(origin_offset) FROM {master}", form)
    assert answer == [[1441, pytest.approx(1440 * 234.84), datetime(2006, 12, 15, 23), 1443]]  # noqa: DTZ001
    kept = rows(
        settings, "SELECT origin, origin_offset, reason, payload, load_id FROM {master}_quarantine ORDER BY 2", form
    )
    assert kept == [
        ["file.txt", 1442, "bad_time", bad, result.load_id],
        ["file.txt", 1444, "extra_column", GAP + ";", result.load_id],
    ]


def test_a_repeated_load_adds_nothing_and_another_meter_is_another_load(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    content = text_of([*DAY, "junk"])
    first = run(settings, form, write(tmp_path, content))
    # The same content in another file and another packing is the same load.
    again = run(settings, form, write(tmp_path, lzma.compress(content), "other.xz"), now=NOW + timedelta(days=1))
    assert not first.already_loaded
    assert again.already_loaded
    assert again.load_id == first.load_id
    other = run(settings, form, write(tmp_path, gzip.compress(content), "x.gz"), meter_id="m2")
    assert not other.already_loaded
    assert count(settings, form) == 2880
    assert rows(settings, "SELECT count(*) FROM {master}_quarantine", form) == [[2]]


def test_a_month_that_comes_again_is_compared_and_replaces_what_was_there_on_request(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    old, new = write(tmp_path, text_of(DAY), "october.txt"), [line.replace("4.216", "2.500") for line in DAY[60:120]]
    corrected = write(tmp_path, text_of([*DAY[:60], *new, GAP]), "october-corrected.txt")
    assert run(settings, form, old).overlap == Overlap()
    # Beside it: the first that came counts.
    beside = run(settings, form, corrected, now=NOW + timedelta(hours=1))
    start = datetime(2006, 12, 16)  # noqa: DTZ001
    first = ("m1", corrected, "october.txt")
    assert beside.overlap == Overlap(60, 60, start, start + timedelta(minutes=59), *first)
    assert beside.revision == 0
    counting = (
        "SELECT power, count(*) FROM (SELECT max_by(global_active_power, revision * 10 - origin_partition) AS power,"
        " ts FROM {master} WHERE revision = (SELECT max(revision) FROM {master}) GROUP BY ts) GROUP BY power ORDER BY 1"
    )
    winning = run(settings, form, corrected, now=NOW + timedelta(hours=2), corrects=True)
    # One more than before is equal: the gap row that came beside it.
    again_there = Overlap(61, 60, start, start + timedelta(minutes=59), *first)
    # Bridges number what they read up to 999: a correction counts against that, too.
    assert (winning.revision, winning.overlap) == (1000, again_there)
    assert rows(settings, counting, form) == [[2.5, 60], [4.216, 60], [None, 1]]
    assert run(settings, form, corrected, corrects=True).already_loaded
    # And back, and again: each counts in its turn.
    back = run(settings, form, old, corrects=True)
    assert (back.revision, back.overlap.differing) == (1001, 60)
    assert rows(settings, counting, form) == [[4.216, 1440]]
    again = run(settings, form, corrected, corrects=True)
    assert (again.already_loaded, again.revision) == (False, 1002)


def test_a_clock_on_the_wall_is_refused_by_offset_and_read_by_zone(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    paris, lines = ZoneInfo("Europe/Paris"), []
    for minute in range(1500):
        at = (datetime(2024, 10, 26, 22, tzinfo=UTC) + timedelta(minutes=minute)).astimezone(paris)
        lines.append(f"{at:%d/%m/%Y;%H:%M:%S};{3 if at.fold else 1}.000;0.110;241.20;4.1;0.000;0.000;1.000")
    path = write(tmp_path, text_of(lines))
    with pytest.raises(WallClock, match=r"60 times come twice, the first is 2024-10-27 02:00.*--time-zone"):
        run(settings, form, path)
    assert count(settings, form) == 0
    result = run(settings, form, path, offset=paris)
    assert (result.readings, result.quarantined) == (1500, {})
    sql = "SELECT sum(global_active_power) / 60, count(DISTINCT ts), min(ts), max(ts) FROM {master}"
    begin = datetime(2024, 10, 26, 22)  # noqa: DTZ001
    assert rows(settings, sql, form) == [[pytest.approx(27.0), 1500, begin, begin + timedelta(minutes=1499)]]
    assert run(settings, form, path, offset=paris).already_loaded


def test_readings_far_from_all_others_are_set_aside(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    wrong = [f"{day};00:00:00;{VALUES}" for day in ("1/1/2000", "5/5/2012", "1/1/2070")]
    result = run(settings, form, write(tmp_path, text_of([wrong[0], *DAY, *wrong[1:]])))
    assert (result.readings, result.quarantined) == (1441, {"far_from_others": 2})
    assert result.first == datetime(1999, 12, 31, 23)  # noqa: DTZ001 - left to the rule of the earliest day
    shifted = run(settings, form, write(tmp_path, text_of([*DAY, wrong[2], "junk"])), rebase=True, meter_id="m2")
    assert shifted.quarantined == {"far_from_others": 1, "missing_column": 1}
    assert shifted.shift_days > 365 * 19
    assert shifted.not_loaded + shifted.readings == 1440


def test_a_file_in_hdfs_is_loaded(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    path = f"/tmp/{form.dataset.name}.gz"  # noqa: S108 - in HDFS
    hdfs.write_bytes(settings, path, gzip.compress(text_of(DAY)))
    assert run(settings, form, f"hdfs://{path}").readings == 1440
    # Nothing was bad, and the quarantine can be looked at.
    assert rows(settings, "SELECT count(*) FROM {master}_quarantine", form) == [[0]]
    with pytest.raises(Unreadable, match="does not exist"):
        run(settings, form, "hdfs:///tmp/nothing-there")
    hdfs.client(settings).delete(path)


def test_rebase_moves_whole_weeks_and_leaves_out_what_lies_ahead(
    settings: Settings, form: TextFormat, tmp_path: Path
) -> None:
    result = run(settings, form, write(tmp_path, text_of([*DAY, "junk"])), rebase=True)
    assert result.shift_days % 7 == 0
    shift = timedelta(days=result.shift_days)
    begin = datetime(2006, 12, 15, 23, tzinfo=UTC) + shift
    assert begin + timedelta(days=1) >= NOW > begin + timedelta(days=1, weeks=-1)
    ahead = min(1440, max(0, int((begin + timedelta(days=1) - NOW).total_seconds() // 60)))
    assert (result.readings, result.not_loaded) == (1440 - ahead, ahead)
    assert rows(settings, "SELECT max(ts) FROM {master}", form)[0][0] < NOW.replace(tzinfo=None)


@pytest.mark.parametrize("step", ["publish", "_quarantine", "_check"])
def test_a_load_that_dies_shows_nothing_and_can_be_run_again(
    settings: Settings, form: TextFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = write(tmp_path, text_of([*DAY, "junk"]))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "publish":
            patch.setattr("engines.table_format_iceberg.IcebergTable.publish", die)
        else:
            patch.setattr(module._Load, step, die)  # noqa: SLF001 - the place to die at
        with pytest.raises(KeyboardInterrupt):
            run(settings, form, path)
    assert count(settings, form) == 0
    result = run(settings, form, path, now=NOW + timedelta(minutes=1))
    assert not result.already_loaded
    assert count(settings, form) == 1440
    assert rows(settings, "SELECT count(*) FROM {master}_quarantine", form) == [[1]]


def test_two_loads_at_once_add_the_readings_once(
    settings: Settings, form: TextFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, text_of(DAY))
    results = []
    original = module._Load._check  # noqa: SLF001

    def overtaken(self: Any, *more: Any) -> None:
        original(self, *more)
        monkeypatch.undo()
        results.append(run(settings, form, path))

    monkeypatch.setattr(module._Load, "_check", overtaken)  # noqa: SLF001
    results.append(run(settings, form, path))
    assert [result.already_loaded for result in results] == [False, True]
    assert count(settings, form) == 1440


def test_a_line_lost_on_the_way_is_out_of_balance(
    settings: Settings, form: TextFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tasks.frame
    monkeypatch.setattr(tasks, "frame", lambda *given: original(*given).where("coalesce(origin_offset, 0) <> 7"))
    with pytest.raises(OutOfBalance, match="1 are missing"):
        run(settings, form, write(tmp_path, text_of(DAY)))
    assert count(settings, form) == 0


@pytest.mark.parametrize(
    ("content", "error", "says"), REFUSED, ids=[error.__name__ + says[:9] for _, error, says in REFUSED]
)
def test_a_wrong_file_is_refused_and_leaves_nothing(
    settings: Settings, form: TextFormat, tmp_path: Path, content: bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        run(settings, form, write(tmp_path, content))
    folder = f"/meterlake/raw/{form.dataset.name}"
    result = hdfs.client(settings).list(folder) if hdfs.client(settings).status(folder, strict=False) else []
    assert not [name for name in result if name.startswith(".partial")]


def test_a_server_that_is_away_is_named(settings: Settings, form: TextFormat, tmp_path: Path) -> None:
    path = write(tmp_path, text_of(DAY))
    for change, says in [
        ({"webhdfs_url": "http://127.0.0.1:1"}, "HDFS at http://127.0.0.1:1 does not answer"),
        ({"metastore_url": "thrift://127.0.0.1:1"}, "metastore at thrift://127.0.0.1:1 does not answer"),
    ]:
        with pytest.raises(EngineUnavailable, match=says):
            run(settings.model_copy(update=change), form, path)


@pytest.mark.parametrize("place", ["raw", "master"])
def test_a_full_disk_is_said_and_leaves_nothing(
    settings: Settings, form: TextFormat, tmp_path: Path, session: SparkSession, place: str
) -> None:
    """HDFS's own quota stands for the disk: the DataNode's write fails in the middle."""
    path = write(tmp_path, text_of(DAY))
    table = master.master(session, settings, form.dataset)
    folder = {
        "raw": f"/meterlake/raw/{form.dataset.name}",
        "master": f"/meterlake/tables/master.db/{form.dataset.name}",
    }
    hdfs.client(settings).makedirs(folder[place])
    quota(settings, folder[place], 1)
    with pytest.raises(StorageFull, match="no room left"):
        run(settings, form, path)
    quota(settings, folder[place], -1)
    assert table.current() is None
    assert run(settings, form, path).readings == 1440


def quota(settings: Settings, folder: str, size: int) -> None:
    unlimited = 2**63 - 1
    client = hdfs.client(settings)
    user = client._session.params["user.name"]  # noqa: SLF001 - the library has no quotas
    given = {"op": "SETQUOTA", "user.name": user, "storagespacequota": size, "namespacequota": unlimited}
    requests.put(f"{settings.webhdfs}/webhdfs/v1{folder}", params=given, timeout=10).raise_for_status()


def test_changed_days_come_from_metadata_and_ignore_compaction(
    settings: Settings, form: TextFormat, tmp_path: Path, session: SparkSession
) -> None:
    def loaded(day: int, name: str) -> int | None:
        lines = [line.replace("16/12/2006", f"{day}/12/2006") for line in DAY[60:120]]
        return run(settings, form, write(tmp_path, text_of(lines), name)).snapshot

    one, two = loaded(3, "a.txt"), loaded(9, "b.txt")
    table = master.master(session, settings, form.dataset)
    first, second = date(2006, 12, 3), date(2006, 12, 9)
    assert table.changed_days(None) == [first, second]
    assert table.changed_days(one) == [second]
    assert table.changed_days(None, one) == [first]
    session.sql(
        f"CALL iceberg.system.rewrite_data_files(table => '{table.name}', options => map('rewrite-all', 'true'))"
    )
    assert (current := table.current()) is not None
    assert current.operation == "replace"
    assert table.changed_days(two) == []
    assert table.changed_days(one) == [second]
    assert table.read([second]).count() == table.read(snapshot=one).count() == 60
    assert (table.size().rows, table.size([first], one).rows, table.size([second], one).rows) == (120, 60, 0)
    with pytest.raises(SnapshotExpired, match="--full"):
        table.changed_days(1)


def test_commits_carry_properties_and_staged_rows_are_shown_once(
    settings: Settings, form: TextFormat, session: SparkSession
) -> None:
    table = master.master(session, settings, form.dataset)
    values = ", ".join(f"{n}D AS {name}" for n, name in enumerate(form.measures))
    rows = session.sql(
        f"SELECT 'm' AS meter_id, TIMESTAMP_NTZ '2026-01-01 00:00:00' AS ts, 60 AS interval_s, {values}, 0 AS revision,"
        " TIMESTAMP_NTZ '2026-01-01 00:01:00' AS received_at, 'f' AS origin, 0 AS origin_partition,"
        " 2L AS origin_offset, 'l' AS load_id"
    )
    staged = table.stage(rows, "token", {"load-id": "l"})
    assert table.current() is None
    added = table.append(rows, {"query-id": "q", "batch-id": "7"})
    assert table.find({"query-id": "q", "batch-id": "7"}) == added
    assert table.find({"query-id": "q", "batch-id": "8"}) is None
    assert table.find({"load-id": "l"}) is None
    assert table.publish(staged).added_rows == 1
    assert (result := table.find({"load-id": "l"})) is not None
    assert result.parent == added.id
    assert table.read().count() == 2
    again = table.stage(rows, "token", {"load-id": "l"})
    with pytest.raises(AlreadyPublished):
        table.publish(again)
    assert table.read().count() == 2


def test_a_format_that_cannot_be_written_is_said(settings: Settings, form: TextFormat, session: SparkSession) -> None:
    with pytest.raises(NotYetAvailable, match="delta"):
        master.master(session, settings, replace(form.dataset, table_format="delta"))
