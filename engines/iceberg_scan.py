"""What a scan of an Iceberg table would open, by Iceberg's own planning: only manifests that may hold it are read."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from engines.table_format import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from engines.table_format import Span


def size(spark: SparkSession, table: Any, time: str, key: str, spans: Sequence[Span], snapshot: int) -> Size:
    """Return the files, bytes and rows that a scan of some spans opens, as of a snapshot.

    table: Iceberg's own object. time, key: its columns, a timestamp without zone and a string.
    """
    jvm: Any = spark._jvm  # noqa: SLF001 - the way to Java that PySpark has
    make = jvm.org.apache.iceberg.expressions.Expressions
    both, either = getattr(make, "and"), getattr(make, "or")

    def condition(span: Span) -> Any:
        terms = (
            make.greaterThanOrEqual(time, span.begin.isoformat()),
            make.lessThan(time, span.end.isoformat()),
            make.greaterThanOrEqual(key, span.first),
            make.lessThanOrEqual(key, span.last),
        )
        return reduce(both, terms)

    tasks = table.newScan().useSnapshot(snapshot).filter(reduce(either, map(condition, spans))).planFiles()
    count = size = rows = 0
    try:
        planned = tasks.iterator()
        while planned.hasNext():
            file = planned.next().file()
            count, size, rows = count + 1, size + file.fileSizeInBytes(), rows + file.recordCount()
        return Size(count, size, rows)
    finally:
        tasks.close()
