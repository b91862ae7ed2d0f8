"""What a service of the stack is; ``stack/services/`` holds one small module a service."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stack.instance import Instance, render
from stack.runtime import maven
from stack.runtime.java import ensure_java
from stack.runtime.locks import pinned_version


def nothing(_: Instance) -> None:
    """Do nothing."""


def no_flags(_: Instance) -> list[str]:
    """No further flags."""
    return []


def no_env(_: Instance) -> dict[str, str]:
    """No further environment."""
    return {}


@dataclass(frozen=True)
class Service:
    """A server: what it needs, its configuration, how it is started, and when it is healthy."""

    name: str
    title: str
    jars: str
    """Name of its POM and lock in ``stack/runtime/jars``."""
    main: str
    """Main class."""
    healthy: Callable[[Instance], None]
    """Does real work (a write and a read) through the server's protocol; raises when that fails."""
    ports: tuple[str, ...]
    """Names of the settings of its ports, without ``port_``; the first is the one users talk to."""
    proof: str
    """What ``healthy`` does, in words for the demo and the docs."""
    heap: str
    footprint_mb: int
    """Resident memory when idle, measured; what is asked for before the start."""
    java: int = 17
    arguments: Callable[[Instance], list[str]] = no_flags
    flags: Callable[[Instance], list[str]] = no_flags
    env: Callable[[Instance], dict[str, str]] = no_env
    config: dict[str, str] = field(default_factory=dict)
    """Rendered file -> template."""
    after: tuple[str, ...] = ()
    """Services that must be healthy before this one is started."""
    checked_after: tuple[str, ...] = ()
    """Services that must be healthy before this one's health can be judged; it starts beside them."""
    beside: tuple[str, ...] = ()
    """Services without which this one never gets healthy, though they in turn wait for it: started with it."""
    prepare: Callable[[Instance], None] = nothing
    """Makes the data folder on the first start; atomic, and nothing to do later."""
    marker: str = ""
    """File that a complete data folder has; its absence means the folder was half-written."""
    classpath: Callable[[Instance], list[Path]] | None = None
    fetch: Callable[[Instance], object] = nothing
    """Brings what is needed beside the jars into the cache."""

    @property
    def version(self) -> str:
        """Version that its POM pins."""
        return pinned_version(self.jars)

    def write_config(self, instance: Instance) -> None:
        """Render the configuration files."""
        folder = instance.conf(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        values = instance.values(self.name)
        for target, template in self.config.items():
            file = folder / target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # a configuration may hold a password
            file.write_text(render(template, values))

    def command(self, instance: Instance, main: str = "", arguments: list[str] | None = None) -> list[str]:
        """Return the command line of the server, or of another ``main`` on its class path (a formatting tool)."""
        java = ensure_java(self.java, instance.settings)
        flags = [f"-Dmeterlake.instance={instance.identity}", f"-Dmeterlake.service={self.name}"]
        flags += [
            f"-Xmx{self.heap}",
            f"-Duser.timezone={instance.settings.server_time_zone}",
            *self.flags(instance),
            *shlex.split(instance.settings.java_options),
        ]
        if main:
            flags.append("-XX:TieredStopAtLevel=1")  # a tool is over before compiling well has paid
        words = self.arguments(instance) if arguments is None else arguments
        return [str(java.executable), *flags, "-cp", self._classpath(instance), main or self.main, *words]

    def environment(self, instance: Instance) -> dict[str, str]:
        """Return the process environment: only what is listed, so that a user's HADOOP_… cannot leak in."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "USER") if name in os.environ}
        return kept | self.env(instance)

    def _classpath(self, instance: Instance) -> str:
        files = self.classpath(instance) if self.classpath else maven.resolve(self.jars, instance.settings)
        return os.pathsep.join([str(instance.conf(self.name)), *map(str, files)])


def opens(*packages: str) -> list[str]:
    """Return ``--add-opens`` flags for ``packages`` (module/package)."""
    return [f"--add-opens={package}=ALL-UNNAMED" for package in packages]


def exports(*packages: str) -> list[str]:
    """Return ``--add-exports`` flags for ``packages`` (module/package)."""
    return [f"--add-exports={package}=ALL-UNNAMED" for package in packages]
