"""Which rows are compared: of some meters or all, of a range of local days or all time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from meterlake import timegrid
from meterlake.errors import UsageError
from meterlake.meter_names import check_meter_id
from meterlake.rendering import text_literal
from serving_layer.verify.errors import EmptyRange

if TYPE_CHECKING:
    from meterlake.columns import Dialect
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain


@dataclass(frozen=True)
class Scope:
    """What is compared.

    meters: none given means all. since, until: local days of the data set, ``until`` not included; None leaves a side
    open. end: a moment; rows that hold it and those after it are left out.
    """

    dataset: MeterSeries
    meters: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for meter in self.meters:
            if check_meter_id(meter) != meter:
                raise UsageError(f"The meter id {meter!r} has blanks around it.", hint=f"Write {meter.strip()!r}.")
        if self.since and self.until and self.since >= self.until:
            raise EmptyRange(self.since, self.until)

    def condition(self, view: str, dialect: Dialect = "trino") -> str:
        """Return the condition on rows of a view (a grain, or ``gaps``); Trino's is also DuckDB's and CQL's.

        Of gaps, those within the range: where one that crosses its edge ends, readings beyond it decide, which the
        input may not have.
        """
        first, last = ("gap_start", "gap_end") if view == "gaps" else (view, view)
        terms = []
        if self.meters:
            names = ", ".join(text_literal(meter, dialect) for meter in self.meters)
            terms.append(f"{self.dataset.key} IN ({names})")
        if self.since is not None:
            terms.append(f"{first} >= {self._midnight(self.since, view)}")
        if self.until is not None:
            until = self.until.replace(day=1) if view == "month" else self.until  # only whole months
            terms.append(f"{last} {'<=' if view == 'gaps' else '<'} {self._midnight(until, view)}")
        if self.end is not None:
            terms.append(f"{last} < {self.row_literal(self.end, view)}")
        return " AND ".join(terms) or "1 = 1"

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Return the first moment of the range and the first one after it, aware; None where a side is open."""
        zone = ZoneInfo(self.dataset.time_zone)
        since, until = (
            local_midnight(day, zone).replace(tzinfo=UTC) if day is not None else None
            for day in (self.since, self.until)
        )
        return since, until

    def row_literal(self, moment: datetime, view: str) -> str:
        """Return, as SQL, the beginning of the row that holds a moment; the moment itself for gaps."""
        if view == "gaps":
            return _literal(moment)
        grain: Grain = next(known.grain for known in self.dataset.views if known.grain == view)
        return _literal(timegrid.row_time(moment, grain, self.dataset.time_zone))

    def text(self) -> str:
        """Return the scope in words."""
        words = [f"of meter {self.meters[0]}"] if len(self.meters) == 1 else []
        words += [f"of {len(self.meters)} meters"] if len(self.meters) > 1 else []
        words += [f"from {self.since}"] if self.since else []
        words += [f"before {self.until}"] if self.until else []
        words += [f"up to {self.end:%Y-%m-%d %H:%M} UTC"] if self.end else []
        return " ".join(words) or "at all"

    def _midnight(self, day: date, view: str) -> str:
        return _literal(day if view in ("day", "month") else local_midnight(day, ZoneInfo(self.dataset.time_zone)))


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a local day as UTC wall clock; where midnight is skipped, that of the change."""
    return datetime.combine(day, time(0), zone).astimezone(UTC).replace(tzinfo=None)


def _literal(moment: datetime | date) -> str:
    if isinstance(moment, datetime):
        return f"TIMESTAMP '{moment.replace(tzinfo=None).isoformat(sep=' ')}'"
    return f"DATE '{moment.isoformat()}'"
