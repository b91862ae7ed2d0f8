"""What Java's stack traces mean."""

from __future__ import annotations

import pytest

from engines import hdfs, spark_failures
from engines.errors import EngineUnavailable, StorageFull
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

RESET = """: org.apache.iceberg.exceptions.RuntimeIOException: Failed to get block locations for path: hdfs://host:8020/a
	at org.apache.iceberg.hadoop.Util.blockLocations(Util.java:108)
Caused by: java.net.SocketException: Call From vm/127.0.0.1 to localhost:8020 failed on socket exception: \
java.net.SocketException: Connection reset; For more details see: …
	at org.apache.hadoop.ipc.Client.call(Client.java:1529)
"""


@pytest.mark.parametrize(
    ("trace", "engine"),
    [
        (RESET, "HDFS"),
        (
            "org.apache.spark.sql.streaming.StreamingQueryException: Call From vm/127.0.0.1 to localhost:8020 failed on"
            " socket exception: java.net.SocketException: Connection reset; For more details see: "
            " http://wiki.apache.org/hadoop/SocketException",
            "HDFS",
        ),
        ("Caused by: java.net.ConnectException: Call From vm to host:8020 failed: Connection refused", "HDFS"),
        ("org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file/a", "HDFS"),
        ("org.apache.thrift.transport.TTransportException: java.net.SocketException: Broken pipe", "Hive metastore"),
        ("org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment", "Kafka"),
        (
            "software.amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request: Connect to"
            " localhost:9000 failed: Connection refused\nCaused by: java.net.ConnectException: Connection refused",
            "S3",
        ),
        (
            "software.amazon.awssdk.services.s3.model.S3Exception: Please reduce your request rate (Service: S3,"
            " Status Code: 503, Request ID: null)",
            "S3",
        ),
        (
            "org.apache.iceberg.exceptions.RESTException: Error occurred while processing POST request\nCaused by:"
            " org.apache.hc.client5.http.HttpHostConnectException: Connect to http://localhost:19120 failed\n"
            "Caused by: java.net.ConnectException: Connection refused",
            "Nessie",
        ),
    ],
)
def test_a_server_that_is_away_is_named(trace: str, engine: str) -> None:
    result = spark_failures.meaning(Settings(), trace, "a run")
    assert isinstance(result, EngineUnavailable)
    assert result.engine == engine


def test_a_full_disk_is_said() -> None:
    trace = "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException: The DiskSpace quota of /a is exceeded"
    assert isinstance(spark_failures.meaning(Settings(), trace, "a run"), StorageFull)


@pytest.mark.parametrize(
    "trace",
    [
        "java.io.IOException: All datanodes [127.0.0.1:9866,DISK] are bad. Aborting...",
        "File /a could only be written to 0 of the 1 minReplication nodes. There are 1 datanode(s) running and 1"
        " node(s) are excluded in this operation.",
        "Failed to find datanode, suggest to check cluster health. excludeDatanodes=null",
    ],
)
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"NumLiveDataNodes": 1, "CapacityRemaining": 1 << 20}, StorageFull),
        ({"NumLiveDataNodes": 1, "CapacityRemaining": 1 << 30}, EngineUnavailable),
        ({"NumLiveDataNodes": 0, "CapacityRemaining": 0}, EngineUnavailable),
        ({}, EngineUnavailable),
    ],
)
def test_of_a_block_that_finds_no_datanode_the_namenode_is_asked_why(
    monkeypatch: pytest.MonkeyPatch, trace: str, state: dict[str, int], kind: type
) -> None:
    class Answer:
        def json(self) -> dict[str, list[dict[str, int]]]:
            return {"beans": [state]}

    monkeypatch.setattr(hdfs.requests, "get", lambda *_, **__: Answer())
    monkeypatch.setattr(hdfs.time, "sleep", lambda _: None)
    assert isinstance(spark_failures.meaning(Settings(), trace, "a run"), kind)


@pytest.mark.parametrize(
    "trace",
    [
        "org.apache.spark.sql.AnalysisException: [UNRESOLVED_COLUMN] a",
        # Of a Python worker: no server is away.
        "java.net.SocketException: Connection reset\n\tat org.apache.spark.api.python.BasePythonRunner.compute",
    ],
)
def test_other_failures_are_left_as_they_are(trace: str) -> None:
    assert spark_failures.meaning(Settings(), trace, "a run") is None
