"""A query as of an earlier time: every table that keeps versions is read as it was then. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from meterlake.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

VERSIONED: Final = ("delta", "iceberg")
"""Catalogs whose tables keep their versions."""


def as_of(sql: str, moment: datetime) -> str:
    """Return a query of Trino that reads its tables as they were at a moment (aware).

    Raises UsageError where it reads a table that keeps no versions, or none at all.
    """
    try:
        tree = sqlglot.parse_one(sql, read="trino")
    except SqlglotError as error:
        raise UsageError(f"The statement cannot be read ({str(error).splitlines()[0]}).") from None
    if not isinstance(tree, exp.Query):
        raise UsageError("Only a query can be answered as of an earlier time.", hint="Give a SELECT.")
    inner = {cte.alias for cte in tree.find_all(exp.CTE)}
    tables = [table for table in tree.find_all(exp.Table) if table.catalog or table.name not in inner]
    wrong = [table for table in tables if table.catalog not in VERSIONED]
    if wrong or not tables:
        what = f"{wrong[0].sql(dialect='trino')} keeps no versions" if wrong else "The statement reads no table"
        hint = f"Name tables with their catalog, one of {', '.join(VERSIONED)}; views and Hive tables have no past."
        raise UsageError(f"{what}.", hint=hint)
    time = exp.cast(exp.Literal.string(f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC"), "TIMESTAMP(6) WITH TIME ZONE")
    for table in tables:
        table.set("version", exp.Version(this="TIMESTAMP", kind="AS OF", expression=time.copy()))
    return tree.sql(dialect="trino")
