"""Patterns of times in text, in Java's letters, such as ``d/M/yyyy`` or ``yyyy-MM-dd'T'HH:mm:ssXXX``.

| letters | what they are |
|--|--|
| ``d`` ``dd`` | day of the month; one letter takes one digit or two |
| ``M`` ``MM`` ``MMM`` ``MMMM`` | month: digits, ``Jan``, ``January`` (English, in capitals or not) |
| ``yy`` ``yyyy`` | year; of two digits, 69 to 99 are the 1900s |
| ``H`` ``HH`` | hour, 0 to 23 |
| ``h`` ``hh`` with ``a`` | hour, 1 to 12, with ``AM`` or ``PM`` |
| ``m`` ``mm``, ``s`` ``ss`` | minute, second |
| ``X`` ``XX`` ``XXX`` at the end | offset from UTC: ``+01``, ``+0100``, ``+01:00``, each also ``Z`` |

Text between single quotes stands for itself. A fraction of a second is ``.S`` with as many letters as it has digits, at
the end or before the offset: a reading begins at a whole second, so it may be left out and must be zero.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LETTERS: Final = {
    "d": ("%d", "[0-9]{1,2}"),
    "dd": ("%d", "[0-9]{2}"),
    "M": ("%m", "[0-9]{1,2}"),
    "MM": ("%m", "[0-9]{2}"),
    "MMM": ("%b", "[A-Za-z]{3}"),
    "MMMM": ("%B", "[A-Za-z]{3,9}"),
    "yy": ("%y", "[0-9]{2}"),
    "yyyy": ("%Y", "[0-9]{4}"),
    "H": ("%H", "[0-9]{1,2}"),
    "HH": ("%H", "[0-9]{2}"),
    "h": ("%I", "[0-9]{1,2}"),
    "hh": ("%I", "[0-9]{2}"),
    "m": ("%M", "[0-9]{1,2}"),
    "mm": ("%M", "[0-9]{2}"),
    "s": ("%S", "[0-9]{1,2}"),
    "ss": ("%S", "[0-9]{2}"),
    "a": ("%p", "[AaPp][Mm]"),
}
_OFFSETS: Final = {"X": "[+-][0-9]{2}", "XX": "[+-][0-9]{4}", "XXX": "[+-][0-9]{2}:[0-9]{2}"}
_FRACTION: Final = re.compile(r"[.,]S{1,9}$")
_PARTS: Final = re.compile(r"'([^']*)'|((?:d+|M+|y+|H+|h+|m+|s+|X+|[A-Za-z]))|([^A-Za-z']+)")
_HOURS: Final = ("H", "HH", "h", "hh")

FRACTION: Final = "[.,]0{1,9}$"
"""Regular expression of the fraction of a whole second; the same in all engines."""

ANY_FRACTION: Final = "[.,][0-9]{1,9}$"
"""Regular expression of the fraction of any second."""


class _Split(NamedTuple):
    """A pattern in its parts. main: without fraction and offset. offset: its letters, with a blank before them."""

    main: str
    has_fraction: bool
    offset: str


def _split(pattern: str) -> _Split:
    offset = re.search(r" ?(?<!X)X{1,3}$", pattern)
    rest = pattern[: offset.start()] if offset else pattern
    fraction = _FRACTION.search(rest)
    return _Split(rest[: fraction.start()] if fraction else rest, bool(fraction), offset[0] if offset else "")


def problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, or nothing."""
    main = _split(pattern).main
    if "".join(part[0] for part in _PARTS.finditer(main)) != main:
        return "a quote is not closed"
    words = [word for _, word, _ in _PARTS.findall(main) if word]
    unknown = [word for word in words if word not in LETTERS]
    if unknown:
        return f"its letters {', '.join(unknown)} are not among {', '.join(LETTERS)}, and .S and XXX at its end"
    lacking = [
        name for name, sign in (("day", "d"), ("month", "M"), ("year", "y")) if not any(sign in w for w in words)
    ]
    if lacking:
        return f"it says no {lacking[0]}"
    twelve = any(word in ("h", "hh") for word in words)
    if twelve != ("a" in words):
        return "h and hh count to 12, and need the letter a (AM or PM)" if twelve else "the letter a needs h or hh"
    return None


def has_fraction(pattern: str) -> bool:
    """Return whether seconds may have a fraction: at the end, or before the offset."""
    return _split(pattern).has_fraction


def has_offset(pattern: str) -> bool:
    """Return whether each time says its offset from UTC."""
    return bool(_split(pattern).offset)


def offset_regex(pattern: str) -> str:
    """Return what the offset at the end of a time looks like, as a regular expression with its end."""
    letters = _split(pattern).offset
    return f"{'[ ]' if letters[0] == ' ' else ''}(?:Z|{_OFFSETS[letters.strip()]})$"


def has_hours(pattern: str) -> bool:
    """Return whether a time says an hour, and not only a day."""
    return any(word in _HOURS for _, word, _ in _PARTS.findall(pattern))


def whole_seconds(pattern: str) -> str:
    """Return the pattern without fraction and offset."""
    return _split(pattern).main


def strptime(pattern: str) -> str:
    """Return the pattern without fraction and offset in C's letters."""
    return "".join(
        LETTERS[word][0] if word else (literal + other).replace("%", "%%")
        for literal, word, other in _PARTS.findall(whole_seconds(pattern))
    )


def characters(pattern: str) -> str:
    """Return what stands between the numbers of such a time."""
    return "".join(literal + other for literal, _, other in _PARTS.findall(pattern))


def regex(pattern: str) -> str:
    """Return what a time of the pattern without fraction and offset looks like, as a regular expression."""
    return "".join(
        LETTERS[word][1] if word else re.escape(literal + other)
        for literal, word, other in _PARTS.findall(whole_seconds(pattern))
    )


def midnight_regex(pattern: str) -> str | None:
    """Return what ``24:00`` looks like, the end of a day, with what stands before and after its hour as groups."""
    parts = _PARTS.findall(whole_seconds(pattern))
    at = [number for number, (_, word, _) in enumerate(parts) if word in ("H", "HH")]
    if len(at) != 1:
        return None
    zero = {"m": "0{1,2}", "mm": "00", "s": "0{1,2}", "ss": "00"}
    texts = [zero.get(word, LETTERS[word][1]) if word else re.escape(a + b) for a, word, b in parts]
    return f"^({''.join(texts[: at[0]])})24({''.join(texts[at[0] + 1 :])})$"
