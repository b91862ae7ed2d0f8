"""What a data contract promises, asked of the tables."""

# Statements are made of what a contract says.
# ruff: noqa: S608
from __future__ import annotations

import re
from collections.abc import Iterable

from engines import trino
from meterlake.contract.promises import Table
from meterlake.settings import Settings


def assert_kept(settings: Settings, tables: Iterable[Table]) -> None:
    """Fail where Trino shows other columns, a missing value, a key that is there twice, or a row that breaks a rule."""
    for table in tables:
        # Of a word that a view writes itself Trino knows the length; nobody is promised it.
        shown = {
            name: re.sub(r"varchar\(\d+\)", "varchar", kind)
            for name, kind, *_ in trino.rows(settings, f"SHOW COLUMNS FROM {table.place}")
        }
        promised = {column.name: column.type.sql("trino").lower() for column in table.columns}
        assert {name: kind for name, kind in shown.items() if name in promised} == promised, table.name
        keys = [column.name for column in table.columns if column.key]
        wrong = {
            f"{column.name} is missing": f"{column.name} IS NULL" for column in table.columns if not column.nullable
        }
        wrong |= {rule.name: f"NOT ({rule.sql})" for rule in table.rules}
        counts = [f"count_if({condition})" for condition in wrong.values()]
        counts.append(f"count(*) - count(DISTINCT ROW({', '.join(keys)}))" if keys else "0")
        (result,) = trino.rows(settings, f"SELECT {', '.join(counts)}, count(*) FROM {table.place}")
        *bad, rows = result
        faults = {name: count for name, count in zip([*wrong, "rows share a key"], bad, strict=True) if count}
        assert faults == {}, table.name
        assert rows, f"{table.name} has no row to be judged by"
