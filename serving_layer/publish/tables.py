"""The Hive tables of the batch layer, and the one call that turns all changed partitions of one to a run.

**The fence.** A process may be stopped after it has made sure that the lease is its own, and before the metastore hears
of the switch. So each table has a partition without rows, ``~<token>``, that every switch names beside the others: the
metastore changes all partitions of a call or, where one is not there, none. Who takes a lease over puts another one in
its place first; then a switch that was decided under the old lease fails, whenever it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines import hdfs, metastore
from engines.errors import QueryFailed
from engines.metastore import ExternalTable, HiveColumn, PartitionValues
from meterlake.columns import Column
from meterlake.ddl import EMPTY_FOLDER, HIVE_DATABASE
from meterlake.errors import PermanentError
from serving_layer.publish.errors import FenceMoved

if TYPE_CHECKING:
    from meterlake.settings import Settings
    from serving_layer.publish.folders import Change
    from serving_layer.publish.lease import Lease

FOLDER: Final = "/meterlake/batch"
_EMPTY: Final = f"{FOLDER}/{EMPTY_FOLDER}"
"""A folder without files: where a partition lies before its rows are shown, and after they are gone."""
_FENCE: Final = "~"
"""What the value of a fence begins with; it sorts after every value of a partition."""
_REMOVAL: Final = "~~"
"""What the value of a partition begins with that is there only while others are removed."""


class TableDiffers(PermanentError):
    """A Hive table has other columns than the declaration."""

    def __init__(self, table: str, wanted: str, actual: str) -> None:
        self.table = table
        super().__init__(
            f"Hive table {table} does not have the declaration's columns: expected {wanted}, found {actual}.",
            hint=f"The declaration has changed. Drop the table (`DROP TABLE {table}` in Hive; its files stay),"
            " then run the batch with --full.",
        )


@dataclass(frozen=True)
class ViewTable:
    """A table to be published. partitions: names of its partition columns."""

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[str, ...]


def ensure(settings: Settings, tables: list[ViewTable], *, replace: bool = False) -> None:
    """Create the tables that are not there. Raises TableDiffers where one is there with other columns.

    replace: make tables of an earlier version, which have no slices, again. That is for a run that writes all of their
    rows; until then they are left to their readers as they are.
    """
    with metastore.client(settings) as client:
        metastore.ensure_database(client, HIVE_DATABASE, f"{settings.hdfs}{FOLDER}")
        for table in tables:
            wanted = _external(settings, table)
            result = metastore.get_table(client, HIVE_DATABASE, table.name)
            if result is not None and _is_of_earlier_version(result, wanted):
                if not replace:
                    continue
                metastore.drop_table(client, HIVE_DATABASE, table.name)
                result = None
            if result is None:
                metastore.create_table(client, wanted)
            elif _shape(result) != _shape(wanted):
                raise TableDiffers(f"{HIVE_DATABASE}.{table.name}", *_difference(wanted, result))
    try:
        hdfs.client(settings).makedirs(_EMPTY)
    except hdfs.ERRORS as error:
        raise hdfs.failure(settings, f"make {_EMPTY}", error) from error


def locations(client: metastore.Client, table: str) -> dict[str, str]:
    """Return where the partitions of a table lie, without its fence."""
    keys = [column.name for column in metastore.require_table(client, HIVE_DATABASE, table).partitioned_by]
    located = metastore.partition_locations(client, HIVE_DATABASE, table)
    return {
        metastore.partition_name(keys, values): folder
        for values, folder in located.items()
        if not values[0].startswith(_FENCE)
    }


def fence_off(settings: Settings, dataset: str, token: str) -> None:
    """Give every table of a data set another fence: no switch that was decided before can still be done."""
    with metastore.client(settings) as client:
        for table in metastore.table_names(client, HIVE_DATABASE, f"{dataset}_"):
            before = metastore.partitions_from(client, HIVE_DATABASE, table, _FENCE)
            new = _make_fence(settings, client, table, token)
            metastore.drop_partitions(client, HIVE_DATABASE, table, [values for values in before if values != new])


def switch(
    settings: Settings, table: str, changed: Mapping[str, Change], whole: Mapping[str, str], lease: Lease
) -> None:
    """Let readers of a table see its partitions where ``changed`` puts them, in one call; doing it twice does no harm.

    New partitions are added at an empty folder first, and those that are gone are emptied in the same call, so that
    no reader sees a part of the change. whole: partition -> folder of all, for a table that was made again since.
    Raises LeaseLost, with nothing changed, if somebody else holds the lease; FenceMoved if it is worth a second try.
    """
    try:
        with metastore.client(settings) as client:
            if not metastore.has_partitions(client, HIVE_DATABASE, table, before=_FENCE):
                changed = {name: (None, folder) for name, folder in whole.items()}
            _switch(settings, client, table, changed, lease)
    except QueryFailed as error:
        lease.check()
        raise FenceMoved(f"{HIVE_DATABASE}.{table}", error.what) from error


def _switch(
    settings: Settings, client: metastore.Client, table: str, changed: Mapping[str, Change], lease: Lease
) -> None:
    empty = f"{settings.hdfs}{_EMPTY}"
    wanted = {metastore.partition_values(name): folder for name, (_, folder) in changed.items()}
    there = metastore.partition_locations(client, HIVE_DATABASE, table, wanted)
    new = [values for values, folder in wanted.items() if folder is not None and values not in there]
    gone = [values for values, folder in wanted.items() if folder is None and values in there]
    fence = _fence(settings, client, table, lease.token)
    lease.check()  # after the fence was read: who takes the lease over from now on moves it
    removal = _named(fence, f"{_REMOVAL}{lease.token[:8]}") if gone else None
    added = [*new, removal] if removal else new
    metastore.add_partitions(client, HIVE_DATABASE, table, dict.fromkeys(added, empty))
    moved = {values: folder or empty for values, folder in wanted.items() if folder or values in there}
    metastore.switch_partitions(client, HIVE_DATABASE, table, {**moved, fence: empty} if moved else {})
    if removal:  # it falls with the fence: a late removal of partitions that are in use again fails
        metastore.drop_partitions(client, HIVE_DATABASE, table, [*gone, removal], strict=True)


def _fence(settings: Settings, client: metastore.Client, table: str, token: str) -> PartitionValues:
    """Return the fence of a table; make one where there is none."""
    result = metastore.partitions_from(client, HIVE_DATABASE, table, _FENCE)
    fences = [values for values in result if not values[0].startswith(_REMOVAL)]
    return fences[0] if fences else _make_fence(settings, client, table, token)


def _make_fence(settings: Settings, client: metastore.Client, table: str, token: str) -> PartitionValues:
    keys = metastore.require_table(client, HIVE_DATABASE, table).partitioned_by
    fence = (f"{_FENCE}{token[:8]}",) * len(keys)
    metastore.add_partitions(client, HIVE_DATABASE, table, {fence: f"{settings.hdfs}{_EMPTY}"})
    return fence


def _named(like: PartitionValues, value: str) -> PartitionValues:
    return (value,) * len(like)


def _external(settings: Settings, table: ViewTable) -> ExternalTable:
    return ExternalTable(
        database=HIVE_DATABASE,
        name=table.name,
        columns=tuple(HiveColumn(column.name, column.type.sql("hive"), column.doc) for column in table.columns),
        location=f"{settings.hdfs}{FOLDER}/{table.name}",
        partitioned_by=tuple(HiveColumn(name, "string") for name in table.partitions),
    )


def _is_of_earlier_version(actual: ExternalTable, wanted: ExternalTable) -> bool:
    """Return whether a table differs by its partition columns alone: before there were slices, there was only one."""
    rows = len(actual.columns)
    same_rows = _shape(actual)[:rows] == _shape(wanted)[: len(wanted.columns)]
    return same_rows and _shape(actual)[rows:] == _shape(wanted)[len(wanted.columns) :][:1]


def _shape(table: ExternalTable) -> list[tuple[str, str]]:
    return [(column.name, column.type.lower()) for column in (*table.columns, *table.partitioned_by)]


def _difference(wanted: ExternalTable, actual: ExternalTable) -> tuple[str, str]:
    left, right = _shape(wanted), _shape(actual)
    missing = [" ".join(column) for column in left if column not in right]
    extra = [" ".join(column) for column in right if column not in left]
    return ", ".join(missing) or "the same in another order", ", ".join(extra) or "nothing instead"
