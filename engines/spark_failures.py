"""What Spark's Java exceptions mean: a server that is away, a full disk, or a fault of the statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engines.errors import EngineFails, EngineUnavailable, StorageFull
from engines.hdfs import NOWHERE, no_room

if TYPE_CHECKING:
    from meterlake.settings import Settings

# Fragments of Java's stack traces, most specific first.
_METASTORE = ("TTransportException", "RuntimeMetaException", "Failed to connect to Hive Metastore")
_KAFKA = (
    "org.apache.kafka.common.errors.TimeoutException",
    "org.apache.kafka.common.errors.DisconnectException",
    "org.apache.kafka.common.errors.NotLeaderOrFollowerException",
    "org.apache.kafka.common.errors.BrokerNotAvailableException",
    "Cannot fetch record for offset",
)
# The object store and the catalog of lakehouses, by their clients.
_S3 = ("SdkClientException: Unable to execute HTTP request",)
_S3_FAILS = "(Service: S3, Status Code: 5"
_NESSIE = (
    "org.apache.iceberg.exceptions.RESTException",
    "org.apache.iceberg.exceptions.ServiceFailureException",
    "org.apache.iceberg.exceptions.ServiceUnavailableException",
)
# What a task of ours has said already.
_SAID = "engines.errors.EngineUnavailable: HDFS at "
_HDFS = (
    "java.net.ConnectException",
    "NoRouteToHostException",
    "SafeModeException",
    "BlockMissingException",
    "StandbyException",
    "org.apache.hadoop.ipc.RpcException",
    "There are 0 datanode(s) running",
    "Could not obtain block",
    *NOWHERE,
    "java.io.EOFException: End of File Exception between local host",
)
# A connection that breaks: HDFS's, if its client is in the trace.
_BROKEN = (
    "java.net.SocketException",
    "SocketTimeoutException",
    "ConnectTimeoutException",
    "ClosedChannelException",
    "RetriableException",
    "Connection reset",
    "Broken pipe",
)
# Classes of that client, and what it adds to a message.
_HDFS_CLIENT = ("org.apache.hadoop.ipc.Client", "org.apache.hadoop.hdfs.", "wiki.apache.org/hadoop/")


@contextmanager
def translated(settings: Settings, doing: str) -> Iterator[None]:
    """Turn Java's failures of servers, raised in the body, into errors of ours; others pass as they are.

    doing: what the body works on, for the message. Raises EngineUnavailable or StorageFull.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        result = meaning(settings, _trace(error), doing)
        if result is None:
            raise
        raise result from error


def meaning(settings: Settings, trace: str, doing: str) -> EngineUnavailable | StorageFull | None:
    """Return the error of ours that a Java stack trace stands for, or None."""
    if word := no_room(settings, trace):
        return StorageFull("HDFS", settings.hdfs, _line(trace, word), doing)
    return _unavailable(settings, trace)


def _unavailable(settings: Settings, trace: str) -> EngineUnavailable | None:
    if _SAID in trace:
        cause = _line(trace, _SAID).partition(" does not answer: ")[2].partition(". Start it")[0]
        return EngineUnavailable("HDFS", settings.webhdfs, cause)
    if _S3_FAILS in trace:
        return EngineFails("S3", settings.lake_s3, _line(trace, _S3_FAILS))
    servers = (
        (_METASTORE, "Hive metastore", settings.metastore),
        (_S3, "S3", settings.lake_s3),
        (_NESSIE, "Nessie", settings.nessie),
        (_KAFKA, "Kafka", settings.kafka),
        (_HDFS, "HDFS", settings.hdfs),
    )
    for words, name, where in servers:
        if word := _first(words, trace):
            return EngineUnavailable(name, where, _line(trace, word))
    if (word := _first(_BROKEN, trace)) and _first(_HDFS_CLIENT, trace):
        return EngineUnavailable("HDFS", settings.hdfs, _line(trace, word))
    return None


def _trace(error: Exception) -> str:
    """Return the whole Java stack trace, with its causes."""
    return f"{getattr(error, '_stackTrace', None) or ''}\n{error}"


def _first(words: tuple[str, ...], text: str) -> str:
    return next((word for word in words if word in text), "")


def _line(trace: str, word: str) -> str:
    """Return the line of a stack trace that says what happened, without the names of Java's classes."""
    line = next(line.strip() for line in trace.splitlines() if word in line)
    return line.removeprefix("Caused by: ").rpartition("Exception: ")[2] or line
