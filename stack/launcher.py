"""Starts and stops the native stack: in dependency order, in parallel, idempotent, with true health checks."""

from __future__ import annotations

import fcntl
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import psutil

from meterlake.clock import system_clock
from meterlake.errors import MeterlakeError
from stack import preflight, process
from stack.errors import Busy, StartFailed, Unhealthy
from stack.instance import Instance
from stack.runtime import maven
from stack.runtime.cache import Progress
from stack.runtime.java import ensure_java
from stack.service import Service
from stack.services import ALL, SERVICES, with_needs
from stack.watch import Stalled, Watch

POLL_S = 0.3
# Time that a server gets to end by itself. Cassandra flushes its tables, Kafka its logs.
GRACE_S = 20.0


class State(StrEnum):
    """What a service is doing."""

    STOPPED = "stopped"
    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    CRASHED = "crashed"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """One service as it stands: state, main port, process id, resident memory, seconds since its start."""

    service: Service
    state: State
    port: int
    pid: int | None = None
    memory_mb: int | None = None
    uptime_s: int | None = None
    detail: str = ""


Listener = Callable[[str, State, str], None]
"""Called with (service, state, detail) at every change."""


def up(
    services: list[Service],
    instance: Instance,
    listener: Listener,
    downloads: Progress | None = None,
) -> None:
    """Start ``services`` and what they need, and wait until all are healthy; do nothing for those that are.

    Raises a MeterlakeError with the first failure. What was started stays up, to be looked at or continued.
    """
    wanted = with_needs(services)
    with _lock(instance):
        alive = _servers(instance)
        to_start = [service for service in wanted if service.name not in alive]
        preflight.check(to_start, instance)
        fetch(to_start, instance, downloads)
        _start_all(wanted, alive, instance, listener)


def down(instance: Instance, listener: Listener) -> list[str]:
    """Stop every process that this stack started, dependents first; return the names of the services that ran."""
    with _lock(instance):
        running = process.running(instance)
        left = dict(running)
        while left:
            needed = {name for other in left if other in ALL for name in _needs(ALL[other])}
            ready = [name for name in left if name not in needed] or list(left)
            with ThreadPoolExecutor(len(ready)) as pool:
                list(pool.map(lambda name: _stop_one(name, left[name], instance, listener), ready))
            for name in ready:
                del left[name]
        for mark in (instance.home / "run").glob("*.started"):
            mark.unlink()
        return [name for name in ALL if name in running]


def status(instance: Instance, *, check: bool = True) -> list[Status]:
    """Return every service as it stands; with ``check``, running ones are asked to do real work.

    Those outside the core are shown once they have been started.
    """
    running = process.running(instance)
    shown = [
        s for s in ALL.values() if s.name in SERVICES or s.name in running or instance.started_mark(s.name).exists()
    ]
    with ThreadPoolExecutor(len(shown)) as pool:
        return list(pool.map(lambda s: _status(s, running.get(s.name, []), instance, check), shown))


def fetch(services: list[Service], instance: Instance, downloads: Progress | None = None) -> None:
    """Bring all that ``services`` need into the cache: Java runtimes, jars, unpacked servers."""
    settings, names = instance.settings, sorted({service.jars for service in services})
    if downloads:
        for name in maven.missing(settings, names):
            downloads(name, 0, maven.size(name))
    for version in sorted({service.java for service in services}):
        ensure_java(version, settings, downloads)
    for name in names:
        maven.resolve(name, settings, downloads)
    for service in services:
        service.fetch(instance)


def _start_all(wanted: list[Service], alive: dict[str, psutil.Process], instance: Instance, listener: Listener) -> None:
    futures: dict[str, Future[None]] = {}
    stop = threading.Event()
    all_known = threading.Event()

    def run(service: Service) -> None:
        all_known.wait()
        try:
            _start_one(service, alive.get(service.name), instance, _Waiter(futures, stop), listener)
        except MeterlakeError as error:
            stop.set()
            listener(service.name, State.FAILED, error.what.splitlines()[0])
            raise

    with ThreadPoolExecutor(len(wanted)) as pool:
        for service in wanted:
            futures[service.name] = pool.submit(run, service)
        all_known.set()
        try:
            wait(futures.values())
        except BaseException:  # Ctrl-C: let the threads give up at once; what runs stays for `down`
            stop.set()
            raise
    errors = [error for future in futures.values() if (error := future.exception())]
    # One failure ends the waiting of the others; the first cause is the one that is not about waiting.
    for error in sorted(errors, key=lambda error: isinstance(error, _Abandoned)):
        raise error


class _Abandoned(StartFailed):
    """Not started, because something else failed."""


@dataclass(frozen=True)
class _Waiter:
    """Lets a service wait for others, until one of them fails."""

    futures: dict[str, Future[None]]
    stop: threading.Event

    def wait_for(self, service: Service, names: tuple[str, ...]) -> None:
        for name in names:
            while not self.futures[name].done():
                self.check(service)
                time.sleep(0.05)
            if self.futures[name].exception():
                raise _Abandoned(f"{service.name} was not started, because {name} did not start.")

    def check(self, service: Service) -> None:
        if self.stop.is_set():
            raise _Abandoned(f"{service.name} was given up, because another service failed.")


def _start_one(
    service: Service, alive: psutil.Process | None, instance: Instance, waiter: _Waiter, listener: Listener
) -> None:
    if alive is None:
        listener(service.name, State.WAITING, ", ".join(service.after))
        waiter.wait_for(service, service.after)
        listener(service.name, State.PREPARING, "")
        service.write_config(instance)
        service.prepare(instance)
        waiter.check(service)
    server = alive or process.spawn(service, instance)
    listener(service.name, State.STARTING, "")
    _await_health(service, server, instance, waiter)
    listener(service.name, State.HEALTHY, "was up" if alive else "")


def _await_health(
    service: Service, server: psutil.Process | process.Lasting, instance: Instance, waiter: _Waiter
) -> None:
    """Wait until a server does its work, as long as it makes progress. Raises StartFailed."""
    watch = Watch(service.title, server.pid, instance.log(service.name), instance.settings.stall_timeout)
    waited = False
    while True:
        _check_alive(service, server, instance)
        try:
            check_health(service, instance, deep=waited)
            if waited:
                return
            waiter.wait_for(service, _needs(service))
            waited = True
            watch.restart()
            continue
        except _Abandoned:
            raise
        except MeterlakeError as error:
            last = error
        waiter.check(service)
        try:
            watch.check(last.what)
        except Stalled as stalled:
            raise _failed(stalled.what, service, instance) from last
        time.sleep(POLL_S)


def _check_alive(service: Service, server: psutil.Process | process.Lasting, instance: Instance) -> None:
    if isinstance(server, psutil.Process):
        if not server.is_running():
            raise _failed(f"{service.title} ended while it was waited for.", service, instance)
    elif server.poll() is not None:
        raise _failed(f"{service.title} ended with {server.returncode} while starting.", service, instance)


def check_health(service: Service, instance: Instance, *, deep: bool = True) -> None:
    """Raise Unhealthy unless ``service`` listens on its first port and, with ``deep``, does real work."""
    address = (instance.settings.host, instance.settings.port(service.ports[0]))
    try:
        with socket.create_connection(address, timeout=2):
            pass
    except OSError as error:
        raise Unhealthy(f"{service.name} does not listen on port {address[1]}") from error
    if deep:
        service.healthy(instance)


def _failed(what: str, service: Service, instance: Instance) -> StartFailed:
    log = instance.log(service.name)
    return StartFailed(
        f"{what}\nLast lines of its log:\n{process.last_lines(log)}",
        hint=f"\nThe whole log: {log}",
    )


def _needs(service: Service) -> tuple[str, ...]:
    return (*service.after, *service.checked_after)


def _servers(instance: Instance) -> dict[str, psutil.Process]:
    """Return the running servers by name; preparing tools that a killed launcher left behind are ended."""
    servers: dict[str, psutil.Process] = {}
    for name, processes in process.running(instance).items():
        for candidate in processes:
            if name in ALL and is_server(ALL[name], candidate):
                servers[name] = candidate
            else:
                process.stop([candidate], grace_s=2)
    return servers


def is_server(service: Service, candidate: psutil.Process) -> bool:
    """Return whether ``candidate`` is the server itself, not a tool (a formatter) of the same service."""
    try:
        words = candidate.cmdline()
    except psutil.Error:
        return False
    return service.main in words and "-format" not in words


def _stop_one(name: str, processes: list[psutil.Process], instance: Instance, listener: Listener) -> None:
    process.stop(processes, GRACE_S)
    instance.started_mark(name).unlink(missing_ok=True)
    listener(name, State.STOPPED, "")


def _status(service: Service, processes: list[psutil.Process], instance: Instance, check: bool) -> Status:
    port = instance.settings.port(service.ports[0])
    servers = [candidate for candidate in processes if is_server(service, candidate)]
    if not servers:
        if instance.started_mark(service.name).exists():
            return Status(service, State.CRASHED, port, detail=process.last_lines(instance.log(service.name)))
        return Status(service, State.STOPPED, port)
    state, detail = State.HEALTHY, ""
    if check:
        try:
            check_health(service, instance)
        except MeterlakeError as error:
            state, detail = State.UNHEALTHY, error.what
    try:
        memory = servers[0].memory_info().rss // 2**20
        uptime = int(system_clock().timestamp() - servers[0].create_time())
    except psutil.NoSuchProcess:
        return Status(service, State.CRASHED, port, detail=process.last_lines(instance.log(service.name)))
    return Status(service, state, port, servers[0].pid, memory, uptime, detail)


@contextmanager
def _lock(instance: Instance) -> Iterator[None]:
    """Keep two launchers apart. The kernel frees the lock when its holder ends, however it ends."""
    instance.home.mkdir(parents=True, exist_ok=True)
    with (instance.home / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"Another `meterlake up` or `down` of {instance.home} is under way.",
                hint="Wait for it, then try again.",
            ) from error
        yield
