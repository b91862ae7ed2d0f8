"""What a line of a text file is: the one decision of all that read such files (load, verify, simulate).

A line ends with LF, CR LF, CR CR LF (CR LF that was translated twice) or a single CR, whatever other lines of the file
end with; the last needs no end. A byte order mark belongs to no line. A line over MAX_LINE_BYTES, with a NUL byte, or
that is not text in the file's encoding, is a line, but no text.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.text.encoding import Encoding

MAX_LINE_BYTES: Final = 1 << 20
"""Longer lines are no readings; they are cut while they are read, so that nothing has to hold them."""

LINE_TOO_LONG: Final = "line_too_long"
NUL_BYTE: Final = "nul_byte"
NOT_UTF8: Final = "not_utf8"
NOT_UTF16: Final = "not_utf16"
NOT_WINDOWS_1252: Final = "not_windows_1252"
UNDECODED: Final = (LINE_TOO_LONG, NUL_BYTE, NOT_UTF8, NOT_UTF16, NOT_WINDOWS_1252)
"""Reasons of lines that are not text: quarantine holds their bytes in Base64."""

UNDECODED_BYTES: Final = 4096
"""Of such a line, quarantine keeps this much; the whole stands in the raw file."""

CHUNK: Final = 1 << 20

_NOT_TEXT: Final[dict[str, str]] = {
    "utf-16": NOT_UTF16,
    "utf-16-le": NOT_UTF16,
    "utf-16-be": NOT_UTF16,
    "windows-1252": NOT_WINDOWS_1252,
}
_LONE: Final = re.compile(rb"\r(?!\r?\n)")
_HELD: Final = 2
_CUT: Final = MAX_LINE_BYTES + 1


class LineEnds:
    """Turns each single CR into LF; what it returns of a stream has as many bytes as the stream.

    So afterwards a line ends with LF, before which CRs may stand that are not part of it.
    """

    def __init__(self) -> None:
        self._held = b""

    def take(self, chunk: bytes) -> bytes:
        """Return the next chunk; CRs at its end are held back, since what follows decides."""
        if not self._held and b"\r" not in chunk:
            return chunk
        whole = self._held + chunk
        kept = min(_HELD, len(whole) - len(whole.rstrip(b"\r")))
        cut = len(whole) - kept
        self._held = whole[cut:]
        return _LONE.sub(b"\n", whole[:cut])

    def rest(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return held.replace(b"\r", b"\n")


@dataclass(frozen=True)
class Block:
    """Lines in order, without their ends. undecoded: why a line is no text, by its place; its text is then the
    beginning of its bytes in Base64.

    first: number of the first line, counted from 1.
    """

    first: int
    texts: list[str]
    undecoded: dict[int, str] = field(default_factory=dict)


def first_line(head: bytes) -> tuple[bytes, bytes]:
    """Return the first line of a file that begins with ``head``, without mark and end, and what follows it."""
    line, _, rest = whole_lines(head).partition(b"\n")
    return line.rstrip(b"\r"), rest


def whole_lines(head: bytes) -> bytes:
    """Return the beginning of a file without its mark, each line ended by LF, before which CRs may stand."""
    ends = LineEnds()
    return ends.take(head.removeprefix(codecs.BOM_UTF8)) + ends.rest()


def blocks(read: Callable[[int], bytes], first: int = 1, encoding: Encoding = "utf-8") -> Iterator[Block]:
    """Yield all lines of a stream of UTF-8, the header included. read: returns up to so many bytes, none at the end.

    first: number of the stream's first line, where it is a part of a file. encoding: what the stream was before
    ``encoding.as_utf8``, for the reason of what is no text.
    """
    reason = _NOT_TEXT.get(encoding, NOT_UTF8)
    ends, number, open_line, begun = LineEnds(), first, b"", first > 1
    while True:
        chunk = read(CHUNK)
        data = ends.take(chunk) if chunk else ends.rest()
        if not begun and data:
            data, begun = data.removeprefix(codecs.BOM_UTF8), True
        whole, result, rest = data.rpartition(b"\n")
        if result:
            yield _block(number, open_line + whole, reason)
            number += whole.count(b"\n") + 1
            open_line = rest
        else:
            open_line = (open_line + data)[:_CUT]
        if not chunk:
            break
    if open_line:
        yield _block(number, open_line, reason)


def _block(first: int, data: bytes, not_text: str) -> Block:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    end = data.find(b"\n")
    # Of a chunk's lines, only the first can be too long.
    if "\0" in text or (len(data) if end < 0 else end) > MAX_LINE_BYTES:
        return _checked(first, data.split(b"\n"), not_text)
    lines = text.split("\n")
    return Block(first, [line.rstrip("\r") for line in lines] if "\r" in text else lines)


def _checked(first: int, lines: list[bytes], not_text: str) -> Block:
    block = Block(first, [])
    for at, line in enumerate(lines):
        reason, text = _decoded(line.rstrip(b"\r"), not_text)
        block.texts.append(text)
        if reason:
            block.undecoded[at] = reason
    return block


def _decoded(line: bytes, not_text: str) -> tuple[str | None, str]:
    if len(line) > MAX_LINE_BYTES:
        return LINE_TOO_LONG, _base64(line)
    if b"\0" in line:
        return NUL_BYTE, _base64(line)
    try:
        return None, line.decode()
    except UnicodeDecodeError:
        return not_text, _base64(line)


def _base64(line: bytes) -> str:
    return base64.b64encode(line[:UNDECODED_BYTES]).decode()
