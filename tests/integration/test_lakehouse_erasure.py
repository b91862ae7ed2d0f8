"""A person leaves a lakehouse: no object names the person any more, and nothing else has changed."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import io
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from threading import Event
from typing import Any

import fastavro
import lake_servers
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Producer
from lakehouse_samples import money
from pyspark.sql import SparkSession

from cli import lakehouse_erase
from cli.output import Output
from datasets.utility import DATASET as UTILITY
from datasets.utility.play import play
from engines import clickhouse, kafka, lake, lake_tables, nessie, spark
from lakehouse import history, lease
from lakehouse.clickhouse.load import load as load_clickhouse
from lakehouse.erase import record as kept
from lakehouse.erase.erase import ERASED, NOTHING, WOULD_BE, Receipt, RecordsArrived, Work, erase, look
from lakehouse.landing import from_database, from_files, from_kafka, objects
from lakehouse.landing.objects import Source
from lakehouse.layers import tables
from lakehouse.run import Run
from lakehouse.verify import verify
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.nifi import DEAD_LETTERS, INBOX
from meterlake.lakehouse.persons import person
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings
from stack.instance import Instance

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import utility_twin as twin
from bank_samples import BANK

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
LEAVES = f"+20{secrets.randbelow(9 * 10**9) + 10**9}"
STAYS, KEYED = f"{LEAVES}7", "+201000000003"
"""Who leaves; whose number begins as that does; whose messages have a number as their key."""
MENTION = f"a friend of {LEAVES}, who"


class Stopped(BaseException):
    """An erasure that ends as if it were killed: nothing catches it."""


@dataclass
class World:
    """What the tests of this file share, in their order."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    folder: Path

    def topic(self, record: str) -> str:
        return f"{self.lakehouse.name}.{record}"

    def send(self, record: str, *messages: tuple[str | None, bytes | None]) -> None:
        producer = Producer(kafka.client_config(self.settings))
        for key, value in messages:
            producer.produce(self.topic(record), value=value, key=key, partition=0)
        assert producer.flush(20) == 0

    def land(self, *wanted: tuple[str, list[bytes]]) -> int:
        """Land topics, and files with these lines, one for each record."""
        count = from_kafka.land(self.settings, from_kafka.Request(self.lakehouse.name, self.lakehouse.topics), Event())
        for record, lines in wanted:
            file = self.folder / f"{self.topic(record)}.jsonl"
            file.write_bytes(b"\n".join(lines))
            landed = from_files.land(self.settings, self.lakehouse.name, self.lakehouse.topics, [file], NOON)
            assert landed.total() == len(lines)
        return count.total()

    def run(self) -> history.Record | None:
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            return Run(self.settings, self.session, self.lakehouse, held, system_clock, lambda _: None).execute()

    def erase(self, identity: str = LEAVES) -> Receipt:
        work = Work(self.settings, self.lakehouse, system_clock, lambda _: None)
        return erase(work, person(self.lakehouse, identity), "A. Martin", "a letter")

    def erase_and_die(self, place: str) -> None:
        home = {"METERLAKE_HOME": str(self.settings.home), "METERLAKE_PORT_OFFSET": str(self.settings.port_offset)}
        program = Path(__file__).with_name("lakehouse_erase_process.py")
        words = [sys.executable, str(program), self.lakehouse.name, LEAVES, place]
        done = subprocess.run(words, env={**os.environ, **home}, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, (place, done.stderr)
        lake.delete(self.settings, f"lease/{self.lakehouse.name}.json")  # two minutes later nobody has renewed it

    def rows(self) -> dict[str, list[str]]:
        """Return what readers see, by table, without what names a run."""
        result = {}
        for table in tables.every(self.lakehouse):
            if table != tables.OBJECTS:
                name = f"{self.lakehouse.namespace(table.layer)}.{table.name}"
                columns = tuple(column for column in table.names if column != "run_id")
                result[name] = sorted(map(repr, lake_tables.read(self.settings, name, columns).to_pylist()))
        return result

    def differs(self) -> list[dict[str, Any]]:
        sql = registry.required_lakehouse("telecom").verification()
        return [row for row in verify(self.settings, self.lakehouse, sql) if not row["equal"]]

    def objects_with(self, text: str) -> list[str]:
        """Return the objects of the whole bucket in which a text stands: what is packed is unpacked."""
        every = lake.listed(self.settings, "")
        return [item.key for item in every if stands(text, lake.get(self.settings, item.key) or b"")]


def without(before: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return rows that are not the person's. Quarantine does not have the key of a message that was empty."""
    named = re.compile(rf"{LEAVES[1:]}(?!\d)|'reason': 'empty'")
    return {name: [row for row in rows if not named.search(row.replace(MENTION, ""))] for name, rows in before.items()}


def stands(text: str, data: bytes) -> bool:
    """Return whether a text stands in an object, but for the number that begins so, and where somebody mentions it."""
    parts = [data]
    if data[:4] == b"PAR1":
        with suppress(pa.ArrowInvalid):  # half an object, as other tests leave some: nobody can unpack it
            columns = pq.read_table(io.BytesIO(data)).columns
            parts += [repr(value).encode() for column in columns for value in column.to_pylist()]
    if data[:4] == b"Obj\x01":
        parts += [repr(row).encode() for row in fastavro.reader(io.BytesIO(data))]
    if data[:10] == b'{"offset":':  # as NiFi brings it
        parts += [b64decode(json.loads(line)["value"]) for line in data.splitlines()]
    plain = (part.replace(STAYS.encode(), b"").replace(MENTION.encode(), b"") for part in parts)
    return any(text[1:].encode() in part for part in plain)


def recharge(number: str, phone: str, **more: Any) -> bytes:
    row = {
        "transaction_id": number, "event_type": "recharge", "customer": phone, "phone_number": phone,
        "balance_before": 1, "amount": 10.25, "balance_after": 11.25, "currency": "EGP", "payment_method": "cash",
        "timestamp": "2026-11-20T22:30:00Z",
    }  # fmt: skip
    return json.dumps({**row, **more}).encode()


def payment(number: str, owes: str, phone: str) -> bytes:
    row = {
        "payment_id": number, "event_type": "payment", "customer_phone": owes, "phone_number": phone,
        "payment_type": "invoice", "payment_amount": 20, "payment_method": "card", "status": "completed",
        "transaction_id": f"B{number}", "amount": 20, "currency": "EGP", "invoice_number": f"I{number}",
        "seasonal_multiplier": 1.0, "timestamp": "2026-11-20T10:00:00Z",
    }  # fmt: skip
    return json.dumps(row).encode()


def user(phone: str, since: str, **more: Any) -> bytes:
    row = {"phone_number": phone, "user_id": f"U{phone[-2:]}", "name": "N", "address": "Cairo", "valid_from": since}
    return json.dumps({**row, **more}).encode()


@pytest.fixture(scope="module")
def world(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with lake_servers.running(stack), spark.session(stack.settings, "lakehouse") as session:
        name = f"t{secrets.token_hex(4)}"
        world = World(stack.settings, session, money(name), tmp_path_factory.mktemp("landed"))
        for topic in world.lakehouse.topics:
            kafka.create_topic(stack.settings, topic, 1, {})
        yield world


# The tests below are one story and run in this order.


def test_1_what_would_be_removed_is_counted_and_nothing_changes(world: World) -> None:
    one, two = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
    users = [user(LEAVES, one), user(LEAVES, two, address="Giza"), user(STAYS, one), user(KEYED, one)]
    world.send("users", *((None, line) for line in users))
    world.send(
        "recharges",
        (None, recharge("R1", LEAVES)),
        (None, recharge("R2", STAYS)),
        (None, recharge("R3", STAYS, customer=LEAVES)),
        (None, recharge("R4", LEAVES, amount=-1)),
        (None, b"not JSON: " + LEAVES.encode()),
        (None, b"not JSON: " + STAYS.encode()),
        (LEAVES, None),
        (KEYED, recharge("R5", KEYED)),
        (None, recharge("R6", STAYS, note=MENTION)),
        (None, recharge("R7", LEAVES).replace(b"+", b"\\u002b")),
    )
    assert world.land(
        ("payments", [payment("P1", LEAVES, STAYS), payment("P2", STAYS, STAYS)]),
        ("recharges", [recharge("R8", LEAVES), recharge("R9", LEAVES)]),
    ) == 14  # fmt: skip
    assert world.run() is not None
    world.land(("recharges", [recharge("R10", STAYS)]))
    assert world.run() is not None
    assert world.differs() == []
    before = world.rows()
    work = Work(world.settings, world.lakehouse, system_clock, lambda _: None)
    receipt = look(work, person(world.lakehouse, LEAVES))
    gold, silver = world.lakehouse.namespace("gold"), world.lakehouse.namespace("silver")
    assert receipt.result == WOULD_BE
    assert dict(receipt.removed) == {
        "landed users": 2,
        "landed recharges": 8,
        "landed payments": 1,
        f"rows of {silver}.users": 2,
        f"rows of {silver}.recharges": 6,
        f"rows of {silver}.payments": 1,
        f"rows of {silver}.quarantine": 1,
        f"rows of {gold}.dim_user": 2,
        f"rows of {gold}.fact_recharge": 5,
        f"rows of {gold}.fact_payment": 1,
    }
    assert [each.where for each in receipt.remains] == ["records of recharges"]
    assert look(work, person(world.lakehouse, "+4912345678")).result == NOTHING
    assert world.erase("+4912345678").record is None
    assert world.rows() == before
    assert kept.every(world.settings, world.lakehouse.name) == []


def test_2_killed_before_readers_see_it_they_see_what_they_saw(world: World) -> None:
    assert len(world.objects_with(LEAVES)) > 10
    assert _in_clickhouse(world, load=True) > 0
    _answer(world)
    _brought(world)
    before = world.rows()
    world.erase_and_die("merge")
    assert world.rows() == before
    assert world.differs() == []
    (begun,) = kept.every(world.settings, world.lakehouse.name)
    assert (begun.done_at, begun.by, begun.why, begun.of) == ("", "A. Martin", "a letter", "users")
    assert begun.removed["landed recharges"] == 8
    (listed,) = lakehouse_erase.rows(world.settings, world.lakehouse.name, Output.TEXT)
    assert listed["done"] == "unfinished: run it again"


def test_3_killed_once_more_and_completed_no_object_names_the_person(world: World) -> None:
    before, manifests = world.rows(), objects.manifests(world.settings, world.lakehouse.name)
    assert len(history.runs(world.settings, world.lakehouse.name)) == 2
    world.erase_and_die("files of earlier runs")
    left = without(before)
    assert world.rows() == left
    receipt = world.erase()
    assert receipt.result == ERASED
    assert receipt.record is not None
    assert receipt.removed["landed recharges"] == 8
    assert receipt.removed[f"rows of {world.lakehouse.namespace('gold')}.recharge_tomorrow"] == 1
    assert receipt.removed[f"records of NiFi in {INBOX}"] == receipt.removed[f"records of NiFi in {DEAD_LETTERS}"] == 1
    assert world.rows() == left
    assert world.objects_with(LEAVES) == []
    assert _in_clickhouse(world) == 0
    assert world.differs() == []
    assert objects.manifests(world.settings, world.lakehouse.name) == manifests
    ((_, status),) = history.runs(world.settings, world.lakehouse.name)
    assert status == "current"
    refs = [ref for ref in nessie.refs(world.settings) if ref.name.startswith(world.lakehouse.name)]
    assert [ref.type for ref in refs] == ["TAG"]
    (done,) = kept.every(world.settings, world.lakehouse.name)
    assert done.id == receipt.record.id
    assert done.done_at
    assert done.run == receipt.record.run
    places = [each.where for each in receipt.remains]
    assert f"Kafka topic {world.topic('recharges')}" in places
    assert world.erase().result == NOTHING


def test_4_landing_goes_on_where_it_was_and_who_comes_again_is_new(world: World) -> None:
    assert world.land() == 0
    assert world.run() is None
    before = world.rows()
    world.send("recharges", (None, recharge("R11", LEAVES)), (None, recharge("R12", STAYS)))
    assert world.land() == 2
    record = world.run()
    assert record is not None
    assert (record.counts["recharges"]["read"], record.counts["recharges"]["accepted"]) == (2, 2)
    assert world.erase().removed["landed recharges"] == 1
    fact = f"{world.lakehouse.namespace('gold')}.fact_recharge"
    assert len(world.rows()[fact]) == len(before[fact]) + 1
    assert world.differs() == []


def test_5_what_arrives_meanwhile_is_not_overlooked(world: World) -> None:
    world.send("recharges", (None, recharge("R13", LEAVES)))
    assert world.land() == 1

    def report(step: str) -> None:
        if step == "bronze":
            world.send("recharges", (None, recharge("R14", LEAVES)))
            world.land()

    work = Work(world.settings, world.lakehouse, system_clock, report)
    with pytest.raises(RecordsArrived, match="1 records of the person"):
        erase(work, person(world.lakehouse, LEAVES), "A. Martin", "a letter")
    assert world.erase().result == ERASED
    assert world.objects_with(LEAVES) == []


@pytest.mark.slow
@pytest.mark.chaos
def test_8_killed_at_every_other_step_it_is_completed(world: World) -> None:
    world.send("recharges", (None, recharge("R20", LEAVES)), (None, recharge("R21", STAYS)))
    assert world.land() == 2
    assert world.run() is not None
    seen = world.rows()
    left, erasures = without(seen), len(kept.every(world.settings, world.lakehouse.name))
    for place, wanted in (("landed objects", seen), ("gold", seen), ("earlier runs", left), ("ClickHouse", left)):
        world.erase_and_die(place)
        assert world.rows() == wanted, place
        assert world.differs() == [], place
        *_, begun = kept.every(world.settings, world.lakehouse.name)
        assert begun.done_at == "", place
    receipt = world.erase()
    assert (receipt.result, receipt.removed["landed recharges"]) == (ERASED, 1)
    assert world.rows() == left
    assert world.objects_with(LEAVES) == []
    assert len(kept.every(world.settings, world.lakehouse.name)) == erasures + 1


def _answer(world: World) -> None:
    """Answer about everybody, as no run would again."""
    name = f"{world.lakehouse.namespace('gold')}.recharge_tomorrow"
    table = next(item for item in tables.kept(world.lakehouse) if item.name == "recharge_tomorrow")
    rows = [
        {**dict.fromkeys(table.names), "phone_number": phone, "date_sk": "20261120", "asked_sk": "20261121"}
        for phone in (LEAVES, STAYS)
    ]
    lake_tables.append(world.settings, name, rows)


def _in_clickhouse(world: World, *, load: bool = False) -> int:
    """Return how many recharges of the person ClickHouse has. load: what readers see, first."""
    with clickhouse.session(world.settings) as engine:
        if load:
            load_clickhouse(world.settings, engine, world.lakehouse)
        sql = f"SELECT countIf(phone_number = '{LEAVES}'), count() FROM {world.lakehouse.name}.fact_recharge"
        ((theirs, every),) = engine.select(sql)[1]
        assert int(every) > int(theirs)
        return int(theirs)


def _brought(world: World) -> None:
    """Let NiFi have brought what nobody has landed yet, and what could not be written."""
    for place in (INBOX, DEAD_LETTERS):
        lines = [
            json.dumps({"offset": at, "timestamp": 0, "key": None, "value": b64encode(value).decode()})
            for at, value in ((90, recharge("N1", LEAVES)), (91, recharge("N2", STAYS)))
        ]
        source = Source(world.lakehouse.name, world.topic("recharges"), "00007")
        lake.put(world.settings, f"{place}/{source.folder}/{90:020}-{92:020}-ab.jsonl", "\n".join(lines).encode())


def test_6_rows_of_databases_do_not_come_back_unless_they_change(world: World, tmp_path: Path) -> None:
    """Without a run yet, landed objects are all that there is."""
    name = f"u{secrets.token_hex(4)}"
    records = tuple(UTILITY.event(item) for item in ("outage_steps", "payments", "outages")), UTILITY.references
    events, references = (
        tuple(replace(record, topic=f"{name}.{record.topic.partition('.')[2]}") for record in part) for part in records
    )
    utility = replace(
        UTILITY, name=name, events=events, references=references, facts=(), views=(), kpis=(), predictions=(), pages=(),
        filters=None,
    )  # fmt: skip
    urls = twin.urls(tmp_path)
    play(Play(urls, 40, start=date(2026, 8, 1), customers=200, seed=3))

    def land(*, full: bool = False) -> Counter[str]:
        request = from_database.Request(name, utility.records, urls, system_clock, full)
        return from_database.land(world.settings, request, Event())

    assert min(land().values()) > 0
    with sqlite3.connect(tmp_path / "oms.db") as oms:
        ((customer, steps),) = oms.execute(
            "SELECT customer_id, count(*) FROM outage_customer_steps GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
        ).fetchall()
        (last,) = oms.execute("SELECT max(changed_at) FROM outage_customer_steps").fetchone()
        oms.execute("UPDATE outage_customer_steps SET changed_at = ? WHERE customer_id = ?", (last, customer))
    assert land()[f"{name}.outage_steps"] > 0
    sums = _key_sums(world, f"{name}.outage_steps")
    with pytest.raises(UsageError, match="names nobody"):
        person(utility, " ")
    work = Work(world.settings, utility, system_clock, lambda _: None)
    receipt = erase(work, person(utility, customer), "A. Martin", "a letter")
    assert receipt.result == ERASED
    assert receipt.removed["landed outage_steps"] >= steps
    assert receipt.removed["landed customers"] > 0
    assert {f"database {each}" for each in utility.databases} <= {each.where for each in receipt.remains}
    landed = [item.key for item in lake.listed(world.settings, f"landing/{name}/")]
    assert [key for key in landed if stands(f"#{customer}", lake.get(world.settings, key) or b"")] == []
    assert _key_sums(world, f"{name}.outage_steps") == sums
    assert land().total() == land(full=True).total() == 0
    with sqlite3.connect(tmp_path / "crm.db") as crm:
        crm.execute(
            "UPDATE customers SET phone = '1', changed_at = '2026-09-01 00:00:00' WHERE customer_id = ?", (customer,)
        )
    assert land() == {record.topic: int(record.name == "customers") for record in utility.records}
    assert erase(work, person(utility, customer), "A. Martin", "a letter").removed == {"landed customers": 1}
    for database, table, column in (
        ("crm", "customers", "customer_id"), ("oms", "outage_customer_steps", "customer_id"),
        ("billing", "dfkkzp", "GPART"),
    ):  # fmt: skip
        with sqlite3.connect(tmp_path / f"{database}.db") as source:
            source.execute(f"DELETE FROM {table} WHERE {column} = ?", (customer,))
    assert land().total() == land().total() == 0
    assert _key_sums(world, f"{name}.outage_steps") == sums


def test_7_bills_of_an_account_are_its_owners_but_not_of_one_that_two_have_had(world: World, tmp_path: Path) -> None:
    name = f"b{secrets.token_hex(4)}"
    events, references = (
        tuple(replace(record, topic=f"{name}.{record.name}") for record in part)
        for part in (BANK.events, BANK.references)
    )
    bank = replace(BANK, name=name, events=events, references=references)
    accounts = [("A1", "C1"), ("A2", "C2"), ("A3", "C1"), ("A3", "C2")]
    for record, rows in {
        "customers": [{"customer": one} for one in ("C1", "C2")],
        "accounts": [{"account": account, "customer": owner} for account, owner in accounts],
        "bills": [{"bill": f"B{account}", "account": account} for account in ("A1", "A2", "A3", "A1")],
    }.items():
        file = tmp_path / f"{name}.{record}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
    from_files.land(world.settings, name, bank.topics, [tmp_path], NOON)
    who = person(bank, "C1")

    def report(step: str) -> None:
        """Be killed when accounts are gone, and their bills are not."""
        if step == "earlier runs":
            (bills,) = objects.manifests(world.settings, f"{name}/{name}.bills")
            lake.put(world.settings, bills, untouched)
            raise Stopped

    (bills,) = objects.manifests(world.settings, f"{name}/{name}.bills")
    untouched = lake.get(world.settings, bills) or b""
    with pytest.raises(Stopped):
        erase(Work(world.settings, bank, system_clock, report), who, "me", "a letter")
    receipt = erase(Work(world.settings, bank, system_clock, lambda _: None), who, "me", "a letter")
    assert receipt.removed == {"landed customers": 1, "landed accounts": 2, "landed bills": 2}
    left = [
        json.loads(value)
        for key in objects.manifests(world.settings, f"{name}/{name}.bills")
        for value in objects.records(world.settings, objects.read(world.settings, key))
    ]
    assert [row["account"] for row in left] == ["A2", "A3"]
    (done,) = kept.every(world.settings, name)
    assert (done.owned, done.replaced) == ({}, {})


def _key_sums(world: World, topic: str) -> list[str]:
    keys = objects.manifests(world.settings, topic.replace(".", f"/{topic.partition('.')[0]}.", 1))
    return [objects.read(world.settings, key).key_sum for key in keys]
