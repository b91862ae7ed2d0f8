"""The Delta implementation of ``engines.merge_table``: tables by path, so that no metastore is needed to write.

What differs is found before anything is written: a merge that would change nothing makes no commit, and one that
changes some rows rewrites the files of those only.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.merge_table import OPERATION, SAFE_RETENTION, Merged, Version
from engines.table_format import Compaction
from engines.table_format_iceberg import TableDiffers
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from engines.merge_table import Scope, Shape
    from meterlake.columns import Column

CATALOG: Final = "delta"
"""Name of the catalog of these tables in Trino."""

_NOTE: Final = "spark.databricks.delta.commitInfo.userMetadata"
_CHECK: Final = "spark.databricks.delta.retentionDurationCheck.enabled"
_LISTING: Final = "spark.sql.sources.parallelPartitionDiscovery.parallelism"
_VIOLATION: Final = re.compile(r"\[DELTA_(?:VIOLATE_CONSTRAINT|NOT_NULL)\w*\] ([^\n]+?)\.?\n")
_OLD, _NEW = "old", "new"
ONE_FILE: Final = 100_000
"""So few rows are written by one task; gathering those of a folder from several tasks first would cost more."""


class UnsafeRetention(PermanentError):
    """Files would be removed that somebody may be reading."""

    def __init__(self, table: str, keep: timedelta) -> None:
        super().__init__(
            f"{table}: files are to be kept for {keep} only; a query that runs now may still read them.",
            hint=f"Keep them for {SAFE_RETENTION} or longer.",
        )


class ConstraintViolated(PermanentError):
    """A row does not meet a constraint of its table."""

    def __init__(self, table: str, problem: str) -> None:
        super().__init__(
            f"{table}: {problem}.", hint="Nothing was written. Find the row in what was read, and mend it there."
        )


class DeltaTable:
    """A table; see ``engines.merge_table`` for what its methods promise."""

    def __init__(self, spark: SparkSession, base: str, shape: Shape) -> None:
        """base: folder of all databases."""
        self._spark, self._shape = spark, shape
        self._path = f"{base}/{shape.database}/{shape.name}"

    @property
    def shape(self) -> Shape:
        """What it holds."""
        return self._shape

    @property
    def name(self) -> str:
        """Full name in Trino."""
        return f"{CATALOG}.{self._shape.database}.{self._shape.name}"

    @property
    def location(self) -> str:
        """The folder it lies in."""
        return self._path

    @property
    def _table(self) -> str:
        return f"delta.`{self._path}`"

    def exists(self) -> bool:
        """Return whether the table has been created."""
        jvm: Any = self._spark._jvm  # noqa: SLF001 - Python has no other way
        return bool(jvm.io.delta.tables.DeltaTable.isDeltaTable(self._spark._jsparkSession, self._path))  # noqa: SLF001

    def create(self) -> bool:
        """Create the table unless it is there, and add optional columns that are new."""
        if not self.exists():
            self._spark.sql(self._create_sql())
            return True
        present = {name: kind.upper() for name, kind in self.read().dtypes}
        wanted = {column.name: column.type.sql("spark") for column in self._shape.columns}
        added = [column for column in self._shape.columns if column.name not in present]
        kept = {name: kind for name, kind in wanted.items() if name in present}
        if kept != present or not all(column.nullable for column in added):
            raise TableDiffers(self.name, wanted, present)
        if added:
            listed = ", ".join(_column(column) for column in added)
            self._spark.sql(f"ALTER TABLE {self._table} ADD COLUMNS ({listed})")
        return False

    def read(self, version: int | None = None) -> DataFrame:
        """Return the rows, as of ``version``."""
        reader = self._spark.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(self._path)

    def version(self) -> int:
        """Return the number of the newest commit."""
        log = self._log()
        defaults = [getattr(log, f"update$default${number}")() for number in (1, 2, 3)]
        return int(log.update(*defaults).version())

    def versions(self) -> list[Version]:
        """Return the commits that are known, newest first."""
        return [_version(row) for row in self._spark.sql(f"DESCRIBE HISTORY {self._table}").collect()]

    def merge(self, rows: DataFrame, scope: Scope | None) -> Merged:
        """Make the rows within ``scope`` equal to ``rows``."""
        known = self.read() if scope is None else scope(self.read())
        wanted = rows.select(*(F.col(column.name).cast(column.type.sql("spark")) for column in self._shape.columns))
        if known.isEmpty():
            return self._insert(wanted)
        changes = self._differences(known, wanted).persist()
        try:
            return self.apply(changes)
        finally:
            changes.unpersist()

    def add(self, rows: DataFrame, count: int) -> Merged:
        """Insert rows whose keys are not there, in one commit."""
        return self._append(rows, count) if count else Merged(0, 0, 0, self.version())

    def apply(self, changes: DataFrame) -> Merged:
        """Insert, update and delete rows in one commit."""
        counted = {row[OPERATION]: row["count"] for row in changes.groupBy(OPERATION).count().collect()}
        inserted, updated, deleted = (counted.get(name, 0) for name in ("insert", "update", "delete"))
        if not updated + deleted:
            return self.add(changes.drop(OPERATION), inserted)
        names = self._shape.names
        source = f"changes_{self._shape.database}_{self._shape.name}"
        changes.createOrReplaceTempView(source)
        on = " AND ".join(f"t.{key} = s.{key}" for key in self._shape.keys)
        values = ", ".join(f"t.{name} = s.{name}" for name in names)
        try:
            with self._checked():
                self._spark.sql(
                    f"MERGE INTO {self._table} t USING {source} s ON {on}{self._pruned(changes)}"  # noqa: S608
                    f" WHEN MATCHED AND s.{OPERATION} = 'delete' THEN DELETE"
                    f" WHEN MATCHED THEN UPDATE SET {values}"
                    f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
                    f" VALUES ({', '.join(f's.{name}' for name in names)})"
                )
        finally:
            self._spark.catalog.dropTempView(source)
        return Merged(inserted, updated, deleted, self.version())

    def changes(self, since: int, until: int) -> DataFrame:
        """Return the rows that commits after ``since`` up to ``until`` changed."""
        feed = self._spark.read.format("delta").option("readChangeFeed", "true")
        return feed.option("startingVersion", since + 1).option("endingVersion", until).load(self._path)

    def optimize(self) -> Compaction:
        """Rewrite small files into larger ones, clustered by the shape's order."""
        order = f" ZORDER BY ({', '.join(self._shape.order)})" if self._shape.order else ""
        row = self._spark.sql(f"OPTIMIZE {self._table}{order}").first()
        metrics = row["metrics"] if row else None
        if metrics is None:
            return Compaction(0, 0, 0)
        size = metrics["filesRemoved"]["totalSize"] or 0
        return Compaction(metrics["numFilesRemoved"], metrics["numFilesAdded"], size)

    def vacuum(self, keep: timedelta) -> int:
        """Remove files that no version younger than ``keep`` reads."""
        if keep < SAFE_RETENTION:
            raise UnsafeRetention(self.name, keep)
        hours = keep / timedelta(hours=1)
        # Its own check asks for a week; ours is above. Listing is a job of as many tasks as it may have.
        with _configured(self._spark, {_CHECK: "false", _LISTING: "4"}):
            before = self._files()
            self._spark.sql(f"VACUUM {self._table} RETAIN {hours:.4f} HOURS")
            return before - self._files()

    def _insert(self, rows: DataFrame) -> Merged:
        if rows.isEmpty():
            return Merged(0, 0, 0, self.version())
        seen = Observation()
        done = self._append(rows.observe(seen, F.count(F.lit(1)).alias("rows")))
        return replace(done, inserted=int(seen.get["rows"]))

    def _append(self, rows: DataFrame, count: int | None = None) -> Merged:
        """Append rows in one commit. count: how many they are, where that is known; few make one file as they are."""
        writer = rows.write
        if count is not None and count <= ONE_FILE:
            writer = rows.coalesce(1).write.option("optimizeWrite", "false")
        with self._checked():
            writer.format("delta").mode("append").save(self._path)
        return Merged(count or 0, 0, 0, self.version())

    def _differences(self, known: DataFrame, wanted: DataFrame) -> DataFrame:
        """Return the rows to insert, update and delete, with their ``operation``."""
        keys, others = self._shape.keys, [name for name in self._shape.names if name not in self._shape.keys]
        old = known.select(*keys, F.struct(*others, F.lit(1).alias("is_there")).alias(_OLD))
        new = wanted.select(*keys, F.struct(*others, F.lit(1).alias("is_there")).alias(_NEW))
        differs = reduce(or_, (~F.col(f"{_OLD}.{name}").eqNullSafe(F.col(f"{_NEW}.{name}")) for name in others))
        operation = F.when(F.col(_OLD).isNull(), "insert").when(F.col(_NEW).isNull(), "delete").when(differs, "update")
        joined = (
            old.join(new, list(keys), "full_outer").withColumn(OPERATION, operation).where(f"{OPERATION} IS NOT NULL")
        )
        values = {name: F.coalesce(F.col(_NEW), F.col(_OLD))[name].alias(name) for name in others}
        return joined.select(*(values.get(name, F.col(name)) for name in self._shape.names), OPERATION)

    def _pruned(self, changes: DataFrame) -> str:
        """Return a condition by which only the folders are looked at that changes are in."""
        partition = self._shape.partition
        if not partition:
            return ""
        rows = changes.select(*partition).distinct().collect()
        either = [" AND ".join(f"t.{name} = {_literal(row[name])}" for name in partition) for row in rows]
        return f" AND ({' OR '.join(either)})"

    def _create_sql(self) -> str:
        shape = self._shape
        lines = ",\n  ".join(_column(column) for column in shape.columns)
        parts = f"PARTITIONED BY ({', '.join(shape.partition)})\n" if shape.partition else ""
        properties = {"enableChangeDataFeed": "true", "autoOptimize.optimizeWrite": "true"}
        # ADD CONSTRAINT would be a commit of its own, and look through the rows.
        properties |= {f"constraints.{name}": sql for name, sql in shape.checks.items()}
        given = ", ".join(f"'delta.{name}' = {_quoted(value)}" for name, value in properties.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {self._table} (\n  {lines}\n) USING delta\n{parts}"
            f"COMMENT {_quoted(shape.doc)}\nTBLPROPERTIES ({given})"
        )

    def _log(self) -> Any:
        jvm: Any = self._spark._jvm  # noqa: SLF001 - Python has no other way
        path = jvm.org.apache.hadoop.fs.Path(self._path)
        return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self._spark._jsparkSession, path)  # noqa: SLF001

    def _files(self) -> int:
        """Return how many files lie in the folder, those of the log left out."""
        jvm: Any = self._spark._jvm  # noqa: SLF001
        path = jvm.org.apache.hadoop.fs.Path(self._path)
        files = path.getFileSystem(self._spark._jsc.hadoopConfiguration()).listFiles(path, True)  # noqa: SLF001
        count = 0
        while files.hasNext():
            count += "/_delta_log/" not in files.next().getPath().toString()
        return count

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Raise ConstraintViolated for what Spark says of a constraint."""
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            violation = _VIOLATION.search(str(error))
            if violation is None:
                raise
            raise ConstraintViolated(self.name, violation[1]) from error


@contextmanager
def noted(spark: SparkSession, note: str) -> Iterator[None]:
    """Let all commits of the session carry ``note``, whichever thread makes them."""
    with _configured(spark, {_NOTE: note}):
        yield


@contextmanager
def _configured(spark: SparkSession, values: dict[str, str]) -> Iterator[None]:
    before = {name: spark.conf.get(name, None) for name in values}
    for name, value in values.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, earlier)


def _version(row: Any) -> Version:
    # Spark gives instants as local time of the process, without zone.
    at = row["timestamp"].astimezone(UTC)
    return Version(int(row["version"]), at, str(row["operation"]), row["userMetadata"] or "")


def _column(column: Column) -> str:
    required = "" if column.nullable else " NOT NULL"
    return f"{column.name} {column.type.sql('spark')}{required} COMMENT {_quoted(column.doc)}"


def _literal(value: object) -> str:
    return f"CAST({_quoted(str(value))} AS DATE)" if hasattr(value, "isoformat") else _quoted(str(value))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
