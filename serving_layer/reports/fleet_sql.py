"""Statements of reports about all meters: those of the declaration, for a range, with parts that are few enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.report_specs import Fleet

# Names come from declarations.
# ruff: noqa: S608
OTHERS: Final = "all others"
"""The name of what is not told apart."""


def declared(dataset: MeterSeries, report: Fleet) -> str:
    """Return the report's own statement, with the data set's tables in it."""
    tree = sqlglot.parse_one(report.sql, read="trino")
    for table in tree.find_all(exp.Table):
        if table.catalog:
            table.set("this", exp.to_identifier(f"{dataset.name}_{table.name}"))
    return tree.sql(dialect="trino")


def tables(dataset: MeterSeries, report: Fleet) -> list[tuple[str, str]]:
    """Return (schema, name) of the tables that a report reads."""
    tree = sqlglot.parse_one(declared(dataset, report), read="trino")
    return sorted({(table.db, table.name) for table in tree.find_all(exp.Table) if table.catalog})


def statement(dataset: MeterSeries, report: Fleet, condition: str, time: str) -> str:
    """Return SQL of (``clock``, or ``time`` as SQL says), part, value, in order.

    condition: on ``time``, a local day or the start of an interval, without zone.
    """
    x, value = ("clock", "avg(value)") if report.clock else (time, "sum(value)")
    name = "clock" if report.clock else "time"
    return (
        f"WITH chosen AS (SELECT * FROM ({declared(dataset, report)}) WHERE {condition} ),\n"
        f"most AS (SELECT part FROM chosen GROUP BY part ORDER BY sum(value) DESC, part LIMIT {report.most})\n"
        f"SELECT {x} AS {name}, CASE WHEN part IN (SELECT part FROM most) THEN part ELSE '{OTHERS}' END AS part,"
        f" CAST({value} AS DOUBLE) AS value\n"
        "FROM chosen GROUP BY 1, 2 ORDER BY 1, 2"
    )
