"""Servers that this project does not bring: started where their program is on this machine, and not needed elsewhere.

They are known by the tag on a wrapper's command line (``stack.wrapped``), as all servers of the stack are by theirs;
the tag is another one, so that the launcher leaves them alone.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from meterlake.errors import PermanentError
from stack import preflight, process
from stack.errors import PortBusy, StartFailed
from stack.instance import Instance
from stack.runtime.cache import Progress
from stack.watch import Stalled, Watch

if TYPE_CHECKING:
    import requests

POLL_S = 0.3
GRACE_S = 15.0


@dataclass(frozen=True)
class Extra:
    """A server: its programs' names, how it is started, and when it is healthy."""

    name: str
    title: str
    programs: tuple[str, ...]
    """Names on the PATH; the first that is there is taken."""
    home: Callable[[Instance], Path | None]
    """Folder that a setting names instead; its ``bin`` is looked into."""
    to_get: str
    """How to come by it, in a sentence."""
    port: str
    """Name of its port's setting, without ``port_``."""
    needs: tuple[str, ...]
    """Services of the stack that it reads from."""
    prepare: Callable[[Instance], None]
    """Writes its configuration."""
    arguments: Callable[[Instance, Path], list[str]]
    """Arguments for the program, which lies at the path."""
    env: Callable[[Instance], Mapping[str, str]]
    probe: str
    """Path of a URL that answers 200 when work was done."""
    works: Callable[[Instance, requests.Response], bool] = lambda *_: True
    """Whether the answer, with 200, says that work was done; it may ask for more."""
    fetch: Callable[[Instance, Progress | None], object] | None = None
    """Brings its program into the cache, where this stack can."""

    def program(self, instance: Instance) -> Path | None:
        """Return where its program is, or None."""
        home = self.home(instance)
        path = str(home / "bin") if home else None
        paths = (shutil.which(name, path=path) for name in self.programs)
        return next((Path(program) for program in paths if program), None)

    def url(self, instance: Instance) -> str:
        """Return the address for people."""
        return f"http://{instance.settings.address(self.port)}"


_MARK = "METERLAKE_EXTRA"
"""Variable by which whatever a server starts is known, in any group or session."""


class NotInstalled(PermanentError):
    """The program of a server is not on this machine."""

    def __init__(self, extra: Extra) -> None:
        super().__init__(
            f"{extra.title} is not on this machine: no {' or '.join(extra.programs)} on the PATH.",
            hint=f"{extra.to_get} Everything else works without it.",
        )


def ensure(extra: Extra, instance: Instance, downloads: Progress | None = None) -> Path:
    """Return where a server's program is, bringing it where that can be. Raises NotInstalled, ArtifactError."""
    if extra.program(instance) is None and extra.fetch is not None:
        extra.fetch(instance, downloads)
    program = extra.program(instance)
    if program is None:
        raise NotInstalled(extra)
    return program


def up(extra: Extra, instance: Instance) -> str:
    """Start a server and wait until it is healthy; do nothing if it runs. Returns its address.

    Raises NotInstalled, PortBusy, or StartFailed with the last lines of its log.
    """
    program = ensure(extra, instance)
    if running(extra, instance) is None:
        process.stop(_started(extra, instance), GRACE_S)  # what a killed wrapper left
        _check_port(extra, instance)
        extra.prepare(instance)
        _await(extra, instance, _spawn(extra, instance, program))
    return extra.url(instance)


def down(extra: Extra, instance: Instance) -> bool:
    """Stop a server with all that it has started; return whether it ran."""
    wrapper, started = running(extra, instance), _started(extra, instance)
    if wrapper is not None:
        process.stop([wrapper], GRACE_S)
    process.stop(started, GRACE_S)
    return bool(started)


def running(extra: Extra, instance: Instance) -> psutil.Process | None:
    """Return the wrapper's process of a server, or None."""
    tag = _tag(extra, instance)
    for wrapper in psutil.process_iter():
        try:
            if tag in wrapper.cmdline():
                return wrapper
        except psutil.Error:
            continue
    return None


def healthy(extra: Extra, instance: Instance) -> bool:
    """Return whether a server answers its probe."""
    import requests

    try:
        answer = requests.get(extra.url(instance) + extra.probe, timeout=5)
        return answer.status_code == 200 and extra.works(instance, answer)
    except requests.RequestException:
        return False


def _started(extra: Extra, instance: Instance) -> list[psutil.Process]:
    """Return the wrapper of a server and all that came of it, whoever its parent is now.

    The mark in the environment shows it; one that has overwritten that, with its title, by its session or its parent.
    """
    mark, marked, sessions = _tag(extra, instance), [], dict[int, list[psutil.Process]]()
    for candidate in psutil.process_iter():
        try:
            sessions.setdefault(os.getsid(candidate.pid), []).append(candidate)
            if candidate.environ().get(_MARK) == mark:
                marked.append(candidate)
        except (psutil.Error, OSError):
            continue
    result = set[psutil.Process]()
    for member in marked:
        with suppress(psutil.Error, OSError):
            result |= {member, *sessions[os.getsid(member.pid)], *member.children(recursive=True)}
    return list(result)


def _tag(extra: Extra, instance: Instance) -> str:
    return f"--meterlake-extra={instance.identity}:{extra.name}"


def _check_port(extra: Extra, instance: Instance) -> None:
    number = instance.settings.port(extra.port)
    if who := preflight.holder(number):
        raise PortBusy(
            f"Port {number}, which {extra.title} needs, is held by {who}.",
            hint=f"Stop that, or move the port: METERLAKE_PORT_{extra.port.upper()}=….",
        )


def _spawn(extra: Extra, instance: Instance, program: Path) -> process.Lasting:
    log = instance.log(extra.name)
    for folder in (log.parent, instance.run(extra.name), instance.data(extra.name)):
        folder.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "USER") if name in os.environ}
    command = [sys.executable, "-m", "stack.wrapped", _tag(extra, instance), str(program)]
    environment = kept | {"TZ": "UTC", _MARK: _tag(extra, instance)} | dict(extra.env(instance))
    return process.launch(command + extra.arguments(instance, program), log, instance.run(extra.name), environment)


def _await(extra: Extra, instance: Instance, started: process.Lasting) -> None:
    log = instance.log(extra.name)
    watch = Watch(extra.title, started.pid, log, instance.settings.stall_timeout)
    while not healthy(extra, instance):
        if started.poll() is not None:
            raise _failed(f"{extra.title} ended with {started.returncode} while starting.", log)
        try:
            watch.check()
        except Stalled as stalled:
            raise _failed(stalled.what, log) from stalled
        time.sleep(POLL_S)


def _failed(what: str, log: Path) -> StartFailed:
    return StartFailed(f"{what}\nLast lines of its log:\n{process.last_lines(log)}", hint=f"\nThe whole log: {log}")
