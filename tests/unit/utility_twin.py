"""Gold of the utility once more, in DuckDB, straight from the source databases: what figures can be asked of in a test.

``source_tables`` has the sources as they are, for the queries that are written apart; ``gold`` has facts and dimensions
as the declaration says them.
"""

# Statements here are made of names of this module and the declaration alone.
# ruff: noqa: S608
from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog

from datasets.utility import DATASET
from datasets.utility.play import play
from meterlake.lakehouse.records import Record
from meterlake.lakehouse.sources import Play
from meterlake.settings import Settings

DATABASES = ("crm", "oms", "billing")
TABLES = tuple(item.name for items in (DATASET.dimensions, DATASET.facts, DATASET.predictions) for item in items)


def urls(folder: Path) -> dict[str, str]:
    return {name: f"sqlite:///{folder / name}.db" for name in DATABASES}


def made(folder: Path, request: Play) -> Path:
    """Make the sources in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    play(request)
    return folder


def source_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make a table of each source table, typed as the declaration has its fields, with the source's names."""
    for record in DATASET.records:
        assert record.extract is not None
        with closing(sqlite3.connect(folder / f"{record.extract.database}.db")) as database, database:
            result = database.execute(f"SELECT * FROM {record.extract.table}")
            names = [column[0] for column in result.description]
            rows = result.fetchall()
        database.close()
        columns = [[None if row[at] is None else str(row[at]) for row in rows] for at in range(len(names))]
        raw = pa.table([pa.array(column, pa.string()) for column in columns], names=names)
        connection.register("raw", raw)
        kinds = {record.extract.column(field.name): field.type.sql("duckdb") for field in record.fields}
        typed = ", ".join(f'CAST("{name}" AS {kinds.get(name, "VARCHAR")}) AS "{name}"' for name in names)
        connection.execute(f'CREATE OR REPLACE TABLE "{record.extract.table}" AS SELECT {typed} FROM raw')
        connection.unregister("raw")


def gold(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the dimensions and facts of the source tables."""
    for dimension in DATASET.dimensions:
        reference = DATASET.reference(dimension.reference)
        key, at = reference.key, reference.time
        versions = reference.history == "versions"
        later = f"lead({at}) OVER (PARTITION BY {key} ORDER BY {at})"
        begin = at if versions else "TIMESTAMP '0001-01-01'"
        end = f"coalesce({later}, TIMESTAMP '9999-12-31')" if versions else "TIMESTAMP '9999-12-31'"
        attributes = ", ".join(dimension.attributes)
        connection.execute(f"""
CREATE OR REPLACE TABLE {dimension.name} AS SELECT md5({key} || '|' || {begin}) AS {dimension.key}, {attributes},
    {begin} AS valid_from, {end} AS valid_to FROM ({_fields(reference)})""")
    for fact in DATASET.facts:
        event = DATASET.event(fact.event)
        local = f"timezone('{DATASET.time_zone}', timezone('UTC', s.{event.time}))"
        joins, keys = "", ""
        for number, lookup in enumerate(fact.lookups):
            dimension = DATASET.dimension(lookup.dimension)
            joins += (
                f" LEFT JOIN {dimension.name} d{number} ON d{number}.{dimension.attributes[0]} = s.{lookup.field}"
                f" AND s.{event.time} >= d{number}.valid_from AND s.{event.time} < d{number}.valid_to"
            )
            keys += f", coalesce(d{number}.{dimension.key}, repeat('0', 32)) AS {lookup.column}"
        connection.execute(f"""
CREATE OR REPLACE TABLE {fact.name} AS
SELECT md5(s.{event.id}) AS transaction_sk, strftime({local}, '%Y%m%d') AS date_sk,
    CAST(hour({local}) * 3600 + minute({local}) * 60 + second({local}) AS INTEGER) AS time_sk{keys}, s.*
FROM ({_fields(event)}) s{joins}""")
    answers(connection)


def answers(connection: duckdb.DuckDBPyConnection) -> None:
    """Make answers of a model, of all days but the first five: what they are does not matter to what is counted."""
    connection.execute("""
CREATE OR REPLACE TABLE outage_predictions AS
SELECT date_sk, feeder_id, feeder_sk, share AS probability, share > 0.7 AS is_predicted
FROM (SELECT date_sk, feeder_id, feeder_sk, md5_number_lower(date_sk || feeder_id) % 1000 / 1000 AS share
    FROM fact_feeder_energy_day)
WHERE date_sk > (SELECT CAST(min(date_sk)::INT + 4 AS VARCHAR) FROM fact_feeder_energy_day)""")


def _fields(record: Record) -> str:
    assert record.extract is not None
    listed = ", ".join(
        "CAST(NULL AS BOOLEAN) AS is_deleted"
        if field.name == "is_deleted"
        else f'"{record.extract.column(field.name)}" AS "{field.name}"'
        for field in record.fields
    )
    return f'SELECT {listed} FROM "{record.extract.table}"'


def published(connection: duckdb.DuckDBPyConnection, settings: Settings, namespace: str, *names: str) -> None:
    """Write tables as those of the lakehouse's catalog; without names: dimensions, facts and answers."""
    catalog = _catalog(settings)
    catalog.create_namespace_if_not_exists(namespace)
    for name in names or TABLES:
        table = connection.sql(f"SELECT * FROM {name}").to_arrow_table()
        catalog.create_table(f"{namespace}.{name}", table.schema).append(table)


def removed(settings: Settings, namespace: str, *names: str) -> None:
    """Remove tables from the catalog, if they are there."""
    catalog = _catalog(settings)
    for name in names:
        if catalog.table_exists(f"{namespace}.{name}"):
            catalog.drop_table(f"{namespace}.{name}")


def _catalog(settings: Settings) -> Catalog:
    access, secret = settings.lake_keys
    return load_catalog(
        "lake",
        type="rest",
        uri=f"{settings.nessie}/iceberg/main",
        warehouse=settings.lake_bucket,
        **{
            "s3.endpoint": settings.lake_s3,
            "s3.region": settings.lake_region,
            "s3.access-key-id": access,
            "s3.secret-access-key": secret,
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        },
    )
