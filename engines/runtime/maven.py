"""Jars of a service: resolved by Maven from one pinned POM a service into the cache, and checked against its lock.

``jars/<name>.xml`` pins what we ask for; ``jars/<name>.lock`` pins the whole closure, a line a file: sha256 and path in
the cache's Maven repository, in class path order. A stamp in the cache says that this lock was resolved and checked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.runtime.errors import ArtifactError, MissingTool
from engines.runtime.java import ensure_java
from meterlake.settings import Settings

JARS = Path(__file__).parent / "jars"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

Progress = Callable[[str, int, int], None]
"""Called with (artifact, files there, files wanted)."""


@dataclass(frozen=True)
class Locked:
    """One file of a closure: its checksum and where it lies below the Maven repository."""

    sha256: str
    path: str


def names() -> list[str]:
    """Return the names of all pinned POMs."""
    return sorted(file.stem for file in JARS.glob("*.xml") if file.stem != "maven-settings")


def pinned_version(name: str) -> str:
    """Return the version of the first artifact in the POM of ``name``: the version of the engine."""
    text = (JARS / f"{name}.xml").read_text()
    (version, *_) = re.findall(r"<version>(.+?)</version>", text.partition("<dependencies>")[2])
    return str(version)


def read_lock(name: str) -> list[Locked]:
    """Return the locked closure of ``name``, in class path order."""
    lines = (JARS / f"{name}.lock").read_text().splitlines()
    return [Locked(*line.split("  ", 1)) for line in lines if line and not line.startswith("#")]


def missing(settings: Settings, wanted: list[str]) -> list[str]:
    """Return those of ``wanted`` that would have to be downloaded."""
    return [name for name in wanted if not _is_resolved(name, settings)]


def resolve(name: str, settings: Settings, progress: Progress | None = None) -> list[Path]:
    """Return the files of ``name`` in class path order, downloading what is not in the cache.

    Raises MissingTool without Maven, ArtifactError when Maven fails or a file is not the locked one.
    """
    if not _is_resolved(name, settings):
        with _cache_lock(settings):
            if not _is_resolved(name, settings):
                _download(name, settings, progress)
                _check(name, settings)
                _stamp(name, settings).parent.mkdir(parents=True, exist_ok=True)
                _stamp(name, settings).touch()
    return [_repository(settings) / locked.path for locked in read_lock(name)]


def unpacked_folder(name: str, settings: Settings) -> Path:
    """Return where ``unpacked`` puts the archive of ``name``."""
    return settings.cache_dir / "unpacked" / f"{name}-{_lock_hash(name)}"


def unpacked(name: str, settings: Settings, wanted: Callable[[str], bool]) -> Path:
    """Return the folder with the ``wanted`` members of the one tar.gz of ``name``, unpacked once.

    The archive's top folder is dropped.
    """
    target = unpacked_folder(name, settings)
    if target.is_dir():
        return target
    (archive,) = resolve(name, settings)
    with _cache_lock(settings):
        if target.is_dir():
            return target
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        extract(archive, partial, wanted)
        partial.rename(target)
    return target


def extract(archive: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    """Unpack the ``wanted`` members of ``archive``; a hard link to a member that is not wanted gets its content."""
    places: dict[str, list[Path]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if name and wanted(name) and not member.isdir():
                source = member.linkname if member.islnk() else member.name
                places.setdefault(source, []).append(target / name)
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in places and member.isfile() else None
            if content is None:
                continue
            first, *others = places[member.name]
            first.parent.mkdir(parents=True, exist_ok=True)
            with content, first.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            for other in others:
                other.parent.mkdir(parents=True, exist_ok=True)
                other.hardlink_to(first)


def write_lock(name: str, settings: Settings) -> int:
    """Resolve the POM of ``name`` afresh and write its lock; return how many files it has."""
    _run_maven(name, settings, on_line=lambda _: None)
    repository = _repository(settings)
    listed = (settings.cache_dir / f"{name}.classpath").read_text().split("\n")
    # Test jars carry classes that shadow the real ones; a POM cannot exclude them by classifier.
    files = [Path(line) for line in listed if line and not line.endswith("-tests.jar")]
    if not files:
        files = _archives(name, repository)
    lines = [f"{_sha256(file)}  {file.relative_to(repository)}" for file in files]
    (JARS / f"{name}.lock").write_text("\n".join(["# sha256  path in the Maven repository", *lines]) + "\n")
    return len(lines)


def _archives(name: str, repository: Path) -> list[Path]:
    """Return the tar.gz files that the POM of ``name`` names (they are not on a class path)."""
    import xml.etree.ElementTree as ET

    space = "{http://maven.apache.org/POM/4.0.0}"
    found = []
    for item in ET.parse(JARS / f"{name}.xml").iter(f"{space}dependency"):  # noqa: S314
        group, artifact, version, kind = (
            item.findtext(space + key, "") for key in ("groupId", "artifactId", "version", "type")
        )
        classifier = item.findtext(space + "classifier")
        file = f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.{kind}"
        found.append(repository / group.replace(".", "/") / artifact / version / file)
    return found


def find_maven() -> str:
    """Return the Maven program. Raises MissingTool with the package to install."""
    found = shutil.which("mvn")
    if not found:
        raise MissingTool(
            "Maven (mvn) is not on the PATH; the servers' jars are resolved with it.",
            hint="Debian, Ubuntu: apt-get install maven; Fedora: dnf install maven; macOS: brew install maven.",
        )
    return found


def _download(name: str, settings: Settings, progress: Progress | None) -> None:
    wanted = read_lock(name)
    repository = _repository(settings)

    def report(line: str) -> None:
        if progress and line.startswith(("Downloaded", "Progress")):
            progress(name, sum((repository / item.path).exists() for item in wanted), len(wanted))

    _run_maven(name, settings, on_line=report)
    if progress:
        progress(name, len(wanted), len(wanted))


def _run_maven(name: str, settings: Settings, on_line: Callable[[str], None]) -> None:
    """Let Maven resolve the POM of ``name`` into the cache's repository, feeding its output to ``on_line``."""
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    command = [find_maven(), "-B", "-gs", str(JARS / "maven-settings.xml"), "-f", str(JARS / f"{name}.xml")]
    command += [
        f"-Dmaven.repo.local={_repository(settings)}",
        f"-Dmdep.outputFile={settings.cache_dir / name}.classpath",
    ]
    command += ["-Dmdep.pathSeparator=\n", "-Dmdep.regenerateFile=true", f"{PLUGIN}:build-classpath"]
    java_home = str(ensure_java(17, settings).home)
    output: list[str] = []
    with subprocess.Popen(  # noqa: S603 - fixed words
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "JAVA_HOME": java_home},
    ) as maven:
        for line in maven.stdout or ():
            output.append(line)
            on_line(line)
    if maven.returncode:
        errors = [line.strip() for line in output if "ERROR" in line][:6] or output[-6:]
        raise ArtifactError(
            f"Maven could not resolve the jars of {name}: {' '.join(errors)}",
            hint="Check the network and the proxy or mirror in your Maven settings.xml, then run it again.",
        )


def _check(name: str, settings: Settings) -> None:
    """Compare every file with the lock. Raises ArtifactError naming the ones that differ."""
    repository = _repository(settings)
    locked = read_lock(name)
    with ThreadPoolExecutor(2) as pool:
        sums = list(pool.map(lambda item: _sha256(repository / item.path), locked))
    wrong = [item.path for item, found in zip(locked, sums, strict=True) if found != item.sha256]
    if wrong:
        for path in wrong:
            (repository / path).unlink(missing_ok=True)
        raise ArtifactError(
            f"{len(wrong)} files of {name} are not the locked ones and were removed: {', '.join(wrong[:3])}.",
            hint="Run it again; if it stays, the repository or mirror serves other files than engines/runtime/jars pins.",
        )


def _is_resolved(name: str, settings: Settings) -> bool:
    repository = _repository(settings)
    return _stamp(name, settings).exists() and all((repository / item.path).exists() for item in read_lock(name))


def _stamp(name: str, settings: Settings) -> Path:
    return settings.cache_dir / "checked" / f"{name}-{_lock_hash(name)}"


def _lock_hash(name: str) -> str:
    return hashlib.sha256((JARS / f"{name}.lock").read_bytes()).hexdigest()[:12]


def _repository(settings: Settings) -> Path:
    return settings.cache_dir / "maven"


def _sha256(file: Path) -> str:
    if not file.exists():
        return "missing"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _cache_lock(settings: Settings) -> Iterator[None]:
    """Keep two processes from filling the cache at once; the kernel lets go of it when a process ends."""
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with (settings.cache_dir / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
