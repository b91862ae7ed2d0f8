"""What readers see against the landed records: judged and modelled once more, by DuckDB and the data set's own SQL."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq  # type: ignore[import-untyped]

from engines import lake, lake_tables, nessie
from lakehouse.landing import objects
from lakehouse.landing.objects import BrokenObject
from lakehouse.landing.removed import Bronze
from lakehouse.layers import tables
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

    from lakehouse.landing.objects import Manifest
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings

_PARTS: Final = ("accepted", "rejected", "duplicate", "superseded", "conflicting", "undecodable")
_EMPTY: Final = """
CREATE TABLE landed
    (record VARCHAR, source_partition VARCHAR, source_offset BIGINT, arrived_at TIMESTAMP, value BLOB)"""
_ACCOUNT: Final = """
SELECT count(*) FILTER (NOT is_rejected), count(*) FILTER (is_rejected),
    sum(list_sum([v.records FOR v IN versions IF v.revision = s.revision AND v.payload_md5 = s.payload_md5]) - 1),
    sum(list_sum([v.records FOR v IN versions IF v.revision < s.revision])),
    sum(list_sum([v.records FOR v IN versions IF v.revision = s.revision AND v.payload_md5 <> s.payload_md5]))
FROM silver s"""


def verify(settings: Settings, lakehouse: Lakehouse, sql: str) -> list[dict[str, Any]]:
    """Return what was compared, a row each: ``equal`` says whether nothing differs.

    sql: makes the view ``verdicts``, and one for each fact, of the table ``landed``. Raises what reading raises.
    """
    import duckdb

    with duckdb.connect() as connection:
        _load(connection, settings, lakehouse)
        connection.execute(sql)
        return [
            *(_verdict(connection, settings, lakehouse, event.name) for event in lakehouse.events),
            *(_fact(connection, settings, lakehouse, fact.name) for fact in lakehouse.facts),
        ]


def _load(connection: duckdb.DuckDBPyConnection, settings: Settings, lakehouse: Lakehouse) -> None:
    """Fill the table ``landed`` with the objects that runs have read; those that retention has removed from bronze."""
    connection.execute(_EMPTY)
    known = lake_tables.read(settings, f"{lakehouse.namespace('bronze')}.{tables.OBJECTS.name}")
    names = {record.topic: record.name for record in lakehouse.records}

    def insert(topic: str, partition: str, landed: pa.Table) -> None:
        connection.register("landed_object", landed)
        connection.execute(
            "INSERT INTO landed SELECT ?, ?, source_offset, arrived_at, value FROM landed_object",
            [names[topic], partition],
        )
        connection.unregister("landed_object")

    gone = []
    for row in known.to_pylist():
        data = lake.get(settings, row["object"])
        if data is None:
            gone.append(_removed(settings, row))
        else:
            insert(row["topic"], row["partition"], pq.read_table(io.BytesIO(data)))
    for manifest, landed in objects.tables(settings, gone, Bronze(settings, nessie.MAIN)):
        insert(manifest.topic, manifest.partition, landed)


def _removed(settings: Settings, row: Mapping[str, Any]) -> Manifest:
    """Return the manifest of an object that retention has removed, as a run has read it. Raises BrokenObject."""
    manifest = objects.read(settings, row["manifest"])
    if row["object"] not in manifest.removed:
        raise BrokenObject(row["object"], "is not there")
    if manifest.object == row["object"]:
        return manifest
    # An erasure that is not finished has given it another one; readers see what it had before.
    return replace(manifest, object=row["object"], rows=row["records"], records_sha256="")


def _verdict(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lakehouse: Lakehouse, event: str
) -> dict[str, Any]:
    columns = ("is_rejected", "revision", "payload_md5", "versions")
    silver = lake_tables.read(settings, f"{lakehouse.namespace('silver')}.{event}", columns)
    quarantine = lake_tables.read(settings, f"{lakehouse.namespace('silver')}.quarantine", ("record",))
    connection.register("silver", silver)
    connection.register("quarantine", quarantine)
    ours = [int(value or 0) for value in _one(connection, _ACCOUNT)]
    ours += _one(connection, "SELECT count(*) FROM quarantine WHERE record = ?", event)
    theirs = list(_one(connection, f"SELECT {', '.join(_PARTS)} FROM verdicts WHERE record = ?", event))
    differ = [f"{part} {a} instead of {b}" for part, a, b in zip(_PARTS, ours, theirs, strict=True) if a != b]
    return {"what": f"silver {event}", "rows": sum(theirs), "equal": not differ, "difference": "; ".join(differ)}


def _fact(connection: duckdb.DuckDBPyConnection, settings: Settings, lakehouse: Lakehouse, name: str) -> dict[str, Any]:
    connection.register("gold", lake_tables.read(settings, f"{lakehouse.namespace('gold')}.{name}"))
    columns = ", ".join(f'"{column[0]}"' for column in connection.execute(f"DESCRIBE {name}").fetchall())
    ours, theirs = (f"SELECT {columns} FROM {source}" for source in ("gold", name))
    (count,) = _one(connection, f"SELECT count(*) FROM {name}")
    (extra,) = _one(connection, f"SELECT count(*) FROM ({ours} EXCEPT ALL {theirs})")
    (missing,) = _one(connection, f"SELECT count(*) FROM ({theirs} EXCEPT ALL {ours})")
    differ = f"{extra} rows should not be there, {missing} are missing" if extra or missing else ""
    return {"what": f"gold {name}", "rows": count, "equal": not differ, "difference": differ}


def _one(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: object) -> tuple[Any, ...]:
    rows = connection.execute(sql, list(parameters)).fetchall()
    if len(rows) != 1:
        raise PermanentError(
            f"The SQL to verify by gives no row for {parameters}.", hint="Let it have one for each event."
        )
    return tuple(rows[0])
