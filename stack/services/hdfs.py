"""HDFS: a NameNode and a DataNode."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from meterlake.errors import TransientError
from stack.errors import BrokenData, Unhealthy
from stack.instance import Instance
from stack.process import run_tool
from stack.service import Service, opens

_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", *opens("java.base/java.lang")]
_CONFIG = {
    "core-site.xml": "hdfs/core-site.xml.j2",
    "hdfs-site.xml": "hdfs/hdfs-site.xml.j2",
    "log4j.properties": "hdfs/log4j.properties.j2",
}
_SERVER = "org.apache.hadoop.hdfs.server"
HEALTH_FOLDER = "/tmp/meterlake-health"  # noqa: S108 - a path in HDFS


def _format(instance: Instance) -> None:
    """Format the NameNode's folder once; a format that was cut off leaves only a .partial folder."""
    target = instance.data("namenode")
    if target.exists():
        return
    # Its folder is made before a NameNode is there; without VERSION it has never known one, and has no blocks.
    if (instance.data("datanode") / "current" / "VERSION").exists():
        raise BrokenData(
            f"The NameNode's folder {target} is gone, but the DataNode's blocks are in {instance.data('datanode')}.",
            hint="A new NameNode would not know them. Put the folder back, or remove both to start empty.",
        )
    partial = target.with_name("namenode.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    where = ["-D", f"dfs.namenode.name.dir=file://{partial}"]
    run_tool(NAMENODE, instance, NAMENODE.main, [*where, "-format", "-force", "-nonInteractive"])
    partial.rename(target)


def _same_cluster(instance: Instance) -> None:
    """Refuse blocks of another NameNode with a clear word; the server would only log a stack trace."""
    ours = _cluster_id(instance.data("namenode") / "current" / "VERSION")
    theirs = _cluster_id(instance.data("datanode") / "current" / "VERSION")
    if ours and theirs and ours != theirs:
        raise BrokenData(
            f"The DataNode's folder {instance.data('datanode')} belongs to cluster {theirs}, the NameNode's to {ours}.",
            hint="Put the matching folders together, or remove both to start empty.",
        )


def _cluster_id(version: Path) -> str:
    if not version.exists():
        return ""
    pairs = (line.partition("=") for line in version.read_text().splitlines())
    return next((value for key, _, value in pairs if key == "clusterID"), "")


def _namenode_healthy(instance: Instance) -> None:
    from engines import hdfs

    client = hdfs.client(instance.settings)
    try:
        client.makedirs(HEALTH_FOLDER)
        client.status(HEALTH_FOLDER)
    except hdfs.ERRORS as error:
        raise Unhealthy(f"NameNode: {error}") from error


def _datanode_healthy(instance: Instance) -> None:
    from engines import hdfs

    token = uuid.uuid4().hex
    path = f"{HEALTH_FOLDER}/{token}"
    try:
        hdfs.write_bytes(instance.settings, path, token.encode())
        read = hdfs.read_bytes(instance.settings, path)
        hdfs.client(instance.settings).delete(path)
    except (*hdfs.ERRORS, TransientError) as error:
        raise Unhealthy(f"DataNode: {error}") from error
    if read != token.encode():
        raise Unhealthy(f"DataNode: wrote {token}, read {read!r}")


NAMENODE = Service(
    name="namenode",
    title="HDFS NameNode",
    jars="hdfs",
    main=f"{_SERVER}.namenode.NameNode",
    ports=("namenode_http", "namenode"),
    heap="384m",
    footprint_mb=270,
    flags=lambda _: _FLAGS,
    config={**_CONFIG, "webapps/hdfs/readme.txt": "hdfs/webapps.txt.j2"},
    prepare=_format,
    marker="current/VERSION",
    # With blocks on record it refuses writes (safe mode) until a DataNode has reported them.
    beside=("datanode",),
    healthy=_namenode_healthy,
    proof="made a folder and read its status through WebHDFS",
)

DATANODE = Service(
    name="datanode",
    title="HDFS DataNode",
    jars="hdfs",
    main=f"{_SERVER}.datanode.DataNode",
    ports=("datanode_http", "datanode", "datanode_ipc"),
    heap="384m",
    footprint_mb=240,
    flags=lambda _: _FLAGS,
    config={**_CONFIG, "webapps/datanode/readme.txt": "hdfs/webapps.txt.j2"},
    # Not after it: the DataNode goes on trying until the NameNode answers.
    checked_after=("namenode",),
    prepare=_same_cluster,
    marker="current/VERSION",
    healthy=_datanode_healthy,
    proof="wrote a file and read it back through WebHDFS",
)
