"""The lakehouse's servers: S3 (S3Proxy over a folder), and Nessie, the catalog with branches."""

from __future__ import annotations

import uuid

from meterlake.errors import MeterlakeError
from stack.errors import Unhealthy
from stack.instance import Instance
from stack.service import Service

_PROBE = "health/probe"


def _keeps_objects(instance: Instance) -> None:
    """Write an object into the lakehouse's bucket, which is made on the first time, and read it."""
    from engines import lake

    settings, token = instance.settings, uuid.uuid4().bytes
    try:
        lake.make_bucket(settings)
        lake.put(settings, _PROBE, token)
        read = lake.get(settings, _PROBE)
    except MeterlakeError as error:
        raise Unhealthy(f"S3: {error}") from error
    if read != token:
        raise Unhealthy(f"S3: wrote {token!r}, read {read!r}")


def _keeps_branches(instance: Instance) -> None:
    """Make a tag, read it and remove it; and ask Nessie whether it reaches the bucket."""
    import requests

    from engines import nessie

    settings = instance.settings
    url = f"http://{settings.address('nessie_management')}/q/health"
    try:
        nessie.prove(settings, uuid.uuid4().hex)
        answer = requests.get(url, timeout=10)
    except (MeterlakeError, requests.RequestException) as error:
        raise Unhealthy(f"Nessie: {error}") from error
    if not answer.ok:
        raise Unhealthy(f"Nessie: {url} answers {answer.status_code}")


def _make_folder(instance: Instance) -> None:
    instance.data("s3").mkdir(parents=True, exist_ok=True)


S3 = Service(
    name="s3",
    title="S3",
    jars="s3",
    main="org.gaul.s3proxy.Main",
    ports=("s3",),
    heap="256m",
    footprint_mb=220,
    flags=lambda _: ["-XX:+UseSerialGC", "-XX:-UsePerfData"],
    arguments=lambda instance: ["--properties", str(instance.conf("s3") / "s3proxy.conf")],
    config={"s3proxy.conf": "s3/s3proxy.conf.j2"},
    prepare=_make_folder,
    healthy=_keeps_objects,
    proof="wrote an object and read it",
)
NESSIE = Service(
    name="nessie",
    title="Nessie",
    jars="nessie",
    main="io.quarkus.runner.GeneratedMain",
    java=24,
    ports=("nessie", "nessie_management"),
    heap="384m",
    footprint_mb=400,
    flags=lambda instance: [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-XX:TieredStopAtLevel=1",
        f"-Dquarkus.config.locations={instance.conf('nessie') / 'application.properties'}",
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    ],
    config={"application.properties": "nessie/application.properties.j2"},
    checked_after=("s3",),
    healthy=_keeps_branches,
    proof="made a tag, read it and removed it, and reached the bucket",
)
