"""The utility's extracts on the real servers: the facts are those of the databases that they were written from."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import lake_servers
import pytest
from pyspark.sql import SparkSession

from datasets.utility import DATASET
from datasets.utility.play import play
from engines import spark, trino
from lakehouse import lease
from lakehouse.history import Record
from lakehouse.landing import from_extracts
from lakehouse.run import Run
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.sources import ExtractKind, Play
from meterlake.settings import Settings
from producers.lakehouse import extracts
from stack.instance import Instance

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import utility_twin as twin

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

START, DAYS, MORE, CUSTOMERS, SEED = date(2026, 7, 25), 50, 12, 200, 11
FACTS = ("fact_outage", "fact_invoice_line", "fact_payment")
"""Of one of them rows are deleted, the others have SAP's names of columns."""
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone


@dataclass
class World:
    """A utility of a few facts, which knows nothing but files."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse

    def land(self, folder: Path) -> int:
        landed = from_extracts.land(self.settings, self.lakehouse.name, self.lakehouse.records, [folder], NOON)
        return landed.total()

    def run(self) -> Record:
        with lease.held(self.settings, self.lakehouse.name, "test") as held:
            run = Run(self.settings, self.session, self.lakehouse, held, system_clock, lambda _: None)
            record = run.execute()
        assert record is not None
        return record

    def assert_facts_are_those_of(self, databases: Path) -> None:
        with duckdb.connect() as truth:
            twin.source_tables(truth, databases)
            twin.gold(truth)
            for fact in FACTS:
                columns = _columns(fact)
                rows = trino.rows(
                    self.settings, f"SELECT {columns} FROM lake.{self.lakehouse.namespace('gold')}.{fact}"
                )
                theirs = truth.execute(f"SELECT {columns} FROM {fact}").fetchall()
                assert len(theirs) > 50
                assert sorted(map(tuple, rows), key=repr) == sorted(theirs, key=repr), fact


def _columns(fact: str) -> str:
    """Return a fact's columns, its keys of dimensions among them."""
    declared = next(item for item in DATASET.facts if item.name == fact)
    fields = [f'"{field.name}"' for field in DATASET.event(declared.event).fields if field.name != "is_deleted"]
    return ", ".join(["transaction_sk", "date_sk", "time_sk", *(item.column for item in declared.lookups), *fields])


@pytest.fixture(scope="module")
def session(stack: Instance) -> Iterator[SparkSession]:
    with lake_servers.running(stack), spark.session(stack.settings, "utility-extracts") as session:
        yield session


@pytest.fixture
def world(session: SparkSession, settings: Settings) -> World:
    name = f"x{secrets.token_hex(4)}"
    facts = tuple(item for item in DATASET.facts if item.name in FACTS)
    wanted = {lookup.dimension for item in facts for lookup in item.lookups}
    dimensions = tuple(item for item in DATASET.dimensions if item.name in wanted)
    events = tuple(DATASET.event(item.event) for item in facts)
    asked = {item.reference for item in dimensions} | {known.reference for item in events for known in item.known}
    lakehouse = replace(
        DATASET, name=name, events=_renamed(name, events), dimensions=dimensions, facts=facts,
        references=_renamed(name, tuple(item for item in DATASET.references if item.name in asked)),
        views=(), kpis=(), pages=(), filters=None, predictions=(),
    )  # fmt: skip
    return World(settings, session, lakehouse)


def _renamed(name: str, records: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(replace(record, topic=f"{name}.{record.topic.partition('.')[2]}") for record in records)


@pytest.mark.parametrize("kind", list(ExtractKind))
def test_facts_of_extracts_are_those_of_the_databases(world: World, tmp_path: Path, kind: ExtractKind) -> None:
    databases, records = tmp_path / "databases", world.lakehouse.records
    urls = twin.urls(databases)
    twin.made(databases, Play(urls, DAYS, START, CUSTOMERS, SEED))
    written = extracts.write(urls, records, None, tmp_path / "whole", START, kind)
    assert world.land(tmp_path / "whole") == sum(written.values()) > 1000
    total = world.run().total
    assert total["accepted"] == total["read"] == sum(written.values())
    world.assert_facts_are_those_of(databases)

    before = extracts.state(urls, records)
    played = play(Play(urls, MORE)).tables
    written = extracts.write(urls, records, before, tmp_path / "days", date(2026, 9, 25), kind)
    assert world.land(tmp_path / "days") == sum(written.values())
    assert world.land(tmp_path / "days") == 0
    record = world.run()
    for event in world.lakehouse.events:
        gone = played[event.name]["changed"] + played[event.name]["deleted"]
        assert record.counts[event.name]["superseded"] == gone, event.name
    assert played["outages"]["deleted"] > 0
    world.assert_facts_are_those_of(databases)
