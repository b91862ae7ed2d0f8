"""The batch tables' files: written by path, sorted, a range of meters each, into folders of their run's own."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

from batch_layer.views import slicing
from batch_layer.views.slicing import Fleet
from engines import spark as engine
from meterlake import slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.views.tables import Table
    from meterlake.slices import Layout

LITTLE: Final = 16 * 2**20
"""Bytes up to which planning a query again after each of its stages costs more than it gains."""
_SHARDS_A_CORE = 4
_STAGING = "_staging-"
_PARTS = "_merged_from.json"
"""Beside the files of a slice that was merged; readers of a folder leave out what begins like this."""


@dataclass(frozen=True)
class Written:
    """What a run wrote of a table. slices: name -> folder."""

    files: int = 0
    bytes: int = 0
    slices: Mapping[str, str] = field(default_factory=dict)


def read(spark: SparkSession, table: Table, folders: Iterable[str]) -> DataFrame:
    """Return the rows of some slices, without the partition columns."""
    wanted = sorted(folders)
    if not wanted:
        # A plan that says that it has no rows: what would be joined with them is left out when a query is planned.
        none = (f"CAST(NULL AS {column.type.sql('spark')}) AS {column.name}" for column in table.columns)
        return spark.range(0).where("false").selectExpr(*none)
    return spark.read.schema(table.spark_schema()).parquet(*wanted)


def read_sliced(spark: SparkSession, table: Table, base: str, folders: Iterable[str]) -> DataFrame:
    """Return the rows of some slices with the partition columns, as their folders say."""
    reader = spark.read.schema(table.spark_schema()).option("basePath", f"{base}/{table.name}")
    return reader.parquet(*sorted(folders))


def write(rows: DataFrame, table: Table, layout: Layout, base: str, run_id: str, fleet: Fleet | None = None) -> Written:
    """Write rows into the run's folders, and return what is there."""
    stage(rows, table, layout, base, run_id, fleet or Fleet())
    return place(rows.sparkSession, table, base, run_id)


def stage(rows: DataFrame, table: Table, layout: Layout, base: str, run_id: str, fleet: Fleet) -> None:
    """Write rows beside the run's folders, instead of what was staged of the table before.

    Slices are files of a range of meters each, sorted: the same rows make the same bytes.
    """
    names = [column.name for column in table.columns]
    name = slicing.file_column(table, layout, fleet).alias(slices.COLUMN)
    shards = _SHARDS_A_CORE * rows.sparkSession.sparkContext.defaultParallelism
    # One folder column only: with a second, Spark sorts by both again, and the order of rows is lost.
    (
        rows.select(*names, name)
        .repartition(shards, slices.COLUMN)
        .sortWithinPartitions(slices.COLUMN, *table.order)
        .write.partitionBy(slices.COLUMN)
        .option("compression", "zstd")
        .mode("overwrite")
        .parquet(_staging(table, base, run_id))
    )


def place(spark: SparkSession, table: Table, base: str, run_id: str) -> Written:
    """Give each slice that is staged its place beside those of other runs; return them."""
    staging = _staging(table, base, run_id)
    folders: dict[str, str] = {}
    count = size = 0
    for staged, _ in _glob(spark, f"{staging}/{slices.COLUMN}=*"):
        value = staged.rpartition("=")[2]
        name = slicing.slice_of_file(value)
        listed = _glob(spark, f"{staged}/*.parquet")
        count, size = count + len(listed), size + sum(length for _, length in listed)
        if name not in folders:
            folders[name] = table.location(base, name, run_id)
            _rename(spark, staged, folders[name])
        else:
            for file, _ in listed:
                _rename(spark, file, f"{folders[name]}/{value}-{file.rpartition('/')[2]}")
    remove(spark, [staging])
    return Written(count, size, dict(sorted(folders.items())))


def size(spark: SparkSession, folders: Iterable[str]) -> tuple[int, int]:
    """Return the number of files in some folders, and their bytes."""
    listed = [entry for folder in folders for entry in _glob(spark, f"{folder}/*.parquet")]
    return len(listed), sum(length for _, length in listed)


@contextmanager
def planned_for(spark: SparkSession, folders: Iterable[str]) -> Iterator[None]:
    """Plan queries over some folders in the way that suits their size: little data once, before they begin."""
    _, read = size(spark, folders)
    with engine.planned_once(spark) if read <= LITTLE else nullcontext():
        yield


def write_parts(spark: SparkSession, folder: str, parts: Mapping[str, str]) -> None:
    """Note in the folder of a merged slice of which slices, in which folders, it is made."""
    path, system = _path(spark, f"{folder}/{_PARTS}")
    stream = system.create(path)
    try:
        stream.write(bytearray(json.dumps(parts, sort_keys=True), "utf-8"))
    finally:
        stream.close()


def parts_of(spark: SparkSession, folder: str) -> dict[str, str]:
    """Return slice -> folder of those of which the slice in a folder was merged; nothing where it was not."""
    path, system = _path(spark, f"{folder}/{_PARTS}")
    if not system.exists(path):
        return {}
    stream = system.open(path)
    try:
        context: Any = spark.sparkContext
        text = getattr(context._jvm, "org.apache.commons.io.IOUtils").toString(stream, "UTF-8")  # noqa: SLF001
    finally:
        stream.close()
    parts: dict[str, str] = json.loads(text)
    return parts


def make_folder(spark: SparkSession, folder: str) -> None:
    """Make an empty folder: a slice whose rows are all gone."""
    path, system = _path(spark, folder)
    system.mkdirs(path)


def remove(spark: SparkSession, folders: Iterable[str]) -> None:
    """Remove folders; those that are not there do not matter."""
    for folder in folders:
        path, system = _path(spark, folder)
        system.delete(path, True)  # recursive


def remove_staged(spark: SparkSession, table: Table, base: str) -> None:
    """Remove what is staged of a table, left by a run that died. Call it under the lease."""
    remove(spark, [folder for folder, _ in _glob(spark, f"{base}/{table.name}/{_STAGING}*")])


def remove_runs(spark: SparkSession, table: Table, base: str, keep: set[str]) -> list[str]:
    """Remove the folders of runs that are not in ``keep``; return them.

    It looks at every folder of the table, so it is for upkeep. Call it under the lease: whatever is not kept is old, or
    left over by a run that died.
    """
    kept = {urlparse(folder).path for folder in keep}
    parts = "/".join(f"{column}=*" for column in table.partitions)
    listed = _glob(spark, f"{base}/{table.name}/{parts}/run=*")
    # Slices of an earlier version were whole partitions.
    listed += _glob(spark, f"{base}/{table.name}/{table.partition}=*/run=*")
    gone = [folder for folder, _ in listed if urlparse(folder).path not in kept]
    remove(spark, gone)
    remove_staged(spark, table, base)
    return gone


def _rename(spark: SparkSession, old: str, new: str) -> None:
    source, system = _path(spark, old)
    place, _ = _path(spark, new)
    system.mkdirs(place.getParent())
    system.rename(source, place)


def _staging(table: Table, base: str, run_id: str) -> str:
    return f"{base}/{table.name}/{_STAGING}{run_id}"


def _glob(spark: SparkSession, pattern: str) -> list[tuple[str, int]]:
    """Return (path, bytes) of what matches a pattern."""
    path, system = _path(spark, pattern)
    return [(status.getPath().toString(), status.getLen()) for status in system.globStatus(path) or ()]


def _path(spark: SparkSession, text: str) -> tuple[Any, Any]:
    """Return Hadoop's path and its file system."""
    context: Any = spark.sparkContext
    # Each name between dots would be a question of its own to the JVM.
    path = getattr(context._jvm, "org.apache.hadoop.fs.Path")(text)  # noqa: SLF001 - pyspark has no public door to Hadoop
    return path, path.getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001
