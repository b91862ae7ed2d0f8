"""The record of runs: an Iceberg table that Spark appends to, and that is read through Trino, which is quick.

The last finished record has the history whole: a command reads that, and what is under way after it. Where it is stands
as a property of the database; if that is wrong, more is read than is needed. (Trino cannot commit to Iceberg tables of
a metastore on Derby: its comparison of parameters fails there.)
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import iceberg_upkeep, metastore, spark, trino
from engines.spark_failures import translated
from serving_layer.publish.errors import Overtaken
from serving_layer.publish.history import History
from serving_layer.publish.packing import COLUMNS, FORMER, record_of, state_of, values

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from meterlake.settings import Settings
    from serving_layer.publish.history import Record

DATABASE: Final = "serving"
TABLE: Final = "batch_runs"
FULL_NAME: Final = f"{spark.CATALOG}.{DATABASE}.{TABLE}"
BLOCK: Final = 1000
"""So many records of a data set make a partition of the table: compaction and reading leave the others alone."""
TIDY_EVERY: Final = 50
"""After so many records of a data set their files are made one, and older states are dropped."""
_PROPERTIES: Final = "'write.metadata.delete-after-commit.enabled' = 'true', 'commit.manifest.min-count-to-merge' = '2'"
"""Reading opens every manifest, and each commit makes one, of a few files: it is merged with the one before."""
_KEPT: Final = timedelta(hours=1)
"""Younger snapshots stay, for queries that are reading them."""
_STATE: Final = "meterlake.state."
"""Property of the database, followed by a data set: the last record with which its history was recorded whole."""


def load(settings: Settings, dataset: str) -> History:
    """Return the history of a data set; an empty one before its first run."""
    with metastore.client(settings) as client:
        names = _columns(client)
        since = int(metastore.database_properties(client, DATABASE).get(f"{_STATE}{dataset}", 0)) if names else 0
    if not names:
        return History()
    rows = _rows(settings, names, dataset, since)
    if since and not (rows and state_of(rows[0])):
        rows = _rows(settings, names, dataset, 0)
    return history_of(rows)


def history_of(rows: Iterable[dict[str, Any]]) -> History:
    """Return the history that rows of the table, in order, lead to."""
    history = History()
    for row in rows:
        history = state_of(row) or history.after(record_of(row))
    return history


def last(settings: Settings, dataset: str, seq: int, count: int | None) -> list[Record]:
    """Return the last finished records of a data set up to ``seq``, the newest last. count: None for all."""
    with metastore.client(settings) as client:
        names = _columns(client)
    if not names:
        return []
    since = 0 if count is None else seq - 2 * count  # each has one that began it
    finished = [record for record in map(record_of, _rows(settings, names, dataset, since)) if record.is_finished]
    return finished if count is None else finished[-count:]


def append(settings: Settings, history: History, record: Record) -> History:
    """Append one record behind the last one of a history, in one commit; return the history with it.

    Raises Overtaken, with nothing changed, if there is another record behind it: also if that comes while this one is
    written. Opens a Spark session, or uses the one that is open.
    """
    after = history.after(record)
    state = after if record.is_finished else None
    _release_stale_locks(settings)
    with spark.session(settings, "records") as session, translated(settings, FULL_NAME):
        create(session, settings)
        former = {name: "STRING" for name in FORMER if name in session.table(FULL_NAME).columns}
        kinds: dict[str, str] = COLUMNS | former
        selected = ", ".join(f"CAST(:{name} AS {kind}) AS {name}" for name, kind in kinds.items())
        row = session.sql(f"SELECT {selected}", args=values(record, state) | dict.fromkeys(former))
        _append_behind(session, history.seq, record, row)
    if state is not None:
        note_state(settings, record.dataset, record.seq)
    return after


def _append_behind(session: SparkSession, last_seq: int, record: Record, row: DataFrame) -> None:
    """Append a row that is valid only behind record ``last_seq`` of its data set.

    What was committed since the snapshot in which that was the last one must not hold this record: Iceberg checks it
    in its own commit. (The condition of ``overwrite`` says what must not be there; in that snapshot, nothing is.)
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    snapshot = iceberg_upkeep.load(session, FULL_NAME).currentSnapshot()
    own, behind = F.col("dataset") == record.dataset, F.col("seq") >= record.seq
    writer = row.writeTo(FULL_NAME).option("isolation-level", "serializable")
    if snapshot is not None:
        known = session.read.option("snapshot-id", snapshot.snapshotId()).table(FULL_NAME)
        newest: Any = known.where(own & (F.col("seq") >= last_seq)).agg(F.max("seq")).first()
        if (newest[0] or 0) != last_seq:
            raise Overtaken(record.dataset, record.run_id, last_seq, newest[0])
        writer = writer.option("validate-from-snapshot-id", str(snapshot.snapshotId()))
    try:
        writer.overwrite(own & behind)
    except (Py4JJavaError, PySparkException) as error:
        if "Found conflicting files" in f"{error}":
            raise Overtaken(record.dataset, record.run_id, last_seq, record.seq) from error
        raise


def note_state(settings: Settings, dataset: str, seq: int) -> None:
    """Note with which record a history was recorded whole."""
    with metastore.client(settings) as client:
        metastore.set_database_property(client, DATABASE, f"{_STATE}{dataset}", str(seq))


def tidy_is_due(history: History) -> bool:
    """Return whether a publish that has ended with this history is to ``tidy``: each has two records."""
    return history.seq // TIDY_EVERY != (history.seq - 2) // TIDY_EVERY


def tidy(session: SparkSession, settings: Settings, history: History, now: datetime) -> None:
    """Do the upkeep that keeps reading quick while publishes go on.

    States of earlier records go: only those since the last time have one, so no older file is written again. Files of
    the last blocks become one each, snapshots of an hour stay.
    """
    _release_stale_locks(settings)
    with translated(settings, FULL_NAME):
        session.sql(f"ALTER TABLE {FULL_NAME} SET TBLPROPERTIES ({_PROPERTIES})")  # tables of former versions lack some
        if history.current is not None:
            session.sql(
                f"UPDATE {FULL_NAME} SET state = NULL"  # noqa: S608 - a constant
                " WHERE dataset = :dataset AND seq < :seq AND state IS NOT NULL",
                args={"dataset": history.current.dataset, "seq": history.seq},
            )
        iceberg_upkeep.compact(session, FULL_NAME, order="dataset, seq")
        iceberg_upkeep.expire_before(iceberg_upkeep.load(session, FULL_NAME), now - _KEPT)


def upkeep(session: SparkSession, settings: Settings, before: datetime, orphaned: datetime) -> dict[str, int]:
    """Make the many small files one, and forget old snapshots; every record stays.

    Each publish makes two commits. before: snapshots committed earlier go. orphaned: files that no snapshot holds go
    if they are older. Returns what was done.
    """
    _release_stale_locks(settings)
    with translated(settings, FULL_NAME):
        if not session.catalog.tableExists(FULL_NAME):
            return {}
        compacted = iceberg_upkeep.compact(session, FULL_NAME, order="dataset, seq")
        expired = iceberg_upkeep.expire_before(iceberg_upkeep.load(session, FULL_NAME), before)
        return {
            "files_before": compacted.files_before,
            "files_after": compacted.files_after,
            "snapshots_expired": expired,
            "removed": iceberg_upkeep.remove_orphans(session, FULL_NAME, orphaned),
        }


def _release_stale_locks(settings: Settings) -> None:
    """Free the table from a publish that was killed in its commit: until then every later one would wait."""
    with metastore.client(settings) as client:
        metastore.release_stale_locks(client, DATABASE, TABLE)


def create(session: SparkSession, settings: Settings) -> None:
    """Make the table unless it is there; give one of version 0.1 the columns and partitions that it lacks."""
    if not session.catalog.tableExists(FULL_NAME):
        folder = f"{settings.hdfs}/meterlake/{DATABASE}"
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        session.sql(f"CREATE NAMESPACE IF NOT EXISTS {spark.CATALOG}.{DATABASE} LOCATION '{folder}'")
        session.sql(
            f"CREATE TABLE IF NOT EXISTS {FULL_NAME} ({columns}) USING iceberg"
            f" PARTITIONED BY (dataset, truncate({BLOCK}, seq)) LOCATION '{folder}/{TABLE}'"
            f" TBLPROPERTIES ({_PROPERTIES})"
        )
    elif "changes" not in session.table(FULL_NAME).columns:
        session.sql(f"ALTER TABLE {FULL_NAME} ADD PARTITION FIELD dataset")
        session.sql(f"ALTER TABLE {FULL_NAME} ADD PARTITION FIELD truncate({BLOCK}, seq)")
        session.sql(f"ALTER TABLE {FULL_NAME} ADD COLUMNS (changes STRING, state STRING)")
        # Files of several data sets would keep ``_append_behind`` from seeing that none of them holds its record.
        session.sql(
            f"CALL {spark.CATALOG}.system.rewrite_data_files(table => '{FULL_NAME}',"
            " options => map('rewrite-all', 'true'))"
        )


def _columns(client: metastore.Client) -> list[str]:
    """Return which columns to read; none where there is no table."""
    table = metastore.get_table(client, DATABASE, TABLE)
    known = [column.name for column in table.columns] if table else []
    return [name for name in (*COLUMNS, *FORMER) if name in known]


def _rows(settings: Settings, names: list[str], dataset: str, since: int) -> list[dict[str, Any]]:
    """Return the rows of a data set from record ``since`` on, in order (Trino would take a stage more to sort one)."""
    statement = f"SELECT {', '.join(names)} FROM {FULL_NAME} WHERE dataset = ? AND seq >= ?"  # noqa: S608 - our own names
    rows = [dict(zip(names, row, strict=True)) for row in trino.rows(settings, statement, [dataset, since])]
    return sorted(rows, key=lambda row: row["seq"])
