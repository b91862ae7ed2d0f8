"""Landed objects are removed, and nothing else changes: a full run, a roll-back, `verify` and an erasure ask bronze."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import lake_servers
import pytest
from confluent_kafka import Producer
from lakehouse_samples import soon_over
from pyspark.sql import SparkSession

from engines import kafka, lake, lake_tables, spark
from lakehouse import history, lease
from lakehouse.erase.erase import ERASED, erase
from lakehouse.erase.erase import Work as Erasure
from lakehouse.landing import from_files, from_kafka, objects
from lakehouse.landing.retention import Fate
from lakehouse.layers import tables
from lakehouse.run import Run
from lakehouse.upkeep import Ended, Work, look, remove
from lakehouse.verify import verify
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.persons import person
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
LEAVES, STAYS = "+201000000001", "+201000000002"


@dataclass
class World:
    """What the tests of this file share, in their order."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    folder: Path

    def send(self, record: str, *values: bytes) -> None:
        producer = Producer(kafka.client_config(self.settings))
        for value in values:
            producer.produce(f"{self.lakehouse.name}.{record}", value=value, key="k", partition=0)
        assert producer.flush(20) == 0

    def land(self, *payments: bytes) -> None:
        """Land topics, and a file of payments."""
        name, known = self.lakehouse.name, self.lakehouse.topics
        from_kafka.land(self.settings, from_kafka.Request(name, known), Event())
        if payments:
            file = self.folder / f"{name}.payments.jsonl"
            file.write_bytes(b"\n".join(payments))
            from_files.land(self.settings, name, known, [file], NOON)

    def run(self, *, full: bool = False) -> history.Record | None:
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            run = Run(self.settings, self.session, self.lakehouse, held, system_clock, lambda _: None)
            return run.execute(full=full)

    def upkeep(self) -> Work:
        return Work(self.settings, self.lakehouse, system_clock, lambda _: None)

    def remove_and_die(self, place: str) -> None:
        home = {"METERLAKE_HOME": str(self.settings.home), "METERLAKE_PORT_OFFSET": str(self.settings.port_offset)}
        program = Path(__file__).with_name("lakehouse_upkeep_process.py")
        words = [sys.executable, str(program), self.lakehouse.name, place]
        done = subprocess.run(words, env={**os.environ, **home}, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, (place, done.stderr)
        lake.delete(self.settings, f"lease/{self.lakehouse.name}.json")  # two minutes later nobody has renewed it

    def rows(self) -> dict[str, list[str]]:
        """Return what readers see, by table, without what names a run."""
        result = {}
        for table in tables.every(self.lakehouse):
            name = f"{self.lakehouse.namespace(table.layer)}.{table.name}"
            columns = tuple(column for column in table.names if column != "run_id")
            result[name] = sorted(map(repr, lake_tables.read(self.settings, name, columns).to_pylist()))
        return result

    def differs(self) -> list[dict[str, Any]]:
        sql = registry.required_lakehouse("telecom").verification()
        return [row for row in verify(self.settings, self.lakehouse, sql) if not row["equal"]]

    def landed(self) -> list[str]:
        return [item.key for item in lake.listed(self.settings, f"landing/{self.lakehouse.name}/")]

    def manifests(self) -> list[objects.Manifest]:
        return [objects.read(self.settings, key) for key in objects.manifests(self.settings, self.lakehouse.name)]


@dataclass(frozen=True)
class Counted:
    """Manifests: of objects that are removed, and of those that are there."""

    removed: int
    there: int

    @classmethod
    def of(cls, manifests: list[objects.Manifest]) -> Counted:
        count = sum(item.is_removed for item in manifests)
        return cls(count, len(manifests) - count)


def recharge(number: str, phone: str, **more: Any) -> bytes:
    row = {
        "transaction_id": number, "event_type": "recharge", "customer": phone, "phone_number": phone,
        "balance_before": 1, "amount": 10.25, "balance_after": 11.25, "currency": "EGP", "payment_method": "cash",
        "timestamp": "2026-11-20T22:30:00Z",
    }  # fmt: skip
    return json.dumps({**row, **more}).encode()


def payment(number: str, phone: str) -> bytes:
    row = {
        "payment_id": number, "event_type": "payment", "customer_phone": phone, "phone_number": phone,
        "payment_type": "invoice", "payment_amount": 20, "payment_method": "card", "status": "completed",
        "transaction_id": f"B{number}", "amount": 20, "currency": "EGP", "invoice_number": f"I{number}",
        "seasonal_multiplier": 1.0, "timestamp": "2026-11-20T10:00:00Z",
    }  # fmt: skip
    return json.dumps(row).encode()


def user(phone: str, since: str) -> bytes:
    row = {"phone_number": phone, "user_id": f"U{phone[-2:]}", "name": "N", "address": "Cairo", "valid_from": since}
    return json.dumps(row).encode()


@pytest.fixture(scope="module")
def world(stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    servers = lake_servers.running(stack, "kafka", "s3", "nessie")
    with servers, spark.session(stack.settings, "lakehouse") as session:
        name = f"r{secrets.token_hex(4)}"
        world = World(stack.settings, session, soon_over(name), tmp_path_factory.mktemp("landed"))
        for topic in world.lakehouse.topics:
            kafka.create_topic(stack.settings, topic, 1, {})
        yield world


# The tests below are one story and run in this order.


def test_1_what_bronze_has_is_removed_also_when_it_is_killed_and_nothing_else_changes(world: World) -> None:
    world.send("users", user(LEAVES, "2026-01-01T00:00:00Z"), user(STAYS, "2026-01-01T00:00:00Z"))
    world.send(
        "recharges",
        recharge("R1", LEAVES),
        *[recharge("R2", STAYS)] * 2,
        recharge("R3", STAYS, amount=-1),
        b"no JSON",
    )
    world.land(payment("P1", LEAVES), payment("P2", STAYS))
    assert world.run() is not None
    world.send("recharges", recharge("R2", STAYS, amount=20, balance_after=21, revision=1), recharge("R4", LEAVES))
    world.land()
    assert world.run() is not None
    world.send("recharges", b"no text: \xff")
    world.land(payment("P3", STAYS))
    before, manifests, landed = world.rows(), world.manifests(), world.landed()
    assert len(landed) == 6
    assert world.differs() == []
    shown = {item.record: item for item in look(world.upkeep())}
    assert (shown["recharges"].objects, shown["recharges"].records, shown["recharges"].stay) == (
        2,
        7,
        {Fate.NOT_READ: 1},
    )
    assert (shown["payments"].objects, shown["payments"].stay) == (1, {Fate.NOT_READ: 1})
    assert (world.landed(), world.manifests()) == (landed, manifests)
    for place in ("manifests of users", "objects of recharges"):
        world.remove_and_die(place)
        assert world.rows() == before
        assert world.differs() == []
    done: list[Ended] = remove(world.upkeep())
    assert sum(item.objects for item in done) > 0
    assert len(world.landed()) == 2
    assert world.rows() == before
    assert world.differs() == []
    assert [(item.key, item.first, item.end, item.rows, item.sha256) for item in world.manifests()] == [
        (item.key, item.first, item.end, item.rows, item.sha256) for item in manifests
    ]
    assert Counted.of(world.manifests()) == Counted(removed=4, there=2)


def test_2_a_full_run_gives_the_same_tables_and_bytes_that_are_no_text_stay(world: World) -> None:
    assert world.run() is not None
    before = world.rows()
    assert {item.record: item.stay for item in remove(world.upkeep())}["recharges"] == {Fate.DIFFERS: 1}
    assert Counted.of(world.manifests()) == Counted(removed=5, there=1)
    full = world.run(full=True)
    assert full is not None
    assert world.rows() == before
    assert world.differs() == []


def test_3_who_was_taken_back_gets_again_what_is_no_longer_landed(world: World) -> None:
    before = world.rows()
    first, *_ = history.runs(world.settings, world.lakehouse.name)
    history.roll_back(world.settings, world.lakehouse.name, first[0].run)
    assert world.differs() == []
    assert world.rows() != before
    assert remove(world.upkeep()) == []
    assert world.run() is not None
    assert world.rows() == before
    assert world.differs() == []


def test_4_a_person_leaves_who_is_no_longer_landed(world: World) -> None:
    before = world.rows()
    work = Erasure(world.settings, world.lakehouse, system_clock, lambda _: None)
    receipt = erase(work, person(world.lakehouse, LEAVES), "A. Martin", "a letter")
    assert receipt.result == ERASED
    assert (receipt.removed["landed recharges"], receipt.removed["landed payments"]) == (2, 1)
    named = re.compile(LEAVES[1:])
    objects_table = f"{world.lakehouse.namespace('bronze')}.{tables.OBJECTS.name}"
    left = {name: [row for row in rows if not named.search(row)] for name, rows in before.items()}
    assert {**world.rows(), objects_table: []} == {**left, objects_table: []}
    assert world.differs() == []
    assert Counted.of(world.manifests()) == Counted(removed=1, there=5)
    assert sum(item.objects for item in remove(world.upkeep())) == 4
    assert world.differs() == []
