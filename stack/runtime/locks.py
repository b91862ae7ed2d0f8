"""Pinned jars: ``jars/<name>.xml`` says what is asked for, ``jars/<name>.lock`` holds every file of the closure.

A line of a lock is a file, in class path order: SHA-256, size in bytes, path in the cache's Maven repository.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

JARS = Path(__file__).parent / "jars"
PARTS = {
    "hive-schema": ("scripts/",),
    # Of sixty plugins those that the catalogs in stack/templates/trino name.
    "trino": ("lib/", "plugin/cassandra/", "plugin/delta-lake/", "plugin/hive/", "plugin/iceberg/"),
}
"""What is used of an archive, as beginnings of paths below its top folder."""
_SPACE = "{http://maven.apache.org/POM/4.0.0}"


@dataclass(frozen=True)
class Locked:
    """One file of a closure: checksum, size in bytes, and where it lies below the Maven repository."""

    sha256: str
    size: int
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
    parts = (line.split("  ", 2) for line in lines if line and not line.startswith("#"))
    return [Locked(sha256, int(size), path) for sha256, size, path in parts]


def write_lock(name: str, files: list[Path], repository: Path) -> None:
    """Write the lock of ``name``: ``files``, which lie below ``repository``, in class path order."""
    lines = [f"{sha256(file)}  {file.stat().st_size}  {file.relative_to(repository)}" for file in files]
    header = "# sha256  bytes  path in the Maven repository"
    (JARS / f"{name}.lock").write_text("\n".join([header, *lines]) + "\n")


def lock_hash(name: str) -> str:
    """Return a short name for this very lock."""
    return hashlib.sha256((JARS / f"{name}.lock").read_bytes()).hexdigest()[:12]


def parts_hash(name: str) -> str:
    """Return a short name for what is used of the archive of ``name``."""
    return hashlib.sha256("\n".join(PARTS[name]).encode()).hexdigest()[:8]


def archives(name: str, repository: Path) -> list[Path]:
    """Return the tar.gz files that the POM of ``name`` names (they are not on a class path)."""
    files = []
    for item in ET.parse(JARS / f"{name}.xml").iter(f"{_SPACE}dependency"):  # noqa: S314
        group, artifact, version, kind = (
            item.findtext(_SPACE + key, "") for key in ("groupId", "artifactId", "version", "type")
        )
        classifier = item.findtext(_SPACE + "classifier")
        file = f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.{kind}"
        files.append(repository / group.replace(".", "/") / artifact / version / file)
    return files


def sha256(file: Path) -> str:
    """Return the checksum of ``file``, or ``missing``."""
    if not file.exists():
        return "missing"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
