"""NiFi, with a processor of ours that reads topics: no archive with Kafka's processors can be had by Maven."""

from __future__ import annotations

import secrets

from meterlake.errors import MeterlakeError
from meterlake.lakehouse.nifi import CONSUME
from stack.errors import Unhealthy
from stack.instance import Instance, render
from stack.runtime import nar
from stack.service import Service, opens

_CONFIG = "nifi.properties"


def _key(instance: Instance) -> str:
    """Return what NiFi encrypts passwords in its flow with; made once."""
    file = instance.home / "nifi-key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()


def _write(instance: Instance) -> None:
    """Write the configuration that has a secret; make the folder of the data."""
    data = instance.data("nifi")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = {"key": _key(instance), "parts": str(nar.parts(instance.settings))}
    file = instance.conf("nifi") / _CONFIG
    file.touch(mode=0o600)
    file.write_text(render(f"nifi/{_CONFIG}.j2", {**instance.values("nifi"), "nifi": own}))


def _keeps_flows(instance: Instance) -> None:
    """Make a group of processors, read it and remove it; and see that our processor is there."""
    from engines import nifi

    try:
        nifi.prove(instance.settings, CONSUME)
    except MeterlakeError as error:
        raise Unhealthy(f"NiFi: {error}") from error


NIFI = Service(
    name="nifi",
    title="NiFi",
    jars="nifi",
    main="org.apache.nifi.NiFi",
    ports=("nifi",),
    heap="512m",
    footprint_mb=460,
    flags=lambda instance: [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        f"-Dnifi.properties.file.path={instance.conf('nifi') / _CONFIG}",
        f"-Dlogback.configurationFile={instance.conf('nifi') / 'logback.xml'}",
        "-Djava.awt.headless=true",
        "-Djava.protocol.handler.pkgs=sun.net.www.protocol",
        *opens("java.base/java.lang", "java.base/java.util"),
    ],
    config={"state-management.xml": "nifi/state-management.xml.j2", "logback.xml": "nifi/logback.xml.j2"},
    prepare=_write,
    fetch=lambda instance: nar.parts(instance.settings),
    healthy=_keeps_flows,
    proof="made a group of processors, read it and removed it",
)
