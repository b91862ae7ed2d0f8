"""Figures of a lakehouse, asked of what readers see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlglot

from engines import trino
from meterlake.errors import UnknownName

if TYPE_CHECKING:
    from datetime import date

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings


def statement(
    lakehouse: Lakehouse, name: str, by: tuple[str, ...], since: date | None, until: date | None
) -> tuple[str, list[str]]:
    """Return Trino's statement of a figure, and its parameters. by: columns of its fact; none: its own grain.

    since, until: local days; the last one is not included. Raises UnknownName.
    """
    kpis = {kpi.name: kpi for kpi in lakehouse.kpis}
    if name not in kpis:
        raise UnknownName(f"figure of {lakehouse.name}", name, kpis)
    kpi = kpis[name]
    (fact,) = (fact for fact in lakehouse.facts if fact.name == kpi.fact)
    event = lakehouse.event(fact.event)
    columns = ["date_sk", *(lookup.column for lookup in fact.lookups), *(field.name for field in event.fields)]
    for column in by:
        if column not in columns:
            raise UnknownName(f"column of {fact.name}", column, columns)
    grain = ", ".join(f'"{column}"' for column in by or kpi.grain)
    (figure,) = sqlglot.transpile(kpi.sql, read="spark", write="trino")
    days = {">=": since, "<": until}
    conditions = [f"date_sk {sign} ?" for sign, day in days.items() if day]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    table = f"lake.{lakehouse.namespace('gold')}.{fact.name}"
    sql = f"SELECT {grain}, {figure} AS {kpi.name} FROM {table}{where} GROUP BY {grain} ORDER BY {grain}"
    return sql, [f"{day:%Y%m%d}" for day in days.values() if day]


def figure(
    settings: Settings, lakehouse: Lakehouse, name: str, by: tuple[str, ...], span: tuple[date | None, date | None]
) -> list[dict[str, Any]]:
    """Return the rows of a figure. Raises UnknownName, and what Trino's client raises."""
    sql, parameters = statement(lakehouse, name, by, *span)
    columns, rows = trino.select(settings, sql, parameters or None)
    return [dict(zip(columns, row, strict=True)) for row in rows]
