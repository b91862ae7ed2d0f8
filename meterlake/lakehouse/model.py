"""The model of the gold layer: dimensions of references, facts of events, and figures that are asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meterlake.errors import DeclarationError
from meterlake.lakehouse.fields import check_word, parse
from meterlake.names import check_unique

Additivity = Literal["additive", "semi_additive", "not_additive"]
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Dimension:
    """A table of a reference's members, each with a surrogate key, and one that stands for whatever is unknown.

    key: the name of the surrogate key. attributes: fields of the reference, its key first. levels: attributes by which
    people drill down, the coarsest first.
    """

    name: str
    reference: str
    key: str
    attributes: tuple[str, ...]
    levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_word(self.name, f"Dimension {self.name!r}")
        check_word(self.key, f"Dimension {self.name!r}, its key")


@dataclass(frozen=True)
class Lookup:
    """A fact's way to a dimension: the event's field that holds the natural key, and the column of the surrogate key.

    The column says the role that the member plays: ``from_user_sk``, ``to_user_sk``.
    """

    dimension: str
    field: str
    column: str


@dataclass(frozen=True)
class Measure:
    """A field that is counted, and how: whether sums of it over everything mean something."""

    field: str
    additivity: Additivity


@dataclass(frozen=True)
class Fact:
    """A table with a row for each accepted event. grain: one sentence that says what a row is."""

    name: str
    event: str
    grain: str
    lookups: tuple[Lookup, ...]
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        check_word(self.name, f"Fact {self.name!r}")


@dataclass(frozen=True)
class View:
    """Rows that figures are asked of: SQL, as Spark writes it, over tables of gold and other views, by their names.

    It has the columns ``date_sk`` and those of ``dimensions``, by which its figures may be grouped.
    """

    name: str
    sql: str
    dimensions: tuple[str, ...]

    def __post_init__(self) -> None:
        check_word(self.name, f"View {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """A figure: SQL over the rows of a fact or a view, as Spark writes it.

    grain: what it is given by when nothing else is asked. source: whose definition it is. caveat: what it does not
    say. per: the rows are first summed up by these columns, beside those of the grain, into the columns ``inner``
    (name: SQL; ``{partition}`` is the PARTITION BY of the grain), and ``sql`` is over these: customers with three
    interruptions, feeders that are worst.
    """

    name: str
    title: str
    unit: str
    fact: str
    sql: str
    grain: tuple[str, ...]
    better: Better
    source: str
    caveat: str = ""
    per: tuple[str, ...] = ()
    inner: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_word(self.name, f"Kpi {self.name!r}")
        parse(self.sql, f"Kpi {self.name!r}")
        if bool(self.per) != bool(self.inner):
            raise DeclarationError(
                f"Kpi {self.name!r}", "one of per and inner is missing", expected="Give both or none"
            )


@dataclass(frozen=True, kw_only=True)
class Mart:
    """A table that answers a usual question, kept ready beside the facts: figures of a fact, by day and more.

    by: name -> SQL over the fact's rows, as Spark writes it; ``date_sk`` is always there, first. figures: name -> SQL
    with an aggregate.
    """

    name: str
    title: str
    fact: str
    by: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        where = f"Mart {self.name!r}"
        check_word(self.name, where)
        for name, sql in (*self.by, *self.figures):
            check_word(name, f"{where}, column {name!r}")
            parse(sql, where)
        check_unique(("date_sk", *(name for name, _ in (*self.by, *self.figures))), where, "column")
        if not self.figures:
            raise DeclarationError(
                where, "it has no figure", expected="Give it one with an aggregate, such as COUNT(*)"
            )


@dataclass(frozen=True)
class Page:
    """A tab of the dashboard: a title, and the names of the figures on it."""

    title: str
    kpis: tuple[str, ...]


@dataclass(frozen=True)
class Filters:
    """What a dashboard is filtered by: columns of a view. Each offers the values that those before it leave."""

    view: str
    columns: tuple[str, ...]
