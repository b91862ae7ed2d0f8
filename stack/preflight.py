"""What is checked before anything is started, so that the reason is said first and not found in a log."""

from __future__ import annotations

import errno
import shutil
import socket
import time
from collections.abc import Iterable

import psutil

from meterlake.settings import PREFIX, Settings
from stack.errors import BrokenData, NotEnough, PortBusy
from stack.instance import Instance
from stack.runtime import maven
from stack.service import Service

# Logs, commit logs and first data; jars and Java runtimes come on top while they are not in the cache.
DISK_MB = 1024
CACHE_MB = 3600
ENDING_S = 15.0


def check(services: Iterable[Service], instance: Instance) -> None:
    """Check ports, data folders, memory and disk for ``services``, which are about to be started.

    Raises PortBusy, BrokenData or NotEnough.
    """
    services = list(services)
    for service in services:
        for port in service.ports:
            check_port(service, port, instance.settings)
        check_data(service, instance)
    check_memory(services)
    check_disk(services, instance)


def check_port(service: Service, name: str, settings: Settings) -> None:
    """Raise PortBusy, naming the holder and the setting, when the port called ``name`` cannot be bound."""
    port = settings.port(name)
    error = _why_not_free(settings.host, port)
    if error is None:
        return
    if error.errno != errno.EADDRINUSE:
        raise PortBusy(
            f"{service.title} cannot bind {settings.host}:{port}: {error.strerror}.",
            hint=f"Set {PREFIX}HOST to an address of this machine.",
        ) from error
    who = holder(port) or "a process that this user may not see"
    raise PortBusy(
        f"Port {port}, which {service.title} needs, is held by {who}.",
        hint=f"Stop that, or move the port: {PREFIX}PORT_{name.upper()}=…, or all: {PREFIX}PORT_OFFSET=….",
    ) from error


def _why_not_free(host: str, port: int) -> OSError | None:
    """Return why ``port`` cannot be bound, or None.

    A server that was just killed has no command line any more, or cannot be seen at all, while the system still
    closes its sockets: such a port is tried again for ``ENDING_S``.
    """
    until = time.monotonic() + ENDING_S
    while True:
        error = _bind_error(host, port)
        if error is None or error.errno != errno.EADDRINUSE or holder(port) or time.monotonic() > until:
            return error
        time.sleep(0.1)


def _bind_error(host: str, port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def holder(port: int) -> str | None:
    """Return who listens on ``port``; None when this user may not see it, it is ending, or nobody does any more."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    pids = {c.pid for c in connections if c.laddr and c.laddr.port == port and c.pid}
    for pid in sorted(pids):
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            continue
        if words:
            return f"process {pid} ({' '.join(words[:3])[:120]})"
    return None


def check_data(service: Service, instance: Instance) -> None:
    """Raise BrokenData when the data folder of ``service`` exists without what a complete one has."""
    folder = instance.data(service.name)
    if service.marker and folder.is_dir() and not (folder / service.marker).exists() and any(folder.iterdir()):
        raise BrokenData(
            f"The data folder of {service.title}, {folder}, has no {service.marker}: half-written or half-removed.",
            hint="Put it back from a copy, or remove that folder to let the server start empty.",
        )


def check_memory(services: Iterable[Service]) -> None:
    """Raise NotEnough when the idle memory of ``services`` is more than what is free."""
    services = list(services)
    wanted = sum(service.footprint_mb for service in services)
    free = psutil.virtual_memory().available // 2**20
    if wanted > free:
        parts = ", ".join(f"{service.name} {service.footprint_mb}" for service in services)
        raise NotEnough(
            f"The services to start need about {wanted} MB of memory ({parts}); {free} MB are free.",
            hint="Stop something else, or start fewer: `meterlake up kafka cassandra`.",
        )


def check_disk(services: Iterable[Service], instance: Instance, disk_mb: int = DISK_MB) -> None:
    """Raise NotEnough when the disk of the stack, or of the cache, has too little room."""
    settings = instance.settings
    instance.home.mkdir(parents=True, exist_ok=True)
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    absent = maven.missing(settings, sorted({service.jars for service in services}))
    for folder, wanted, name in (
        (instance.home, disk_mb, "HOME"),
        (settings.cache_dir, CACHE_MB if absent else 0, "CACHE_DIR"),
    ):
        free = shutil.disk_usage(folder).free // 2**20
        if free < wanted:
            raise NotEnough(
                f"{folder} has {free} MB of free disk; at least {wanted} MB are needed.",
                hint=f"Make room, or set {PREFIX}{name} to a folder on another disk.",
            )
