"""The views in Trino, and the cutover between the layers, as readers have them now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from engines import cassandra, metastore, trino
from engines.errors import EngineUnavailable
from meterlake import merged
from meterlake.ddl import CASSANDRA_KEYSPACE, HIVE_DATABASE, view_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.declaration import MeterSeries
    from meterlake.merged import Cutover
    from meterlake.settings import Settings

CUTOVER: Final = "meterlake.cutover"
"""Property of the finest view's table in the metastore: where the speed layer takes over, for readers without Trino."""
RECORD: Final = "meterlake.record"
"""Property of the same table: the record of the run that readers without Trino see."""
_TRINO_LEARNS_S: Final = 20
"""How long a new table of Cassandra's may take to be seen in Trino."""


def has_speed_layer(settings: Settings, dataset: MeterSeries) -> bool:
    """Return whether there is a speed layer to ask, and see to it that Trino knows its table.

    Cassandra itself is asked: Trino learns of a new table only some moments later.
    Raises EngineUnavailable where that cannot be told.
    """
    names = (CASSANDRA_KEYSPACE, view_table(dataset, dataset.finest.grain))
    with cassandra.session(settings) as session:
        result = session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s", names
        )
        if result.one() is None:
            return False
    for attempt in _trino_learns():
        with attempt:
            _seen_by_trino(settings, *names)
    return True


def _trino_learns() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(EngineUnavailable),
        wait=wait_fixed(0.3),
        stop=stop_after_delay(_TRINO_LEARNS_S),
        reraise=True,
    )


def _seen_by_trino(settings: Settings, keyspace: str, table: str) -> None:
    statement = (
        f"SELECT 1 FROM {merged.SPEED_CATALOG}.information_schema.tables"  # noqa: S608 - a constant
        " WHERE table_schema = ? AND table_name = ?"
    )
    if not trino.rows(settings, statement, [keyspace, table]):
        raise EngineUnavailable("Trino", settings.trino, f"it does not see Cassandra's table {keyspace}.{table}")


def replace(
    settings: Settings,
    dataset: MeterSeries,
    cutover: Cutover | None,
    seq: int,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Make the views what the declaration says, and the merged ones change layers at ``cutover`` (None: batch alone).

    seq: the record of the run that they show; they carry it. check: called before each change.
    """
    with metastore.client(settings) as client:
        for database in (merged.PUBLISHED, merged.MERGED):
            metastore.ensure_database(client, database, f"{settings.hdfs}/meterlake/{database}")
    for view in dataset.views:
        check()
        trino.rows(settings, merged.published_sql(dataset, view.grain))
        check()
        trino.rows(settings, merged.merged_sql(dataset, view.grain, cutover, seq))
    with metastore.client(settings) as client:
        table = view_table(dataset, dataset.finest.grain)
        properties = {CUTOVER: cutover.at.isoformat() if cutover else "", RECORD: str(seq)}
        check()
        metastore.set_table_properties(client, HIVE_DATABASE, table, properties)


def shown(settings: Settings, dataset: MeterSeries) -> int | None:
    """Return the record of the run that all merged views show; None where they are of several, or not there."""
    names = [view_table(dataset, view.grain) for view in dataset.views]
    statement = (
        "SELECT table_name, comment FROM system.metadata.table_comments WHERE catalog_name = ? AND schema_name = ?"  # noqa: S608 - values are bound
        f" AND table_name IN ({', '.join('?' for _ in names)})"
    )
    comments = dict(trino.rows(settings, statement, [merged.CATALOG, merged.MERGED, *names]))
    with metastore.client(settings) as client:
        table = metastore.get_table(client, HIVE_DATABASE, view_table(dataset, dataset.finest.grain))
    records = {merged.record_of(comments.get(name)) for name in names}
    records.add(int(table.properties.get(RECORD, -1)) if table else None)
    return records.pop() if len(records) == 1 else None


def current_cutover(settings: Settings, dataset: MeterSeries) -> datetime | None:
    """Return where the speed layer takes over, None where batch alone answers. Needs the metastore only."""
    with metastore.client(settings) as client:
        table = metastore.get_table(client, HIVE_DATABASE, view_table(dataset, dataset.finest.grain))
    text = table.properties.get(CUTOVER, "") if table else ""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
