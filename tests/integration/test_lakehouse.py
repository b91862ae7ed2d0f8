"""A lakehouse on the real servers: Kafka, S3, Nessie, Spark, Trino; from simulated people to facts that readers see."""

from __future__ import annotations

import json
import lzma
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import lake_servers
import live_samples
import pytest
import sqlglot
from contract_truth import assert_kept
from lakehouse_samples import renamed
from load_samples import DAY, text_of
from pydantic import SecretStr
from pyspark.sql import SparkSession

from batch_layer.ingest.errors import Unreadable
from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request as LoadRequest
from batch_layer.ingest.request import Result
from datasets.household.text import HOUSEHOLD_TEXT
from datasets.telecom.simulation import SIMULATION
from engines import clickhouse, kafka, lake, nessie, spark, topics, trino
from engines.clickhouse import ClickHouse
from engines.lake import WrongKeys
from engines.nessie import RefMoved
from engines.topics import NoSuchTopic
from lakehouse import history, lease
from lakehouse.clickhouse.load import NotEqual
from lakehouse.clickhouse.load import load as load_clickhouse
from lakehouse.contract import contract
from lakehouse.landing import from_files, from_kafka, objects
from lakehouse.landing.from_kafka import OutOfRange
from lakehouse.landing.objects import BrokenObject
from lakehouse.layers import bronze, tables
from lakehouse.live.stream import Stream
from lakehouse.run import Run, known
from lakehouse.verify import verify
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import RunUnderWay, UnknownName
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.nifi import INBOX
from meterlake.lakehouse.simulation import Request
from meterlake.settings import Settings
from meterlake.timegrid import floor_minute
from producers.lakehouse.faults import Account, Message, parse
from producers.lakehouse.simulate import simulate
from producers.lakehouse.sinks import KafkaSink
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

START = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
FAULTS = ",".join(f"{name}=0.01" for name in SIMULATION.faults)
VERDICTS = ("accepted", "rejected", "duplicate", "superseded", "conflicting", "undecodable")


class Stopped(BaseException):
    """A run that ends as if it were killed: nothing catches it."""


@dataclass
class World:
    """What the tests of this file share, in their order."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    accounts: list[Account]
    runs: list[str]

    def run(self, *, full: bool = False, stop_at: str = "") -> history.Record | None:
        def report(step: str) -> None:
            if step == stop_at:
                raise Stopped

        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            return Run(self.settings, self.session, self.lakehouse, held, system_clock, report).execute(full=full)

    def rows(self, sql: str) -> list[list[Any]]:
        return trino.rows(self.settings, sql.replace("GOLD", f"lake.{self.lakehouse.namespace('gold')}"))

    def live(self, request: Request, faults: str) -> None:
        sink = Renamed(KafkaSink(self.settings, self.lakehouse.topics), self.lakehouse.name)
        with sink:
            self.accounts.append(simulate(SIMULATION, request, parse(faults, SIMULATION), sink, Event()))

    def land(self) -> int:
        request = from_kafka.Request(self.lakehouse.name, self.lakehouse.topics)
        return from_kafka.land(self.settings, request, Event()).total()


class Renamed(KafkaSink):
    """Topics of this run of the tests alone."""

    def __init__(self, sink: KafkaSink, name: str) -> None:
        self.__dict__ |= sink.__dict__
        self._name = name

    def send(self, topic: str, messages: list[Message]) -> None:
        super().send(topic.replace("telecom.", f"{self._name}."), messages)


@pytest.fixture(scope="module")
def servers(stack: Instance) -> Iterator[Instance]:
    with lake_servers.running(stack):
        yield stack


@pytest.fixture(scope="module")
def world(servers: Instance) -> Iterator[World]:
    name = f"t{secrets.token_hex(4)}"
    with spark.session(servers.settings, "lakehouse") as session:
        yield World(servers.settings, session, renamed(name), [], [])


def test_1_what_is_sent_is_landed_once_and_judged_as_the_account_says(world: World) -> None:
    world.live(Request(users=300, rate=60, start=START, duration=timedelta(seconds=30), seed=7), FAULTS)
    sent = world.accounts[0].sent
    assert world.land() == sent
    assert world.land() == 0
    record = world.run()
    assert record is not None
    world.runs.append(record.run)
    for item in world.lakehouse.records:
        wanted = world.accounts[0].topics[f"telecom.{item.topic.partition('.')[2]}"]
        counts = record.counts[item.name]
        assert [counts[verdict] for verdict in VERDICTS] == [wanted[verdict] for verdict in VERDICTS], item.name
    assert world.run() is None


def test_2_readers_see_facts_with_members_and_local_days(world: World) -> None:
    accepted = world.accounts[0].topics["telecom.calls"]["accepted"]
    assert world.rows("SELECT count(*), count(DISTINCT transaction_sk) FROM GOLD.fact_calls") == [[accepted, accepted]]
    # 21:30 UTC is half past eleven in Cairo in winter.
    assert world.rows("SELECT min(date_sk), min(time_sk) FROM GOLD.fact_calls") == [["20261120", 84600]]
    strangers = world.rows(
        "SELECT count(*) FROM GOLD.fact_calls f JOIN GOLD.dim_user u ON u.user_sk = f.to_user_sk"
        " WHERE u.is_placeholder AND f.to_phone_number = '+33612345678' AND u.phone_number = f.to_phone_number"
    )
    calls = world.rows("SELECT count(*) FROM GOLD.fact_calls WHERE to_phone_number = '+33612345678'")
    assert strangers == calls
    assert calls[0][0] > 0
    assert world.rows("SELECT count(*), min(time_sk), max(time_sk) FROM GOLD.dim_time") == [[86_400, 0, 86_399]]
    assert world.rows("SELECT count(*) FROM GOLD.dim_date WHERE date_value = DATE '2026-11-20' AND is_weekend") == [[1]]


def test_2_tables_are_as_the_contract_promises(world: World) -> None:
    assert_kept(world.settings, [table for table in contract(world.lakehouse).tables if table.kind != "topic"])


def test_2_clickhouse_has_what_readers_see(world: World) -> None:
    with clickhouse.session(world.settings) as engine:
        first = load_clickhouse(world.settings, engine, world.lakehouse)
        assert {row["table"] for row in first} == {
            *(item.name for item in (*world.lakehouse.dimensions, *world.lakehouse.facts, *world.lakehouse.marts)),
            "dim_date",
            "dim_time",
        }
        _assert_same(world, engine)
        again = load_clickhouse(world.settings, engine, world.lakehouse)
        assert {row["days"] for row in again if row["table"].startswith("fact_")} == {0}
        engine.run(f"ALTER TABLE {world.lakehouse.name}.fact_sms DELETE WHERE 1 SETTINGS mutations_sync = 2")
        with pytest.raises(NotEqual, match=r"fact_sms differs from gold: 0 rows instead of \d+"):
            load_clickhouse(world.settings, engine, world.lakehouse)
        load_clickhouse(world.settings, engine, world.lakehouse, full=True)
        _assert_same(world, engine)


def _assert_same(world: World, engine: ClickHouse) -> None:
    """Facts and marts in ClickHouse are those that Trino reads and computes."""
    name = world.lakehouse.name
    for fact in world.lakehouse.facts:
        columns = ", ".join(["transaction_sk", "date_sk", "time_sk", *(lookup.column for lookup in fact.lookups)])
        _, ours = engine.select(f"SELECT {columns} FROM {name}.{fact.name} ORDER BY transaction_sk")  # noqa: S608
        assert ours == world.rows(f"SELECT {columns} FROM GOLD.{fact.name} ORDER BY transaction_sk")  # noqa: S608
    for mart in world.lakehouse.marts:
        by = ["date_sk", *(trino_sql(sql) for _, sql in mart.by)]
        figures = [trino_sql(sql) for _, sql in mart.figures]
        asked = f"SELECT {', '.join([*by, *figures])} FROM GOLD.{mart.fact} GROUP BY {', '.join(by)}"  # noqa: S608
        _, rows = engine.select(f"SELECT * FROM {name}.{mart.name}")  # noqa: S608
        ours, theirs = (sorted([_exact(value) for value in row] for row in some) for some in (rows, world.rows(asked)))
        assert ours == theirs
        assert ours


def _exact(value: object) -> str:
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def trino_sql(sql: str) -> str:
    return sqlglot.transpile(sql, read="spark", write="trino")[0]


def _more(world: World, folder: Path) -> dict[str, bytes]:
    """Return files: a correction, a conflict, who was a stranger, a cell that was missing, and what is no record."""
    name = world.lakehouse.name
    what = ("phone_number", "cell_site", "imei", "tac")
    names = ["call_id", *(f"{end}_{part}" for part in what for end in ("from", "to"))]
    wanted = "to_phone_number <> '+33612345678' ORDER BY call_id LIMIT 1"
    (call,) = world.rows(f"SELECT {', '.join(names)} FROM GOLD.fact_calls WHERE {wanted}")  # noqa: S608
    ends = dict(zip(names, call, strict=True))
    row = {
        **ends,
        "event_type": "call",
        "timestamp": "2026-11-20T22:30:00Z",
        "status": "completed",
        "call_duration_seconds": 60,
        "amount": 12345678901234.56,
        "currency": "EGP",
        "call_type": "voice",
        "revision": 2,
    }
    cell = {"cell_id": "CELL99999", "city": "Siwa", "region": "West", "latitude": 29.2, "longitude": 25.5}
    user = {"phone_number": "+33612345678", "user_id": "U9", "name": "Nina", "email": None, "address": "Lyon"}
    calls = [json.dumps(row).encode(), b"[]", b"", b'{"call_id": "cut', b'{"a": 1} {"b": 2}', b"\xff\xfe"]
    return {
        f"{name}.calls": b"\n".join(calls) + b"\n",
        f"{name}.cell_sites": json.dumps({**cell, "valid_from": "2026-11-01T00:00:00Z"}).encode(),
        f"{name}.users": json.dumps({**user, "valid_from": "2026-11-01T00:00:00Z"}).encode(),
        f"{name}.sms": b"",
    }


def test_3_a_run_that_is_stopped_leaves_readers_on_the_old_state_and_the_next_completes_it(
    world: World, tmp_path: Path
) -> None:
    before = world.rows("SELECT count(*), sum(amount) FROM GOLD.fact_calls")
    for name, data in _more(world, tmp_path).items():
        (tmp_path / f"{name}.jsonl").write_bytes(data)
    now = datetime(2026, 11, 21, 6, 0)  # noqa: DTZ001 - UTC without zone
    landed = from_files.land(world.settings, world.lakehouse.name, world.lakehouse.topics, [tmp_path], now)
    assert landed.total() == 8
    assert from_files.land(world.settings, world.lakehouse.name, world.lakehouse.topics, [tmp_path], now).total() == 0
    main = nessie.main(world.settings)
    with pytest.raises(Stopped):
        world.run(stop_at="silver")
    assert nessie.main(world.settings) == main
    assert world.rows("SELECT count(*), sum(amount) FROM GOLD.fact_calls") == before
    record = world.run()
    assert record is not None
    world.runs.append(record.run)
    calls, missing = record.counts["calls"], world.accounts[0].faults["unknown_cell"]
    assert calls["read"] == 6
    assert (calls["undecodable"], calls["superseded"]) == (5, 1)
    # The cell is known now: what was rejected for it is accepted.
    assert calls["accepted"] + record.counts["sms"]["accepted"] == missing
    assert calls["rejected"] + record.counts["sms"]["rejected"] == -missing
    assert world.rows("SELECT count(*) FROM GOLD.dim_user WHERE is_placeholder") == [[0]]
    assert world.rows("SELECT name FROM GOLD.dim_user WHERE phone_number = '+33612345678'") == [["Nina"]]
    lost = world.rows(
        "SELECT count(*) FROM GOLD.fact_calls WHERE to_phone_number = '+33612345678'"
        " AND to_user_sk NOT IN (SELECT user_sk FROM GOLD.dim_user WHERE name = 'Nina')"
    )
    assert lost == [[0]]
    corrected = world.rows("SELECT date_sk, time_sk, amount FROM GOLD.fact_calls WHERE amount > 1000")
    assert [(row[0], row[1], str(row[2])) for row in corrected] == [("20261121", 1800, "12345678901234.56")]


def test_3_a_run_of_one_event_alone_leaves_the_rest_as_it_is(world: World, tmp_path: Path) -> None:
    before, name = _hashes(world), f"{world.lakehouse.name}.support"
    names = [field.name for field in world.lakehouse.event("support").fields]
    (row,) = world.rows(f"SELECT {', '.join(names)} FROM GOLD.fact_support ORDER BY support_id LIMIT 1")  # noqa: S608
    again = {**dict(zip(names, row, strict=True)), "revision": 2, "escalated": True, "wait_time_seconds": 86_399}
    again["timestamp"] = f"{again['timestamp'].isoformat()}Z"
    (tmp_path / f"{name}.jsonl").write_text(json.dumps(again))
    from_files.land(world.settings, world.lakehouse.name, world.lakehouse.topics, [tmp_path], datetime(2026, 11, 22))  # noqa: DTZ001 - UTC without zone
    record = world.run()
    assert record is not None
    world.runs.append(record.run)
    assert record.counts["support"]["read"] == record.total["read"] == 1
    assert world.rows("SELECT count(*) FROM GOLD.fact_support WHERE wait_time_seconds = 86399 AND escalated") == [[1]]
    others = {"bronze.landed_objects", "bronze.support", "silver.support", "gold.fact_support"}
    after = _hashes(world)
    assert {table: before[table] for table in before if table not in others} == {
        table: after[table] for table in after if table not in others
    }
    assert after["gold.fact_support"][0] == before["gold.fact_support"][0]


def test_4_full_gives_the_same_tables_and_readers_can_go_back_and_forward(world: World) -> None:
    incremental = _hashes(world)
    record = world.run(full=True)
    assert record is not None
    world.runs.append(record.run)
    assert _hashes(world) == incremental
    first, second, third, full = world.runs
    counts = dict.fromkeys(world.runs, 0)
    for run in world.runs:
        history.roll_back(world.settings, world.lakehouse.name, run)
        statuses = {record.run: status for record, status in history.runs(world.settings, world.lakehouse.name)}
        assert statuses == {name: "current" if name == run else "kept" for name in world.runs}
        counts[run] = world.rows("SELECT count(*) FROM GOLD.fact_calls WHERE amount > 1000")[0][0]
        with clickhouse.session(world.settings) as engine:
            load_clickhouse(world.settings, engine, world.lakehouse)
            _assert_same(world, engine)
    assert counts == {first: 0, second: 1, third: 1, full: 1}
    with pytest.raises(UnknownName):
        history.roll_back(world.settings, world.lakehouse.name, "20200101T000000-0000")


def test_5_duckdb_gives_the_same_verdicts_and_facts_of_the_landed_records(world: World) -> None:
    sql = registry.required_lakehouse("telecom").verification()
    rows = verify(world.settings, world.lakehouse, sql)
    assert [row for row in rows if not row["equal"]] == []
    assert [row["what"] for row in rows] == [
        *(f"silver {event.name}" for event in world.lakehouse.events),
        *(f"gold {fact.name}" for fact in world.lakehouse.facts),
    ]
    sent = sum(world.accounts[0].topics[f"telecom.{event.name}"].total() for event in world.lakehouse.events)
    assert sum(row["rows"] for row in rows[:5]) == sent + 7
    strict = sql.replace("call_duration_seconds BETWEEN 0 AND 86400", "call_duration_seconds BETWEEN 0 AND 30")
    wrong = [row["what"] for row in verify(world.settings, world.lakehouse, strict) if not row["equal"]]
    assert wrong == ["silver calls", "gold fact_calls"]


def _hashes(world: World) -> dict[str, tuple[int, int]]:
    """Return rows and the sum of their hashes, of each table but for what names a run."""
    catalog, result = known(world.session, world.settings, world.lakehouse), {}
    for table in tables.every(world.lakehouse):
        columns = ", ".join(f"`{name}`" for name in table.names if name != "run_id")
        hashes = f"sum(CAST(xxhash64({columns}) AS DECIMAL(38, 0)))"
        row = world.session.sql(f"SELECT count(*), {hashes} FROM {catalog.path(table)}").first()  # noqa: S608
        assert row is not None
        result[f"{table.layer}.{table.name}"] = (row[0], int(row[1] or 0))
    return result


def test_6_what_is_wrong_is_said_and_nothing_is_lost(world: World, tmp_path: Path) -> None:
    settings, name = world.settings, world.lakehouse.name
    source = objects.Source(name, f"{name}.calls", "00000")
    begin = objects.next_offset(settings, source)
    # What a writer had begun when it was killed has no manifest, and is not read.
    lake.put(settings, f"landing/{source.folder}/half.parquet", b"PAR1 half of it")
    catalog = known(world.session, settings, world.lakehouse)
    assert bronze.news(world.session, settings, catalog) == []
    assert objects.next_offset(settings, source) == begin
    # Of two that land the same offsets one is counted, and the other leaves nothing.
    record = objects.Landed(10**6, datetime(2026, 11, 21), None, b"{}")  # noqa: DTZ001 - UTC without zone
    first, second = (objects.write(settings, source, [record], range(10**6, 10**6 + 1)) for _ in range(2))
    assert first is not None
    assert second is None
    with pytest.raises(OutOfRange, match=r"partition 0: offsets up to 1000000 are landed, but it ends at \d+\."):
        from_kafka.land(settings, from_kafka.Request(name, (source.topic,)), Event())
    lake.put(settings, first.object, b"cut off")
    with pytest.raises(BrokenObject, match=r"has 7 bytes instead of \d+"):
        bronze.news(world.session, settings, catalog)
    lake.delete(settings, first.object)
    with pytest.raises(BrokenObject, match="is not there"):
        bronze.news(world.session, settings, catalog)
    lake.delete(settings, first.key)
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(UnknownName, match=r"other\.jsonl"):
        from_files.land(settings, name, world.lakehouse.topics, [tmp_path], record.arrived_at)
    with pytest.raises(NoSuchTopic):
        from_kafka.land(settings, from_kafka.Request(name, (f"{name}.nothing",)), Event())
    wrong = settings.model_copy(update={"lake_access_key": "meterlake", "lake_secret_key": SecretStr("wrong")})
    with pytest.raises(WrongKeys):
        lake.get(wrong, "health/probe")
    with lease.held(settings, name, "somebody's batch"), pytest.raises(RunUnderWay, match="somebody's batch"):
        world.run()


def test_6_an_object_in_the_inbox_that_nobody_can_read_costs_nothing_while_kafka_has_its_records(world: World) -> None:
    settings, name = world.settings, f"i{secrets.token_hex(4)}"
    kafka.create_topic(settings, name, 1)
    for value in (b"0", b"1", b"2"):
        kafka.send_one(settings, name, value)
    source, request = objects.Source(name, name, "00000"), from_kafka.Request(name, (name,))
    broken = f"{INBOX}/{source.folder}/{0:020}-{2:020}-abc.jsonl"
    lake.put(settings, broken, b'{"offset": 0, "timest')
    assert from_kafka.land(settings, request, Event()) == {name: 3}
    assert [objects.read(settings, key).rows for key in objects.manifests(settings, name)] == [3]
    assert from_kafka.land(settings, request, Event()) == {name: 0}
    assert lake.get(settings, broken) is None
    # Where Kafka has them no more, it is named, and stays.
    gone = f"{INBOX}/{source.folder}/{3:020}-{5:020}-abc.jsonl"
    lake.put(settings, gone, b"[]")
    for value in (b"3", b"4", b"5"):
        kafka.send_one(settings, name, value)
    topics.delete_before(settings, name, {0: 5})
    with pytest.raises(BrokenObject, match=f"{gone} has a line that is no record"):
        from_kafka.land(settings, request, Event())
    assert lake.get(settings, gone) == b"[]"


def test_6_records_of_another_schema_are_judged_by_ours(world: World, tmp_path: Path) -> None:
    """A field that nobody declared is carried by bronze alone; a type that changed is a reason, with its value."""
    name = world.lakehouse.name
    good = {
        "transaction_id": "future-1",
        "event_type": "recharge",
        "customer": "+201000000001",
        "phone_number": "+201000000001",
        "balance_before": 1,
        "amount": 10.25,
        "balance_after": 11.25,
        "currency": "EGP",
        "payment_method": "cash",
        "timestamp": "2026-11-21T05:00:00Z",
    }
    rows = [
        {},
        {**good, "v": 99, "loyalty": {"points": [1, 2]}},
        {**good, "transaction_id": "future-2", "amount": {"value": 10.25, "currency": "EGP"}},
    ]
    half = json.dumps(good).encode()[:-20]
    content = b"\n".join([*(json.dumps(row).encode() for row in rows), half, json.dumps([good]).encode()])
    (tmp_path / f"{name}.recharges.jsonl").write_bytes(content + b"\n")
    now = datetime(2026, 11, 21, 6, 0)  # noqa: DTZ001 - UTC without zone
    assert from_files.land(world.settings, name, world.lakehouse.topics, [tmp_path], now).total() == 5
    record = world.run()
    assert record is not None
    world.runs.append(record.run)
    counts = record.counts["recharges"]
    assert [counts[verdict] for verdict in ("read", *VERDICTS)] == [5, 1, 2, 0, 0, 0, 2]
    silver = f"lake.{world.lakehouse.namespace('silver')}"
    unnested = f"{silver}.recharges CROSS JOIN UNNEST(rejection_reasons) AS r(code, field, value)"
    reasons = world.rows(f"SELECT r.code, r.field, r.value FROM {unnested} WHERE transaction_id = 'future-2'")  # noqa: S608
    assert [[code, field, json.loads(value)] for code, field, value in reasons] == [
        ["wrong_type", "amount", {"value": 10.25, "currency": "EGP"}]
    ]
    empty = f"transaction_id IS NULL AND run_id = '{record.run}'"
    assert world.rows(f"SELECT r.code, count(*) FROM {unnested} WHERE {empty} GROUP BY 1") == [["missing", 10]]  # noqa: S608
    kept = world.rows(
        f"SELECT reason, count(*) FROM {silver}.quarantine WHERE run_id = '{record.run}' GROUP BY 1 ORDER BY 1"  # noqa: S608
    )
    assert kept == [["not_an_object", 1], ["not_json", 1]]
    bronze_rows = f"lake.{world.lakehouse.namespace('bronze')}.recharges"
    assert world.rows(f"SELECT count(*) FROM {bronze_rows} WHERE value LIKE '%loyalty%'") == [[1]]  # noqa: S608
    assert world.rows("SELECT count(*) FROM GOLD.fact_recharge WHERE transaction_id LIKE 'future-%'") == [[1]]


def test_6_of_two_that_change_what_readers_see_the_second_is_refused_and_can_be_repeated(
    world: World, tmp_path: Path
) -> None:
    """Nessie merges no table that somebody else has changed: nothing is seen, and the next run has it."""
    name = world.lakehouse.name
    (tmp_path / f"{name}.sms.jsonl").write_bytes(b"no message\n")
    now = datetime(2026, 11, 21, 7, 0)  # noqa: DTZ001 - UTC without zone
    from_files.land(world.settings, name, world.lakehouse.topics, [tmp_path], now)
    before = world.rows("SELECT count(*) FROM GOLD.fact_sms")

    main = known(world.session, world.settings, world.lakehouse)
    columns = ", ".join(column for column, _ in tables.ORIGIN)

    def report(step: str) -> None:
        if step == "merge":
            rows = f"SELECT record, reason, 'somebody else', {columns} FROM {main.path(tables.QUARANTINE)} LIMIT 1"  # noqa: S608
            world.session.sql(f"INSERT INTO {main.path(tables.QUARANTINE)} {rows}")

    with lease.held(world.settings, name, "test") as held, pytest.raises(RefMoved, match="branch main is not at"):
        Run(world.settings, world.session, world.lakehouse, held, system_clock, report).execute()
    assert world.rows("SELECT count(*) FROM GOLD.fact_sms") == before
    quarantine = f"lake.{world.lakehouse.namespace('silver')}.quarantine"
    result = f"SELECT count(*) FROM {quarantine} WHERE value = 'no message'"  # noqa: S608
    assert world.rows(result) == [[0]]
    record = world.run()
    assert record is not None
    world.runs.append(record.run)
    assert record.counts["sms"]["undecodable"] == 1
    assert world.rows(result) == [[1]]


def test_7_load_takes_files_that_lie_in_an_object_store(world: World) -> None:
    access, secret = world.settings.lake_keys
    settings = world.settings.model_copy(
        update={
            "s3_endpoint": world.settings.lake_s3,
            "s3_region": world.settings.lake_region,
            "s3_access_key": SecretStr(access),
            "s3_secret_key": SecretStr(secret),
        }
    )
    folder, bucket = f"in/{world.lakehouse.name}", settings.lake_bucket
    form = replace(
        HOUSEHOLD_TEXT,
        dataset=replace(HOUSEHOLD_TEXT.dataset, name=world.lakehouse.name),
        meter_id="",
        meter_from_name="house_([a-z])",
    )
    lake.put(settings, f"{folder}/house_a.csv", text_of([*DAY[:60], "junk"]))
    lake.put(settings, f"{folder}/2007/house_b.csv.xz", lzma.compress(text_of(DAY[60:180])))
    lake.put(settings, f"{folder}/.hidden.csv", b"no reading")

    def loaded(path: str, known: Settings = settings) -> Result:
        return load(known, LoadRequest((form,), (path,), "", None), system_clock, lambda _: None)

    whole = f"s3a://{bucket}/{folder}"
    first = loaded(f"{whole}/**/*.xz")
    assert [(file.path, file.meter_id, file.readings) for file in first.files] == [
        (f"{whole}/2007/house_b.csv.xz", "b", 120)
    ]
    second = loaded(f"{whole}/")
    assert {(file.meter_id, file.status, file.readings, file.quarantined) for file in second.files} == {
        ("a", "loaded", 60, 1),
        ("b", "already loaded", 0, 0),
    }
    by_file = "SELECT meter_id, origin, count(*), min(ts) FROM iceberg.master.{} GROUP BY 1, 2 ORDER BY 1"
    assert trino.rows(settings, by_file.format(world.lakehouse.name)) == [
        ["a", "house_a.csv", 60, datetime(2006, 12, 15, 23)],  # noqa: DTZ001 - UTC without zone
        ["b", "2007/house_b.csv.xz", 120, datetime(2006, 12, 16)],  # noqa: DTZ001 - UTC without zone
    ]
    with pytest.raises(Unreadable, match=f"{whole}/nothing does not exist"):
        loaded(f"{whole}/nothing")
    with pytest.raises(Unreadable, match="cannot be read"):
        loaded(whole, settings.model_copy(update={"s3_secret_key": SecretStr("wrong")}))


@pytest.mark.slow
def test_8_live_minutes_and_gold_are_one_at_every_boundary(world: World) -> None:
    """What is seen live is what gold has later, place by place and to the last digit; a restart changes nothing."""
    settings, lakehouse = world.settings, world.lakehouse
    assert lakehouse.live is not None
    lateness, now = lakehouse.live.lateness, [system_clock()]
    begin = now[0].replace(microsecond=0) - timedelta(seconds=75)
    # The cell that was unknown is known since test_3.
    faults = [name for name, fault in SIMULATION.faults.items() if not fault.later and name != "unknown_cell"]
    shares = ",".join(f"{name}=0.02" for name in faults)
    world.live(Request(users=300, rate=30, start=begin, duration=timedelta(seconds=75), seed=11), shares)
    account = world.accounts.pop()
    now.append(system_clock())
    with live_samples.stream(settings, world.session, lakehouse, now) as stream:
        assert stream.update() > 0
        assert stream.update() == 0
        seen = live_samples.merged(settings, lakehouse, floor_minute(begin))
        assert seen["batch"] == {}
        for event in lakehouse.events:
            shown = sum(events for key, (events, _) in seen["live"].items() if key[1] == event.name)
            assert shown == account.topics[f"telecom.{event.name}"]["accepted"], event.name
        assert len({key[2] for key in seen["live"]} - {"unknown"}) > 1
        _assert_a_correction_moves(world, stream, now)
    now.append(system_clock())
    with live_samples.stream(settings, world.session, lakehouse, now) as stream:
        assert stream.update() == 0
        before = live_samples.merged(settings, lakehouse, floor_minute(begin))["live"]
        world.land()
        record = world.run()
        assert record is not None
        assert live_samples.merged(settings, lakehouse, floor_minute(begin)) == {"batch": {}, "live": before}
        middle = floor_minute(begin) + timedelta(minutes=1)
        now.append(middle + lateness)
        stream.update()
        halves = live_samples.merged(settings, lakehouse, floor_minute(begin))
        assert {key[0] for key in halves["batch"]} == {floor_minute(begin).replace(tzinfo=None)}
        assert min(key[0] for key in halves["live"]) == middle.replace(tzinfo=None)
        assert halves["batch"] | halves["live"] == before
        shown = {
            layer: [min(key[0] for key in rows), max(key[0] for key in rows), sum(count for count, _ in rows.values())]
            for layer, rows in halves.items()
        }
        assert live_samples.answered(settings, lakehouse, begin, now[-1]) == shown
        now.append(system_clock() + lateness + timedelta(minutes=2))
        stream.update()
        assert live_samples.merged(settings, lakehouse, floor_minute(begin)) == {"batch": before, "live": {}}
        # Readers go back: the minutes that gold has no more are answered live again.
        history.roll_back(settings, lakehouse.name, world.runs[-1])
        now.append(system_clock())
        stream.update()
        assert live_samples.merged(settings, lakehouse, floor_minute(begin)) == {"batch": {}, "live": before}
        history.roll_back(settings, lakehouse.name, record.run)


def _assert_a_correction_moves(world: World, stream: Stream, now: list[datetime]) -> None:
    """A call is seen at once; corrected, it is another row, and the one before has nothing any more."""
    ends = ("phone_number", "cell_site", "imei", "tac")
    names = [f"{end}_{part}" for part in ends for end in ("from", "to")]
    (known,) = world.rows(f"SELECT {', '.join(names)} FROM GOLD.fact_calls ORDER BY call_id LIMIT 1")  # noqa: S608
    moment = system_clock().replace(microsecond=0)
    call = {
        **dict(zip(names, known, strict=True)),
        "call_id": "seen-live",
        "from_cell_site": "CELL99999",
        "event_type": "call",
        "timestamp": moment.isoformat(),
        "status": "completed",
        "call_duration_seconds": 60,
        "amount": 12345678901234.56,
        "currency": "EUR",
        "call_type": "voice",
    }
    minute = floor_minute(moment).replace(tzinfo=None)

    def siwa() -> dict[str, tuple[int, str]]:
        now.append(system_clock())
        stream.update()
        result = live_samples.merged(world.settings, world.lakehouse, floor_minute(moment))["live"]
        return {key[3]: counts for key, counts in result.items() if key[:3] == (minute, "calls", "Siwa")}

    assert siwa() == {}
    kafka.send_one(world.settings, f"{world.lakehouse.name}.calls", json.dumps(call).encode())
    assert siwa() == {"EUR": (1, "12345678901234.56")}
    corrected = {**call, "amount": 0.10, "currency": "USD", "revision": 1}
    kafka.send_one(world.settings, f"{world.lakehouse.name}.calls", json.dumps(corrected).encode())
    assert siwa() == {"USD": (1, "0.10")}
    kafka.send_one(world.settings, f"{world.lakehouse.name}.calls", json.dumps(call).encode())
    assert siwa() == {"USD": (1, "0.10")}
