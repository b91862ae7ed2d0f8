"""What a file is, by its first bytes; its name may lie. What is not read is named, with how to go on."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN: Final = "text"

Content: TypeAlias = Literal["text", "parquet", "sqlite", "json", "xml", "xlsx"]
"""What a file that can be read is, by its first bytes."""

BLOCK: Final = 512
"""So many first bytes say it."""
UNPACK: Final = "Unpack it first, or pack it by xz, gzip or zip."
_AS_CSV: Final = "Export it as CSV in UTF-8."
_DECLARE: Final = "Export it as CSV in UTF-8, or declare a format of it: see docs/formats."
_REFUSED: Final[dict[bytes, tuple[str, str]]] = {
    b"\x28\xb5\x2f\xfd": ("a zstd file", "Unpack it first: zstd -d FILE."),
    b"\x04\x22\x4d\x18": ("an LZ4 file", "Unpack it first: lz4 -d FILE."),
    b"\x1f\x9d": ("a compress (.Z) file", "Unpack it first: gzip -d FILE."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"Rar!": ("a rar archive", UNPACK),
    b"PK\x05\x06": ("an empty zip archive", "Give an archive of one text file."),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel workbook (xls), whatever its name", _AS_CSV),
    b"PAR1": ("a Parquet file", _DECLARE),
    b"ORC": ("an ORC file", _AS_CSV),
    b"Obj\x01": ("an Avro file", _AS_CSV),
    b"ARROW1": ("an Arrow (feather) file", _AS_CSV),
    b"SQLite format 3\x00": ("an SQLite database", _DECLARE),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _AS_CSV),
    b"%PDF-": ("a PDF document", _AS_CSV),
    b"\x89PNG\r\n\x1a\n": ("a picture (PNG)", _AS_CSV),
    b"\xff\xd8\xff": ("a picture (JPEG)", _AS_CSV),
    **dict.fromkeys((b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n"), ("R's saved data", _AS_CSV)),
    b"X\n\x00\x00\x00": ("R's saved data", _AS_CSV),
    b"MATLAB 5.0 MAT-file": ("a MATLAB file", _AS_CSV),
}
_BEGINNINGS: Final = {
    b"{": ("JSON", _DECLARE),
    b"[": ("JSON", _DECLARE),
    b"<!doctype html": ("a web page", "Download the file itself: this is perhaps the page of a login or an error."),
    b"<html": ("a web page", "Download the file itself: this is perhaps the page of a login or an error."),
    b"<?xml": ("XML", _DECLARE),
}
"""Of text, behind a mark and blanks, in any letters."""
_CONTENTS: Final[dict[bytes, Content]] = {
    b"PAR1": "parquet",
    b"SQLite format 3\x00": "sqlite",
    b"{": "json",
    b"[": "json",
    b"<?xml": "xml",
    b"<feed": "xml",
}
_WORKBOOK_PARTS: Final = (b"[Content_Types].xml", b"docProps/", b"xl/", b"_rels/")

_DOCUMENTS: Final = {
    "word/document.xml": "a Word document (docx)",
    "ppt/presentation.xml": "a PowerPoint presentation (pptx)",
    "[Content_Types].xml": "an Excel workbook (xlsx)",
    "mimetype": "an OpenDocument file (ods)",
}
"""Members of archives that are documents."""
_OF_WINDOWS: Final = ("thumbs.db", "desktop.ini")


class NotText(Exception):
    """A file is, or holds, something else than one text file. problem: without the path; hint: how to go on."""

    def __init__(self, problem: str, hint: str) -> None:
        self.problem, self.hint = problem, hint
        super().__init__(problem)


def content(head: bytes) -> Content | None:
    """Return what a file that begins with ``head`` is, where its first bytes say it; None for text and all else."""
    if head.startswith(b"PK\x03\x04"):
        # The name of the first file in the archive.
        return "xlsx" if head[30:].startswith(_WORKBOOK_PARTS) else None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((result for magic, result in _CONTENTS.items() if start.startswith(magic)), None)


def kind_of(head: bytes) -> str:
    """Return how a file that begins with ``head`` is packed; PLAIN if it is not."""
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "tar" if _is_tar(head) else PLAIN


def _is_tar(head: bytes) -> bool:
    """Return whether a block is the header of a member: its checksum tells."""
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def check_text(head: bytes) -> None:
    """Raise NotText where a file that begins with ``head`` is no text, as far as its first bytes say it."""
    result = next((named for magic, named in _REFUSED.items() if head.startswith(magic)), None)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    result = result or next((named for magic, named in _BEGINNINGS.items() if start.startswith(magic)), None)
    if result:
        name, hint = result
        raise NotText(f"is {name}", hint)


def check_members(names: Iterable[str]) -> None:
    """Raise NotText where a zip archive with such members is a document."""
    result = {*names}
    if document := next((title for name, title in _DOCUMENTS.items() if name in result), None):
        raise NotText(f"is {document}", _AS_CSV)


def is_hidden(name: str) -> bool:
    """Return whether a file of a folder or an archive is hidden, or one that macOS or Windows adds."""
    parts = name.split("/")
    added = parts[0] == "__MACOSX" or parts[-1].lower() in _OF_WINDOWS
    return added or any(part.startswith(".") and part.strip(".") for part in parts)
