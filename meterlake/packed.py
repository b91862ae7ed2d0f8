"""Local files as they are or packed by xz, gzip or zip: their first bytes tell, their names may lie."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

DAMAGED: Final = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError)
"""What reading raises where a packed file is cut off or damaged."""


class NotOneFile(Exception):
    """An archive does not hold exactly one file."""


def opened(path: Path, stack: ExitStack) -> IO[Any]:
    """Return a file's unpacked bytes. Raises OSError, one of DAMAGED, or NotOneFile."""
    raw = stack.enter_context(path.open("rb"))
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(b"\xfd7zXZ"):
        return stack.enter_context(lzma.open(raw))
    if head.startswith(b"\x1f\x8b"):
        return stack.enter_context(cast("IO[bytes]", gzip.open(raw)))
    if head.startswith(b"PK\x03\x04"):
        archive = stack.enter_context(zipfile.ZipFile(raw))
        files = [item for item in archive.infolist() if not item.is_dir()]
        if len(files) != 1:
            raise NotOneFile(f"holds {len(files)} files instead of one")
        return stack.enter_context(archive.open(files[0]))
    return raw
