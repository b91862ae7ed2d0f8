"""Durations as people write them: ``500ms``, ``90s``, ``15m``, ``9h``, ``3d``, or several: ``1 d 12 h``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "min": "minutes", "s": "seconds", "ms": "milliseconds"}
_PART: Final = r"(\d+)\s*(d|h|min|ms|m|s)\s*"


def parse_duration(value: str) -> timedelta:
    """Return the duration of a text such as ``9h``. Raises ValueError for a text of another form."""
    text = value.strip().lower()
    if not re.fullmatch(f"(?:{_PART})+", text):
        raise ValueError(f"{value!r} is no duration; expected a number and a unit, such as 90s, 15m, 9h or 3d")
    parts = re.findall(_PART, text)
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def duration_text(duration: timedelta) -> str:
    """Write a duration as people do: ``500 ms``, ``6 h``, ``1 d 2 h``, ``9 h 10 min``."""
    rest = duration // timedelta(milliseconds=1)
    parts = []
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def _from_text(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_from_text), PlainSerializer(duration_text)]
"""A ``timedelta`` setting, written as above."""
