"""NEM12 and NEM13, the files of Australia's market: interval data, and reads of accumulation meters.

Times are those of the market, UTC+10 all year. The meter is the NMI.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from meterlake.errors import DeclarationError
from meterlake.fileformats.base import FileFormat
from meterlake.fileformats.values import RefusedValue, number
from meterlake.names import check_unique

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKET_TIME: Final = timedelta(hours=10)
ESTIMATED: Final = frozenset("EFS")
"""Qualities of values that were not measured: forward estimates, final and other substitutes."""

NO_DATA: Final = "N"
VARIABLE: Final = "V"
QUALITIES: Final = frozenset("A") | ESTIMATED | {NO_DATA, VARIABLE}

UNITS: Final = {
    symbol.upper(): symbol
    for symbol in ("Wh", "kWh", "MWh", "varh", "kvarh", "VAh", "kVAh", "W", "kW", "MW", "var", "kvar", "VA", "kVA")
} | {"V": "V", "KV": "kV", "A": "A", "KA": "kA", "PF": "1"}
"""Units of measure as they are written there, in whatever letters."""


@dataclass(frozen=True)
class Channel:
    """A measurement channel of an NMI, and its measure.

    suffix: such as ``E1`` (taken from the network), ``B1`` (fed in), ``Q1``; of NEM13 such as ``11`` or ``41``.
    absent: the value where the NMI does not have that channel, as its configuration says (``"0"``); else such readings
    are quarantine ``missing_measure``.
    """

    suffix: str
    measure: str
    absent: str = ""


@dataclass(frozen=True, kw_only=True)
class _Nem(FileFormat):
    """What both formats declare.

    ignored: suffixes that are not read; any other that no channel names is quarantine ``unknown_channel:<suffix>``.
    """

    channels: tuple[Channel, ...]
    ignored: tuple[str, ...] = ()
    utc_offset: timedelta = MARKET_TIME

    content: ClassVar = "text"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_unique([*(channel.suffix for channel in self.channels), *self.ignored], self.where, "suffix")
        for channel in self.channels:
            try:
                number(channel.absent)
            except RefusedValue:
                raise DeclarationError(
                    self.where, f"absent={channel.absent!r} is no number", expected="Write '0', or leave it out"
                ) from None

    @property
    def has_meters(self) -> bool:
        """Each record has its NMI."""
        return True

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of its channels."""
        return tuple(channel.measure for channel in self.channels)

    @cached_property
    def by_suffix(self) -> Mapping[str, Channel]:
        """Suffix -> its channel."""
        return {channel.suffix: channel for channel in self.channels}

    def absent(self, configuration: str) -> dict[str, float]:
        """Return measure -> value, for the channels that an NMI of such a configuration (``E1Q1``) does not have."""
        has = {configuration[at : at + 2] for at in range(0, len(configuration), 2)}
        return {
            channel.measure: float(channel.absent)
            for channel in self.channels
            if channel.absent and channel.suffix not in has
        }


@dataclass(frozen=True, kw_only=True)
class Nem12(_Nem):
    """A NEM12 file. Intervals are as long as its 200 records say; those of other lengths are ``off_grid``."""

    title: ClassVar = "NEM12"


@dataclass(frozen=True, kw_only=True)
class Nem13(_Nem):
    """A NEM13 file: amounts between two reads, weeks or months apart, which are brought onto the grid.

    interval_s: of the intervals that are made, over which an amount is spread evenly (``registers``).
    """

    interval_s: int

    title: ClassVar = "NEM13"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_intervals([self.interval_s])
        if not self.estimated:
            raise DeclarationError(
                self.where,
                "its amounts are spread, and nothing would tell them from measured ones",
                expected="Name a measure of 0 and 1 as estimated=",
            )
