"""A bucket and tables of bronze in memory: what is read of landed objects and of bronze needs no server.

The store is the client's own in memory, the tables are Iceberg's in a folder. A run writes what it has read to bronze.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from obstore.store import MemoryStore
from pydantic import SecretStr
from pyiceberg.catalog.sql import SqlCatalog

from engines import lake, lake_tables, nessie
from engines.nessie import Ref
from lakehouse import history
from lakehouse.landing import objects
from lakehouse.landing.objects import Manifest
from lakehouse.layers import tables
from meterlake.clock import system_clock
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.settings import Settings

_TYPES = {"STRING": pa.string(), "BIGINT": pa.int64(), "TIMESTAMP_NTZ": pa.timestamp("us")}


@dataclass
class Lake:
    """A lakehouse as far as landing and bronze go. now: how far its clock is ahead. seen: the run that readers see."""

    settings: Settings
    lakehouse: Lakehouse
    catalogs: dict[str, SqlCatalog]
    folder: Path
    ahead: timedelta = timedelta(0)
    seen: int = 0
    runs: list[str] = field(default_factory=list)

    def clock(self) -> datetime:
        return system_clock() + self.ahead

    def run(self) -> None:
        """Let a run begin at the state that readers see, and read what is landed and not known there, into bronze."""
        run = f"20261127T{len(self.runs):06}-abcd"
        catalog = SqlCatalog(run, uri=f"sqlite:///{self.folder}/{run}.db", warehouse=f"file://{self.folder}/{run}")
        catalog.create_namespace(self.lakehouse.namespace("bronze"))
        before = self.catalogs[self.runs[self.seen - 1]] if self.seen else None
        for table in (tables.OBJECTS, *(tables.bronze(record) for record in self.lakehouse.records)):
            name = f"{self.lakehouse.namespace('bronze')}.{table.name}"
            schema = pa.schema([(column, _TYPES[kind]) for column, kind in table.columns])
            made = catalog.create_table(name, schema)
            if before is not None:
                made.append(before.load_table(name).scan().to_arrow().cast(schema))
        known = set(self._table(catalog, tables.OBJECTS).scan().to_arrow()["manifest"].to_pylist())
        keys = [key for key in objects.manifests(self.settings, self.lakehouse.name) if key not in known]
        for manifest, records in objects.tables(self.settings, [objects.read(self.settings, key) for key in keys]):
            self._write(catalog, manifest, records, run)
        self.catalogs[history.tag(self.lakehouse.name, run)] = catalog
        history.write(self.settings, history.Record(self.lakehouse.name, run, "incremental", "", 0, len(keys)))
        self.runs.append(history.tag(self.lakehouse.name, run))
        self.seen = len(self.runs)

    def bronze(self, record: str) -> Any:
        """Return a table of bronze as readers see it."""
        return self.catalogs[self.runs[self.seen - 1]].load_table(f"{self.lakehouse.namespace('bronze')}.{record}")

    def landed(self) -> list[str]:
        return [item.key for item in lake.listed(self.settings, f"landing/{self.lakehouse.name}/")]

    def manifests(self) -> list[Manifest]:
        return [objects.read(self.settings, key) for key in objects.manifests(self.settings, self.lakehouse.name)]

    def _table(self, catalog: SqlCatalog, table: tables.Table) -> Any:
        return catalog.load_table(f"{self.lakehouse.namespace('bronze')}.{table.name}")

    def _write(self, catalog: SqlCatalog, manifest: Manifest, records: pa.Table, run: str) -> None:
        record = next(item for item in self.lakehouse.records if item.topic == manifest.topic)
        rows = [
            {
                "value": _text(row["value"]), "key": _text(row["key"]), "arrived_at": row["arrived_at"],
                "source_topic": manifest.topic, "source_partition": manifest.partition,
                "source_offset": row["source_offset"], "run_id": run,
            }
            for row in records.to_pylist()
        ]  # fmt: skip
        noted = (
            manifest.key, manifest.object, manifest.topic, manifest.partition, manifest.first, manifest.end,
            manifest.rows, manifest.bytes, manifest.sha256, run,
        )  # fmt: skip
        row = dict(zip(tables.OBJECTS.names, noted, strict=True))
        for table, news in ((tables.bronze(record), rows), (tables.OBJECTS, [row])):
            schema = pa.schema([(column, _TYPES[kind]) for column, kind in table.columns])
            self._table(catalog, table).append(pa.Table.from_pylist(news, schema=schema))


def made(monkeypatch: pytest.MonkeyPatch, folder: Path, lakehouse: Lakehouse) -> Lake:
    """Return an empty one, which everything reads and writes from now on."""
    store = MemoryStore()
    settings = Settings(home=folder, lake_access_key="key", lake_secret_key=SecretStr("secret"))
    result = Lake(settings, lakehouse, {}, folder)
    monkeypatch.setattr(lake, "_store", lambda *_: store)

    def table(_: Settings, name: str, ref: str = nessie.MAIN) -> Any:
        return result.catalogs[result.runs[result.seen - 1] if ref == nessie.MAIN else ref].load_table(name)

    monkeypatch.setattr(lake_tables, "table", table)
    monkeypatch.setattr(nessie, "refs", lambda _: [Ref(tag, tag, "TAG") for tag in result.runs])
    monkeypatch.setattr(nessie, "main", lambda _: Ref(nessie.MAIN, result.runs[result.seen - 1] if result.seen else ""))
    monkeypatch.setattr(nessie, "commits", lambda *_: dict.fromkeys(result.runs[: result.seen], ""))
    return result


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex().upper()
