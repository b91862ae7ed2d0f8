"""Lines of a text file that are taken out, while all others keep their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.text.lines import LineEnds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_CHUNK: Final = 1 << 20


def blanked(read: Callable[[int], bytes], numbers: Collection[int]) -> Iterator[bytes]:
    """Yield a file with some lines blank: one blank and their ends stay. All other bytes are as they were.

    A line that were empty would make one end of a CR before it and the LF behind it.

    read: returns up to so many bytes, none at the end. numbers: of lines, counted from 1, as ``lines.blocks`` does.
    """
    ends, number, raw, even = LineEnds(), 1, b"", b""
    while True:
        chunk = read(_CHUNK)
        raw, even = raw + chunk, even + (ends.take(chunk) if chunk else ends.rest())
        begin, kept = 0, bytearray()
        while (end := even.find(b"\n", begin) + 1) > 0:
            body = len(even[begin : end - 1].rstrip(b"\r")) if number in numbers else 0
            kept += (b" " if body else b"") + raw[begin + body : end]
            begin, number = end, number + 1
        raw, even = raw[begin:], even[begin:]
        if kept:
            yield bytes(kept)
        if not chunk:
            break
    if raw:
        yield b" " if number in numbers else raw
