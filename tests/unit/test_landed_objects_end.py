"""Landed objects whose retention is over are removed, and everybody gets from bronze what was in them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event as Stop
from typing import Any

import duckdb
import lake_in_memory
import pyarrow as pa
import pytest
from bank_samples import BANK, BILLS
from lake_in_memory import Lake

from engines import lake
from lakehouse import verify
from lakehouse.erase import record as erasures
from lakehouse.erase.landed import Landed
from lakehouse.landing import from_database, from_files, objects
from lakehouse.landing.objects import BrokenObject, Source
from lakehouse.landing.removed import LostRecords
from lakehouse.landing.retention import Fate
from lakehouse.upkeep import Ended, Work, look, prevented, remove
from meterlake.columns import BOOLEAN
from meterlake.lakehouse.fields import Field
from meterlake.lakehouse.persons import Belongings, person
from meterlake.lakehouse.sources import Extract

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
MONTH = timedelta(days=30)


class Stopped(BaseException):
    """Upkeep that ends as if it were killed: nothing catches it."""


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    return lake_in_memory.made(monkeypatch, tmp_path, replace(BANK, retention=MONTH))


def work(world: Lake, stop_at: str = "") -> Work:
    def report(step: str) -> None:
        if step == stop_at:
            raise Stopped

    return Work(world.settings, world.lakehouse, world.clock, report)


def land(world: Lake, record: str, *lines: bytes) -> None:
    topic = next(item.topic for item in world.lakehouse.records if item.name == record)
    file = world.folder / f"{topic}.jsonl"
    file.write_bytes(b"\n".join(lines))
    from_files.land(world.settings, world.lakehouse.name, world.lakehouse.topics, [file], NOON)


def bills(*numbers: int, account: str = "A1") -> list[bytes]:
    return [json.dumps({"bill": f"B{number}", "account": account}).encode() for number in numbers]


def of(rows: list[Ended], record: str) -> Ended:
    return next(item for item in rows if item.record == record)


def kept(world: Lake) -> dict[str, list[dict[str, Any]]]:
    """Return all records, by manifest, wherever they are read from."""
    return {m.key: objects.table(world.settings, m).to_pylist() for m in world.manifests()}


def landed_as_verify_sees_it(world: Lake) -> Counter[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        verify._load(connection, world.settings, world.lakehouse)  # noqa: SLF001 - all that it reads, without its SQL
        return Counter(connection.execute("FROM landed").fetchall())


def test_what_bronze_has_is_removed_and_is_read_from_there(bank: Lake) -> None:
    land(bank, "bills", *bills(1, 2, 3))
    land(bank, "accounts", b'{"account": "A1", "customer": "C1"}')
    bank.run()
    bank.ahead = MONTH + timedelta(days=1)
    before, seen, manifests = kept(bank), landed_as_verify_sees_it(bank), bank.manifests()
    shown = look(work(bank))
    assert len(bank.landed()) == 2
    assert bank.manifests() == manifests
    done = remove(work(bank))
    assert done == shown
    assert (of(done, "bills").objects, of(done, "bills").records, of(done, "bills").stay) == (1, 3, Counter())
    assert of(done, "customers") == Ended("customers", MONTH)
    assert bank.landed() == []
    assert kept(bank) == before
    assert landed_as_verify_sees_it(bank) == seen
    for manifest, was in zip(bank.manifests(), manifests, strict=True):
        assert manifest.is_removed
        assert manifest.bronze == f"bank_bronze.{'bills' if manifest.topic == 'b' else 'accounts'}"
        assert datetime.fromisoformat(manifest.removed[was.object]) <= bank.clock()
        assert replace(manifest, removed={}, bronze="", records_sha256="") == was
    assert sum(item.objects for item in remove(work(bank))) == 0
    land(bank, "bills", *bills(1, 2, 3))
    assert bank.landed() == []


def test_what_is_young_not_read_or_not_the_same_in_bronze_stays(bank: Lake) -> None:
    land(bank, "bills", *bills(1))
    land(bank, "accounts", b"no text: \xff", b"{}")
    bank.run()
    land(bank, "customers", b'{"customer": "C1"}')
    assert [item.stay for item in remove(work(bank))] == [Counter()] * 3
    assert len(bank.landed()) == 3
    bank.ahead = 2 * MONTH
    done = remove(work(bank))
    assert of(done, "customers").stay == {Fate.NOT_READ: 1}
    assert of(done, "accounts").stay == {Fate.DIFFERS: 1}
    assert of(done, "bills").objects == 1
    assert len(bank.landed()) == 2
    bank.run()
    bank.bronze("customers").delete()
    assert of(remove(work(bank)), "customers").stay == {Fate.DIFFERS: 1}


def test_killed_between_manifest_and_object_it_is_completed(bank: Lake) -> None:
    land(bank, "bills", *bills(1, 2))
    bank.run()
    bank.ahead = 2 * MONTH
    before = kept(bank)
    for step in ("manifests of bills", "objects of bills"):
        with pytest.raises(Stopped):
            remove(work(bank, step))
        assert len(bank.landed()) == 1
        assert kept(bank) == before
    (manifest,) = bank.manifests()
    assert manifest.is_removed
    (done,) = (item for item in remove(work(bank)) if item.objects)
    assert (done.objects, done.records) == (1, 2)
    assert bank.landed() == []
    assert kept(bank) == before


def test_who_reads_while_an_object_is_removed_gets_the_same_records(bank: Lake) -> None:
    land(bank, "bills", *bills(*range(2500)))
    bank.run()
    (manifest,) = bank.manifests()
    whole, parts = objects.records(bank.settings, manifest), list(objects.newest_parts(bank.settings, manifest))
    assert [len(part) for part in parts] == [500, 2000]
    bank.ahead = 2 * MONTH
    remove(work(bank))
    assert objects.records(bank.settings, manifest) == whole
    assert list(objects.newest_parts(bank.settings, manifest)) == parts
    lake.delete(bank.settings, manifest.key)
    with pytest.raises(BrokenObject, match="is not there"):
        objects.records(bank.settings, manifest)


def test_what_killed_writers_have_left_goes_and_what_is_no_landed_object_stays(bank: Lake) -> None:
    land(bank, "bills", *bills(1))
    bank.run()
    source = Source("bank", "b", "00003")
    left = f"landing/{source.folder}/{0:020}-{9:020}-0123abcd.parquet"
    for key in (left, f"landing/{source.folder}/notes.txt"):
        lake.put(bank.settings, key, b"PAR1")
    bank.ahead = 2 * MONTH
    assert of(remove(work(bank)), "bills").left == 1
    assert bank.landed() == [f"landing/{source.folder}/notes.txt"]


def test_nothing_is_removed_while_readers_were_taken_back_or_an_erasure_is_unfinished(bank: Lake) -> None:
    land(bank, "bills", *bills(1))
    bank.ahead = 2 * MONTH
    assert "no run has read" in prevented(bank.settings, "bank")
    assert remove(work(bank)) == []
    bank.run()
    land(bank, "bills", *bills(2))
    bank.run()
    bank.seen = 1
    assert "readers were taken back" in prevented(bank.settings, "bank")
    assert remove(work(bank)) == look(work(bank)) == []
    bank.seen = 2
    begun = erasures.Record("bank", "0123", "ab", "customers", "2026-11-27T10:00:00+00:00", "me", "a letter")
    erasures.write(bank.settings, begun)
    assert "the erasure 0123 is unfinished" in prevented(bank.settings, "bank")
    assert remove(work(bank)) == []
    erasures.write(bank.settings, replace(begun, done_at="2026-11-27T11:00:00+00:00"))
    assert len(bank.landed()) == 2
    assert of(remove(work(bank)), "bills").objects == 2


def test_who_was_taken_back_gets_what_is_no_longer_landed_from_the_last_run(bank: Lake) -> None:
    land(bank, "bills", *bills(1))
    bank.run()
    land(bank, "bills", *bills(2, 3))
    bank.run()
    bank.ahead = 2 * MONTH
    remove(work(bank))
    assert bank.landed() == []
    wanted = landed_as_verify_sees_it(bank)
    bank.seen = 1
    assert landed_as_verify_sees_it(bank) < wanted
    bank.run()
    assert landed_as_verify_sees_it(bank) == wanted
    bank.seen = 0  # as a full run begins
    bank.run()
    assert landed_as_verify_sees_it(bank) == wanted


def test_verify_complains_of_lost_objects_and_of_lost_or_changed_records(bank: Lake) -> None:
    land(bank, "bills", *bills(1, 2))
    land(bank, "customers", b'{"customer": "C1"}')
    bank.run()
    (customers,) = [item for item in bank.landed() if "/c/" in item]
    content = lake.get(bank.settings, customers) or b""
    bank.ahead = 2 * MONTH
    remove(work(replace_retention(bank, "customers")))
    lake.delete(bank.settings, customers)
    with pytest.raises(BrokenObject, match="is not there"):
        landed_as_verify_sees_it(bank)
    lake.put(bank.settings, customers, content)
    assert landed_as_verify_sees_it(bank).total() == 3
    table = bank.bronze("bills")
    rows = table.scan().to_arrow()
    changed = rows.set_column(rows.schema.get_field_index("value"), "value", pa.array(["{}", "{}"]))
    table.overwrite(changed.cast(rows.schema))
    with pytest.raises(LostRecords, match="other records than those"):
        landed_as_verify_sees_it(bank)
    table.overwrite(rows.slice(1))
    with pytest.raises(LostRecords, match="1 of the 2 records"):
        landed_as_verify_sees_it(bank)


def replace_retention(world: Lake, record: str) -> Lake:
    """Keep what is landed of a record for ever."""
    references = tuple(
        replace(item, retention=timedelta.max) if item.name == record else item for item in world.lakehouse.references
    )
    world.lakehouse = replace(world.lakehouse, references=references)
    return world


def test_a_person_is_found_in_bronze_and_leaves_the_object_that_is_made_again(bank: Lake) -> None:
    land(bank, "accounts", b'{"account": "A1", "customer": "C1"}', b'{"account": "A2", "customer": "C2"}')
    land(bank, "bills", *bills(1, account="A1"), *bills(2, account="A2"))
    land(bank, "customers", b'{"customer": "C1"}', b'{"customer": "C2"}')
    bank.run()
    who = Belongings(bank.lakehouse, person(bank.lakehouse, "C1"))
    counts = Landed(bank.settings, who).find().records
    bank.ahead = 2 * MONTH
    remove(work(bank))
    assert bank.landed() == []
    who = Belongings(bank.lakehouse, person(bank.lakehouse, "C1"))
    landed = Landed(bank.settings, who)
    found = landed.find()
    assert found.records == counts == {"landed accounts": 1, "landed bills": 1, "landed customers": 1}
    seen = landed_as_verify_sees_it(bank)
    landed.take_out(found)
    assert len(bank.landed()) == 3
    assert not any(manifest.is_removed for manifest in bank.manifests())
    assert landed_as_verify_sees_it(bank) == seen  # readers see what they saw until a run is merged
    assert landed.find().records.total() == 0
    remove(work(bank))
    assert len(bank.landed()) == 3  # bronze has the person still
    bank.seen = 0
    bank.run()
    landed.remove(found.replaced)
    assert landed_as_verify_sees_it(bank).total() == 3
    assert Landed(bank.settings, who).find().records.total() == 0
    bank.ahead = 4 * MONTH
    assert sum(item.objects for item in remove(work(bank))) == 3
    assert landed_as_verify_sees_it(bank).total() == 3


EXTRACT = Extract(database="crm", table="bills", key="bill", deletions="compare", overlap=timedelta(hours=1))
GONE = replace(BILLS, fields=(*BILLS.fields, Field("is_deleted", BOOLEAN, "Gone", nullable=True)), extract=EXTRACT)


class Database:
    """A table of bills."""

    def __init__(self, world: Lake) -> None:
        self._world, self._file = world, world.folder / "crm.db"
        self.run("CREATE TABLE bills (bill TEXT, account TEXT, at TEXT, changed_at TEXT)")

    def run(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute(sql, values)

    def add(self, bill: str, at: str) -> None:
        self.run("INSERT INTO bills VALUES (?, 'A1', '2026-01-01 00:00:00', ?)", bill, at)

    def land(self, *, full: bool = False) -> int:
        request = from_database.Request(
            self._world.lakehouse.name, (GONE,), {"crm": f"sqlite:///{self._file}"}, self._world.clock, full
        )
        return from_database.land(self._world.settings, request, Stop()).total()


def test_of_a_table_the_next_extract_needs_the_last_objects_and_the_rest_is_known_from_bronze(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declared = replace(BANK, events=(GONE,), retention=MONTH)
    world = lake_in_memory.made(monkeypatch, tmp_path, declared)
    database = Database(world)
    for day in range(1, 5):
        database.add(f"B{day}", f"2026-01-0{day} 00:00:00")
        assert database.land() == 1
    world.run()
    world.ahead = 2 * MONTH
    done = of(remove(work(world)), "bills")
    assert (done.objects, done.stay) == (3, {Fate.NEEDED: 1})
    # All rows are compared: those that were landed are known, whether their objects are there or not.
    assert database.land() == database.land(full=True) == 0
    # A row that was landed first, and whose object is gone, leaves the source: its last state is that of bronze.
    database.run("DELETE FROM bills WHERE bill = 'B1'")
    assert database.land() == 1
    last = objects.latest(world.settings, Source("bank", "b", objects.TABLE))
    assert last is not None
    (gone,) = (json.loads(value) for value in objects.records(world.settings, last))
    assert (gone["bill"], gone["account"], gone["is_deleted"]) == ("B1", "A1", True)
    # A row that changes without a later watermark is found, and nothing else is.
    database.run("UPDATE bills SET account = 'A2' WHERE bill = 'B2'")
    assert database.land() == 0
    assert database.land(full=True) == 1
