"""The declaration's formulas in CQL: what live panels read from Cassandra, where measures are BIGINT units.

The formulas are those of the other engines. CQL lacks two functions: ``sqrt`` is written ``exp(log(x) / 2)``, and
``nullif`` is left out, since a quotient of doubles by zero is NaN, which Grafana draws as a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp

from meterlake.ddl import CASSANDRA_KEYSPACE, view_table
from meterlake.grains import GRAIN_SECONDS
from meterlake.physical_units import HOUR_S
from meterlake.validation import measure_columns
from meterlake.views import derived_sql

if TYPE_CHECKING:
    from meterlake.dashboard_specs import Board
    from meterlake.declaration import MeterSeries
    from meterlake.expressions import Expression
    from meterlake.grains import Grain

METERS: Final = "${meter:sqlstring}"
"""The meters that were chosen, or all that the search leaves: an explicit list."""
SHOWN: Final = "${shown:sqlstring}"
"""Those of them that panels of single meters show: an explicit list, so each is asked by its key."""
MOST_SHOWN: Final = 50
"""So many meters are shown one by one: more lines, tiles or rows are not read by anybody."""
MOST_NAMES: Final = 10_000
"""So many names the search looks through: the browser holds the list."""
ALL_ID: Final = "All"


def values(dataset: MeterSeries) -> dict[str, str]:
    """Return name -> CQL of a double, in physical units: state columns, averages and derived values of a state."""
    columns = _columns(dataset)
    derived = {name: _cql(sql, columns) for name, sql in derived_sql(dataset, "trino")}
    return columns | derived


def expression(dataset: MeterSeries, formula: Expression) -> str:
    """Return CQL of a double: a formula over the columns of a state, in physical units."""
    return _cql(formula.sql("trino"), _columns(dataset))


def cell_table(dataset: MeterSeries) -> str:
    """Return the table of the states of the finest view."""
    return f"{CASSANDRA_KEYSPACE}.{view_table(dataset, cell(dataset))}"


def cell(dataset: MeterSeries) -> Grain:
    """Return the grain of the speed layer's states; their time column is named after it."""
    return dataset.finest.grain


def cell_s(dataset: MeterSeries) -> int:
    """Return the seconds of one state."""
    return GRAIN_SECONDS[cell(dataset)]


def minutes(dataset: MeterSeries, columns: dict[str, str], limit: int | None = None) -> str:
    """Return CQL of a meter's states within the dashboard's range. columns: name -> CQL. limit: rows a partition."""
    selected = "".join(f",\n  {sql} AS {name}" for name, sql in columns.items())
    time = cell(dataset)
    return (
        f"SELECT {dataset.key}{selected},\n  {time} AS time\n"
        f"FROM {cell_table(dataset)}\n"
        f"WHERE {dataset.key} IN ({SHOWN}) AND day IN ('$yesterday', '$today')\n"
        f"  AND {time} >= $__timeFrom AND {time} <= $__timeTo" + (f"\nPER PARTITION LIMIT {limit}" if limit else "")
    )


def recent(dataset: MeterSeries, value: str) -> str:
    """Return CQL of single readings within the dashboard's range, of the last hour at most."""
    return (
        f"SELECT {dataset.key}, {value} AS value, {dataset.event_time} AS time\n"
        f"FROM {CASSANDRA_KEYSPACE}.{dataset.name}_recent\n"
        f"WHERE {dataset.key} IN ({SHOWN})\n"
        f"  AND {dataset.event_time} >= $__timeFrom AND {dataset.event_time} <= $__timeTo"
    )


def latest(dataset: MeterSeries, columns: dict[str, str]) -> str:
    """Return CQL of the latest reading of each meter that is shown, whenever that was."""
    selected = "".join(f",\n  {sql} AS {name}" for name, sql in columns.items())
    return (
        f"SELECT {dataset.key}{selected},\n  {dataset.event_time} AS time\n"
        f"FROM {_latest(dataset)}\nWHERE {dataset.key} IN ({SHOWN})"
    )


def fleet(dataset: MeterSeries, columns: dict[str, str], time: str = "") -> str:
    """Return CQL over the latest readings of all meters within the dashboard's range, as one series.

    A table of one row a meter, read whole. columns: name -> CQL, aggregates or not.
    time: CQL of the row's time, if not the reading's own.
    """
    selected = "".join(f",\n  {sql} AS {name}" for name, sql in columns.items())
    return (
        f"SELECT (text)'{ALL_ID}' AS id{selected},\n  {time or dataset.event_time} AS time\n"
        f"FROM {_latest(dataset)}\n"
        f"WHERE {dataset.event_time} >= $__timeFrom AND {dataset.event_time} <= $__timeTo ALLOW FILTERING"
    )


def known(dataset: MeterSeries) -> str:
    """Return CQL of how many meters have sent within the life of speed rows, as one series."""
    return (
        f"SELECT (text)'{ALL_ID}' AS id, count(*) AS value, max({dataset.event_time}) AS time\nFROM {_latest(dataset)}"
    )


def reading_rate(dataset: MeterSeries, board: Board) -> str:
    """Return CQL of how much one reading says a meter takes: the level, or its amount per hour."""
    if dataset.measure(board.main).kind == "level":
        return board.main
    return f"{board.main} * {HOUR_S}E0 / CAST({dataset.interval} AS double)"


def age(dataset: MeterSeries) -> str:
    """Return CQL of the seconds since the latest reading."""
    return f"(to_unix_timestamp(now()) - to_unix_timestamp({dataset.event_time})) / 1E3"


def meters(dataset: MeterSeries) -> str:
    """Return CQL of the live meters, as text and value of a variable: one row a meter, so it is a table's whole list.

    It is asked when a dashboard is opened, not by its panels.
    """
    return f"SELECT {dataset.key} AS text, {dataset.key} AS value FROM {_latest(dataset)} LIMIT {MOST_NAMES}"  # noqa: S608


def shown(dataset: MeterSeries) -> str:
    """Return CQL of the chosen meters that panels show, as text and value of a variable."""
    return (
        f"SELECT {dataset.key} AS text, {dataset.key} AS value FROM {_latest(dataset)}"  # noqa: S608
        f" WHERE {dataset.key} IN ({METERS}) LIMIT {MOST_SHOWN}"
    )


def count(dataset: MeterSeries, of: str = "") -> str:
    """Return CQL of how many meters are live, as text and value of a variable. of: a list to which they belong."""
    text = "CAST(count(*) AS text)"
    within = f" WHERE {dataset.key} IN ({of})" if of else ""
    return f"SELECT {text} AS text, {text} AS value FROM {_latest(dataset)}{within}"  # noqa: S608


def day(back: int) -> str:
    """Return CQL of the UTC day some days back, as text and value of a variable.

    Grafana itself can only write days of the browser's time zone; partitions are those of UTC.
    """
    moved = f"to_date(now()) - {back}d" if back else "to_date(now())"
    text = f"CAST({moved} AS text)"
    return f"SELECT {text} AS text, {text} AS value FROM system.local WHERE key = 'local'"  # noqa: S608


def _columns(dataset: MeterSeries) -> dict[str, str]:
    scales = {name: measure.scale for measure in dataset.measures for name in measure_columns(measure)}
    return {name: _physical(name, scale) for name, scale in scales.items()}


def _latest(dataset: MeterSeries) -> str:
    return f"{CASSANDRA_KEYSPACE}.{dataset.name}_latest"


def _physical(name: str, scale: int) -> str:
    return f"CAST({name} AS double) / {10**scale}E0"


def _cql(sql: str, columns: dict[str, str]) -> str:
    """Turn Trino's SQL of a formula over physical columns into CQL over units."""
    # Doubles are written as 3.6E0, which sqlglot would write as 3.6e0: CQL takes both. A column in parentheses has no
    # type for Cassandra.
    formula = sqlglot.parse_one(sql, dialect="trino").transform(_rewrite, columns).unnest()
    return formula.sql().replace("DOUBLE", "double")


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
