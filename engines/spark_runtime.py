"""What the Spark driver runs on: named by settings, or brought by a provider from outside. Engines download nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meterlake.errors import PermanentError
from meterlake.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meterlake.settings import Settings


class NoRuntime(PermanentError):
    """What Spark needs beside itself is not named, or not there."""


@dataclass(frozen=True)
class Runtime:
    """What a driver runs on. jars: for its class path. java_home: None takes that of the environment."""

    jars: tuple[Path, ...]
    java_home: Path | None = None


_providers: list[Callable[[Settings], Runtime]] = []


def provide(provider: Callable[[Settings], Runtime]) -> None:
    """Let ``provider`` say what drivers of this process run on; called where the layers are joined."""
    _providers[:] = [provider]


def runtime(settings: Settings) -> Runtime:
    """Return what a driver runs on: what the settings name, or else what the provider brings.

    Raises NoRuntime when neither is there, or what is named is not; and what the provider raises.
    """
    if settings.spark_jars:
        return Runtime(tuple(_named_jars(settings.spark_jars)))
    if settings.spark_home is not None:
        return Runtime(())
    if not _providers:
        raise NoRuntime(
            "Nothing names the jars that Spark needs for Iceberg, Delta and Kafka.",
            hint=f"Set {PREFIX}SPARK_JARS to their folder, or {PREFIX}SPARK_HOME to a Spark that has them; in code,"
            " call engines.spark_runtime.provide(stack.runtime.spark.runtime).",
        )
    return _providers[0](settings)


def _named_jars(named: str) -> Iterator[Path]:
    """Return the jars of a list of files and folders."""
    for part in named.split(","):
        path = Path(part.strip())
        files = sorted(path.glob("*.jar")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise NoRuntime(
                f"{PREFIX}SPARK_JARS names {path}, which is no jar and no folder with jars.",
                hint="Expected files and folders, comma separated.",
            )
        yield from files
