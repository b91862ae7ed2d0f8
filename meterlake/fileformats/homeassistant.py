"""Home Assistant's long-term statistics: its database (SQLite), and the CSV that tools export from it.

A row of statistics is named by the start of its hour (or five minutes), and ``sum`` and ``state`` are what they were at
its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from meterlake.errors import DeclarationError
from meterlake.fileformats.base import FileFormat
from meterlake.fileformats.records import Register, Time
from meterlake.fileformats.values import KNOWN_TIMES, time_problem
from meterlake.meter_names import check_meter_id
from meterlake.names import check_unique

StatisticColumn: TypeAlias = Literal["sum", "state", "mean", "min", "max"]

COUNTERS: Final = ("sum", "state")
TABLES: Final = {3600: "statistics", 300: "statistics_short_term"}
"""Length of the intervals -> table."""

_PLAIN: Final = Register()
_START: Final = Time("start")


@dataclass(frozen=True)
class Statistic:
    """A statistic, the measure that it is, and of which meter.

    id: such as ``sensor.grid_energy``. column: ``sum`` (grows with what was used, whatever the sensor does), ``state``
    (the sensor's own counter), or ``mean``, ``min``, ``max`` of a level. meter_id: where the format has none.
    """

    id: str
    measure: str
    column: StatisticColumn = "sum"
    meter_id: str = ""


@dataclass(frozen=True, kw_only=True)
class _Statistics(FileFormat):
    """What both formats declare. Statistics that are not named are not read. register: of ``sum`` and ``state``."""

    statistics: tuple[Statistic, ...]
    interval_s: int = 3600
    register: Register = _PLAIN

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_intervals([self.interval_s])
        check_unique((statistic.id for statistic in self.statistics), self.where, "statistic")
        for statistic in self.statistics:
            if bool(statistic.meter_id) != self.has_meters:
                raise DeclarationError(
                    self.where,
                    f"{statistic.id!r} has {'two meters' if not self.has_meters else 'no meter'}",
                    expected="Give meter_id either to the format or to each statistic",
                )
            if statistic.meter_id:
                check_meter_id(statistic.meter_id)
            if statistic.column not in (*COUNTERS, "mean", "min", "max"):
                raise DeclarationError(
                    self.where, f"the column {statistic.column!r} is unknown", expected="Use sum, state or mean"
                )
        counted = tuple(one.measure for one in self.statistics if one.column in COUNTERS)
        self.register.check(self.dataset, counted, self.estimated, self.where)

    @property
    def counter_interval_s(self) -> int:
        """Length of the intervals for which counters count; 0 where there are none."""
        return self.interval_s if any(one.column in COUNTERS for one in self.statistics) else 0

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures, whatever their meters."""
        return tuple(dict.fromkeys(statistic.measure for statistic in self.statistics))


@dataclass(frozen=True, kw_only=True)
class HomeAssistantDatabase(_Statistics):
    """Home Assistant's database, ``home-assistant_v2.db``. interval_s: 3600, or 300 for the short-term statistics."""

    content: ClassVar = "sqlite"
    title: ClassVar = "Home Assistant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval_s not in TABLES:
            raise DeclarationError(
                self.where, f"it has no statistics of {self.interval_s} s", expected=f"Use one of {list(TABLES)}"
            )

    @property
    def has_own_offset(self) -> bool:
        """Whether each time is an instant by itself: here they are."""
        return True


@dataclass(frozen=True, kw_only=True)
class HomeAssistantText(_Statistics):
    """CSV with a row a statistic and hour: ``statistic_id,unit,start,sum,state`` in any order, comma, semicolon or tab.

    ``unit_of_measurement`` and ``start_ts`` (epoch seconds) are known, too. time: of ``start``.
    """

    time: Time = _START
    decimal: Literal[".", ","] = "."

    content: ClassVar = "text"
    title: ClassVar = "Home Assistant CSV"

    def __post_init__(self) -> None:
        super().__post_init__()
        problem = time_problem(self.time.pattern)
        if problem:
            raise DeclarationError(
                self.where,
                f"the time {self.time.pattern!r} cannot be read: {problem}",
                expected=f"Write dd.MM.yyyy HH:mm or so, or one of {', '.join(KNOWN_TIMES)}",
            )
