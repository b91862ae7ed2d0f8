"""Trino: one node, coordinator and worker, with the catalogs hive, iceberg, delta and cassandra."""

from __future__ import annotations

import uuid
from pathlib import Path

from meterlake.errors import TransientError
from stack.errors import Unhealthy
from stack.instance import Instance
from stack.runtime import maven
from stack.runtime.java import ensure_java
from stack.service import Service
from stack.services.hive import HEALTH_DATABASE


def _home(instance: Instance) -> Path:
    return maven.unpacked("trino", instance.settings)


def _flags(instance: Instance) -> list[str]:
    conf = instance.conf("trino")
    node = (conf / "node.properties").read_text().split()
    vector = ["--add-modules=jdk.incubator.vector"] if ensure_java(24, instance.settings).full else []
    return [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:ReservedCodeCacheSize=256m",
        *vector,
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Djdk.attach.allowAttachSelf=true",
        f"-Dlog.levels-file={conf}/log.properties",
        f"-Dconfig={conf}/config.properties",
        *(f"-D{line}" for line in node),
    ]


def _answers_everywhere(instance: Instance) -> None:
    """Write and read a view through the metastore, and read Cassandra."""
    from engines import trino

    token = uuid.uuid4().hex
    view = f"hive.{HEALTH_DATABASE}.probe"
    try:
        trino.rows(instance.settings, f"CREATE OR REPLACE VIEW {view} AS SELECT '{token}' AS token")
        read = trino.rows(
            instance.settings,
            f"SELECT token FROM {view} UNION ALL SELECT cluster_name FROM cassandra.system.local",  # noqa: S608
        )
    except TransientError as error:
        raise Unhealthy(f"Trino: {error}") from error
    if [token] not in [list(row) for row in read] or len(read) != 2:
        raise Unhealthy(f"Trino: wrote {token}, read {read}")


TRINO = Service(
    name="trino",
    title="Trino",
    jars="trino",
    main="io.trino.server.TrinoServer",
    fetch=_home,
    java=24,
    ports=("trino",),
    heap="1500m",
    footprint_mb=650,
    flags=_flags,
    classpath=lambda instance: [_home(instance) / "lib" / "*"],
    config={
        "config.properties": "trino/config.properties.j2",
        "node.properties": "trino/node.properties.j2",
        "log.properties": "trino/log.properties.j2",
        "access-control.properties": "trino/access-control.properties.j2",
        "access-control.json": "trino/access-control.json.j2",
        "catalog/hive.properties": "trino/catalog/hive.properties.j2",
        "catalog/iceberg.properties": "trino/catalog/iceberg.properties.j2",
        "catalog/delta.properties": "trino/catalog/delta.properties.j2",
        "catalog/lake.properties": "trino/catalog/lake.properties.j2",
        "catalog/cassandra.properties": "trino/catalog/cassandra.properties.j2",
        "core-site.xml": "hdfs/core-site.xml.j2",
        "hdfs-site.xml": "hdfs/hdfs-site.xml.j2",
    },
    checked_after=("metastore", "namenode", "cassandra"),
    healthy=_answers_everywhere,
    proof="made a view in Hive's catalog and read it together with Cassandra",
)
