"""What the dashboards of a data set show, as plain frozen values: which of its measures plays which part.

Titles, units and formulas come from the declaration; panels and queries are the serving layer's business
(``serving_layer.dashboards``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterlake import registry

if TYPE_CHECKING:
    from meterlake.declaration import Dataset
    from meterlake.report_specs import Limits


@dataclass(frozen=True, kw_only=True)
class Board:
    """The parts that measures and derived values play.

    power, current, voltage: levels. limits: the range in which the voltage must be.
    energy, power_factor, rest: derived values; ``rest`` is what ``parts`` (amounts) leave of ``energy``.
    """

    power: str
    energy: str
    power_factor: str
    current: str
    voltage: str
    limits: Limits
    parts: tuple[str, ...]
    rest: str


def board_of(dataset: Dataset) -> Board | None:
    """Return the board of a data set: the part ``board`` of its folder."""
    known = registry.find(dataset.name)
    return known.board() if known else None


def boards() -> list[tuple[Dataset, Board]]:
    """Return all data sets that have dashboards."""
    return [(item.declaration, board) for item in registry.entries() if (board := item.board())]
