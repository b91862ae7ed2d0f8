"""The declaration's formulas in CQL: what live panels read from Cassandra, where measures are BIGINT units.

The formulas are those of the other engines. CQL lacks two functions: ``sqrt`` is written ``exp(log(x) / 2)``, and
``nullif`` is left out, since a quotient of doubles by zero is NaN, which Grafana draws as a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp

from meterlake.ddl import CASSANDRA_KEYSPACE
from meterlake.validation import measure_columns
from meterlake.views import derived_sql

if TYPE_CHECKING:
    from meterlake.declaration import Dataset

METERS: Final = "${meter:sqlstring}"
"""The chosen meters as an explicit list, also when all are chosen."""
MOST_METERS: Final = 200
"""So many meters "All" stands for at most: Trino asks Cassandra for the partitions of each before it begins."""


def values(dataset: Dataset) -> dict[str, str]:
    """Return name -> CQL of a double, in physical units: state columns, averages and derived values of a minute."""
    scales = {name: measure.scale for measure in dataset.measures for name in measure_columns(measure)}
    columns = {name: _physical(name, scale) for name, scale in scales.items()}
    derived = {name: _cql(sql, columns) for name, sql in derived_sql(dataset, "trino")}
    return columns | derived


def minutes(dataset: Dataset, columns: dict[str, str], limit: int | None = None) -> str:
    """Return CQL of a meter's minutes within the dashboard's range. columns: name -> CQL. limit: rows a partition."""
    selected = "".join(f",\n  {sql} AS {name}" for name, sql in columns.items())
    return (
        f"SELECT {dataset.key}{selected},\n  minute AS time\n"
        f"FROM {CASSANDRA_KEYSPACE}.{dataset.name}_minute\n"
        f"WHERE {dataset.key} IN ({METERS}) AND day IN ('$yesterday', '$today')\n"
        "  AND minute >= $__timeFrom AND minute <= $__timeTo" + (f"\nPER PARTITION LIMIT {limit}" if limit else "")
    )


def recent(dataset: Dataset, measure: str) -> str:
    """Return CQL of single readings within the dashboard's range, of the last hour at most."""
    return (
        f"SELECT {dataset.key}, {measure} AS value, {dataset.event_time} AS time\n"
        f"FROM {CASSANDRA_KEYSPACE}.{dataset.name}_recent\n"
        f"WHERE {dataset.key} IN ({METERS})\n"
        f"  AND {dataset.event_time} >= $__timeFrom AND {dataset.event_time} <= $__timeTo"
    )


def latest(dataset: Dataset, columns: dict[str, str]) -> str:
    """Return CQL of the latest reading of each meter, whenever that was."""
    selected = "".join(f",\n  {sql} AS {name}" for name, sql in columns.items())
    return (
        f"SELECT {dataset.key}{selected},\n  {dataset.event_time} AS time\n"
        f"FROM {CASSANDRA_KEYSPACE}.{dataset.name}_latest\n"
        f"WHERE {dataset.key} IN ({METERS})"
    )


def age(dataset: Dataset) -> str:
    """Return CQL of the seconds since the latest reading."""
    return f"(to_unix_timestamp(now()) - to_unix_timestamp({dataset.event_time})) / 1E3"


def meters(dataset: Dataset) -> str:
    """Return CQL of the live meters, as text and value of a variable: one row a meter, so it is a table's whole list.

    It is asked when a dashboard is opened, not by its panels.
    """
    return (
        f"SELECT {dataset.key} AS text, {dataset.key} AS value"  # noqa: S608
        f" FROM {CASSANDRA_KEYSPACE}.{dataset.name}_latest LIMIT {MOST_METERS}"
    )


def day(back: int) -> str:
    """Return CQL of the UTC day some days back, as text and value of a variable.

    Grafana itself can only write days of the browser's time zone; partitions are those of UTC.
    """
    moved = f"to_date(now()) - {back}d" if back else "to_date(now())"
    text = f"CAST({moved} AS text)"
    return f"SELECT {text} AS text, {text} AS value FROM system.local WHERE key = 'local'"  # noqa: S608


def _physical(name: str, scale: int) -> str:
    return f"CAST({name} AS double) / {10**scale}E0"


def _cql(sql: str, columns: dict[str, str]) -> str:
    """Turn Trino's SQL of a formula over physical columns into CQL over units."""
    # Doubles are written as 3.6E0, which sqlglot would write as 3.6e0: CQL takes both.
    return sqlglot.parse_one(sql, dialect="trino").transform(_rewrite, columns).sql().replace("DOUBLE", "double")


def _rewrite(node: exp.Expression, columns: dict[str, str]) -> exp.Expression:
    if isinstance(node, exp.Cast) and node.this.name in columns:
        return exp.Paren(this=sqlglot.parse_one(columns[node.this.name]))
    if isinstance(node, exp.Nullif):
        inner: exp.Expression = node.this
        return inner.transform(_rewrite, columns)
    if isinstance(node, exp.Sqrt):
        square = node.this.transform(_rewrite, columns).sql()
        return exp.Anonymous(this="exp", expressions=[exp.Var(this=f"log({square}) / 2E0")])
    return node
