"""Kafka: one KRaft node, broker and controller."""

from __future__ import annotations

import shutil
import uuid

from meterlake.errors import TransientError
from stack.errors import Unhealthy
from stack.instance import Instance, render
from stack.process import run_tool
from stack.service import Service

HEALTH_TOPIC = "meterlake.health"


def _format_storage(instance: Instance) -> None:
    """Format the log folder once; a format that was cut off leaves only a .partial folder."""
    target = instance.data("kafka")
    if target.exists():
        return
    partial = target.with_name("kafka.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    config = instance.conf("kafka") / "format.properties"
    config.write_text(render("kafka/server.properties.j2", {**instance.values("kafka"), "data": str(partial)}))
    cluster = uuid.uuid4().hex[:22]
    run_tool(
        KAFKA,
        instance,
        "kafka.tools.StorageTool",
        ["format", "--cluster-id", cluster, "--config", str(config)],
    )
    partial.rename(target)


def _can_write_and_read(instance: Instance) -> None:
    from engines import kafka

    token = uuid.uuid4().bytes
    try:
        kafka.create_topic(instance.settings, HEALTH_TOPIC, partitions=1, config={"retention.ms": "3600000"})
        partition, offset = kafka.send_one(instance.settings, HEALTH_TOPIC, token)
        read = kafka.read_one(instance.settings, HEALTH_TOPIC, partition, offset)
    except TransientError as error:
        raise Unhealthy(f"Kafka: {error}") from error
    if read != token:
        raise Unhealthy(f"Kafka: wrote {token!r} at offset {offset}, read {read!r}")


KAFKA = Service(
    name="kafka",
    title="Kafka broker",
    jars="kafka",
    main="kafka.Kafka",
    ports=("kafka", "kafka_controller"),
    heap="512m",
    footprint_mb=260,
    flags=lambda instance: [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        f"-Dlog4j2.configurationFile={instance.conf('kafka')}/log4j2.yaml",
    ],
    arguments=lambda instance: [str(instance.conf("kafka") / "server.properties")],
    config={"server.properties": "kafka/server.properties.j2", "log4j2.yaml": "kafka/log4j2.yaml.j2"},
    prepare=_format_storage,
    marker="meta.properties",
    healthy=_can_write_and_read,
    proof="sent a record with acks=all and read it at its offset",
)
