"""How complete, timely and right the days of meters are: read through Trino, a row a day, and the worst meter-days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader

from engines import metastore, trino
from engines.master import DATABASE as MASTER
from meterlake import timegrid
from meterlake.errors import PermanentError
from meterlake.vee.views import DATABASE, TABLES

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation
    from meterlake.settings import Settings

WORST: Final = 50
ON_TIME_H: Final = 24
"""Readings that arrive later than this after their interval are late."""
_DAYS: Final = timedelta(days=31)
_COUNTS: Final = ("expected", "intervals", "estimated", "implausible", "late", "without_reference")
_PAGE: Final = "day_quality.html.j2"


class NothingValidated(PermanentError):
    """No run has validated anything."""

    def __init__(self, dataset: str) -> None:
        super().__init__(f"Nothing of {dataset} has been validated yet.", hint=f"Run `meterlake vee {dataset}`.")


@dataclass(frozen=True)
class DayQuality:
    """Days: a row a local day, all meters together. worst: meter-days with something to look at, the worst first."""

    since: date
    until: date
    days: list[dict[str, Any]]
    worst: list[dict[str, Any]]


def day_quality(settings: Settings, dataset: MeterSeries, presentation: Presentation | None) -> DayQuality:
    """Return the quality of the last month that has been validated. Raises NothingValidated."""
    table = f"{TABLES}.{dataset.name}_days"
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, f"{dataset.name}_days") is None:
            raise NothingValidated(dataset.name)
    (newest,) = trino.rows(settings, f"SELECT max(day) FROM {table}")[0]  # noqa: S608 - names of a declaration
    if newest is None:
        raise NothingValidated(dataset.name)
    since = newest - _DAYS + timedelta(days=1)
    meter_days = per_meter_day(dataset, presentation, since, newest)
    days = trino.rows(settings, of_days(dataset, meter_days))
    worst = trino.rows(settings, worst_of(dataset, meter_days))
    shown = ("day", "meters", "complete_percent", *_COUNTS, "latest_h")
    listed = (dataset.key, "day", *_COUNTS, "latest_h")
    return DayQuality(since, newest, _named(shown, days), _named(listed, worst))


def of_days(dataset: MeterSeries, meter_days: str) -> str:
    """Return SQL of a row a local day, all meters together."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in _COUNTS)
    share = "CAST(100.0 * sum(intervals) / sum(expected) AS DECIMAL(9, 3)) AS complete_percent"
    return (
        f"SELECT day, count(DISTINCT {dataset.key}) AS meters, {share}, {sums}, max(latest_h) AS latest_h"  # noqa: S608 - names of a declaration
        f" FROM ({meter_days}) GROUP BY day ORDER BY day"
    )


def worst_of(dataset: MeterSeries, meter_days: str) -> str:
    """Return SQL of the meter-days with most to look at."""
    bad = "greatest(expected - intervals, 0) + implausible + late + without_reference"
    return (
        f"SELECT {dataset.key}, day, {', '.join(_COUNTS)}, latest_h FROM ({meter_days}) WHERE {bad} > 0"  # noqa: S608 - names of a declaration
        f" ORDER BY {bad} DESC, day, {dataset.key} LIMIT {WORST}"
    )


def per_meter_day(dataset: MeterSeries, presentation: Presentation | None, since: date, until: date) -> str:
    """Return SQL of a row a meter and local day: how many intervals are expected, there, estimated, implausible, late,
    and without a row of a reference table; and the latest arrival, hours after the interval.
    """
    key, name, time = dataset.key, dataset.name, dataset.event_time
    within = f"day BETWEEN DATE '{since}' AND DATE '{until}'"
    first, last = (f"TIMESTAMP '{day} 00:00'" for day in (since - timedelta(days=1), until + timedelta(days=2)))
    day = timegrid.local_day_sql(time, dataset.time_zone, "trino")
    hours = f"date_diff('hour', {time} + INTERVAL '1' SECOND * {dataset.interval}, min(received_at))"
    arrived = (
        f"SELECT {key}, {day} AS day, {hours} AS h FROM iceberg.{MASTER}.{name}"  # noqa: S608 - names of a declaration
        f" WHERE {time} BETWEEN {first} AND {last} GROUP BY {key}, {time}, {dataset.interval}"
    )
    parts = {
        "e": f"SELECT {key}, day, count(*) AS estimated FROM {TABLES}.{name}_estimates WHERE {within} GROUP BY 1, 2",  # noqa: S608 - names of a declaration
        "f": f"SELECT {key}, day, sum(intervals) AS implausible FROM {TABLES}.{name}_findings"  # noqa: S608
        f" WHERE rule NOT IN ('missing', 'sum_check') AND {within} GROUP BY 1, 2",
        "l": f"SELECT {key}, day, count_if(h > {ON_TIME_H}) AS late, max(h) AS latest_h FROM ({arrived}) GROUP BY 1, 2",  # noqa: S608
    }
    reference = "0"
    if presentation is not None:
        flags = [presentation.unassigned, *(f"unknown_{lookup.reference}" for lookup in presentation.lookups)]
        parts["s"] = (
            f"SELECT {key}, day, count_if({' OR '.join(flags)}) AS without_reference FROM delta.staging.{name}"  # noqa: S608
            f" WHERE {within} GROUP BY 1, 2"
        )
        reference = "coalesce(s.without_reference, 0)"
    joined = " ".join(
        f"LEFT JOIN ({sql}) {part} ON {part}.{key} = d.{key} AND {part}.day = d.day" for part, sql in parts.items()
    )
    counts = ", ".join(f"coalesce({part}, 0) AS {part}" for part in ("estimated", "implausible", "late"))
    return (
        f"SELECT d.{key}, d.day, d.expected, d.intervals, {counts}, {reference} AS without_reference, l.latest_h"  # noqa: S608
        f" FROM {TABLES}.{name}_days d {joined} WHERE d.{within}"
    )


def page(dataset: MeterSeries, quality: DayQuality) -> str:
    """Return the report as one HTML page without outside parts."""
    template = Environment(autoescape=True, loader=PackageLoader("serving_layer", "")).get_template(_PAGE)
    return template.render(dataset=dataset, found=quality, hours=ON_TIME_H)


def _named(names: tuple[str, ...], rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]
