"""Encodings of text files: other bytes are turned into UTF-8 before they are cut into lines.

What is no text in the file's encoding becomes a byte that is none in UTF-8 either: so its line is found, as in a file
of UTF-8, and the lines beside it are read.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Encoding: TypeAlias = Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"]
"""``utf-16`` says its order of bytes by its mark."""

ENCODINGS: Final[tuple[Encoding, ...]] = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1")

_MARKED: Final = "meterlake-marked"


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    odd = error.object[error.start : error.end]
    # One byte stays itself; of several, such as half a pair in UTF-16, none would be right.
    return (chr(0xDC00 + odd[0]) if len(odd) == 1 and odd[0] > 0x7F else "\udcff"), error.end


codecs.register_error(_MARKED, _marked)


class _Transcoder:
    """Reads a stream in one encoding, and returns it in UTF-8."""

    def __init__(self, read: Callable[[int], bytes], encoding: Encoding) -> None:
        self._read, self._encoding = read, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_MARKED)

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end."""
        while chunk := self._read(size):
            if text := self._decoder.decode(chunk):
                return _bytes(text)
        return _bytes(self._decoder.decode(b"", final=True))


def as_utf8(read: Callable[[int], bytes], encoding: Encoding) -> Callable[[int], bytes]:
    """Return how to read a stream as UTF-8. read: returns up to so many bytes, none at the end."""
    return read if encoding == "utf-8" else _Transcoder(read, encoding).read


def head_as_utf8(head: bytes, encoding: Encoding) -> bytes:
    """Return the beginning of a file as UTF-8; a character that is cut at its end is left out."""
    if encoding == "utf-8":
        return head
    return _bytes(codecs.getincrementaldecoder(encoding)(errors=_MARKED).decode(head))


def has_mark(head: bytes) -> bool:
    """Return whether a file begins with a byte order mark of UTF-16."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
