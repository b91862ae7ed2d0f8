"""Figures of a lakehouse, asked of what readers see."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import sqlglot
from sqlglot import exp

from engines import trino
from meterlake.errors import DeclarationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from meterlake.columns import Dialect
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Kpi
    from meterlake.settings import Settings

_DATES: Final = ("dim_date", "dim_time")
_MODELS: Final = "models"


def statement(
    lakehouse: Lakehouse,
    name: str,
    by: tuple[str, ...] | None,
    since: date | None,
    until: date | None,
    dialect: Dialect = "trino",
) -> tuple[str, list[str]]:
    """Return the statement of a figure, and its parameters. by: columns of its fact or view; None: its own grain.

    since, until: local days; the last one is not included. In other dialects than Trino's tables have no catalog.
    Raises UnknownName.
    """
    kpis = {kpi.name: kpi for kpi in lakehouse.kpis}
    if name not in kpis:
        raise UnknownName(f"figure of {lakehouse.name}", name, kpis)
    kpi = kpis[name]
    columns = columns_of(lakehouse, kpi.fact)
    for column in by or ():
        if column not in columns:
            raise UnknownName(f"column of {kpi.fact}", column, columns)
    days = {">=": since, "<": until}
    conditions = [f"date_sk {sign} ?" for sign, day in days.items() if day]
    sql = query(lakehouse, kpi, kpi.grain if by is None else by, conditions, dialect)
    return sql, [f"{day:%Y%m%d}" for day in days.values() if day]


def query(
    lakehouse: Lakehouse, kpi: Kpi, by: Sequence[str], conditions: Sequence[str], dialect: Dialect = "trino"
) -> str:
    """Return the query of a figure by columns of its fact or view. conditions: SQL, in the dialect, of its rows."""
    with_views, table = _from(lakehouse, kpi.fact, dialect)
    return with_views + selection(kpi, by, conditions, table, lambda sql: _in(sql, dialect))


def selection(kpi: Kpi, by: Sequence[str], conditions: Sequence[str], table: str, written: Callable[[str], str]) -> str:
    """Return the query of a figure over rows that can be read by a name. written: makes a dialect of Spark's SQL."""
    groups = [f'"{column}"' for column in by]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = f"{table}{where}"
    if kpi.per:
        partition = f"PARTITION BY {', '.join(groups)}".replace('"', "`") if groups else ""
        inner = [f"{written(sql.replace('{partition}', partition))} AS {key}" for key, sql in kpi.inner.items()]
        keys = [*groups, *(f'"{column}"' for column in kpi.per if f'"{column}"' not in groups)]
        rows = f"(SELECT {', '.join([*keys, *inner])} FROM {rows} GROUP BY {', '.join(keys)})"
        rows += " AS summed"
    listed = ", ".join(groups)
    order = f" GROUP BY {listed} ORDER BY {listed}" if groups else ""
    return f"SELECT {', '.join([*groups, f'{written(kpi.sql)} AS {kpi.name}'])} FROM {rows}{order}"


def figure(
    settings: Settings,
    lakehouse: Lakehouse,
    name: str,
    by: tuple[str, ...] | None,
    span: tuple[date | None, date | None],
) -> list[dict[str, Any]]:
    """Return the rows of a figure. Raises UnknownName, and what Trino's client raises."""
    sql, parameters = statement(lakehouse, name, by, *span)
    columns, rows = trino.select(settings, sql, parameters or None)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def rows_of(
    lakehouse: Lakehouse,
    view: str,
    columns: tuple[str, ...],
    dialect: Dialect,
    catalog: str,
    since: date | None = None,
) -> str:
    """Return the query of columns of a view. catalog: that of the tables of gold, where they have one.

    since: the first local day of which the view knows facts.
    """
    listed = ", ".join(f"`{column}`" if dialect == "spark" else f'"{column}"' for column in columns)
    return f"{_with(lakehouse, view, dialect, catalog, since)}SELECT {listed} FROM {view}"


def columns_of(lakehouse: Lakehouse, rows: str) -> tuple[str, ...]:
    """Return what figures over a fact or a view may be grouped by."""
    if view := lakehouse.view(rows):
        return view.dimensions
    (fact,) = (fact for fact in lakehouse.facts if fact.name == rows)
    fields = lakehouse.event(fact.event).fields
    return ("date_sk", *(lookup.column for lookup in fact.lookups), *(field.name for field in fields))


def every_row(lakehouse: Lakehouse, rows: str) -> str:
    """Return Trino's query of all of a fact or a view."""
    with_views, table = _from(lakehouse, rows, "trino")
    return f"{with_views}SELECT * FROM {table}"


def asked(lakehouse: Lakehouse, sql: str) -> str:
    """Return a query, as Trino writes it, of tables of gold and views that it names without catalog.

    Raises DeclarationError where it names another table; what sqlglot raises where it is no query.
    """
    tree = sqlglot.parse_one(sql, read="trino")
    names = [table.name for table in qualify(lakehouse, tree, "The query", "lake")]
    views = _views(lakehouse, names, "trino", "lake")
    parts = [
        *(f"{name} AS ({text})" for name, text in views.items()),
        *(item.sql("trino") for item in tree.find_all(exp.CTE) if item.parent_select is tree),
    ]
    tree.set("with_", None)
    return f"WITH {', '.join(parts)} {tree.sql('trino')}" if parts else tree.sql("trino")


def expression(kpi: Kpi) -> str:
    """Return what a figure computes of its rows, as Trino writes it."""
    return _in(kpi.sql, "trino")


def _in(sql: str, dialect: Dialect) -> str:
    """Return an expression in a dialect."""
    return sqlglot.transpile(sql, read="spark", write=dialect)[0]


def _from(lakehouse: Lakehouse, rows: str, dialect: Dialect) -> tuple[str, str]:
    """Return the WITH that a fact or a view needs, and by which name it is read."""
    with_views = _with(lakehouse, rows, dialect, "lake" if dialect == "trino" else "")
    return with_views, rows if with_views else _qualified(lakehouse, rows, dialect)


def _qualified(lakehouse: Lakehouse, table: str, dialect: Dialect) -> str:
    return f"lake.{lakehouse.namespace('gold')}.{table}" if dialect == "trino" else table


def _with(lakehouse: Lakehouse, name: str, dialect: Dialect, catalog: str, since: date | None = None) -> str:
    """Return the WITH that a view needs: itself, and the views that it is made of, before it.

    since: the first local day of facts that it reads.
    """
    views = _views(lakehouse, [name], dialect, catalog, since)
    return f"WITH {', '.join(f'{key} AS ({sql})' for key, sql in views.items())} " if views else ""


def _views(
    lakehouse: Lakehouse, names: Sequence[str], dialect: Dialect, catalog: str, since: date | None = None
) -> dict[str, str]:
    """Return name -> query of those names that are views, and of the views that they are made of, before them."""
    result: dict[str, str] = {}

    def add(wanted: str) -> None:
        view = lakehouse.view(wanted)
        if view is None or wanted in result:
            return
        tree = sqlglot.parse_one(view.sql, read="spark")
        for table in qualify(lakehouse, tree, f"View {wanted!r}", catalog):
            if lakehouse.view(table.name):
                add(table.name)
            elif since:
                _limit(lakehouse, table, since)
        result[wanted] = tree.sql(dialect)

    for name in names:
        add(name)
    return result


def qualify(lakehouse: Lakehouse, tree: exp.Expr, where: str, catalog: str) -> list[exp.Table]:
    """Give the tables of gold in a query the catalog, where there is one; return all tables that it reads.

    Raises DeclarationError where one is neither of gold nor a view.
    """
    own = {item.alias for item in tree.find_all(exp.CTE)}
    kinds = (lakehouse.facts, lakehouse.dimensions, lakehouse.predictions)
    gold = {*_DATES, *([_MODELS] if lakehouse.predictions else []), *(item.name for items in kinds for item in items)}
    tables = [table for table in tree.find_all(exp.Table) if table.name not in own]
    for table in tables:
        if table.name in gold:
            if catalog:
                table.set("catalog", exp.to_identifier(catalog))
                table.set("db", exp.to_identifier(lakehouse.namespace("gold")))
        elif not lakehouse.view(table.name):
            known = ", ".join(sorted([*gold, *(view.name for view in lakehouse.views)]))
            raise DeclarationError(where, f"it reads {table.name!r}", expected=f"There are {known}")
    return tables


def _limit(lakehouse: Lakehouse, table: exp.Table, since: date) -> None:
    """Let a view read no older rows of a fact: by the event's time, which facts are partitioned by."""
    fact = next((fact for fact in lakehouse.facts if fact.name == table.name), None)
    if fact is None:
        return
    begin = datetime.combine(since, time(), ZoneInfo(lakehouse.time_zone)).astimezone(UTC)
    moment = f"CAST('{begin:%Y-%m-%d %H:%M:%S}' AS TIMESTAMP_NTZ)"
    recent = sqlglot.parse_one(f"`{lakehouse.event(fact.event).time}` >= {moment}", read="spark")
    alias = table.alias_or_name
    table.set("alias", None)
    table.replace(exp.select("*").from_(table.copy()).where(recent).subquery(alias))
