"""What is asked: a meter, a range, a grain; typed and checked before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from meterlake.declaration import MeterSeries
from meterlake.errors import UnknownName, UsageError
from meterlake.grains import GRAIN_SECONDS, Grain
from meterlake.timegrid import day_start
from serving_layer.reports.errors import NoReadings, WrongMoment, WrongRange
from serving_layer.reports.sources import Source, Window
from serving_layer.reports.tariff import Tariff

MINUTES_UP_TO: Final = timedelta(days=3)
"""4,320 minutes are what a picture of 1,200 pixels can show, so the finest rows; beyond that hours."""

HOURS_UP_TO: Final = timedelta(days=62)
"""1,488 hours; beyond two months days."""

REPORTED: Final[frozenset[Grain]] = frozenset(GRAIN_SECONDS) - {"month"}
"""Grains of which pictures are drawn; what is by the month is summed up from days."""


@dataclass(frozen=True)
class ReportOptions:
    """What a user gave, as given; None where nothing was."""

    since: str | None = None
    until: str | None = None
    meter: str | None = None
    grain: Grain | None = None
    threshold: float | None = None
    tariff: Tariff | None = None


@dataclass(frozen=True)
class Request:
    """What will be reported. meter: empty where it is about all.

    since, until: aware, half-open, within the days of ``extent`` (the meter's first and last with readings).
    grain: as wished, or None to choose by the range. threshold: lowest value of interest.
    """

    dataset: MeterSeries
    meter: str
    since: datetime
    until: datetime
    extent: tuple[date, date]
    source: str = ""
    grain: Grain | None = None
    threshold: float | None = None
    tariff: Tariff | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The data set's time zone."""
        return ZoneInfo(self.dataset.time_zone)

    @property
    def who(self) -> str:
        """Of whom, for people."""
        return f"Meter {self.meter}" if self.meter else "All meters"

    @property
    def window(self) -> Window:
        """The meter and range, for a source."""
        return Window(self.meter, self.since, self.until)

    @property
    def days(self) -> tuple[date, date]:
        """First and last local day of the range, both included."""
        last = (self.until - timedelta(seconds=1)).astimezone(self.zone).date()
        return self.since.astimezone(self.zone).date(), last

    @property
    def length(self) -> timedelta:
        """Length of the range."""
        return self.until - self.since

    def grain_by_range(self) -> Grain:
        """Return the wished grain, or the finest declared one that still can be seen at this length."""
        if self.grain:
            return self.grain
        fitting: Grain = "minute" if self.length <= MINUTES_UP_TO else "hour" if self.length <= HOURS_UP_TO else "day"
        declared = sorted(REPORTED & {view.grain for view in self.dataset.views}, key=GRAIN_SECONDS.__getitem__)
        coarser = [grain for grain in declared if GRAIN_SECONDS[grain] >= GRAIN_SECONDS[fitting]]
        return coarser[0] if coarser else declared[-1]


def make_request(source: Source, dataset: MeterSeries, options: ReportOptions) -> Request:
    """Check the options against what the source holds.

    Raises UnknownName (meter), WrongMoment, WrongRange, NoReadings.
    """
    given_since = parse_moment(options.since, dataset, "--from") if options.since else None
    given_until = parse_moment(options.until, dataset, "--to") if options.until else None
    if given_since and given_until and given_since >= given_until:
        raise WrongRange(_local(given_since, dataset), _local(given_until, dataset))
    declared = REPORTED & {view.grain for view in dataset.views}
    if options.grain and options.grain not in declared:
        raise UnknownName(f"grain of {dataset.name}", options.grain, declared)
    meter, (first, last) = choose_meter(dataset, options.meter, source)
    begin, end = _at(first, dataset), _at(last + timedelta(days=1), dataset)
    since, until = given_since or begin, given_until or end
    if until <= begin or since >= end:
        raise NoReadings(meter, _local(since, dataset), _local(until, dataset), (first, last))
    if since >= until:
        raise WrongRange(_local(since, dataset), _local(until, dataset))
    return Request(
        dataset=dataset,
        meter=meter,
        since=max(since, begin),
        until=min(until, end),
        extent=(first, last),
        source=source.title,
        grain=options.grain,
        threshold=options.threshold,
        tariff=options.tariff,
    )


def choose_meter(dataset: MeterSeries, named: str | None, source: Source) -> tuple[str, tuple[date, date]]:
    """Return the meter that is named, or the only one, with its first and last day.

    A named meter is asked for by its key; all are listed only where none is named, or an unknown one.
    Raises UnknownName or UsageError, which list the known ones.
    """
    if named is not None:
        extent = source.extent(dataset, named)
        if extent is None:
            raise UnknownName("meter", named, list(source.extents(dataset))[:50])
        return named, extent
    known = source.extents(dataset)
    if len(known) == 1:
        return next(iter(known.items()))
    if not known:
        raise UsageError(
            f"{dataset.name} has no readings yet.", hint=f"Load some: `meterlake load {dataset.name} FILE`."
        )
    raise UsageError(
        f"{dataset.name} has {len(known)} meters, and a report is of one.",
        hint=f"Name it with --meter-id: {', '.join(list(known)[:20])}{', …' if len(known) > 20 else ''}.",
    )


def parse_moment(text: str, dataset: MeterSeries, option: str) -> datetime:
    """Return an aware time: of a day (its first instant), a local time, or a time with its own offset.

    Raises WrongMoment. A local time that occurs twice at the end of summer time means the first.
    """
    try:
        if len(text) == len("2007-02-01"):
            return _at(date.fromisoformat(text), dataset)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongMoment(option, text, str(error)) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(dataset.time_zone))
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise WrongMoment(option, text, "it is out of range") from None


def _at(day: date, dataset: MeterSeries) -> datetime:
    try:
        return datetime.fromtimestamp(day_start(day, dataset.time_zone), UTC)
    except (OverflowError, ValueError):
        return datetime.combine(day, time(0), UTC)


def _local(moment: datetime, dataset: MeterSeries) -> datetime:
    try:
        return moment.astimezone(ZoneInfo(dataset.time_zone))
    except OverflowError:
        return moment
