"""The batch tables' files: written by path, sorted, one a partition, into folders of their run's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from batch_layer.views.transforms import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.views.tables import Table

_SHARDS_A_CORE = 4
_STAGING = "_staging-"


@dataclass(frozen=True)
class Written:
    """What a run wrote of a table. partitions: value -> folder."""

    files: int = 0
    bytes: int = 0
    partitions: Mapping[str, str] = field(default_factory=dict)


def read(spark: SparkSession, table: Table, folders: Iterable[str]) -> DataFrame:
    """Return the rows of some partitions, without the partition's column."""
    wanted = sorted(folders)
    if not wanted:
        return spark.createDataFrame([], table.spark_schema())
    return spark.read.schema(table.spark_schema()).parquet(*wanted)


def write(rows: DataFrame, table: Table, base: str, run_id: str) -> Written:
    """Write rows into the run's folders, and return what is there.

    Each partition is one file, sorted: the same rows make the same bytes.
    """
    names = [column.name for column in table.columns]
    value = partition_of(table.time, table.partition).alias(table.partition)
    shards = _SHARDS_A_CORE * rows.sparkSession.sparkContext.defaultParallelism
    staging = f"{base}/{table.name}/{_STAGING}{run_id}"
    # One folder column only: with a second, Spark sorts by both anew, and the order of rows is lost.
    (
        rows.select(*names, value)
        .repartition(shards, table.partition)
        .sortWithinPartitions(table.partition, *table.order)
        .write.partitionBy(table.partition)
        .option("compression", "zstd")
        .mode("overwrite")
        .parquet(staging)
    )
    _move(rows.sparkSession, table, base, run_id, staging)
    return found(rows.sparkSession, table, base, run_id)


def _move(spark: SparkSession, table: Table, base: str, run_id: str, staging: str) -> None:
    """Give each written partition its place beside those of other runs, instead of what this run wrote before."""
    _delete(spark, [folder for folder, _ in _glob(spark, f"{base}/{table.name}/{table.partition}=*/run={run_id}")])
    for folder, _ in _glob(spark, f"{staging}/{table.partition}=*"):
        written, system = _path(spark, folder)
        place, _ = _path(spark, table.location(base, folder.rpartition("=")[2], run_id))
        system.mkdirs(place.getParent())
        system.rename(written, place)
    _delete(spark, [staging])


def found(spark: SparkSession, table: Table, base: str, run_id: str) -> Written:
    """Return what a run has written of a table."""
    listed = _glob(spark, f"{base}/{table.name}/{table.partition}=*/run={run_id}/*.parquet")
    values = {path.split(f"/{table.partition}=")[1].split("/")[0] for path, _ in listed}
    return Written(
        files=len(listed),
        bytes=sum(size for _, size in listed),
        partitions={value: table.location(base, value, run_id) for value in sorted(values)},
    )


def size(spark: SparkSession, folders: Iterable[str]) -> tuple[int, int]:
    """Return the number of files in some folders, and their bytes."""
    listed = [entry for folder in folders for entry in _glob(spark, f"{folder}/*.parquet")]
    return len(listed), sum(length for _, length in listed)


def make_folder(spark: SparkSession, folder: str) -> None:
    """Make an empty folder: a partition whose rows are all gone."""
    path, system = _path(spark, folder)
    system.mkdirs(path)


def remove_runs(spark: SparkSession, table: Table, base: str, keep: set[str]) -> list[str]:
    """Remove the folders of runs that are not in ``keep``; return them.

    Call it under the lease: whatever is not kept is old, or left over by a run that died.
    """
    kept = {urlparse(folder).path for folder in keep}
    listed = _glob(spark, f"{base}/{table.name}/{table.partition}=*/run=*")
    listed += _glob(spark, f"{base}/{table.name}/{_STAGING}*")
    gone = [folder for folder, _ in listed if urlparse(folder).path not in kept]
    _delete(spark, gone)
    return gone


def _delete(spark: SparkSession, folders: Iterable[str]) -> None:
    for folder in folders:
        path, system = _path(spark, folder)
        system.delete(path, True)  # recursive


def _glob(spark: SparkSession, pattern: str) -> list[tuple[str, int]]:
    """Return (path, bytes) of what matches a pattern."""
    path, system = _path(spark, pattern)
    return [(status.getPath().toString(), status.getLen()) for status in system.globStatus(path) or ()]


def _path(spark: SparkSession, text: str) -> tuple[Any, Any]:
    """Return Hadoop's path and its file system."""
    context: Any = spark.sparkContext
    path = context._jvm.org.apache.hadoop.fs.Path(text)  # noqa: SLF001 - pyspark has no public door to Hadoop
    return path, path.getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001
