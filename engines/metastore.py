"""The Hive metastore over Thrift, with the client classes that pyiceberg carries.

Functions take the client that ``client`` yields. They raise QueryFailed when the metastore refuses, EngineUnavailable
when it, or the database behind it, does not answer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote, urlparse
from uuid import uuid4

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.settings import Settings

TIMEOUT_MS = 30_000
STALE_LOCK = timedelta(minutes=1)
"""Age from which a lock without a sign of life is that of a dead writer."""
ENGINE = "Hive metastore"

Client = Any
"""The generated Thrift client; it has no types."""

PartitionValues = tuple[str, ...]
"""Values of a table's partition columns, in their order, such as ``("2026-11",)``."""

# What Hive leaves as it is in a partition's name.
_PLAIN = " !$&()+,-.;<>@_`|~"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
# What a MetaException says when the metastore's own database is the trouble.
_DATABASE_TROUBLE = ("javax.jdo", "java.sql", "JDBC", "SQLException", "Connection")


@dataclass(frozen=True)
class HiveColumn:
    """A column as the metastore knows it: ``type`` is Hive's, such as ``decimal(18,3)``."""

    name: str
    type: str
    comment: str = ""


@dataclass(frozen=True)
class ExternalTable:
    """A table of Parquet files that are not the metastore's own: dropping it leaves them.

    location: folder of a table without partitions; a partition has its own.
    """

    database: str
    name: str
    columns: tuple[HiveColumn, ...]
    location: str
    partitioned_by: tuple[HiveColumn, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def client(settings: Settings) -> Iterator[Client]:
    """Open a metastore client. Raises EngineUnavailable when it does not answer."""
    from hive_metastore import ThriftHiveMetastore, ttypes
    from thrift.protocol import TBinaryProtocol
    from thrift.Thrift import TApplicationException, TException
    from thrift.transport import TSocket, TTransport

    address = urlparse(settings.metastore)
    raw = TSocket.TSocket(address.hostname, address.port)
    raw.setTimeout(TIMEOUT_MS)
    transport = TTransport.TBufferedTransport(raw)
    try:
        transport.open()
        yield ThriftHiveMetastore.Client(TBinaryProtocol.TBinaryProtocol(transport))
    except (TTransport.TTransportException, socket.error, EOFError) as error:  # noqa: UP024
        raise EngineUnavailable(ENGINE, settings.metastore, error) from error
    except ttypes.MetaException as error:
        if any(word in str(error.message) for word in _DATABASE_TROUBLE):
            raise EngineUnavailable(ENGINE, settings.metastore, error.message) from error
        raise QueryFailed(ENGINE, "", error.message) from error
    except (TApplicationException, TException) as error:
        raise QueryFailed(ENGINE, "", f"{type(error).__name__}: {getattr(error, 'message', error)}") from error
    finally:
        transport.close()


def ensure_database(metastore: Client, name: str, location: str) -> None:
    """Create database ``name`` at ``location`` unless it is there."""
    from hive_metastore import ttypes

    try:
        metastore.create_database(ttypes.Database(name=name, locationUri=location))
    except ttypes.AlreadyExistsException:
        return


def drop_database(metastore: Client, name: str) -> None:
    """Remove database ``name`` and its tables from the metastore, if it is there; files stay."""
    from hive_metastore import ttypes

    try:
        metastore.drop_database(name, False, True)
    except ttypes.NoSuchObjectException:
        return


def set_database_property(metastore: Client, name: str, key: str, value: str) -> None:
    """Set one property of database ``name``, keeping the others."""
    database = metastore.get_database(name)
    database.parameters = {**(database.parameters or {}), key: value}
    metastore.alter_database(name, database)


def database_properties(metastore: Client, name: str) -> dict[str, str]:
    """Return the properties of database ``name``."""
    return dict(metastore.get_database(name).parameters or {})


def create_table(metastore: Client, table: ExternalTable) -> bool:
    """Create ``table`` unless one of its name is there; return whether it was created."""
    from hive_metastore import ttypes

    thrift = ttypes.Table(
        dbName=table.database,
        tableName=table.name,
        tableType="EXTERNAL_TABLE",
        sd=_storage(table.columns, table.location),
        partitionKeys=_fields(table.partitioned_by),
        # Statistics of files that a publish will switch away would only mislead.
        parameters={"EXTERNAL": "TRUE", "DO_NOT_UPDATE_STATS": "true", **table.properties},
    )
    try:
        metastore.create_table(thrift)
    except ttypes.AlreadyExistsException:
        return False
    return True


def get_table(metastore: Client, database: str, name: str) -> ExternalTable | None:
    """Return a table, or None if there is none of that name."""
    from hive_metastore import ttypes

    try:
        result = metastore.get_table_req(ttypes.GetTableRequest(dbName=database, tblName=name)).table
    except ttypes.NoSuchObjectException:
        return None
    return ExternalTable(
        database=result.dbName,
        name=result.tableName,
        columns=_columns(result.sd.cols),
        location=result.sd.location,
        partitioned_by=_columns(result.partitionKeys),
        properties=dict(result.parameters),
    )


def set_table_properties(metastore: Client, database: str, name: str, properties: Mapping[str, str]) -> None:
    """Set some properties of a table, keeping the others. Raises QueryFailed if there is no such table."""
    from hive_metastore import ttypes

    require_table(metastore, database, name)
    table = metastore.get_table_req(ttypes.GetTableRequest(dbName=database, tblName=name)).table
    table.parameters = {**(table.parameters or {}), **properties}
    metastore.alter_table(database, name, table)


def drop_table(metastore: Client, database: str, name: str) -> None:
    """Remove a table from the metastore, if it is there; its files stay."""
    from hive_metastore import ttypes

    try:
        metastore.drop_table(database, name, False)
    except ttypes.NoSuchObjectException:
        return


def partition_name(keys: Iterable[str], values: Iterable[str]) -> str:
    """Return the name of a partition as Hive writes it: ``month=2026-11/slice=2026-11-26``."""
    return "/".join(f"{key}={quote(value, safe=_PLAIN)}" for key, value in zip(keys, values, strict=True))


def partition_values(name: str) -> PartitionValues:
    """Return the values in a partition's name; the inverse of ``partition_name``."""
    return tuple(unquote(part.partition("=")[2]) for part in name.split("/"))


def has_partitions(metastore: Client, database: str, table: str, before: str) -> bool:
    """Return whether a table has a partition whose first value sorts before ``before``."""
    key = require_table(metastore, database, table).partitioned_by[0].name
    return bool(metastore.get_partitions_by_filter(database, table, f'{key} < "{before}"', 1))


def partition_locations(
    metastore: Client, database: str, table: str, some: Iterable[PartitionValues] | None = None
) -> dict[PartitionValues, str]:
    """Return where the partitions of a table lie: all, or those of ``some`` that are there.

    Raises QueryFailed if there is no such table.
    """
    table_found = require_table(metastore, database, table)  # or an unknown table would just have no partitions
    return {tuple(p.values): p.sd.location for p in _partitions(metastore, table_found, some)}


def add_partitions(metastore: Client, database: str, table: str, locations: Mapping[PartitionValues, str]) -> None:
    """Add partitions in one call, all or none; those that are there stay as they are."""
    from hive_metastore import ttypes

    if not locations:
        return
    columns = require_table(metastore, database, table).columns
    parts = [
        ttypes.Partition(
            values=list(values),
            dbName=database,
            tableName=table,
            sd=_storage(columns, location),
            parameters={"DO_NOT_UPDATE_STATS": "true"},
        )
        for values, location in locations.items()
    ]
    request = ttypes.AddPartitionsRequest(
        dbName=database, tblName=table, parts=parts, ifNotExists=True, needResult=False
    )
    metastore.add_partitions_req(request)


def switch_partitions(metastore: Client, database: str, table: str, locations: Mapping[PartitionValues, str]) -> None:
    """Point partitions to other folders, all or none in one call: the moment of publishing.

    Readers see the old folders or the new ones of all partitions. Each must be there: add a new one first, at an
    empty folder. Raises QueryFailed, with nothing changed, if one is not.
    """
    if not locations:
        return
    whole = require_table(metastore, database, table)
    result = {tuple(p.values): p for p in _partitions(metastore, whole, locations)}
    absent = [values for values in locations if values not in result]
    if absent:
        raise QueryFailed(ENGINE, f"switch partitions of {database}.{table}", f"it has no partition {absent[0]}")
    changed = []
    for values, location in locations.items():
        part = result[values]
        # The schema of the table as it is now, too: a partition keeps its own copy.
        part.sd = _storage(whole.columns, location)
        changed.append(part)
    metastore.alter_partitions(database, table, changed)


def partitions_from(metastore: Client, database: str, table: str, first: str) -> list[PartitionValues]:
    """Return the partitions whose first value is ``first`` or sorts after it. Only those are read."""
    key = require_table(metastore, database, table).partitioned_by[0].name
    result = metastore.get_partitions_by_filter(database, table, f'{key} >= "{first}"', -1)
    return sorted(tuple(partition.values) for partition in result)


def table_names(metastore: Client, database: str, prefix: str) -> list[str]:
    """Return the tables of a database whose names begin with ``prefix``."""
    return sorted(name for name in metastore.get_tables(database, f"{prefix}*") if name.startswith(prefix))


def drop_partitions(
    metastore: Client, database: str, table: str, partitions: Iterable[PartitionValues], *, strict: bool = False
) -> None:
    """Remove partitions from the metastore, in one call; files stay.

    strict: all or none; raises QueryFailed if one is not there. By default those do not matter.
    """
    from hive_metastore import ttypes

    keys = [column.name for column in require_table(metastore, database, table).partitioned_by]
    names = [partition_name(keys, values) for values in partitions]
    if names:
        request = ttypes.DropPartitionsRequest(
            dbName=database,
            tblName=table,
            parts=ttypes.RequestPartsSpec(names=names),
            deleteData=False,
            ifExists=not strict,
            needResult=False,
        )
        metastore.drop_partitions_req(request)


def release_stale_locks(metastore: Client, database: str, table: str) -> int:
    """Remove the locks of Iceberg writers that died while committing to a table; return how many there were.

    A living writer shows itself every few seconds (``engines.spark``). A dead one's lock would stop every later
    commit: nothing in the metastore ends it within a quarter of an hour. Age is judged by the metastore's own clock.
    """
    from hive_metastore import ttypes

    held = [lock for lock in _locks(metastore, database, table) if (lock.agentInfo or "").startswith("Iceberg")]
    if not held:
        return 0
    oldest = _clock_ms(metastore, database) - STALE_LOCK.total_seconds() * 1000
    stale = {lock.lockid for lock in held if max(lock.lastheartbeat, lock.acquiredat or 0) < oldest}
    for lock_id in sorted(stale):
        with suppress(ttypes.NoSuchLockException):
            metastore.unlock(ttypes.UnlockRequest(lockid=lock_id))
    return len(stale)


def _clock_ms(metastore: Client, database: str) -> int:
    """Return the metastore's time: that at which it grants a lock on a name that nobody else uses."""
    from hive_metastore import ttypes

    name = f"clock_{uuid4().hex}"
    part = ttypes.LockComponent(
        type=ttypes.LockType.SHARED_READ, level=ttypes.LockLevel.TABLE, dbname=database, tablename=name
    )
    request = ttypes.LockRequest([part], user="meterlake", hostname=socket.gethostname(), agentInfo="meterlake-clock")
    lock_id = metastore.lock(request).lockid
    try:
        return max(int(lock.acquiredat) for lock in _locks(metastore, database, name))
    finally:
        metastore.unlock(ttypes.UnlockRequest(lockid=lock_id))


def _locks(metastore: Client, database: str, table: str) -> list[Any]:
    from hive_metastore import ttypes

    return list(metastore.show_locks(ttypes.ShowLocksRequest(dbname=database, tablename=table)).locks or ())


def _partitions(metastore: Client, table: ExternalTable, some: Iterable[PartitionValues] | None) -> list[Any]:
    """Return the metastore's own objects of all partitions, or of ``some`` of them: so many, however many there are."""
    if some is None:
        return list(metastore.get_partitions(table.database, table.name, -1))
    keys = [column.name for column in table.partitioned_by]
    names = [partition_name(keys, values) for values in some]
    return list(metastore.get_partitions_by_names(table.database, table.name, names)) if names else []


def require_table(metastore: Client, database: str, name: str) -> ExternalTable:
    """Return a table. Raises QueryFailed if there is none of that name."""
    table = get_table(metastore, database, name)
    if table is None:
        raise QueryFailed(ENGINE, f"get table {database}.{name}", f"there is no table {database}.{name}")
    return table


def _storage(columns: Iterable[HiveColumn], location: str) -> Any:
    from hive_metastore import ttypes

    return ttypes.StorageDescriptor(
        cols=_fields(columns),
        location=location,
        inputFormat=f"{_PARQUET}.MapredParquetInputFormat",
        outputFormat=f"{_PARQUET}.MapredParquetOutputFormat",
        serdeInfo=ttypes.SerDeInfo(serializationLib=f"{_PARQUET}.serde.ParquetHiveSerDe", parameters={}),
        compressed=False,
        numBuckets=-1,
        bucketCols=[],
        sortCols=[],
        parameters={},
        storedAsSubDirectories=False,
    )


def _fields(columns: Iterable[HiveColumn]) -> list[Any]:
    from hive_metastore import ttypes

    return [ttypes.FieldSchema(column.name, column.type.lower(), column.comment) for column in columns]


def _columns(fields: Iterable[Any] | None) -> tuple[HiveColumn, ...]:
    return tuple(HiveColumn(item.name, item.type, item.comment or "") for item in fields or ())
