"""What a reader calls the work of a stack: the rules, all of them.

A rule of ``WHOLE`` holds where any frame fits it; else the innermost frame decides that one of ``INNERMOST`` fits: if
what writes to Python calls Kafka's client, it is Kafka's. Java's frames are ``org/apache/…/Class.method``, of the JVM
itself ``Class::method``; Python's ``function (folder/module.py)``.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flame_graph import Stack

COMPILING: Final = "Java compiles its byte code"
COLLECTING: Final = "garbage collection and Java's own threads"
WHOLE: Final = (
    ("Java compiles its byte code", "CompileBroker::"),
    ("garbage collection, Java's own threads", "^(GC|G1|VM) ", "VMThread::", "GCThread", "WorkerThread::run", "Gang"),
    ("code of queries made and compiled", "^org/codehaus/", r"codegen/CodeGenerator\$?\.", r"\.doCodeGen"),
    ("classes and modules loaded", r"importlib\._bootstrap", r"ClassLoaders?\$?\w*\.(load|find|define)"),
)
"""A group and its rules: where any frame fits one."""
_SPARK: Final = "^org/apache/spark"
_SQL: Final = f"{_SPARK}/sql/execution"
_CATALYST: Final = f"{_SPARK}/sql/catalyst"
INNERMOST: Final = (
    ("Kafka's client in Spark", "^org/apache/kafka/", f"{_SPARK}/sql/kafka010/"),
    (
        "rows to Python and back (Arrow)",
        *("^org/apache/arrow/", f"{_SQL}/(python|arrow)/", f"{_SPARK}/api/python/", "ArrowColumnVector"),
        r"\((pyspark/sql/pandas/|pyspark/serializers|pyarrow/)",
    ),
    ("state of open minutes", f"{_SQL}/streaming/.*[sS]tate", "^org/rocksdb/"),
    (
        "shuffle",
        *(f"{_SPARK}/(shuffle|network)/", f"{_SQL}/(exchange/|Shuffled|UnsafeRowSerializer)", "^io/netty/"),
        f"{_SPARK}/storage/Shuffle",
    ),
    ("Parquet and compression", "parquet/", "^com/github/luben/zstd/", "^net/jpountz/", "^(ZSTD|LZ4|HUF|FSE)_"),
    (
        "tables' and checkpoint's metadata",
        *("^org/apache/iceberg/", "^org/apache/avro/", "^io/delta/", f"{_SPARK}/sql/delta/", "^com/fasterxml/"),
        rf"{_SQL}/streaming/.*(Log|Checkpoint\w*)[.$]",
    ),
    (
        "HDFS and files",
        "^org/apache/hadoop/",
        "^java/io/(Unix|File|Random)",
        "^sun/nio/(fs/|ch/File)",
        "^java/lang/Proc",
    ),
    (
        "plans of queries",
        f"{_CATALYST}/(analysis|optimizer|planning|plans|rules|trees|parser|types|catalog)/",
        f"{_SQL}/(adaptive/|metric/|ui/|datasources/v2/|Query|SparkPlan|SparkStrategies)",
        f"{_SPARK}/sql/(classic|internal|connector)/",
    ),
    (
        "rows: expressions, aggregates, sorting",
        *("GeneratedClass", f"{_CATALYST}/", f"{_SQL}/(aggregate|joins|window)/", f"{_SPARK}/(unsafe|memory)/"),
        *(f"{_SQL}/([sS]ort|Unsafe|Buffered|WholeStage)", f"{_SPARK}/util/collection/"),
    ),
    (
        "jobs and tasks: scheduling, sending",
        f"{_SPARK}/(scheduler|rpc|storage|executor|serializer|broadcast|status|rdd)/",
        *(f"{_SPARK}/util/", f"{_SPARK}/[A-Z]", "^java/io/Object(In|Out)put"),
    ),
    ("messages decoded (Python)", r"\((speed_layer/decode|meterlake/(plain_wire|wire|reading))\.py\)"),
    ("rows to Cassandra (Python)", r"\((cassandra/|engines/cassandra|speed_layer/views/)"),
    ("Spark's Python workers: tasks unpacked", r"\(pyspark/"),
    ("driver: calls to Java", r"\(py4j/"),
    ("driver: our own", r"\((speed_layer|batch_layer|engines|meterlake)/", r"\((backlog|batch_growth|profiles)\.py\)"),
    # What is left of a process.
    ("Java, other", "^Spark's JVM$"),
    ("Python, other", "^Python (workers|driver)$"),
    ("Kafka, the server", "^Kafka$"),
    ("Cassandra, the server", "^Cassandra$"),
)
"""A group and its rules: the first group that has one for a frame."""
_WHOLE: Final = [(name, re.compile("|".join(rules))) for name, *rules in WHOLE]
_INNERMOST: Final = [(name, re.compile("|".join(rules))) for name, *rules in INNERMOST]


def group(stack: Stack) -> str:
    """Return the group of a stack, whose outermost frame stands first: its process."""
    for name, rule in _WHOLE:
        if any(map(rule.search, stack)):
            return name
    return next(found for frame in reversed(stack) if (found := _group_of_frame(frame)))


@cache
def _group_of_frame(frame: str) -> str | None:
    return next((name for name, rule in _INNERMOST if rule.search(frame)), None)


def by_group(stacks: Mapping[Stack, float]) -> dict[str, float]:
    """Return the CPU seconds of each group, most first."""
    found: Counter[str] = Counter()
    for stack, seconds in stacks.items():
        found[group(stack)] += seconds  # type: ignore[assignment]  # a Counter of fractions
    return dict(found.most_common())
