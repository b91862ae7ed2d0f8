"""Files that a reader can go back in: some read the end first, or all of it twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, cast

_IN_MEMORY: Final = 64 << 20
_CHUNK: Final = 1 << 20


@contextmanager
def held(read: Callable[[int], bytes], length: int | None = None) -> Iterator[IO[bytes]]:
    """Hold a stream, or its next ``length`` bytes: in memory, or on disk where they are many.

    read: returns up to so many bytes, none at the end.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        left = length
        while left != 0 and (chunk := read(_CHUNK if left is None else min(left, _CHUNK))):
            file.write(chunk)
            left = None if left is None else left - len(chunk)
        file.seek(0)
        yield cast("IO[bytes]", file)
