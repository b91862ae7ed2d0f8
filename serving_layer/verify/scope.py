"""Which rows are compared: of one meter or all, of a range of local days or all time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from meterlake.textformat import check_meter_id
from serving_layer.verify.errors import EmptyRange

if TYPE_CHECKING:
    from meterlake.declaration import Dataset


@dataclass(frozen=True)
class Scope:
    """since, until: local days of the data set, ``until`` not included; None leaves a side open."""

    dataset: Dataset
    meter: str | None = None
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.meter is not None:
            check_meter_id(self.meter)
        if self.since and self.until and self.since >= self.until:
            raise EmptyRange(self.since, self.until)

    def condition(self, view: str) -> str:
        """Return the condition on rows of a view (a grain, or ``gaps``), one text for all engines.

        Its literals are made of dates and of a checked name. A gap is compared whole if it touches the range.
        """
        first, last = ("gap_end", "gap_start") if view == "gaps" else (view, view)
        terms = []
        if self.meter is not None:
            terms.append(f"{self.dataset.key} = '{self.meter}'")
        if self.since is not None:
            terms.append(f"{first} {'>' if view == 'gaps' else '>='} {self._literal(self.since, view)}")
        if self.until is not None:
            terms.append(f"{last} < {self._literal(self.until, view)}")
        return " AND ".join(terms) or "1 = 1"

    def text(self) -> str:
        """Return the scope in words."""
        words = [f"of meter {self.meter}"] if self.meter else []
        words += [f"from {self.since}"] if self.since else []
        words += [f"before {self.until}"] if self.until else []
        return " ".join(words) or "at all"

    def _literal(self, day: date, view: str) -> str:
        if view == "day":
            return f"DATE '{day.isoformat()}'"
        begins = local_midnight(day, ZoneInfo(self.dataset.time_zone))
        return f"TIMESTAMP '{begins.isoformat(sep=' ')}'"


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a local day as UTC wall clock; where midnight is skipped, that of the change."""
    return datetime.combine(day, time(0), zone).astimezone(UTC).replace(tzinfo=None)
