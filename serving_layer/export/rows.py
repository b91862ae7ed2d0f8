"""The rows of an export, streamed: one query a month of the range, each in order of meter and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from engines import trino
from engines.errors import QueryFailed
from meterlake.columns import DATE, STRING, TIMESTAMP, Column
from meterlake.errors import PermanentError, UnknownName
from meterlake.grains import is_fixed
from meterlake.merged import CATALOG, MERGED, PUBLISHED
from meterlake.views import published_columns

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.settings import Settings

# Names come from the declaration, values are bound.
# ruff: noqa: S608

SOURCES: Final = (MERGED, PUBLISHED)
BATCH: Final = 10_000
"""Rows that are in memory at once."""


class NothingToExport(PermanentError):
    """The range holds no row."""


@dataclass(frozen=True)
class Request:
    """What to export.

    grain: of the view. source: ``merged`` (both layers) or ``published`` (batch alone). since, until: aware, half-open;
    None is the beginning or end of what there is. meters: none given means all. columns: names in order; none given
    means all of the view.
    """

    dataset: MeterSeries
    grain: Grain
    source: str = MERGED
    since: datetime | None = None
    until: datetime | None = None
    meters: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def view(self) -> str:
        """Qualified name of the view in Trino."""
        return f"{CATALOG}.{self.source}.{self.dataset.name}_{self.grain}"

    @property
    def chosen(self) -> list[Column]:
        """The columns of the file: the meter and the time first. Raises UnknownName."""
        key, time, *others = published_columns(self.dataset, self.grain)
        known = {column.name: column for column in others}
        for name in self.columns:
            if name not in known:
                raise UnknownName(f"column of {self.view}", name, list(known))
        return [key, time, *(known[name] for name in self.columns or known)]


@dataclass(frozen=True)
class Extent:
    """What there is of a request: its first and last row, of how many meters, and how many rows."""

    first: datetime | date
    last: datetime | date
    meters: int
    rows: int


def extent(settings: Settings, request: Request) -> Extent:
    """Return what an export will hold. Raises NothingToExport, UnknownName, ViewMissing, EngineUnavailable."""
    where, values = _where(request, request.since, request.until)
    text = f"SELECT min({request.grain}), max({request.grain}), count(DISTINCT {request.dataset.key}), count(*)"
    ((first, last, meters, rows),) = _run(settings, request, f"{text} FROM {request.view} WHERE {where}", values)
    if not rows:
        raise NothingToExport(
            f"There is no row of {request.view} in that range.",
            hint="`meterlake runs` shows how far batch reaches; --from and --to are local times of the data set.",
        )
    return Extent(first, last, meters, rows)


def batches(
    settings: Settings, request: Request, extent: Extent, clock: timezone | None = None
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of an export, month after month, in each by meter and time; at most BATCH at once.

    clock: whose months they are; without it, those of the data set.
    """
    names = ", ".join(column.name for column in request.chosen)
    for since, until in _months(request, extent, clock or ZoneInfo(request.dataset.time_zone)):
        where, values = _where(request, since, until)
        order = f"{request.dataset.key}, {request.grain}"
        text = f"SELECT {names} FROM {request.view} WHERE {where} ORDER BY {order}"
        try:
            yield from trino.batches(settings, text, values, BATCH)
        except QueryFailed as error:
            raise _named(request, error) from error


def _months(request: Request, extent: Extent, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield the range of an extent in pieces of a local month, aware."""
    first, last = (_aware(moment, zone) for moment in (extent.first, extent.last))
    since, end = request.since or first, request.until or last + timedelta(days=1)
    while since <= last and since < end:
        local = since.astimezone(zone)
        following = (local.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
        until = min(end, following.replace(microsecond=0))
        yield since, until
        since = until


def _aware(moment: datetime | date, zone: tzinfo) -> datetime:
    """Return a time of a view: UTC, or the beginning of a local day."""
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=UTC)
    return datetime.combine(moment, datetime.min.time(), zone)


def _where(request: Request, since: datetime | None, until: datetime | None) -> tuple[str, list[Any]]:
    fixed, zone = is_fixed(request.grain), ZoneInfo(request.dataset.time_zone)
    kind = TIMESTAMP if fixed else DATE
    terms, values = [], list[Any]()
    for sign, moment in ((">=", since), ("<", until)):
        if moment is None:
            continue
        if fixed:
            value: Any = moment.astimezone(UTC).replace(tzinfo=None)
        else:
            local = moment.astimezone(zone)
            # A day of which a part lies before the end belongs to the range.
            part = timedelta(days=1) if sign == "<" and local.time() != datetime.min.time() else timedelta(0)
            value = local.date() + part
        terms.append(f"{request.grain} {sign} CAST(? AS {kind.sql('trino')})")
        values.append(value)
    if request.meters:
        marks = ", ".join(f"CAST(? AS {STRING.sql('trino')})" for _ in request.meters)
        terms.append(f"{request.dataset.key} IN ({marks})")
        values += request.meters
    return " AND ".join(terms) or "true", values


def _run(settings: Settings, request: Request, text: str, values: list[Any]) -> list[list[Any]]:
    try:
        return trino.rows(settings, text, values)
    except QueryFailed as error:
        raise _named(request, error) from error


def _named(request: Request, error: QueryFailed) -> Exception:
    """Return the error of a view that is not there yet, or the error as it is."""
    if "does not exist" not in error.what.lower():
        return error
    return NothingToExport(
        f"There is no view {request.view}.", hint=f"Run `meterlake batch {request.dataset.name}`: it makes the views."
    )
