"""Processes of the stack, known by the tag on their command line: no pid file can be stale or lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil

from stack.errors import StartFailed
from stack.instance import Instance
from stack.service import Service
from stack.watch import Watch

MAX_LOG = 20 * 1024 * 1024


class Lasting(subprocess.Popen[bytes]):
    """A process that is meant to outlive the one that started it: nothing waits for it, and nothing warns of that."""

    def __del__(self) -> None:
        """Leave it running, without a word."""


_CHILDREN: list[Lasting] = []
"""Kept so that ``reap`` can take the exit codes of those that have ended."""


def running(instance: Instance) -> dict[str, list[psutil.Process]]:
    """Return the live processes of ``instance`` by service, oldest first."""
    tag = f"-Dmeterlake.instance={instance.identity}"
    servers: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if tag in words:
            service = next((word.partition("=")[2] for word in words if word.startswith("-Dmeterlake.service=")), "?")
            servers.setdefault(service, []).append(process)
    return {name: sorted(processes, key=lambda p: p.create_time()) for name, processes in servers.items()}


def launch(command: list[str], log: Path, folder: Path, environment: dict[str, str]) -> Lasting:
    """Start a process that lasts, in a session of its own; it works in ``folder``, and its output goes to ``log``."""
    with log.open("ab") as output:
        child = Lasting(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    _CHILDREN.append(child)
    return child


def reap() -> None:
    """Take the exit codes of processes that have ended, so that no zombies stay."""
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def spawn(service: Service, instance: Instance) -> Lasting:
    """Start the server in a session of its own, its output appended to its log."""
    log = instance.log(service.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > MAX_LOG:
        log.replace(log.with_suffix(".log.1"))
    instance.run(service.name).mkdir(parents=True, exist_ok=True)
    instance.started_mark(service.name).touch()
    command, environment = service.command(instance), service.environment(instance)
    return launch(command, log, instance.run(service.name), environment)


def run_tool(service: Service, instance: Instance, main: str, arguments: list[str]) -> None:
    """Run a tool from the class path of ``service`` to its end (formatting a folder, say), output into its log.

    Raises StartFailed with the last lines when it fails.
    """
    log = instance.log(service.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    instance.run(service.name).mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as output,
        subprocess.Popen(  # noqa: S603 - the command is built from our own words
            service.command(instance, main, arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=instance.run(service.name),
            env=service.environment(instance),
        ) as tool,
    ):
        watch = Watch(f"{main.rpartition('.')[2]} of {service.title}", tool.pid, log, instance.settings.stall_timeout)
        try:
            watch.until(lambda: tool.poll() is not None)
        finally:
            tool.kill()
    code = tool.returncode
    if code:
        raise StartFailed(
            f"Preparing {service.name} failed: {main.rpartition('.')[2]} ended with {code}.\n{last_lines(log)}",
            hint=f"The whole log: {log}",
        )


def stop(processes: list[psutil.Process], grace_s: float) -> None:
    """Ask ``processes`` to end, and kill those that have not after ``grace_s`` seconds."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=10)
    reap()


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last ``count`` lines of ``log``, or a word that there are none."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-count:]) or "(the log is empty)"
