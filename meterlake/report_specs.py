"""What a report is, as plain frozen values: a data set declares its catalogue with these.

A report names measures and derived values of its data set; titles and units come from there. How a kind
is computed and drawn is the serving layer's business (``serving_layer.reports``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake import registry
from meterlake.errors import UnknownName

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

Seasons = tuple[tuple[str, tuple[int, ...]], ...]
"""(name, its months) in the order of the year."""

NORTHERN_SEASONS: Final[Seasons] = (
    ("Winter (Dec–Feb)", (12, 1, 2)),
    ("Spring (Mar–May)", (3, 4, 5)),
    ("Summer (Jun–Aug)", (6, 7, 8)),
    ("Autumn (Sep–Nov)", (9, 10, 11)),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report. name: in commands. title: over the picture. doc: what it tells its reader."""

    name: str
    title: str
    doc: str


@dataclass(frozen=True)
class Limits:
    """Range in which a value is allowed to be; ``name`` says by whom."""

    low: float
    high: float
    name: str


@dataclass(frozen=True, kw_only=True)
class Course(Report):
    """A level (mean, lowest and highest) or a derived value over time.

    from_zero: whether its axis begins at zero. threshold: whether ``--min-power`` applies.
    """

    value: str
    limits: Limits | None = None
    from_zero: bool = False
    threshold: bool = False


@dataclass(frozen=True, kw_only=True)
class Stack(Report):
    """Amounts that make up a total, and the derived rest, which may be negative and is then shown so."""

    total: str
    parts: tuple[str, ...]
    rest: str


@dataclass(frozen=True, kw_only=True)
class Profile(Report):
    """The average day of a level: weekdays and weekends, by season."""

    level: str
    seasons: Seasons = NORTHERN_SEASONS


@dataclass(frozen=True, kw_only=True)
class Heatmap(Report):
    """A level by day and hour."""

    level: str


@dataclass(frozen=True, kw_only=True)
class LoadDuration(Report):
    """For how long a level was at least how high."""

    level: str


@dataclass(frozen=True, kw_only=True)
class Coverage(Report):
    """What was measured and what is missing: a calendar."""


@dataclass(frozen=True, kw_only=True)
class Monthly(Report):
    """A derived total by local calendar month."""

    total: str


@dataclass(frozen=True, kw_only=True)
class Standby(Report):
    """Base load at night, and what it costs a year.

    night: first and last (not included) local hour of the quiet time.
    """

    level: str
    energy: str
    night: tuple[int, int] = (1, 5)


@dataclass(frozen=True, kw_only=True)
class PeakHours(Report):
    """Which hours of the day take most, and the highest single hours."""

    energy: str


@dataclass(frozen=True, kw_only=True)
class Cost(Report):
    """Cost of a total by time-of-use prices. movable: amounts that could be used at another time."""

    energy: str
    movable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fleet(Report):
    """What tables made of the readings say of all meters together; dashboards show it, too.

    sql: a query of Trino that has the columns ``time`` (a local day, or the start of an interval in UTC), ``part``
    (what is told apart) and ``value``; a table is named ``catalog.schema.name`` without the data set in its name.
    clock: it has a column ``clock``, too, over which the mean of the values is drawn; else they are drawn over time,
    added up. unit: of the values. most: so many parts are told apart, those with the most; the others are one.
    hatched: the part that is estimated.
    """

    sql: str
    unit: str
    clock: bool = False
    daily: bool = True
    most: int = 9
    hatched: str = ""


@dataclass(frozen=True, kw_only=True)
class Summary(Report):
    """All other reports on one page. headline: (report, start of a key figure's label) shown at its top."""

    headline: tuple[tuple[str, str], ...] = ()


GAPS: Final = Coverage(
    name="gaps",
    title="Coverage: what was measured and what is missing",
    doc="Calendar of coverage, with the longest runs of missing minutes.",
)
SUMMARY_DOC: Final = "One self-contained page with all reports and their key figures."
SUMMARY: Final = Summary(name="summary", title="Summary", doc=SUMMARY_DOC)


def reports_of(dataset: MeterSeries) -> dict[str, Report]:
    """Return name -> report of a data set.

    Its catalogue is the part ``reports`` of its folder; a data set without one gets a course of every level and
    derived value, the gaps and the summary.
    """
    known = registry.find(dataset.name)
    declared = (known and known.reports()) or plain_reports(dataset)
    return {report.name: report for report in declared}


def report_of(dataset: MeterSeries, name: str) -> Report:
    """Return a report by name; raises UnknownName, which lists the known ones."""
    known = reports_of(dataset)
    try:
        return known[name]
    except KeyError:
        raise UnknownName(f"report of {dataset.name}", name, known) from None


def plain_reports(dataset: MeterSeries) -> tuple[Report, ...]:
    """Return what can be reported of any data set."""
    values = [(measure.name, measure.title) for measure in dataset.measures]
    values += [(derived.name, derived.title) for derived in dataset.derived]
    courses = [
        Course(
            name=name.replace("_", "-"),
            title=f"{title or name} over time",
            doc=f"{title or name} in each row of a view.",
            value=name,
        )
        for name, title in values
    ]
    calendar = [GAPS] if any(view.grain == "day" for view in dataset.views) else []
    return (*courses, *calendar, SUMMARY)
