"""Unpacking a server's archive."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path


def extract(archive: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    """Unpack the ``wanted`` members of a tar.gz into ``target``, without the archive's top folder.

    wanted: asked with the path below the top folder. A hard link to a member that is not wanted gets its content.
    """
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
