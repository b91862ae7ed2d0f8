"""The bytes of a file, where a library needs more than to read on."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK: Final = 1 << 20
_IN_MEMORY: Final = 32 << 20


def seekable(stream: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """Return a stream that can be read again; where it must be, a copy: a large one lies in a temporary file."""
    if stream.seekable():
        return stream
    copy = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - closed by the stack
    shutil.copyfileobj(stream, copy, _CHUNK)
    copy.seek(0)
    return copy


def as_file(stream: IO[bytes], path: Path) -> None:
    """Write all bytes of a stream into a file, for libraries that open files themselves."""
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file, _CHUNK)
