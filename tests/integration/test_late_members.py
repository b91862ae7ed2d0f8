"""Events that lead to somebody whose record comes later, and begins later than they do; what lands during a run."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lake_servers
import pytest
from lakehouse_samples import recharges
from pyspark.sql import SparkSession

from engines import spark, trino
from lakehouse import lease
from lakehouse.history import Record
from lakehouse.landing import from_files, objects
from lakehouse.layers import bronze, tables
from lakehouse.layers.tables import UNKNOWN
from lakehouse.run import Run, known
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
STRANGER, OTHER = "+33612345678", "+33687654321"


@dataclass(frozen=True)
class World:
    """A lakehouse of this file."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    folder: Path

    def land(self, topic: str, *records: dict[str, Any]) -> None:
        name = f"{self.lakehouse.name}.{topic}"
        file = self.folder / f"{name}.jsonl"
        file.write_text("\n".join(map(json.dumps, records)))
        landed = from_files.land(self.settings, self.lakehouse.name, self.lakehouse.topics, [file], NOON)
        assert landed.total() == len(records)

    def run(self, *, full: bool = False, report: Callable[[str], None] = lambda _: None) -> Record:
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            run = Run(self.settings, self.session, self.lakehouse, held, system_clock, report)
            record = run.execute(full=full)
        assert record is not None
        return record

    def seen(self) -> dict[str, str]:
        """Return to whom each recharge leads: a name, '' of whom only the number is known, or 'unknown'."""
        gold = f"lake.{self.lakehouse.namespace('gold')}"
        rows = trino.rows(
            self.settings,
            "SELECT f.transaction_id, CASE WHEN u.is_placeholder THEN '' ELSE coalesce(u.name, 'unknown') END,"  # noqa: S608
            f" u.user_sk = '{UNKNOWN}' FROM {gold}.fact_recharge f JOIN {gold}.dim_user u ON u.user_sk = f.user_sk",
        )
        assert all((name == "unknown") == is_unknown for _, name, is_unknown in rows)
        return {str(recharge): str(name) for recharge, name, _ in rows}


@pytest.fixture
def world(stack: Instance, tmp_path: Path) -> Iterator[World]:
    lakehouse = recharges(f"m{secrets.token_hex(4)}")
    with lake_servers.running(stack), spark.session(stack.settings, "late-members") as session:
        yield World(stack.settings, session, lakehouse, tmp_path)


def recharge(number: str, when: str, identity: str) -> dict[str, Any]:
    return {
        "transaction_id": identity,
        "event_type": "recharge",
        "customer": number,
        "phone_number": number,
        "balance_before": 1,
        "amount": 10.25,
        "balance_after": 11.25,
        "currency": "EGP",
        "payment_method": "cash",
        "timestamp": when,
    }


def user(name: str, since: str) -> dict[str, Any]:
    return {"phone_number": STRANGER, "user_id": "U9", "name": name, "address": "Lyon", "valid_from": since}


def test_events_of_before_the_first_record_of_a_stranger_are_judged_again(world: World) -> None:
    world.land(
        "recharges",
        recharge(STRANGER, "2026-09-05T10:00:00Z", "before"),
        recharge(STRANGER, "2026-11-15T10:00:00Z", "after"),
        recharge(OTHER, "2026-09-05T10:00:00Z", "other"),
    )
    world.run()
    assert world.seen() == {"before": "", "after": "", "other": ""}
    # Who he was before nobody says: that recharge leads to nobody, for the placeholder is gone.
    world.land("users", user("Nina", "2026-11-10T00:00:00Z"))
    counts = world.run().counts
    assert (counts["users"]["accepted"], counts["recharges"]["read"], counts["recharges"]["accepted"]) == (1, 0, 0)
    assert world.seen() == {"before": "unknown", "after": "Nina", "other": ""}
    # An older record that comes later says so.
    world.land("users", user("Nino", "2026-09-01T00:00:00Z"))
    world.run()
    late = world.seen()
    assert late == {"before": "Nino", "after": "Nina", "other": ""}
    world.run(full=True)
    assert world.seen() == late


def test_what_is_landed_while_a_run_goes_on_is_read_by_the_next_and_nothing_twice(world: World) -> None:
    def news() -> int:
        return len(bronze.news(world.session, world.settings, known(world.session, world.settings, world.lakehouse)))

    def land_more(step: str) -> None:
        if step == "silver":
            world.land("recharges", recharge(OTHER, "2026-11-16T10:00:00Z", "meanwhile"))

    world.land("recharges", recharge(OTHER, "2026-11-15T10:00:00Z", "first"))
    world.land("users", user("Nina", "2026-11-10T00:00:00Z"))
    assert world.run(report=land_more).counts["recharges"]["read"] == 1
    assert world.seen() == {"first": ""}
    assert news() == 1
    assert world.run().counts["recharges"]["read"] == 1
    assert world.seen() == {"first": "", "meanwhile": ""}
    assert news() == 0
    # Whoever else commits to the table leaves no bookmark there: then all are listed, and the next run sets one again.
    catalog = known(world.session, world.settings, world.lakehouse)
    table = catalog.path(tables.OBJECTS)
    bookmarks = f"SELECT element_at(summary, 'meterlake.bookmark') AS bookmark FROM {table}.snapshots"  # noqa: S608
    (row,) = world.session.sql(bookmarks).collect()
    assert len(json.loads(row.bookmark)) == 3
    world.session.sql(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 0")  # noqa: S608
    (row,) = world.session.sql(bookmarks).collect()
    assert row.bookmark is None
    assert news() == 0
    world.land("recharges", recharge(OTHER, "2026-11-17T10:00:00Z", "last"))
    assert news() == 1
    world.run()
    (row,) = world.session.sql(bookmarks).collect()
    assert len(json.loads(row.bookmark)) == 4
    assert world.run(full=True).counts["recharges"]["read"] == 3
    assert news() == 0
    assert len(objects.manifests(world.settings, world.lakehouse.name)) == 4
