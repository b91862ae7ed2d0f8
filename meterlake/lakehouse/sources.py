"""Where records come from when it is no topic: a table of a database, read whole or by its watermark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from meterlake.errors import DeclarationError
from meterlake.lakehouse.fields import check_word

if TYPE_CHECKING:
    from datetime import date

Deletions = Literal["none", "compare"]
"""``compare``: the keys of the table are compared with those that were landed; what is gone is landed as deleted."""

DELETED = "is_deleted"
"""Field of a landed record that says that its row is gone from the source."""


FOR_EVER: Final = timedelta.max
"""A retention that does not end."""


def check_retention(retention: timedelta | None, where: str) -> None:
    """Raise DeclarationError for a retention that is none."""
    if retention is not None and retention <= timedelta(0):
        expected = "Give one of more than 0, or leave it out"
        raise DeclarationError(where, f"retention={retention} is none", expected=expected)


class ExtractKind(StrEnum):
    """What files extracts of tables are. xml: as SAP sends IDocs."""

    CSV = "csv"
    PARQUET = "parquet"
    XML = "xml"


@dataclass(frozen=True, kw_only=True)
class Extract:
    """A table of a source database, and how its news are found.

    key: the column that identifies a row. watermark: the column of the instant (UTC) when a row was written last.
    overlap: so far behind the last watermark the next extract begins again, for what was committed late; a row that
    has been landed as it is, is not landed again. columns: the source's name of a field, where it is another.
    """

    database: str
    table: str
    key: str
    watermark: str = "changed_at"
    overlap: timedelta = timedelta(hours=1)
    deletions: Deletions = "none"
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"The table {self.table!r}"
        check_word(self.database, where)
        if self.overlap < timedelta(0):
            raise DeclarationError(where, f"overlap={self.overlap} is none", expected="Give one of 0 or more")

    def column(self, field: str) -> str:
        """Return the source's name of a field."""
        return self.columns.get(field, field)


@dataclass(frozen=True)
class Play:
    """Days that sources live through: up to the local day ``until``, not included.

    urls: of the databases, by name. customers, seed and start are those of the sources' beginning; None: go on.
    faults: shares of rows that are wrong, by the name of what is wrong.
    """

    urls: Mapping[str, str]
    days: int
    start: date | None = None
    customers: int = 0
    seed: int = 1
    faults: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Played:
    """What happened in the sources: by table, rows that are new, changed, deleted or wrong. until: the next day."""

    until: date
    tables: dict[str, dict[str, int]]


@dataclass(frozen=True)
class SourceWorld:
    """How the databases of a lakehouse's sources are made. faults: what can be wrong, and what it means."""

    play: Callable[[Play], Played]
    faults: Mapping[str, str] = field(default_factory=dict)
