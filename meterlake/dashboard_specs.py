"""What the dashboards of a data set show, as plain frozen values: which of its values plays which part.

Every part but one is optional: a dashboard is made of the panels whose parts are there. A data set that says nothing
gets the board that its declaration suggests (``plain_board``). Titles, units and formulas come from the declaration;
panels and queries are the serving layer's business (``serving_layer.dashboards``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meterlake import registry
from meterlake.errors import DeclarationError
from meterlake.expressions import Expression, parse_expression
from meterlake.physical_units import HOUR_S, amount_of, physical_unit, rate_of, same_quantity
from meterlake.validation import STATE_COLUMNS, measure_columns
from meterlake.views import read_time_values

if TYPE_CHECKING:
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.report_specs import Limits


@dataclass(frozen=True)
class Band:
    """A further level, shown as lowest, mean and highest. limits: the range in which it must be, if there is one."""

    level: str
    limits: Limits | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """The parts that measures and derived values play.

    main: the measure that says how much a meter takes: a level (power) or an amount (energy of an interval).
    total: derived value or amount in which it adds up; nothing: ``main`` itself or, of a level, what its unit makes.
    bands: further levels. ratios: derived values that are no sums, such as a power factor.
    parts: amounts that make up ``total``. rest: the derived value that they leave of it.
    group: regular expression whose first group names a meter's group, such as ``^(.+)-``; alerts go by it.
    """

    main: str
    total: str = ""
    bands: tuple[Band, ...] = ()
    ratios: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    rest: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        where = f"Board of {self.main!r}"
        if self.rest and not self.parts:
            raise DeclarationError(where, f"{self.rest!r} is the rest of no parts", expected="Name the parts")
        try:
            groups = re.compile(self.group).groups if self.group else 1
        except re.error as error:
            raise DeclarationError(
                where, f"{self.group!r} is no regular expression: {error}", expected="Correct it"
            ) from None
        if groups != 1:
            raise DeclarationError(where, f"{self.group!r} has {groups} groups", expected="Put one part into brackets")


@dataclass(frozen=True)
class ShownValue:
    """A value of a view's row as dashboards show it. expression: over state columns, in physical units."""

    name: str
    title: str
    unit: str
    expression: Expression


def board_of(dataset: MeterSeries) -> Board:
    """Return a data set's board: the part ``board`` of its folder, or the plain one."""
    known = registry.find(dataset.name)
    board = known.board() if known else None
    return check_board(dataset, board) if board else plain_board(dataset)


def boards() -> list[tuple[MeterSeries, Board]]:
    """Return all data sets with their boards."""
    return [(dataset, board_of(dataset)) for dataset in registry.declarations()]


def plain_board(dataset: MeterSeries) -> Board:
    """Return the board that a declaration suggests: its first rate or amount leads, everything else has a panel."""
    main = min(dataset.measures, key=_leads)
    made = amount_of(main.unit) if main.kind == "level" else None
    totals = [value.name for value in dataset.derived if made and same_quantity(value.unit, made.symbol)]
    ratios = tuple(value.name for value in dataset.derived if same_quantity(value.unit, "1"))
    bands = tuple(Band(level.name) for level in dataset.levels if level.name != main.name)
    return Board(main=main.name, total=totals[0] if totals else "", bands=bands, ratios=ratios)


def _leads(measure: Measure) -> int:
    """Return the rank of a measure as the one that leads: power, energy, another amount or rate, any other."""
    unit = physical_unit(measure.unit)
    ranks = [
        measure.kind == "level" and unit.quantity == "power",
        measure.kind == "amount" and unit.quantity == "energy",
        measure.kind == "amount" or amount_of(measure.unit) is not None,
        True,
    ]
    return ranks.index(True)


def check_board(dataset: MeterSeries, board: Board) -> Board:
    """Return a board whose parts are all declared; raises DeclarationError for one that is not."""
    where = f"Board of data set {dataset.name!r}"
    kinds = {measure.name: measure.kind for measure in dataset.measures}
    derived = {value.name for value in dataset.derived}
    amounts = {name for name, kind in kinds.items() if kind == "amount"}
    wanted = {
        "main": ((board.main,), kinds.keys()),
        "total": ((board.total,) if board.total else (), derived | amounts),
        "bands": (tuple(band.level for band in board.bands), kinds.keys() - amounts),
        "ratios": (board.ratios, derived),
        "parts": (board.parts, amounts),
        "rest": ((board.rest,) if board.rest else (), derived),
    }
    for part, (names, known) in wanted.items():
        for name in names:
            if name not in known:
                raise DeclarationError(
                    where, f"its {part} {name!r} is not declared as such", expected=f"One of {', '.join(sorted(known))}"
                )
    return board


def rate(dataset: MeterSeries, board: Board) -> ShownValue:
    """Return how much a meter takes at a time: the mean of a level, or an amount per hour (kW for kWh)."""
    measure = dataset.measure(board.main)
    title = measure.title or measure.name
    if measure.kind == "level":
        return ShownValue("rate", title, measure.unit, parse_expression(f"{measure.name}_sum / covered_s"))
    formula = f"{measure.name}_sum * {HOUR_S} / covered_s"
    unit = rate_of(measure.unit).symbol
    return ShownValue("rate", f"{title} per hour", unit, parse_expression(formula))


def total(dataset: MeterSeries, board: Board) -> ShownValue | None:
    """Return in what a meter's taking adds up: as declared, or what the unit of the level makes; None where nothing."""
    measure = dataset.measure(board.main)
    if board.total:
        return shown_value(dataset, board.total)
    if measure.kind == "amount":
        return shown_value(dataset, measure.name)
    made = amount_of(measure.unit)
    if made is None:
        return None
    formula = f"{measure.name}_sum / {HOUR_S}"
    return ShownValue("total", made.quantity.capitalize(), made.symbol, parse_expression(formula))


def shown_value(dataset: MeterSeries, name: str) -> ShownValue:
    """Return a derived value, or the sum of an amount. Raises KeyError for another name."""
    for value in dataset.derived:
        if value.name == name:
            return ShownValue(name, value.title or name, value.unit, read_time_values(dataset)[name])
    measure = dataset.measure(name)
    return ShownValue(name, measure.title or name, measure.unit, parse_expression(f"{measure.name}_sum"))


def state_columns(dataset: MeterSeries) -> tuple[str, ...]:
    """Return the columns over which the expressions are written."""
    return (*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure)))
