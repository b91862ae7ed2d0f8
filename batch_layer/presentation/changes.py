"""What a run of the presentation computes again: what its inputs have changed since the run before. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from batch_layer.views import tables
from meterlake import ddl, slices, timegrid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterlake.assignments import Touched

PartsOf = Callable[[str], "Mapping[str, str]"]
"""Takes a slice's folder; returns slice -> folder of those that it was merged of, nothing where it was not."""


@dataclass(frozen=True)
class Inputs:
    """What a run has read. folders: partition of the finest view -> folder. recorded: when each reference table
    had changed last.
    """

    folders: Mapping[str, str]
    recorded: Mapping[str, datetime]

    def as_json(self) -> dict[str, object]:
        """Return it as the record of runs has it."""
        recorded = {name: time.isoformat() for name, time in self.recorded.items()}
        return {"folders": dict(self.folders), "recorded": recorded}

    @classmethod
    def of(cls, recorded: Mapping[str, Mapping[str, str]]) -> Inputs:
        """Return it from a record."""
        times = {name: datetime.fromisoformat(time) for name, time in recorded["recorded"].items()}
        return cls(dict(recorded["folders"]), times)


def changed_slices(before: Mapping[str, str], after: Mapping[str, str], parts_of: PartsOf) -> list[str]:
    """Return the slices whose rows may differ: they lie in another folder, are new, or are gone.

    Slices that have been merged count as what they are made of: a merge changes no row.
    """
    old = _with_rows(before)
    new = _apart(_with_rows(after), old, parts_of)
    return sorted({tables.slice_name(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)})


def _with_rows(folders: Mapping[str, str]) -> dict[str, str]:
    """Return the partitions but for those that are announced, or have been merged into others."""
    return {name: folder for name, folder in folders.items() if not folder.endswith(f"/{ddl.EMPTY_FOLDER}")}


def _apart(folders: Mapping[str, str], before: Mapping[str, str], parts_of: PartsOf) -> dict[str, str]:
    """Return partitions with each new one that was merged replaced by what it is made of."""
    result: dict[str, str] = {}
    for name, folder in folders.items():
        parts = {} if before.get(name) == folder else parts_of(folder)
        named = {f"{name.rpartition('=')[0]}={part}": place for part, place in parts.items()}
        result |= _apart(named, before, parts_of) if named else {name: folder}
    return result


def local_days(changed: Iterable[str], time_zone: str) -> tuple[date, ...]:
    """Return the local days in which rows of some slices may lie."""
    days: set[date] = set()
    for name in changed:
        begin, end = bounds(name)
        first, last = (timegrid.local_day(int(at.timestamp()), time_zone) for at in (begin, end - timedelta(seconds=1)))
        days.update(first + timedelta(days=number) for number in range((last - first).days + 1))
    return tuple(sorted(days))


def bounds(name: str) -> tuple[datetime, datetime]:
    """Return the first instant of a slice, and the first after it."""
    if slices.level_of(name) == "hour":
        begin = datetime.fromisoformat(f"{name}:00:00+00:00")
        return begin, begin + timedelta(hours=1)
    first = date.fromisoformat({4: f"{name}-01-01", 7: f"{name}-01", 10: name}[len(name)])
    return _midnight(first), _midnight(slices.last_day(name)) + timedelta(days=1)


def folders_with(
    folders: Mapping[str, str], days: Iterable[date] | None, touched: Iterable[Touched], time_zone: str
) -> list[str]:
    """Return the folders in which rows of some local days (None: of all), or in some stretches of time, may lie."""
    if days is None:
        return sorted(folders.values())
    wanted = [_day(day, time_zone) for day in days]
    wanted += sorted({(begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC)) for _, begin, end in touched})
    result = []
    for name, folder in folders.items():
        begin, end = bounds(tables.slice_name(name))
        if any(first < end and begin < last for first, last in wanted):
            result.append(folder)
    return sorted(result)


def _day(day: date, time_zone: str) -> tuple[datetime, datetime]:
    begin, end = (timegrid.day_start(each, time_zone) for each in (day, day + timedelta(days=1)))
    return datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
