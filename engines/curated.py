"""Where reference and presentation tables lie, and how Trino comes to know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import metastore, trino
from engines.table_format_delta import CATALOG, DeltaTable, noted

__all__ = ["folder", "noted", "open_table", "register"]

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import SparkSession

    from engines.merge_table import Merging, Shape
    from meterlake.settings import Settings


def folder(settings: Settings) -> str:
    """Return the folder of all these tables."""
    return f"{settings.hdfs}/meterlake/delta"


def open_table(spark: SparkSession, base: str, shape: Shape) -> Merging:
    """Open a table below ``base``; ``create`` makes it where it is not there."""
    return DeltaTable(spark, base, shape)


def register(settings: Settings, tables: Iterable[Merging]) -> list[str]:
    """Let Trino and the metastore know tables that have been created; return the names of those that were new to them.

    Raises EngineUnavailable when one of the two does not answer.
    """
    wanted = list(tables)
    with metastore.client(settings) as client:
        for database in sorted({table.shape.database for table in wanted}):
            metastore.ensure_database(client, database, f"{folder(settings)}/{database}")
        new = [t for t in wanted if metastore.get_table(client, t.shape.database, t.shape.name) is None]
    for table in new:
        named = {
            "schema_name": table.shape.database,
            "table_name": table.shape.name,
            "table_location": table.location,
        }
        given = ", ".join("{} => '{}'".format(name, value.replace("'", "''")) for name, value in named.items())
        trino.rows(settings, f"CALL {CATALOG}.system.register_table({given})")
    return [table.name for table in new]
