"""Archives that are cut off or changed anywhere are refused, or give what was packed: nothing is lost in silence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from batch_layer.ingest.errors import BrokenArchive, Unreadable
from batch_layer.ingest.places import Entry
from batch_layer.ingest.sources import Source, sources
from meterlake.settings import Settings

pytestmark = pytest.mark.unit
FUZZED: Final = 2 * int(os.environ.get("METERLAKE_FUZZED_FILES", "25"))
"""How many damaged archives of each kind; METERLAKE_FUZZED_FILES for more."""
MEMBERS: Final = {f"{name}.csv": "".join(f"{name};{n};{n * 7919 % 1000}\n" for n in range(120)) for name in "abc"}


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, text in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def zipped(method: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, text in MEMBERS.items():
            archive.writestr(name, text)
    return made.getvalue()


ARCHIVES: Final = {
    "zip": zipped(zipfile.ZIP_DEFLATED),
    "zip, stored": zipped(zipfile.ZIP_STORED),
    "tar.gz": gzip.compress(tarred(), mtime=0),
    "tar.xz": lzma.compress(tarred()),
    "tar.bz2": bz2.compress(tarred()),
}
"""Kinds with checksums."""


def damaged(content: bytes, seed: int) -> bytes:
    chance, changed = random.Random(seed), bytearray(content)  # noqa: S311
    at, kind = chance.randrange(len(content)), seed % 5
    if kind == 0:
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        changed[at] = chance.randrange(256)
    elif kind == 2:
        del changed[at : at + chance.randint(1, 40)]
    elif kind == 3:
        changed[at:at] = chance.randbytes(chance.randint(1, 8))
    else:
        del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_damaged_archive_is_refused_or_gives_what_was_packed(kind: str, tmp_path: Path) -> None:
    file, whole = tmp_path / "f", sorted(text.encode() for text in MEMBERS.values())
    settings, refused = Settings(), 0
    for seed in range(FUZZED):
        content = damaged(ARCHIVES[kind], seed)
        file.write_bytes(content)
        read: list[bytes] = []
        try:
            for source in sources(settings, Entry(str(file), "f", len(content)), "", (), lambda _: None):
                if not isinstance(source, Source):
                    raise source
                read.append(b"".join(iter(source.read, b"")))
        except (BrokenArchive, Unreadable):
            refused += 1
            continue
        # Without its first bytes it is no archive to anybody: one file, of no format.
        assert sorted(read) == whole or read == [content], f"seed {seed}"
    assert refused > FUZZED // 2
