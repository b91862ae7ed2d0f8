"""From rows of reference tables to who was assigned what, and when: timelines of meters, and where two differ. Pure.

A stretch holds in [begin, end) of UTC without zone. Local dates of validity begin at midnight of the data set's zone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from meterlake.timegrid import day_start
from meterlake.validity import FOREVER, Period, Stretch, differing, timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Lookup, Presentation

    Row = Mapping[str, Any]
    Rows = Mapping[str, Iterable[Row]]
    """Reference table -> its rows."""

EVER: Final = datetime(1, 1, 1)  # noqa: DTZ001 - tables hold UTC without zone
NEVER: Final = datetime(9999, 12, 31)  # noqa: DTZ001

Touched = tuple[str, datetime, datetime]
"""A meter and [begin, end), in which it is assigned something else than before."""


@dataclass(frozen=True)
class Assignments:
    """What each known meter is assigned. stretches: of a meter, in order, from EVER to NEVER without a gap.

    columns: names of the values of a stretch: those that staging takes over, and flags.
    """

    columns: tuple[str, ...]
    stretches: Mapping[str, tuple[Stretch, ...]]

    def rows(self) -> list[tuple[Any, ...]]:
        """Return a row a stretch: meter, begin, end, values."""
        return [(meter, one.begin, one.end, *_values(one)) for meter, some in self.stretches.items() for one in some]

    def differing(self, before: Assignments) -> list[Touched]:
        """Return where something else is assigned than before, in order of meters."""
        result = []
        for meter in sorted({*self.stretches, *before.stretches}):
            old, new = before.stretches.get(meter, ()), self.stretches.get(meter, ())
            if old != new:
                result += [(meter, *touched) for touched in differing(old, new)]
        return result


def assignments(series: MeterSeries, presentation: Presentation, rows: Rows) -> Assignments:
    """Return what each meter that some row names is assigned."""
    assignment = presentation.assignment
    rows = {name: list(some) for name, some in rows.items()}
    by_id = {row[assignment.id]: row for row in rows[assignment.reference]}
    periods = defaultdict[str, list[Period]](list)
    for row in by_id.values():
        periods[row[assignment.meter]].append(Period(row[assignment.begin], row[assignment.end], row[assignment.id]))
    tables = [(lookup, _by_key(presentation, lookup, rows)) for lookup in presentation.lookups]
    meters = {*periods, *(key for lookup, known in tables if lookup.on == series.key for key in known)}

    def what(meter: str, row: Row | None, overlapping: bool) -> tuple[Any, ...]:
        taken = [None if row is None else row[name] for name in assignment.columns]
        flags: list[bool] = [row is None, overlapping]
        for lookup, known in tables:
            key = meter if lookup.on == series.key else None if row is None else row[lookup.on]
            member = known.get(key)
            taken += [None if member is None else member[name] for name in lookup.columns]
            flags.append(member is None and (row is not None or lookup.on == series.key))
        return (*taken, *flags)

    def stretches(meter: str) -> tuple[Stretch, ...]:
        result: list[Stretch] = []
        at, nothing = EVER, what(meter, None, False)
        for piece in timeline(periods.get(meter, ())):
            begin, end = (_instant(day, series.time_zone) for day in (piece.begin, piece.end))
            if at < begin:
                result.append(Stretch(at, begin, nothing))
            result.append(Stretch(begin, end, what(meter, by_id[piece.period.id], piece.overlapping)))
            at = end
        return (*result, Stretch(at, NEVER, nothing)) if at < NEVER else tuple(result)

    names = [column.name for column in presentation.joined_columns(series)]
    return Assignments(tuple(names), {meter: stretches(meter) for meter in sorted(meters)})


def empty_periods(presentation: Presentation, rows: Rows) -> int:
    """Return how many rows are valid at no time: they end when they begin, or before."""
    result = presentation.assignment
    return sum(Period(row[result.begin], row[result.end], row[result.id]).is_empty for row in rows[result.reference])


def _by_key(presentation: Presentation, lookup: Lookup, rows: Rows) -> dict[Any, Row]:
    (key,) = presentation.reference(lookup.reference).key
    return {row[key]: row for row in rows[lookup.reference]}


def _instant(day: date, time_zone: str) -> datetime:
    if day == FOREVER:
        return NEVER
    return datetime.fromtimestamp(day_start(day, time_zone), UTC).replace(tzinfo=None)


def _values(stretch: Stretch) -> tuple[Any, ...]:
    values: Any = stretch.what
    return tuple(values)
