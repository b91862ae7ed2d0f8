"""What the declarations of file formats beside text have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from meterlake import wallclock
from meterlake.errors import DeclarationError, PermanentError
from meterlake.names import check_unique
from meterlake.physical_units import UnitsDiffer, exact_factor
from meterlake.text.check import check_said_meter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from meterlake.contents import Content
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.wallclock import FileClock


class WrongFile(PermanentError):
    """A file is not of its format, or damaged. problem: without the path; hint: how to go on."""

    def __init__(self, problem: str, hint: str, path: str = "The file") -> None:
        self.problem = problem
        super().__init__(f"{path} {problem}.", hint=hint)

    def of(self, path: str) -> WrongFile:
        """Return the same error, naming the file."""
        return WrongFile(self.problem, self.hint, path)


@dataclass(frozen=True, kw_only=True)
class FileFormat(ABC):
    """A format of files.

    name: by which a command chooses it among a data set's formats. meter_id: of all rows, where the file does not say
    the meter. meter_from_name: a regular expression that finds it in the file's name, instead. utc_offset, time_zone:
    of times without an offset, as in a ``TextFormat``. estimated: a measure that is 1 where the other values are
    estimated, and 0 where they were measured; so a ``Flag`` or a report can tell them apart.
    """

    dataset: MeterSeries
    name: str = ""
    meter_id: str = ""
    meter_from_name: str = ""
    utc_offset: timedelta = timedelta(0)
    time_zone: str = ""
    estimated: str = ""

    content: ClassVar[Content]
    title: ClassVar[str]
    """As errors name it."""

    def __post_init__(self) -> None:
        if self.time_zone and self.utc_offset:
            raise DeclarationError(self.where, "has an offset and a time zone", expected="Give one of the two")
        if self.time_zone:
            wallclock.check_zone(self.time_zone, self.where)
        check_said_meter(self, self.where)
        said = [self.has_meters, bool(self.meter_id), bool(self.meter_from_name)]
        if sum(said) != 1:
            problem = "names a meter, and the file does, too" if self.has_meters else "says the meter twice"
            problem = problem if any(said) else "nothing says the meter"
            raise DeclarationError(
                self.where, problem, expected="Give one of meter_id, meter_from_name and where the file says it"
            )
        self._check_measures()

    @property
    def where(self) -> str:
        """As errors of its declaration name it."""
        return f"{self.title} format of {self.dataset.name!r}"

    @property
    def clock(self) -> FileClock:
        """The clock of its files."""
        return wallclock.zone(self.time_zone) if self.time_zone else self.utc_offset

    @property
    def lead(self) -> timedelta:
        """How long before a row's time its interval begins."""
        return timedelta(0)

    @property
    def has_meters(self) -> bool:
        """Whether the file says the meter of each row."""
        return not (self.meter_id or self.meter_from_name)

    @property
    @abstractmethod
    def measures(self) -> tuple[str, ...]:
        """The measures that the file holds, ``estimated`` left out."""

    @property
    def counter_interval_s(self) -> int:
        """Length of the intervals for which counters count, which go on from file to file; 0 where there are none."""
        return 0

    @property
    def has_own_offset(self) -> bool:
        """Whether each time is an instant by itself, so that no clock of the file matters."""
        return False

    def _check_measures(self) -> None:
        given = [*self.measures, *([self.estimated] if self.estimated else [])]
        check_unique(given, self.where, "measure")
        wanted = [measure.name for measure in self.dataset.measures]
        if sorted(given) != sorted(wanted):
            raise DeclarationError(self.where, f"it gives the measures {given}", expected=f"Give each of {wanted} once")

    def _check_intervals(self, lengths: Iterable[int]) -> None:
        for length in lengths:
            if length not in self.dataset.intervals:
                raise DeclarationError(
                    self.where,
                    f"its interval of {length} s is not one of the data set's",
                    expected=f"Use one of {self.dataset.intervals}",
                )


def conversion(measure: Measure, unit: str, where: str) -> Fraction:
    """Return by what a value in ``unit`` (empty: the measure's own) is multiplied. Raises DeclarationError."""
    try:
        return exact_factor(unit or measure.unit, measure.unit)
    except UnitsDiffer as error:
        raise DeclarationError(where, error.what.rstrip("."), expected=error.hint.rstrip(".")) from None
