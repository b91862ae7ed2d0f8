"""Ids of meters: what can be one, and which one a file's name says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meterlake.errors import NOTHING_LOADED, PermanentError, UsageError
from meterlake.schema import KEY_PATTERN
from meterlake.text.values import BLANKS

if TYPE_CHECKING:
    from meterlake.fileformats import Format


class NoMeter(PermanentError):
    """The name of a file does not say whose readings it holds."""

    def __init__(self, path: str, pattern: str, name: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: the pattern {pattern!r} finds no meter in the name {name!r}.",
            hint=f"{NOTHING_LOADED} Give a pattern that matches the names of all files.",
        )


def check_meter_id(meter_id: str) -> str:
    """Return ``meter_id`` without the blanks around it. Raises UsageError if it cannot be a meter's name."""
    trimmed = meter_id.strip(BLANKS)
    if not re.fullmatch(KEY_PATTERN.strip("^$"), trimmed):
        raise UsageError(
            f"The meter id {meter_id!r} cannot be used.",
            hint="Use 1 to 128 characters: letters, digits, signs and blanks, but no control characters.",
        )
    return trimmed


def pattern_problem(pattern: str) -> str | None:
    """Return why a regular expression cannot say the meter, if so."""
    try:
        groups = re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"
    if groups.groups != 1 and "meter" not in groups.groupindex:
        return f"has {groups.groups} groups, and none is called meter"
    return None


def meter_by(pattern: str, path: str, name: str) -> str:
    """Return the meter that a pattern finds in the name of a file. Raises NoMeter, or UsageError for what is none."""
    result = re.search(pattern, name)
    meter = result and (result["meter"] if "meter" in result.re.groupindex else result[1])
    if not meter:
        raise NoMeter(path, pattern, name)
    return check_meter_id(meter)


def meter_of_file(form: Format, path: str, name: str) -> str:
    """Return the meter of all rows of a file as its format says it; empty where the file says it. Raises NoMeter."""
    if form.has_meters or not form.meter_from_name:
        return "" if form.has_meters else form.meter_id
    return meter_by(form.meter_from_name, path, name)
