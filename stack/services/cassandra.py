"""Cassandra: one node."""

from __future__ import annotations

import uuid

from meterlake.errors import TransientError
from stack.errors import BrokenData, Unhealthy
from stack.instance import Instance
from stack.runtime import maven
from stack.service import Service, exports, opens

HEALTH_KEYSPACE = "meterlake_health"
_PROBE = f"{HEALTH_KEYSPACE}.probe"


def _flags(instance: Instance) -> list[str]:
    conf, data = instance.conf("cassandra"), instance.data("cassandra")
    agent = next(file for file in maven.resolve("cassandra", instance.settings) if file.name.startswith("jamm-"))
    return [
        "-Xms256m",
        "-XX:+UseG1GC",
        "-XX:-UsePerfData",
        f"-javaagent:{agent}",
        f"-Dcassandra.config=file://{conf}/cassandra.yaml",
        f"-Dcassandra.storagedir={data}",
        f"-Dlogback.configurationFile={conf}/logback.xml",
        "-Dcassandra-foreground=yes",
        # One node has nobody to wait for: 37 s to start become 7.5 s.
        "-Dcassandra.ring_delay_ms=0",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-Djdk.attach.allowAttachSelf=true",
        *exports(
            "java.base/jdk.internal.misc",
            "java.base/jdk.internal.ref",
            "java.base/java.lang.ref",
            "java.base/sun.nio.ch",
            "java.management.rmi/com.sun.jmx.remote.internal.rmi",
            "java.rmi/sun.rmi.registry",
            "java.rmi/sun.rmi.server",
            "java.sql/java.sql",
            "jdk.unsupported/sun.misc",
        ),
        *opens(
            "java.base/java.io",
            "java.base/java.lang",
            "java.base/java.lang.module",
            "java.base/java.lang.reflect",
            "java.base/java.nio",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/jdk.internal.loader",
            "java.base/jdk.internal.math",
            "java.base/jdk.internal.module",
            "java.base/jdk.internal.ref",
            "java.base/jdk.internal.reflect",
            "java.base/jdk.internal.util.jar",
            "java.base/sun.nio.ch",
            "jdk.management/com.sun.management.internal",
        ),
    ]


def _can_write_and_read(instance: Instance) -> None:
    from engines import cassandra

    token = uuid.uuid4().hex
    try:
        with cassandra.session(instance.settings) as session:
            session.execute(
                f"CREATE KEYSPACE IF NOT EXISTS {HEALTH_KEYSPACE} "
                "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
            )
            session.execute(f"CREATE TABLE IF NOT EXISTS {_PROBE} (id text PRIMARY KEY, checked text)")
            session.execute(
                f"INSERT INTO {_PROBE} (id, checked) VALUES ('up', %s) USING TTL 3600",  # noqa: S608
                (token,),
            )
            read = session.execute(f"SELECT checked FROM {_PROBE} WHERE id = 'up'").one()  # noqa: S608
    except TransientError as error:
        raise Unhealthy(f"Cassandra: {error}") from error
    if read is None or read.checked != token:
        raise Unhealthy(f"Cassandra: wrote {token}, read {read}")


def _complete(instance: Instance) -> None:
    """Refuse a folder that lost one of its parts; the server would start empty over it."""
    data = instance.data("cassandra")
    if not data.exists():
        return
    lost = [part for part in ("data", "commitlog") if not (data / part).is_dir()]
    if lost and any(data.iterdir()):
        raise BrokenData(
            f"Cassandra's folder {data} has no {' and no '.join(lost)}: it was half-written or half-removed.",
            hint="Put the parts back from a copy, or remove the whole folder to start empty.",
        )


CASSANDRA = Service(
    name="cassandra",
    title="Cassandra",
    jars="cassandra",
    main="org.apache.cassandra.service.CassandraDaemon",
    ports=("cassandra", "cassandra_storage"),
    heap="1g",
    footprint_mb=800,
    flags=_flags,
    config={"cassandra.yaml": "cassandra/cassandra.yaml.j2", "logback.xml": "cassandra/logback.xml.j2"},
    prepare=_complete,
    healthy=_can_write_and_read,
    proof="wrote a row and read it by its key",
)
