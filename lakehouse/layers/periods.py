"""The periods of a table's rows that a run touches, so that nothing else of it is read or written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from lakehouse.layers import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import SparkSession

    from meterlake.lakehouse.records import Event, Period

_MOST_RANGES: Final = 40
"""Of a condition: more would take longer to plan than rows in between take to be read."""
_FIRST: Final = date(1, 1, 1)
_LAST: Final = date(9999, 12, 1)
"""Rejected records have any time: what is before or after these is in the first or the last period."""


@dataclass(frozen=True)
class Periods:
    """Months or days. starts: the first day of each. undated: whether rows without a time are among them."""

    period: Period
    starts: frozenset[date]
    undated: bool = False

    def condition(self, column: str) -> str:
        """Return the SQL that rows with such times meet; it may let in others between them."""
        terms = [_within(column, first, end) for first, end in self._ranges()]
        terms += [f"{column} IS NULL"] if self.undated else []
        return f"({' OR '.join(terms)})" if terms else "false"

    def _ranges(self) -> list[tuple[date, date]]:
        """Return the ranges of days, the last one not included: the closest are joined where there are too many."""
        ranges: list[tuple[date, date]] = []
        for start in sorted(self.starts):
            begin = ranges.pop()[0] if ranges and ranges[-1][1] == start else start
            ranges.append((begin, end_of(start, self.period)))
        gaps = sorted(range(1, len(ranges)), key=lambda at: ranges[at][0] - ranges[at - 1][1], reverse=True)
        cuts = [0, *sorted(gaps[: _MOST_RANGES - 1]), len(ranges)]
        return [(ranges[a][0], ranges[b - 1][1]) for a, b in pairwise(cuts) if a < b]


def of_rows(session: SparkSession, event: Event, views: Iterable[str]) -> Periods:
    """Return the periods of the rows of views."""
    start = _start(f"`{event.time}`", event.partition)
    rows = " UNION ALL ".join(f"SELECT {start} AS start FROM {view}" for view in views)
    return _periods(event, (row.start for row in session.sql(f"SELECT DISTINCT start FROM ({rows})").collect()))


def of_files(session: SparkSession, event: Event, table: str, identities: str) -> Periods:
    """Return the periods of a table's files that may have rows of a view of identities, by what metadata says of them.

    Identities that begin with a day or a serial number lead to few of them; others to all.
    """
    bounds = f"readable_metrics.`{event.time}`"
    starts = ", ".join(
        f"{_start(f'{bounds}.{end}', event.partition)} AS {end}" for end in ("lower_bound", "upper_bound")
    )
    of_ids = "readable_metrics.record_id"
    files = session.sql(f"""
SELECT DISTINCT {starts} FROM {table}.files LEFT SEMI JOIN
    (SELECT min(record_id) AS low, max(record_id) AS high FROM {identities} GROUP BY left(record_id, 12)) ids
    ON ids.high >= coalesce({of_ids}.lower_bound, ids.high)
    AND ids.low <= coalesce({of_ids}.upper_bound, ids.low)""").collect()
    return _periods(event, (start for row in files for start in _between(row.lower_bound, row.upper_bound, event)))


def of_days(session: SparkSession, event: Event, identities: str) -> Periods:
    """Return the periods of accepted rows with identities that name their day: one of it, whatever its time zone."""
    days = f"SELECT {verdict.day_of_id(event, 'record_id')} AS day FROM {identities}"
    about = f"SELECT explode(array(date_sub(day, 1), day, date_add(day, 1))) AS day FROM ({days}) WHERE day IS NOT NULL"
    rows = session.sql(f"SELECT DISTINCT {_start('day', event.partition)} AS start FROM ({about})")
    return _periods(event, (row.start for row in rows.collect()))


def _within(column: str, first: date, end: date) -> str:
    terms = [f"{column} >= {_moment(first)}"] if first > _FIRST else []
    terms += [f"{column} < {_moment(end)}"] if end <= _LAST else []
    return f"({' AND '.join(terms)})" if terms else f"{column} IS NOT NULL"


def _between(first: date | None, last: date | None, event: Event) -> list[date | None]:
    """Return the periods that a file holds: of a table that was partitioned otherwise, several."""
    if first is None or last is None:
        return [None]
    result: list[date | None] = []
    while first <= last and first < date.max:
        result.append(first)
        first = end_of(first, event.partition)
    return result


def _periods(event: Event, starts: Iterable[date | None]) -> Periods:
    every = set(starts)
    return Periods(event.partition, frozenset(start for start in every if start is not None), None in every)


def _start(column: str, period: Period) -> str:
    day = f"greatest(least(CAST({column} AS DATE), DATE'{_LAST}'), DATE'{_FIRST}')"
    day = f"CASE WHEN {column} IS NOT NULL THEN {day} END"  # they pass over what is NULL
    return f"trunc({day}, 'MM')" if period == "month" else day


def end_of(start: date, period: Period) -> date:
    """Return the first day after a period."""
    if start >= _LAST:
        return date.max
    return start + timedelta(days=1) if period == "day" else (start + timedelta(days=31)).replace(day=1)


def _moment(day: date) -> str:
    return f"TIMESTAMP_NTZ'{day.isoformat()} 00:00:00'"
