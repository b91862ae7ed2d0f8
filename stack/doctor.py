"""What the native stack needs of this machine, what is there, and how to get the rest."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from engines import topics
from meterlake.boundary import check_kafka_retention, check_ttl, needed_ttl
from meterlake.declaration import MeterSeries
from meterlake.durations import duration_text
from meterlake.errors import MeterlakeError
from stack import preflight, process
from stack.instance import Instance
from stack.runtime import maven
from stack.runtime.java import find_java
from stack.services import EXTRAS, SERVICES


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. state: ``ok``, ``note`` (up takes care of it) or ``missing``."""

    state: str
    what: str
    found: str
    to_do: str = ""


def examine(instance: Instance, datasets: Sequence[MeterSeries]) -> list[Finding]:
    """Look at everything that `up` and the streams of some data sets need, changing nothing."""
    return [
        *_machine(),
        *_maven(),
        *_java(instance),
        *_cache(instance),
        *_room(instance),
        *_ports(instance),
        *_retention(instance, datasets),
        *_topics(instance, datasets),
        *_extras(instance),
    ]


def _machine() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} ({sys.executable})")
    system = platform.system()
    if system in ("Linux", "Darwin"):
        yield Finding("ok", "System", f"{system} {platform.machine()}, {psutil.cpu_count()} cores")
    else:
        yield Finding("missing", "System", system, "Linux or macOS is needed; on Windows use WSL 2.")


def _maven() -> Iterator[Finding]:
    try:
        yield Finding("ok", "Maven", maven.find_maven())
    except MeterlakeError as error:
        yield Finding("missing", "Maven", "not on the PATH", error.hint)


def _java(instance: Instance) -> Iterator[Finding]:
    for wanted, purpose in ((17, "Hadoop, Hive, Kafka, Cassandra, Spark"), (24, "Trino")):
        what = f"Java {'17' if wanted == 17 else '24 or newer'} for {purpose}"
        try:
            java = find_java(wanted, instance.settings)
        except MeterlakeError as error:
            yield Finding("missing", what, error.what, error.hint)
            continue
        if java:
            yield Finding("ok", what, f"{java.version} in {java.home}")
        else:
            yield Finding(
                "note", what, "not on this machine", "`meterlake up` puts a runtime from PyPI into the cache."
            )


def _cache(instance: Instance) -> Iterator[Finding]:
    settings = instance.settings
    absent = maven.missing(settings, sorted({service.jars for service in SERVICES.values()}))
    if absent:
        yield Finding(
            "note",
            "Jars",
            f"not in {settings.cache_dir}: {', '.join(absent)}",
            "`meterlake up` downloads them once.",
        )
    else:
        yield Finding("ok", "Jars", f"all in {settings.cache_dir}")


def _room(instance: Instance) -> Iterator[Finding]:
    alive = process.running(instance)
    to_start = [service for service in SERVICES.values() if service.name not in alive]
    free = psutil.virtual_memory().available // 2**20
    try:
        preflight.check_memory(to_start)
        yield Finding(
            "ok",
            "Memory",
            f"{free} MB free, {sum(s.footprint_mb for s in to_start)} MB needed by what is not up",
        )
    except MeterlakeError as error:
        yield Finding("missing", "Memory", error.what, error.hint)
    try:
        preflight.check_disk(to_start, instance)
        yield Finding("ok", "Disk", f"{shutil.disk_usage(instance.home).free // 2**20} MB free in {instance.home}")
    except MeterlakeError as error:
        yield Finding("missing", "Disk", error.what, error.hint)


def _ports(instance: Instance) -> Iterator[Finding]:
    alive = process.running(instance)
    for service in SERVICES.values():
        for port in service.ports:
            number = instance.settings.port(port)
            if service.name in alive:
                yield Finding("ok", f"Port {number}", f"{service.title}, up")
                continue
            try:
                preflight.check_port(service, port, instance.settings)
                yield Finding("ok", f"Port {number}", f"free, for {service.title}")
            except MeterlakeError as error:
                yield Finding("missing", f"Port {number}", error.what, error.hint)


def _topics(instance: Instance, datasets: Sequence[MeterSeries]) -> Iterator[Finding]:
    """Check topics that are there, perhaps made by others, as `stream` and `archive` will."""
    if "kafka" not in process.running(instance):
        return
    for dataset in datasets:
        topic, what = dataset.readings_topic, f"Topic of {dataset.name}"
        try:
            if topics.find(instance.settings, topic) is None:
                continue  # `stream` creates it
            topics.check_times(instance.settings, topic)
            yield Finding("ok", what, f"{topic}, stamped by the broker")
        except MeterlakeError as error:
            yield Finding("missing", what, error.what, error.hint)


def _retention(instance: Instance, datasets: Sequence[MeterSeries]) -> Iterator[Finding]:
    """Check that speed rows and Kafka's messages live until batch has covered them, as `stream` will."""
    settings = instance.settings
    checks = {
        "Speed rows": (check_ttl, settings.speed_ttl),
        "Kafka's messages": (check_kafka_retention, settings.kafka_retention),
    }
    for dataset in datasets:
        needed = duration_text(needed_ttl(settings.batch_interval, dataset.lateness))
        for what, (check, life) in checks.items():
            try:
                check(dataset.name, life, settings.batch_interval, dataset.lateness)
                yield Finding("ok", f"{what} of {dataset.name}", f"live {duration_text(life)}, {needed} needed")
            except MeterlakeError as error:
                yield Finding("missing", f"{what} of {dataset.name}", error.what, error.hint)


def _extras(instance: Instance) -> Iterator[Finding]:
    """Look for the servers that people bring themselves; everything else works without them."""
    for extra in EXTRAS.values():
        program = extra.program(instance)
        if program:
            yield Finding("ok", extra.title, f"{program}, start it by `meterlake up {extra.name}`")
        else:
            yield Finding("note", extra.title, "not on this machine", extra.to_get)
