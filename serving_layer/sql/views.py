"""The views in Trino, and the line between the layers, as readers have them now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from engines import metastore, trino
from meterlake import merged
from meterlake.ddl import CASSANDRA_KEYSPACE, HIVE_DATABASE, view_table

if TYPE_CHECKING:
    from meterlake.declaration import Dataset
    from meterlake.merged import Line
    from meterlake.settings import Settings

LINE: Final = "meterlake.line"
"""Property of the finest view's table in the metastore: where the speed layer takes over, for readers without Trino."""


def has_speed_layer(settings: Settings, dataset: Dataset) -> bool:
    """Return whether there is a speed layer to ask. Raises EngineUnavailable where that cannot be told."""
    statement = (
        f"SELECT 1 FROM {merged.SPEED_CATALOG}.information_schema.tables"  # noqa: S608 - a constant
        " WHERE table_schema = ? AND table_name = ?"
    )
    return bool(trino.rows(settings, statement, [CASSANDRA_KEYSPACE, view_table(dataset, "minute")]))


def replace(settings: Settings, dataset: Dataset, line: Line | None) -> None:
    """Make the views what the declaration says, and the merged ones change layers at ``line`` (None: batch alone)."""
    with metastore.client(settings) as client:
        for database in (merged.PUBLISHED, merged.MERGED):
            metastore.ensure_database(client, database, f"{settings.hdfs}/meterlake/{database}")
    for view in dataset.views:
        trino.rows(settings, merged.published_sql(dataset, view.grain))
        trino.rows(settings, merged.merged_sql(dataset, view.grain, line))
    with metastore.client(settings) as client:
        table = view_table(dataset, dataset.finest.grain)
        metastore.set_table_property(client, HIVE_DATABASE, table, LINE, line.at.isoformat() if line else "")


def line_in_force(settings: Settings, dataset: Dataset) -> datetime | None:
    """Return where the speed layer takes over, None where batch alone answers. Needs the metastore only."""
    with metastore.client(settings) as client:
        table = metastore.get_table(client, HIVE_DATABASE, view_table(dataset, dataset.finest.grain))
    text = table.properties.get(LINE, "") if table else ""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
