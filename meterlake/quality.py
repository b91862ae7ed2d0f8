"""What only readings in order can show: a value that is stuck, one that jumps, a long silence. As plain frozen values.

A data set declares its checks with thresholds of its own. They run over the finest view, each meter's rows one after
the other; nothing is refused or flagged for them. ``batch_layer.quality`` computes the findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake.columns import BIGINT, DOUBLE, STRING, TIMESTAMP, Column
from meterlake.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.declaration import MeterSeries

TABLE: Final = "quality"


@dataclass(frozen=True)
class Stuck:
    """A measure keeps one and the same value for at least so long. besides: values that may stay, such as 0."""

    measure: str
    at_least: timedelta
    besides: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """What its findings are called."""
        return "stuck"


@dataclass(frozen=True)
class Jump:
    """A measure's mean (an amount's sum) differs by more than this from that of the row before, without a gap."""

    measure: str
    more_than: float

    @property
    def name(self) -> str:
        """What its findings are called."""
        return "jump"


@dataclass(frozen=True)
class LongGap:
    """Nothing is known of a meter for at least so long, between its first and last reading."""

    at_least: timedelta

    @property
    def name(self) -> str:
        """What its findings are called."""
        return "long_gap"


Check = Stuck | Jump | LongGap


def quality_table(dataset: MeterSeries) -> str:
    """Return the unqualified name of the findings' table."""
    return f"{dataset.name}_{TABLE}"


def finding_columns(dataset: MeterSeries) -> list[Column]:
    """Return the columns of the findings."""
    return [
        Column(dataset.key, STRING, doc="meter"),
        Column("finding", STRING, doc="stuck, jump or long_gap"),
        Column("measure", STRING, nullable=True, doc="the measure; none for a gap"),
        Column("begins", TIMESTAMP, doc="start of the first row (of a gap: of what is missing), UTC"),
        Column("ends", TIMESTAMP, doc="end of the last one, not included, UTC"),
        Column("lasted_s", BIGINT, doc="seconds between them"),
        Column("before", DOUBLE, nullable=True, doc="jump: the mean of the row before, in the measure's unit"),
        Column("value", DOUBLE, nullable=True, doc="stuck: the value; jump: the mean after it; in the measure's unit"),
    ]


def check_checks(dataset: MeterSeries, checks: Iterable[Check], where: str) -> None:
    """Raise DeclarationError where a check names no measure, has no positive threshold, or is there twice."""
    seen: set[tuple[str, str]] = set()
    known = {measure.name for measure in dataset.measures}
    for check in checks:
        measure = "" if isinstance(check, LongGap) else check.measure
        place = f"{where}, quality {check.name} {measure}".rstrip()
        if measure and measure not in known:
            raise DeclarationError(place, f"there is no measure {measure!r}", expected=f"Use one of {sorted(known)}")
        limit = check.more_than if isinstance(check, Jump) else check.at_least.total_seconds()
        if not limit > 0:
            raise DeclarationError(place, f"its threshold is {limit:g}", expected="Give more than 0")
        if (check.name, measure) in seen:
            raise DeclarationError(place, "it is declared twice", expected="Keep one")
        seen.add((check.name, measure))
