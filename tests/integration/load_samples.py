"""Small files of readings for the tests of load, right and wrong."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

from batch_layer.ingest.errors import BrokenArchive, NotThisFormat
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.errors import MeterlakeError
from meterlake.text.head import EmptyInput, WrongEncoding, WrongHeader

HEADER = HOUSEHOLD_TEXT.header
VALUES = "4.216;0.418;234.840;18.400;0.000;1.000;17.000"
DAY = [f"16/12/2006;{minute // 60:02}:{minute % 60:02}:00;{VALUES}" for minute in range(1440)]
GAP = "17/12/2006;00:00:00;?;?;?;?;?;?;"


def text_of(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [HEADER, *lines]).encode()


def cut_tar(name: str, content: bytes) -> bytes:
    """Return a tar archive that is cut off behind its first member."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        return made.getvalue()


def changed(packed: bytes) -> bytes:
    """Return what gzip has packed, as if one of its bytes had changed: its checksum differs."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


def write(folder: Path, content: bytes, name: str = "file.txt") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


SWAPPED = [f"{12}/{16 + n % 12}/2006;00:{n % 60:02}:00;{VALUES}" for n in range(100)]
REFUSED: list[tuple[bytes, type[MeterlakeError], str]] = [
    (b"", EmptyInput, "empty"),
    (text_of([]), EmptyInput, "no reading"),
    (text_of(DAY).replace(b";Voltage", b""), WrongHeader, "missing Voltage"),
    (text_of(DAY).replace(b";Voltage", b";Voltage;Extra"), WrongHeader, "unknown Extra"),
    (text_of(DAY).decode().encode("utf-16"), WrongEncoding, "UTF-16"),
    (lzma.compress(text_of(DAY))[:-40], BrokenArchive, "cut off"),
    (text_of(SWAPPED), NotThisFormat, "100 of 100 lines are no readings.*bad_time"),
]
"""Content, and the error that it is refused with."""
