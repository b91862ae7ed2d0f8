"""Which rows of each view a run recomputes: all, those of some days, or those that new readings belong to.

Everything else of a touched slice is copied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import transforms
from engines import columns as shared
from meterlake import slices, timegrid
from meterlake.grains import is_calendar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.slices import Layout

INSIDE: Final = "inside"
MOST_SENT: Final = 500_000
"""So many meters and times at most are sent to every task; more are joined by a sort."""
_HOUR: Final = timedelta(hours=1)


def small(rows: DataFrame, count: int) -> DataFrame:
    """Return rows, of about that number, to be joined with many: sent to every task where they are few."""
    return F.broadcast(rows) if count <= MOST_SENT else rows


@dataclass
class Scope(ABC):
    """Rows of views, by their meter and time. hours: UTC hours in which touched rows of the finest view begin."""

    dataset: MeterSeries
    hours: frozenset[datetime] = frozenset()
    is_partial: ClassVar[bool] = True
    """Whether rows of touched slices may stay as they are."""

    @abstractmethod
    def marked(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return rows with ``inside``: whether they are recomputed. rows: with the meter and the time of ``grain``."""

    def inside(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return those of the rows that are recomputed."""
        return self.marked(rows, grain).where(INSIDE).drop(INSIDE)

    def outside(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return those of the rows that stay as they are."""
        return self.marked(rows, grain).where(~F.col(INSIDE)).drop(INSIDE)

    def below(self, rows: DataFrame, time: str, grain: Grain) -> DataFrame:
        """Return those of the rows, which have a finer ``time``, of which a recomputed row of ``grain`` is made."""
        return self.inside(shared.with_row_time(rows, self.dataset, time, grain), grain).drop(grain)

    def release(self) -> None:  # noqa: B027 - most keep nothing
        """Forget what was kept between queries."""

    def slices(self, layout: Layout, grain: Grain) -> set[str]:
        """Return the slices in which recomputed rows of ``grain`` may lie."""
        times: Iterable[date] = self.dates(grain) if is_calendar(grain) else self.hours
        return {layout.slice_of(time) for time in times}

    def slices_below(self, names: Iterable[str], source: Grain, grain: Grain) -> set[str]:
        """Return which slices of ``source`` may hold the rows of which recomputed rows of ``grain`` are made."""
        times: Iterable[date] = self.hours
        if is_calendar(grain):
            days = [day for first in self.dates(grain) for day in _days_of(first, grain)]
            times = days if is_calendar(source) else _hours_of(days, self.dataset.time_zone)
        held = {time.isoformat()[:length] for time in times for length in slices.NAME_LENGTH.values()}
        return set(names) & held

    def dates(self, grain: Grain) -> set[date]:
        """Return the times of the recomputed rows of ``grain``, a local day or longer."""
        return transforms.row_dates(self._local_days, grain)

    @cached_property
    def _local_days(self) -> set[date]:
        zone = self.dataset.time_zone
        ends = (moment for hour in self.hours for moment in (hour, hour + _HOUR - timedelta(seconds=1)))
        return {timegrid.local_day(int(moment.replace(tzinfo=UTC).timestamp()), zone) for moment in ends}


@dataclass
class Everything(Scope):
    """All rows."""

    is_partial: ClassVar[bool] = False

    def marked(self, rows: DataFrame, grain: Grain) -> DataFrame:  # noqa: ARG002 - the same for all
        """Return all rows marked."""
        return rows.withColumn(INSIDE, F.lit(True))

    def below(self, rows: DataFrame, time: str, grain: Grain) -> DataFrame:  # noqa: ARG002
        """Return the rows as they are."""
        return rows

    def slices(self, layout: Layout, grain: Grain) -> set[str]:  # noqa: ARG002
        """Return all slices that exist."""
        return set(layout.existing)

    def slices_below(self, names: Iterable[str], source: Grain, grain: Grain) -> set[str]:  # noqa: ARG002
        """Return all of the slices."""
        return set(names)


@dataclass
class Days(Scope):
    """The rows of some UTC days, and of the local days that these touch."""

    @classmethod
    def of(cls, dataset: MeterSeries, days: Iterable[date]) -> Days:
        """Return the rows of some UTC days."""
        return cls(dataset, frozenset(datetime.combine(day, time(hour)) for day in days for hour in range(24)))

    def marked(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return rows marked by their day."""
        days = self.dates(grain) if is_calendar(grain) else {hour.date() for hour in self.hours}
        return rows.withColumn(INSIDE, F.col(grain).cast("date").isin(sorted(days)))


@dataclass
class Cells(Scope):
    """The rows to which new readings belong. cells: meter and time of the finest view's, each once; count: how many."""

    cells: DataFrame = field(kw_only=True)
    count: int = field(kw_only=True)
    _known: dict[Grain, DataFrame] = field(default_factory=dict, init=False)

    def marked(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return rows marked by whether they are among those of the new readings."""
        joined = rows.join(self._touched(grain, F.lit(True).alias(INSIDE)), [self.dataset.key, grain], "left")
        return joined.withColumn(INSIDE, F.coalesce(INSIDE, F.lit(False)))

    def inside(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return those of the rows that are recomputed."""
        return rows.join(self._touched(grain), [self.dataset.key, grain], "left_semi")

    def outside(self, rows: DataFrame, grain: Grain) -> DataFrame:
        """Return those of the rows that stay as they are."""
        return rows.join(self._touched(grain), [self.dataset.key, grain], "left_anti")

    def release(self) -> None:
        """Forget what was kept between queries."""
        for rows in self._known.values():
            rows.unpersist()

    def _touched(self, grain: Grain, *more: Column) -> DataFrame:
        """Return meter and time of the recomputed rows of ``grain``."""
        names = [self.dataset.key, grain]
        return small(self._kept(grain).select(*names, *more), self.count)

    def _kept(self, grain: Grain) -> DataFrame:
        finest = self.dataset.finest.grain
        if grain == finest:
            return self.cells
        if grain not in self._known:
            timed = shared.with_row_time(self.cells, self.dataset, finest, grain)
            self._known[grain] = timed.select(self.dataset.key, grain).distinct().persist()
        return self._known[grain]


def _days_of(first: date, grain: Grain) -> list[date]:
    """Return the local days of a row of a day or longer."""
    if grain == "day":
        return [first]
    return [first + timedelta(days=step) for step in range(31) if (first + timedelta(days=step)).month == first.month]


def _hours_of(days: Iterable[date], zone: str) -> set[datetime]:
    """Return the UTC hours that local days touch, without zone."""
    result = set()
    for day in days:
        begin, end = timegrid.day_start(day, zone), timegrid.day_start(day + timedelta(days=1), zone)
        for second in range(begin - begin % 3600, end, 3600):
            result.add(datetime.fromtimestamp(second, UTC).replace(tzinfo=None))
    return result
