"""Reference tables, how readings are joined to them, and the tables that are made of the result. Plain frozen values.

A meter series may have a ``Presentation``: each reading is joined with the row of a reference table that is valid at
its time (``meterlake.validity``), and tables for people are made of that. SQL is written once; sqlglot turns it into
the dialects of the engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from meterlake.columns import BIGINT, BOOLEAN, DATE, INT, STRING, TIMESTAMP, Column, decimal
from meterlake.errors import DeclarationError, UnknownName
from meterlake.names import check_name, check_unique

if TYPE_CHECKING:
    from meterlake.columns import Dialect
    from meterlake.declaration import MeterSeries

STAGING: Final = "staging"
"""Name of the joined readings in the SQL of tables."""
ASKED: Final = "asked"
"""Name of the relation of one row, whose column ``as_of`` is the day that was asked for."""
DAY: Final = "day"
AS_OF: Final = "as_of"

RECORDED: Final = (
    Column("recorded_from", TIMESTAMP, doc="when this row was first seen in the source, UTC"),
    Column(
        "recorded_to", TIMESTAMP, nullable=True, doc="when it was seen to be gone or changed, UTC; NULL: it is there"
    ),
)
"""Columns of a reference table beside its own: the time for which a row was recorded."""


@dataclass(frozen=True, kw_only=True)
class ReferenceTable:
    """A table of things that are, such as agreements; all versions of its rows are kept.

    key: columns that identify a row in the source. table: its name there; the same where left out.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    table: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        where = f"Reference {self.name!r}"
        check_name(self.name, where)
        names = [column.name for column in self.columns]
        check_unique([*names, *(column.name for column in RECORDED)], where, "column")
        _known(self.key, names, where, "key")
        if not self.key or any(column.nullable for column in self.columns if column.name in self.key):
            raise DeclarationError(
                where, f"its key {self.key} may be unknown", expected="Give columns that are not NULL"
            )
        if not self.table:
            object.__setattr__(self, "table", self.name)

    def column(self, name: str) -> Column:
        """Return a column by name; raises KeyError."""
        return {column.name: column for column in self.columns}[name]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """How a reading finds its row of a reference table: the one valid at its time.

    meter: the column with the reading's meter. begin, end: columns of local dates; valid in [begin, end), for ever
    where the end is NULL. id: of several valid rows the one that began last counts, then the one with the highest id.
    columns: what staging takes over of the row.
    """

    reference: str
    meter: str
    begin: str
    end: str
    id: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Attributes by key. on: the column with the key, taken over from the assigned row, or the meter's key column."""

    reference: str
    on: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PresentationTable:
    """A table for people. grain: what a row is, in one sentence. keys: no two rows have the same.

    sql: one SELECT. by ``day``: it reads ``staging``, groups by ``day``, and is computed again for days that changed.
    by ``as_of``: it reads reference tables and ``asked``, whose ``as_of`` is the day that was asked for.
    """

    name: str
    grain: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    sql: str
    by: Literal["day", "as_of"] = "day"
    title: str = ""
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"Presentation table {self.name!r}"
        check_name(self.name, where)
        tree = self._parsed(where)
        names = [column.name for column in self.columns]
        if tree.named_selects != names:
            raise DeclarationError(
                where,
                f"its SQL yields {', '.join(tree.named_selects)}; its columns are {', '.join(names)}",
                expected="Declare each column, in the order of the SQL",
            )
        _known((*self.keys, *self.order), names, where, "key")
        if self.by not in self.keys:
            raise DeclarationError(where, f"its keys {self.keys} lack {self.by!r}", expected=f"Add {self.by!r}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The relations that its SQL reads."""
        tree = self._parsed(self.name)
        inner = {cte.alias for cte in tree.find_all(exp.CTE)}
        return tuple(sorted({table.name for table in tree.find_all(exp.Table)} - inner))

    def select(self, dialect: Dialect) -> str:
        """Return the SELECT in an engine's dialect."""
        return self._parsed(self.name).sql(dialect=dialect)

    def _parsed(self, where: str) -> exp.Select:
        try:
            tree = sqlglot.parse_one(self.sql)
        except SqlglotError as error:
            raise DeclarationError(
                where, f"its SQL cannot be read ({str(error).splitlines()[0]})", expected="Write one SELECT"
            ) from None
        if not isinstance(tree, exp.Select):
            raise DeclarationError(where, "its SQL is no SELECT", expected="Write one SELECT")
        return tree


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """Reference tables, the join of readings with them, and the tables made of it."""

    references: tuple[ReferenceTable, ...]
    assignment: Assignment
    lookups: tuple[Lookup, ...] = ()
    tables: tuple[PresentationTable, ...] = ()
    title: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        check_unique([one.name for one in self.references], "Presentation", "reference table")
        check_unique([one.name for one in self.tables], "Presentation", "table")
        result = self.assignment
        where = f"Assignment to {result.reference!r}"
        names = [column.name for column in self.reference(result.reference).columns]
        _known((result.meter, result.begin, result.end, result.id, *result.columns), names, where, "column")
        if result.id not in result.columns:
            raise DeclarationError(where, f"staging lacks its id {result.id!r}", expected="Add it to columns=")
        for name in (result.begin, result.end):
            if self.reference(result.reference).column(name).type != DATE:
                raise DeclarationError(where, f"{name!r} is no date", expected="Validity is given in local dates")
        for lookup in self.lookups:
            reference = self.reference(lookup.reference)
            _known(
                lookup.columns, [column.name for column in reference.columns], f"Lookup of {reference.name!r}", "column"
            )
            if len(reference.key) != 1:
                raise DeclarationError(
                    f"Lookup of {reference.name!r}",
                    f"its key is {reference.key}",
                    expected="One column is looked up by",
                )
        known = {STAGING, ASKED, *(one.name for one in self.references)}
        for table in self.tables:
            allowed = {STAGING} if table.by == DAY else known - {STAGING}
            _known(table.reads, sorted(allowed), f"Presentation table {table.name!r}", "relation")

    def reference(self, name: str) -> ReferenceTable:
        """Return a reference table by name. Raises UnknownName."""
        known = {one.name: one for one in self.references}
        if name not in known:
            raise UnknownName("reference table", name, known)
        return known[name]

    @property
    def unassigned(self) -> str:
        """Name of the flag of a reading at whose time no row is valid."""
        return f"no_{self.assignment.reference}"

    @property
    def overlapping(self) -> str:
        """Name of the flag of a reading at whose time several rows are valid."""
        return f"overlapping_{self.assignment.reference}"

    def by_meter(self, series: MeterSeries) -> tuple[Lookup, ...]:
        """Return the lookups by the meter itself."""
        return tuple(lookup for lookup in self.lookups if lookup.on == series.key)

    def joined_columns(self, series: MeterSeries) -> tuple[Column, ...]:
        """Return what staging has from reference tables, flags last."""
        taken = [self.reference(self.assignment.reference).column(name) for name in self.assignment.columns]
        looked = [self.reference(lookup.reference).column(name) for lookup in self.lookups for name in lookup.columns]
        values = [Column(column.name, column.type, nullable=True, doc=column.doc) for column in (*taken, *looked)]
        name = self.assignment.reference
        flags = [
            Column(self.unassigned, BOOLEAN, doc=f"no {name} is valid at the reading's time"),
            Column(self.overlapping, BOOLEAN, doc=f"several rows of {name} are; the one that began last counts"),
            *(
                Column(f"unknown_{lookup.reference}", BOOLEAN, doc=f"{lookup.reference} has no row of this key")
                for lookup in self.lookups
            ),
        ]
        _check_lookups(self, series)
        return (*values, *flags)


def staging_columns(series: MeterSeries, presentation: Presentation) -> tuple[Column, ...]:
    """Return the columns of the joined readings: one row a meter and row of the finest view."""
    return (
        Column(series.key, STRING, doc="the meter"),
        Column("interval_start", TIMESTAMP, doc="start, UTC"),
        Column("interval_end", TIMESTAMP, doc="end, UTC"),
        Column("local_start", TIMESTAMP, doc=f"start on the wall clock of {series.time_zone}"),
        Column("local_end", TIMESTAMP, doc="end on the wall clock"),
        Column(DAY, DATE, doc="local date of the start"),
        Column("settlement_period", INT, doc="number of the interval in its local day, from 1"),
        Column("covered_s", BIGINT, doc="seconds covered by readings"),
        Column("flagged", BIGINT, doc="readings that a rule has flagged"),
        *(
            Column(
                f"{measure.name}_sum", decimal(measure.scale), doc=f"{measure.title or measure.name}, {measure.unit}"
            )
            for measure in series.measures
        ),
        *presentation.joined_columns(series),
    )


def _check_lookups(presentation: Presentation, series: MeterSeries) -> None:
    known = [series.key, *presentation.assignment.columns]
    for lookup in presentation.lookups:
        _known((lookup.on,), known, f"Lookup of {lookup.reference!r}", "column")


def _known(names: tuple[str, ...], known: list[str], where: str, kind: str) -> None:
    for name in names:
        if name not in known:
            raise DeclarationError(
                where, f"its {kind} {name!r} is unknown", expected=f"Use {', '.join(known) or 'none'}"
            )
