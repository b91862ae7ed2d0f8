"""Green Button: ESPI, an Atom feed in XML, as North America's utilities give it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from meterlake.errors import DeclarationError
from meterlake.fileformats.base import FileFormat
from meterlake.names import check_unique
from meterlake.physical_units import exact_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

FlowDirection: TypeAlias = Literal["forward", "reverse", "net", "total", "none"]

DIRECTIONS: Final[dict[str, FlowDirection]] = {
    "0": "none",
    "1": "forward",
    "4": "net",
    "19": "reverse",
    "20": "total",
}
"""Codes of ``flowDirection``. Forward: delivered to the customer; reverse: received from it."""

UNITS: Final = {
    "5": "A",
    "29": "V",
    "31": "J",
    "33": "Hz",
    "38": "W",
    "42": "m³",
    "61": "VA",
    "63": "var",
    "71": "VAh",
    "72": "Wh",
    "73": "varh",
    "106": "Ah",
    "125": "m³/h",
    "134": "l",
}
"""Codes of ``uom``."""

CUMULATIVE: Final = frozenset({"1", "3"})
"""Codes of ``accumulationBehaviour`` of registers: bulk quantity, cumulative."""

ESTIMATED: Final = frozenset({"8", "9", "12"})
"""Codes of ``quality`` of values that were not measured: estimated by a day like it or a line, projected."""


@dataclass(frozen=True)
class Flow:
    """The readings of a direction, and their measure.

    absent: the value where a usage point has no readings of that direction (``"0"``); else such readings are quarantine
    ``missing_measure``.
    """

    direction: FlowDirection
    measure: str
    absent: str = ""


@dataclass(frozen=True, kw_only=True)
class GreenButton(FileFormat):
    """A Green Button file.

    The meter is the usage point's id (``…/UsagePoint/4``), or meter_id. ignored: units of readings that are not read,
    such as ``W``; any other that does not fit is quarantine ``bad_unit:<unit>``. Prices and tiers of time of use are
    not read.
    """

    flows: tuple[Flow, ...]
    ignored: tuple[str, ...] = ()

    content: ClassVar = "xml"
    title: ClassVar = "Green Button"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_unique((flow.direction for flow in self.flows), self.where, "direction")
        for flow in self.flows:
            if flow.direction not in DIRECTIONS.values():
                raise DeclarationError(
                    self.where,
                    f"the direction {flow.direction!r} is unknown",
                    expected=f"Use one of {', '.join(DIRECTIONS.values())}",
                )

    @property
    def has_own_offset(self) -> bool:
        """Whether each time is an instant by itself: here they are."""
        return True

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of its flows."""
        return tuple(flow.measure for flow in self.flows)

    @cached_property
    def by_direction(self) -> Mapping[str, Flow]:
        """Direction -> its flow."""
        return {flow.direction: flow for flow in self.flows}

    def factor(self, measure: str, unit: str, power_of_ten: int) -> Fraction:
        """Return by what a value is multiplied. Raises UnitsDiffer."""
        return exact_factor(unit, self.dataset.measure(measure).unit) * Fraction(10) ** power_of_ten

    def absent(self, directions: set[str]) -> dict[str, float]:
        """Return measure -> value, for the directions that a usage point does not have."""
        return {
            flow.measure: float(flow.absent) for flow in self.flows if flow.absent and flow.direction not in directions
        }
