"""The Hive tables of the batch layer, and the one call that turns all partitions of one to a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines import hdfs, metastore
from engines.metastore import ExternalTable, HiveColumn
from meterlake.columns import Column
from meterlake.ddl import EMPTY_FOLDER, HIVE_DATABASE
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from meterlake.settings import Settings

FOLDER: Final = "/meterlake/batch"
_EMPTY: Final = f"{FOLDER}/{EMPTY_FOLDER}"
"""A folder without files: where a partition lies before its rows are shown, and after they are gone."""


class TableDiffers(PermanentError):
    """A Hive table has other columns than the declaration."""

    def __init__(self, table: str, wanted: str, found: str) -> None:
        self.table = table
        super().__init__(
            f"Hive table {table} does not have the declaration's columns: expected {wanted}, found {found}.",
            hint=f"The declaration has changed. Drop the table (`DROP TABLE {table}` in Hive; its files stay),"
            " then run the batch with --full.",
        )


@dataclass(frozen=True)
class ViewTable:
    """A table to be published. partitions: names of its partition columns."""

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[str, ...]


def ensure(settings: Settings, tables: list[ViewTable]) -> None:
    """Create the tables that are not there. Raises TableDiffers where one is there with other columns.

    Tables of an earlier version, partitioned otherwise, are made again: the run that is published has all their rows.
    """
    with metastore.client(settings) as client:
        metastore.ensure_database(client, HIVE_DATABASE, f"{settings.hdfs}{FOLDER}")
        for table in tables:
            wanted = _external(settings, table)
            found = metastore.get_table(client, HIVE_DATABASE, table.name)
            if found is not None and _is_of_earlier_version(found, wanted):
                metastore.drop_table(client, HIVE_DATABASE, table.name)
                found = None
            if found is None:
                metastore.create_table(client, wanted)
            elif _shape(found) != _shape(wanted):
                raise TableDiffers(f"{HIVE_DATABASE}.{table.name}", *_difference(wanted, found))
    try:
        hdfs.client(settings).makedirs(_EMPTY)
    except hdfs.ERRORS as error:
        raise hdfs.failure(settings, f"make {_EMPTY}", error) from error


def switch(settings: Settings, table: str, folders: Mapping[str, str]) -> None:
    """Make ``folders`` all that readers of a table see, in one call; doing it twice does no harm.

    folders: by the partitions' names in Hive, such as ``month=2026-11/slice=2026-11-26``.

    New partitions are added at an empty folder first, and those that are gone are emptied in the same call, so that
    no reader sees a part of the change.
    """
    empty = f"{settings.hdfs}{_EMPTY}"
    with metastore.client(settings) as client:
        found = metastore.partition_locations(client, HIVE_DATABASE, table)
        wanted = {_values(name): folder for name, folder in folders.items()}
        new, gone = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        metastore.add_partitions(client, HIVE_DATABASE, table, dict.fromkeys(sorted(new), empty))
        changed = {key: folder for key, folder in wanted.items() if found.get(key) != folder}
        metastore.switch_partitions(client, HIVE_DATABASE, table, changed | dict.fromkeys(gone, empty))
        metastore.drop_partitions(client, HIVE_DATABASE, table, sorted(gone))


def _values(partition: str) -> tuple[str, ...]:
    """Return the values in a partition's name in Hive."""
    return tuple(part.partition("=")[2] for part in partition.split("/"))


def _external(settings: Settings, table: ViewTable) -> ExternalTable:
    return ExternalTable(
        database=HIVE_DATABASE,
        name=table.name,
        columns=tuple(HiveColumn(column.name, column.type.sql("hive"), column.doc) for column in table.columns),
        location=f"{settings.hdfs}{FOLDER}/{table.name}",
        partitioned_by=tuple(HiveColumn(name, "string") for name in table.partitions),
    )


def _is_of_earlier_version(found: ExternalTable, wanted: ExternalTable) -> bool:
    """Return whether a table differs by its partition columns alone: before there were slices, there was only one."""
    rows = len(found.columns)
    same_rows = _shape(found)[:rows] == _shape(wanted)[: len(wanted.columns)]
    return same_rows and _shape(found)[rows:] == _shape(wanted)[len(wanted.columns) :][:1]


def _shape(table: ExternalTable) -> list[tuple[str, str]]:
    return [(column.name, column.type.lower()) for column in (*table.columns, *table.partitioned_by)]


def _difference(wanted: ExternalTable, found: ExternalTable) -> tuple[str, str]:
    left, right = _shape(wanted), _shape(found)
    missing = [" ".join(column) for column in left if column not in right]
    extra = [" ".join(column) for column in right if column not in left]
    return ", ".join(missing) or "the same in another order", ", ".join(extra) or "nothing instead"
