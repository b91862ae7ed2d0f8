"""The published views in Trino: stored columns, averages, derived values, and the layer that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines import metastore, trino
from meterlake.ddl import HIVE_DATABASE, view_table
from meterlake.views import derived_sql, view_columns

if TYPE_CHECKING:
    from meterlake.declaration import Dataset
    from meterlake.grains import Grain
    from meterlake.settings import Settings

CATALOG: Final = "hive"
DATABASE: Final = "published"


def published_view(dataset: Dataset, grain: Grain) -> str:
    """Return the full name of a published view, in the catalog and database of published views."""
    return f"{CATALOG}.{DATABASE}.{view_table(dataset, grain)}"


def published_sql(dataset: Dataset, grain: Grain) -> str:
    """Return SQL that makes a published view of what batch has computed."""
    stored = [f"  {column.name}" for column in view_columns(dataset, grain)]
    derived = [f"  {sql} AS {name}" for name, sql in derived_sql(dataset, "trino")]
    columns = ",\n".join([*stored, *derived, "  'batch' AS source"])
    source = f"{CATALOG}.{HIVE_DATABASE}.{view_table(dataset, grain)}"
    head = f"CREATE OR REPLACE VIEW {published_view(dataset, grain)} SECURITY INVOKER AS"
    return f"{head}\nSELECT\n{columns}\nFROM {source}\n"


def replace(settings: Settings, dataset: Dataset) -> None:
    """Make the published views what the declaration says."""
    with metastore.client(settings) as client:
        metastore.ensure_database(client, DATABASE, f"{settings.hdfs}/meterlake/{DATABASE}")
    for view in dataset.views:
        trino.rows(settings, published_sql(dataset, view.grain))
