"""Extracts as SAP sends them: XML files of IDocs, in which a segment is a row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

CONTROL: Final = "EDI_DC40"
SEGMENT: Final = "SEGMENT"
"""The control record of an IDoc, which is about its transfer, and the attribute that all segments have."""


class BadIdoc(PermanentError):
    """A file is no IDoc of one table."""


def columns_of(path: Path) -> list[str]:
    """Return the fields that segments of a file have: any of them may leave out what is empty. Raises BadIdoc."""
    return list(dict.fromkeys(name for segment in segments(path) for name in segment))


def segments(path: Path) -> Iterator[dict[str, str]]:
    """Yield the fields of each segment but control records, in bounded memory. Raises BadIdoc."""
    table = ""
    try:
        with path.open("rb") as file:
            open_elements = []
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                if event == "start":
                    open_elements.append(element)
                    continue
                open_elements.pop()
                if SEGMENT not in element.attrib:
                    continue
                if element.tag != CONTROL:
                    table = table or element.tag
                    if element.tag != table:
                        raise _bad(path, f"has segments {table} and {element.tag}")
                    yield _fields(path, element)
                if open_elements:
                    open_elements[-1].remove(element)
    except (ParseError, DefusedXmlException) as error:
        raise _bad(path, f"is no XML that may be read: {error}") from error
    if not table:
        raise _bad(path, "has no segment with a row")


def _fields(path: Path, segment: Element) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field in segment:
        if len(field):
            raise _bad(path, f"has {field.tag} within {segment.tag}")
        if field.tag in fields:
            raise _bad(path, f"has {field.tag} twice in one {segment.tag}")
        fields[field.tag] = (field.text or "").strip()
    return fields


def _bad(path: Path, what: str) -> BadIdoc:
    return BadIdoc(
        f"{path} {what}.",
        hint="An extract has segments of one table, a row each, with plain fields. Nothing was landed.",
    )
