"""Hive: the metastore, and HiveServer2 for ad-hoc SQL."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from meterlake.errors import TransientError, UsageError
from meterlake.settings import PREFIX
from stack.errors import BrokenData, Unhealthy
from stack.instance import Instance, metastore_db
from stack.process import run_tool
from stack.runtime import maven
from stack.service import Service, opens

HEALTH_DATABASE = "meterlake_health"
WAREHOUSE = "warehouse.url"
"""File beside the metastore's own: HDFS's address when its tables were made."""
_SCHEMA_TOOL = "org.apache.hadoop.hive.metastore.tools.schematool.MetastoreSchemaTool"
_OPENS = opens(
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.regex",
    "java.sql/java.sql",
)
_CONFIG = {
    "core-site.xml": "hdfs/core-site.xml.j2",
    "hdfs-site.xml": "hdfs/hdfs-site.xml.j2",
    "hive-site.xml": "hive/hive-site.xml.j2",
    "hive-log4j2.properties": "hive/hive-log4j2.properties.j2",
}


def _flags(name: str, instance: Instance) -> list[str]:
    conf = instance.conf(name)
    return [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        f"-Dlog4j2.configurationFile={conf}/hive-log4j2.properties",
        f"-Dlog4j.configurationFile={conf}/hive-log4j2.properties",
        f"-Djava.io.tmpdir={instance.run(name)}",
        f"-Dderby.stream.error.file={instance.run(name)}/derby.log",
        *_OPENS,
    ]


def _schema_home(instance: Instance) -> Path:
    return maven.unpacked("hive-schema", instance.settings)


def _create_schema(instance: Instance) -> None:
    """Create the metastore's own tables once, in Derby or in PostgreSQL."""
    if instance.settings.metastore_db == "postgres":
        _create_in_postgres(instance)
        return
    target = instance.data("metastore")
    if target.exists():
        return
    partial = target.with_name("metastore.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    url = f"jdbc:derby:{partial}/db;create=true"
    run_tool(METASTORE, instance, _SCHEMA_TOOL, ["-dbType", "derby", "-initSchema", "-url", url])
    partial.rename(target)


def _prepare(instance: Instance) -> None:
    _create_schema(instance)
    check_warehouse(instance)


def check_warehouse(instance: Instance) -> None:
    """Note where HDFS is; raise BrokenData where tables were made in one of another address.

    The metastore and Iceberg name each table's files by their whole address. A metastore in PostgreSQL has no folder
    here.
    """
    if instance.settings.metastore_db == "postgres":
        return
    note, address = instance.data("metastore") / WAREHOUSE, instance.settings.hdfs
    before = note.read_text().strip() if note.exists() else address
    if before != address:
        raise BrokenData(
            f"The tables of {instance.home} lie in {before} by their names; HDFS is at {address} now.",
            hint=f"Set {PREFIX}PORT_OFFSET or {PREFIX}PORT_NAMENODE as it was, or take another {PREFIX}HOME. If the"
            f" tables have been moved, remove {note}.",
        )
    if not note.exists():
        note.write_text(f"{address}\n")


def _create_in_postgres(instance: Instance) -> None:
    database = metastore_db(instance.settings, instance.data("metastore"))
    if not database["url"].startswith("jdbc:postgresql://"):
        raise UsageError(
            f"{PREFIX}METASTORE_DB=postgres, but {PREFIX}METASTORE_DB_URL={database['url']!r}.",
            hint="Expected jdbc:postgresql://host:port/database, with …_USER and …_PASSWORD beside it.",
        )
    # -initOrUpgradeSchema does nothing when the schema is there.
    run_tool(METASTORE, instance, _SCHEMA_TOOL, ["-dbType", "postgres", "-initOrUpgradeSchema"])


def _metastore_healthy(instance: Instance) -> None:
    from engines import metastore

    token = uuid.uuid4().hex
    try:
        with metastore.client(instance.settings) as client:
            metastore.ensure_database(
                client, HEALTH_DATABASE, f"{instance.settings.hdfs}/warehouse/{HEALTH_DATABASE}.db"
            )
            metastore.set_database_property(client, HEALTH_DATABASE, "metastore.checked", token)
            read = metastore.database_properties(client, HEALTH_DATABASE).get("metastore.checked")
    except TransientError as error:
        raise Unhealthy(f"Metastore: {error}") from error
    if read != token:
        raise Unhealthy(f"Metastore: wrote {token}, read {read}")


def _make_scratch(instance: Instance) -> None:
    """HiveServer2 refuses to start without a scratch folder that all may write."""
    from engines import hdfs

    client = hdfs.client(instance.settings)
    client.makedirs("/tmp/hive", permission="1777")  # noqa: S108 - a path in HDFS
    client.set_permission("/tmp/hive", "1777")  # noqa: S108


def _hiveserver2_healthy(instance: Instance) -> None:
    from engines import hive

    token = uuid.uuid4().hex
    try:
        with hive.cursor(instance.settings) as cursor:
            cursor.execute(f"ALTER DATABASE {HEALTH_DATABASE} SET DBPROPERTIES ('hiveserver2.checked'='{token}')")
            cursor.execute(f"DESCRIBE DATABASE EXTENDED {HEALTH_DATABASE}")
            read = str(cursor.fetchall())
    except TransientError as error:
        raise Unhealthy(f"HiveServer2: {error}") from error
    if token not in read:
        raise Unhealthy(f"HiveServer2: wrote {token}, read {read}")


METASTORE = Service(
    name="metastore",
    title="Hive metastore",
    jars="hive",
    main="org.apache.hadoop.hive.metastore.HiveMetaStore",
    fetch=_schema_home,
    ports=("metastore",),
    heap="512m",
    footprint_mb=350,
    flags=lambda instance: _flags("metastore", instance),
    env=lambda instance: {"METASTORE_HOME": str(_schema_home(instance))},
    config=_CONFIG,
    # Its warehouse lies in HDFS, but it starts without it; only its check writes there.
    checked_after=("namenode",),
    prepare=_prepare,
    marker="db/service.properties",
    healthy=_metastore_healthy,
    proof="set a property of a database and read it through Thrift",
)

HIVESERVER2 = Service(
    name="hiveserver2",
    title="HiveServer2",
    jars="hive",
    main="org.apache.hive.service.server.HiveServer2",
    ports=("hiveserver2",),
    heap="1g",
    footprint_mb=450,
    flags=lambda instance: _flags("hiveserver2", instance),
    env=lambda instance: {"HADOOP_CONF_DIR": str(instance.conf("hiveserver2"))},
    config=_CONFIG,
    after=("metastore", "datanode"),
    prepare=_make_scratch,
    healthy=_hiveserver2_healthy,
    proof="altered a database and described it through PyHive",
)
