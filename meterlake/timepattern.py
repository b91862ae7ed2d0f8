"""Patterns of times in text, in Java's letters, such as ``d/M/yyyy`` or ``yyyy-MM-dd'T'HH:mm:ss``.

Text between single quotes stands for itself. A fraction of a second is ``.S`` with as many letters as it has digits: a
reading begins at a whole second, so it may be left out and must be zero.
"""

from __future__ import annotations

import re
from typing import Final

_STRPTIME: Final = {
    "d": "%d",
    "dd": "%d",
    "M": "%m",
    "MM": "%m",
    "yyyy": "%Y",
    "H": "%H",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
}
_FRACTION: Final = re.compile(r"[.,]S{1,9}")
_PARTS: Final = re.compile(r"'([^']*)'|((?:d+|M+|y+|H+|m+|s+|[A-Za-z]))|([^A-Za-z']+)")

FRACTION: Final = "[.,]0{1,9}$"
"""Regular expression of the fraction of a whole second; the same in all engines."""


def problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, or nothing."""
    if "".join(part[0] for part in _PARTS.finditer(whole_seconds(pattern))) != whole_seconds(pattern):
        return "a quote is not closed"
    unknown = [word for _, word, _ in _PARTS.findall(whole_seconds(pattern)) if word and word not in _STRPTIME]
    if unknown:
        return f"its letters {', '.join(unknown)} are not among {', '.join(_STRPTIME)} and .S at its end"
    return None


def has_fraction(pattern: str) -> bool:
    """Return whether seconds may have a fraction: at the end only."""
    fraction = _FRACTION.search(pattern)
    return fraction is not None and fraction.end() == len(pattern)


def whole_seconds(pattern: str) -> str:
    """Return the pattern without the fraction."""
    return _FRACTION.sub("", pattern) if has_fraction(pattern) else pattern


def strptime(pattern: str) -> str:
    """Return the pattern without the fraction in C's letters."""
    return "".join(
        _STRPTIME[word] if word else (literal + other).replace("%", "%%")
        for literal, word, other in _PARTS.findall(whole_seconds(pattern))
    )


def characters(pattern: str) -> str:
    """Return what stands between the numbers of such a time."""
    return "".join(literal + other for literal, _, other in _PARTS.findall(pattern))


def regex(pattern: str) -> str:
    """Return what a time of the pattern without the fraction looks like, as a regular expression of all engines."""
    return "".join(
        _digits(word) if word else re.escape(literal + other)
        for literal, word, other in _PARTS.findall(whole_seconds(pattern))
    )


def _digits(word: str) -> str:
    return f"[0-9]{{{len(word)}}}" if len(word) > 1 else "[0-9]{1,2}"
