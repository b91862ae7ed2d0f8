"""Records on a terminal: a table where it fits, without its optional columns where that helps, else record by record.

Column names and values are never changed. Only prose (several words) is folded, between words; a value is broken where
it alone is wider than the terminal, record by record or in a list of two columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

_GAP: Final = 2
"""Spaces between two columns."""
_PROSE: Final = 24
"""Prose is folded, but to no less than this, or its longest word."""
_COLOURS: Final = {
    "healthy": "green",
    "ok": "green",
    "missing": "red",
    "unhealthy": "red",
    "crashed": "red",
    "failed": "red",
}


@dataclass(frozen=True)
class _Column:
    name: str
    cells: tuple[str, ...]
    is_number: bool

    @property
    def width(self) -> int:
        """Width without any folding."""
        return max(cell_len(line) for text in (self.name, *self.cells) for line in text.splitlines() or [""])

    @property
    def least(self) -> int:
        """The smallest width at which nothing is broken."""
        if not self.is_prose:
            return self.width
        longest = max((cell_len(word) for text in self.cells for word in text.split()), default=0)
        return max(cell_len(self.name), longest, min(_PROSE, self.width))

    @property
    def is_prose(self) -> bool:
        """Whether it holds texts of several words."""
        return any(" " in text for text in self.cells)


def laid_out(records: Sequence[Mapping[str, Any]], width: int, optional: Sequence[str] = ()) -> list[RenderableType]:
    """Return what to print for records (one mapping a row, the same keys in each) on a terminal ``width`` wide.

    optional: names of columns that may be left out, the first one first.
    """
    columns = [_column(name, records) for name in records[0]]
    if _fits(columns, width):
        return [_table(columns, width)]
    for count in range(1, len(optional) + 1):
        dropped = optional[:count]
        kept = [column for column in columns if column.name not in dropped]
        if _fits(kept, width):
            names = ", ".join(column.name for column in columns if column.name in dropped)
            return [_table(kept, width), Text(f"Not shown: {names}. A wider terminal or --output json has all.", "dim")]
    if len(columns) == 2 and (room := width - columns[0].least - _GAP) >= _PROSE:
        return [_table([columns[0], _broken(columns[1], room)], width)]
    return _one_below_the_other(columns, width)


def _broken(column: _Column, room: int) -> _Column:
    """Return a column with lines of a width at most."""
    cells = ("\n".join(textwrap.wrap(text, room, break_on_hyphens=False)) for text in column.cells)
    return replace(column, cells=tuple(cells))


def _column(name: str, records: Sequence[Mapping[str, Any]]) -> _Column:
    values = [record[name] for record in records]
    is_number = all(isinstance(value, int | float | Decimal | None) for value in values)
    return _Column(name, tuple("" if value is None else str(value) for value in values), is_number)


def _fits(columns: Sequence[_Column], width: int) -> bool:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1) <= width


def _table(columns: Sequence[_Column], width: int) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, _GAP, 0, 0), collapse_padding=True)
    for column, room in zip(columns, _rooms(columns, width), strict=True):
        table.add_column(
            Text(column.name),
            justify="right" if column.is_number else "left",
            no_wrap=not column.is_prose,
            width=room,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in row))
    return table


def _rooms(columns: Sequence[_Column], width: int) -> list[int]:
    """Return a width for each column: what prose wants beyond its least is shared, the narrowest first."""
    rooms = {column.name: column.least for column in columns}
    left = width - sum(rooms.values()) - _GAP * (len(columns) - 1)
    wanting = sorted((column for column in columns if column.width > column.least), key=lambda column: column.width)
    for index, column in enumerate(wanting):
        more = min(column.width - column.least, left // (len(wanting) - index))
        rooms[column.name] += more
        left -= more
    return [rooms[column.name] for column in columns]


def _one_below_the_other(columns: Sequence[_Column], width: int) -> list[RenderableType]:
    label = max(cell_len(column.name) for column in columns)
    parts: list[RenderableType] = []
    for index in range(len(columns[0].cells)):
        record = Table.grid(padding=(0, _GAP, 0, 0))
        record.add_column(width=label, no_wrap=True, style="bold")
        record.add_column(width=max(1, width - label - _GAP), overflow="fold")
        for column in columns:
            text = column.cells[index]
            record.add_row(Text(column.name), Text(text, style=_COLOURS.get(text, "")))
        parts += [*([Text("")] if index else []), record]
    return parts
