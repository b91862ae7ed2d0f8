"""What the views must be: DuckDB SQL from raw readings to rows of every view, written by hand.

It takes names, resolutions, kinds, ranges, rules and the time zone from the declaration, and nothing from the code that
the batch layer runs: not its precedence, grid, rounding, roll-up or gaps. Hours and days come straight from readings,
not from minutes; local days from a calendar of midnights; gaps from a calendar of all minutes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from meterlake.schema import master_fields
from serving_layer.verify.scope import local_midnight

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from meterlake.declaration import Measure, MeterSeries
    from serving_layer.verify.scope import Scope

# Names come from the declaration, values are bound.
# ruff: noqa: S608

READINGS: Final = "readings"
"""The input: columns of the master data set."""

_STEPS: Final = {
    "minute": 60,
    "five_minutes": 300,
    "ten_minutes": 600,
    "quarter_hour": 900,
    "half_hour": 1800,
    "hour": 3600,
}
_PARTITION: Final = {"month": "%Y-%m", "year": "%Y"}


def make_readings(connection: DuckDBPyConnection, dataset: MeterSeries) -> list[str]:
    """Make the table ``readings`` if it is not there; return its columns."""
    columns = master_fields(dataset)
    types = ", ".join(f"{column.name} {column.type.sql('duckdb')}" for column in columns)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {READINGS} ({types})")
    return [column.name for column in columns]


def build(connection: DuckDBPyConnection, dataset: MeterSeries) -> None:
    """Make the tables ``want_<grain>`` of each view, and ``want_gaps``, from the table ``readings``."""
    connection.execute(f"CREATE OR REPLACE TABLE counted AS {counted_sql(dataset)}")
    make_calendar(connection, dataset, "counted", dataset.event_time)
    for view in dataset.views:
        connection.execute(f"CREATE OR REPLACE TABLE want_{view.grain} AS {view_sql(dataset, view.grain)}")
    connection.execute(f"CREATE OR REPLACE TABLE want_gaps AS {gaps_sql(dataset)}")


def counted_sql(dataset: MeterSeries, readings: str = READINGS) -> str:
    """Return SQL of those readings of a table that count, in whole units, with ``flag`` (0 or 1)."""
    key, at, length = dataset.key, dataset.event_time, dataset.interval
    units = ",\n    ".join(f"{_units(measure)} AS {measure.name}" for measure in dataset.measures)
    names = ", ".join(measure.name for measure in dataset.measures)
    flags = " OR ".join(f"coalesce(({rule.sql}), false)" for rule in dataset.flags) or "false"
    return f"""
WITH stamped AS (
  SELECT *, epoch_us({at}) // 1000000 AS second, coalesce({names}) IS NULL AS empty FROM {readings}
), accepted AS (
  SELECT * FROM stamped WHERE {acceptable(dataset)}
), ranked AS (
  SELECT *, row_number() OVER (
    PARTITION BY {key}, {at}, {length}
    ORDER BY revision DESC, empty, received_at, origin, origin_partition, origin_offset) AS place
  FROM accepted
), winners AS (
  SELECT *, second - second % {_STEPS[dataset.finest.grain]} AS cell FROM ranked WHERE place = 1 AND NOT empty
), lengths AS (
  SELECT {key}, cell, {length}, sum({length}) AS covered FROM winners GROUP BY ALL
), chosen AS (
  SELECT {key}, cell, min({length}) AS {length} FROM (
    SELECT *, max(covered) OVER (PARTITION BY {key}, cell) AS most FROM lengths) WHERE covered = most GROUP BY ALL
)
SELECT {key}, {at}, {length}, CASE WHEN {flags} THEN 1 ELSE 0 END AS flag,
    {units}
FROM winners SEMI JOIN chosen USING ({key}, cell, {length})"""


def view_sql(dataset: MeterSeries, grain: str, counted: str = "counted") -> str:
    """Return SQL of a view's rows from the readings that count."""
    key = dataset.key
    columns = [
        f"{key}, row_time AS {grain}, count(*) AS readings",
        f"CAST(sum({dataset.interval}) AS BIGINT) AS covered_s, CAST(sum(flag) AS BIGINT) AS flagged",
    ]
    for measure in dataset.measures:
        name = measure.name
        weighted = f"{name} * {dataset.interval}" if measure.kind == "level" else name
        parts = {"sum": f"sum({weighted})", "min": f"min({name})", "max": f"max({name})"}
        columns += [f"{physical_sql(sql, measure)} AS {name}_{part}" for part, sql in parts.items()]
    listed = ",\n  ".join(columns)
    return f"SELECT {listed}\nFROM ({placed_sql(counted, dataset.event_time, grain)}) GROUP BY {key}, row_time"


def placed_sql(table: str, time: str, grain: str) -> str:
    """Return SQL of a table's rows with ``row_time``: that of the view's row that holds their time."""
    if grain in _STEPS:
        return f"SELECT *, time_bucket(INTERVAL {_STEPS[grain]} SECOND, {time}) AS row_time FROM {table}"
    day = "local_day" if grain == "day" else "CAST(date_trunc('month', local_day) AS DATE)"
    return f"SELECT *, {day} AS row_time FROM {table} ASOF JOIN calendar ON {time} >= begins"


def rolled_sql(dataset: MeterSeries, table: str, time: str, grain: str, *more: str) -> str:
    """Return SQL of rows of a grain from finer rows of state. more: further aggregates."""
    counts = [f"CAST(sum({name}) AS BIGINT) AS {name}" for name in ("readings", "covered_s", "flagged")]
    states = [
        f"CAST({part}({measure.name}_{part}) AS DECIMAL(18,{measure.scale})) AS {measure.name}_{part}"
        for measure in dataset.measures
        for part in ("sum", "min", "max")
    ]
    listed = ",\n  ".join([f"{dataset.key}, row_time AS {grain}", *counts, *states, *more])
    return f"SELECT {listed}\nFROM ({placed_sql(table, time, grain)}) GROUP BY {dataset.key}, row_time"


def gaps_sql(dataset: MeterSeries) -> str:
    """Return SQL of the gaps: steps of the calendar between a meter's first and last row that have no row."""
    key, finest = dataset.key, dataset.finest
    step, grain = _STEPS[finest.grain], finest.grain
    return f"""
WITH calendar_steps AS (
  SELECT {key}, unnest(generate_series(min({grain}), max({grain}), INTERVAL {step} SECOND)) AS step_start
  FROM want_{grain} GROUP BY {key}
), missing AS (
  SELECT s.{key}, s.step_start, strftime(s.step_start, '{_PARTITION[finest.partition]}') AS part
  FROM calendar_steps s ANTI JOIN want_{grain} w ON s.{key} = w.{key} AND s.step_start = w.{grain}
), numbered AS (
  SELECT *, epoch(step_start) / {step} - row_number() OVER (PARTITION BY {key}, part ORDER BY step_start) AS island
  FROM missing
)
SELECT {key}, min(step_start) AS gap_start, max(step_start) + INTERVAL {step} SECOND AS gap_end,
  count(*) * {step} AS missing_s
FROM numbered GROUP BY {key}, part, island"""


def limit(connection: DuckDBPyConnection, scope: Scope) -> None:
    """Leave in the tables ``want_…`` only what is in scope."""
    for view in (*(view.grain for view in scope.dataset.views), "gaps"):
        connection.execute(f"DELETE FROM want_{view} WHERE NOT ({scope.condition(view)})")


def published_sql(dataset: MeterSeries, table: str) -> str:
    """Return SQL of a view's rows with averages and derived values, by the declaration's own text of each formula."""
    state = [f"{measure.name}_{part}" for measure in dataset.measures for part in ("sum", "min", "max")]
    doubles = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in (*state, "covered_s", "readings", "flagged"))
    sql = f"SELECT * REPLACE ({doubles}) FROM {table}"
    averages = ", ".join(f"{m.name}_sum / nullif(covered_s, 0) AS {m.name}_avg" for m in dataset.levels)
    sql = f"SELECT *, {averages} FROM ({sql})" if averages else sql
    pending = list(dataset.derived)
    while pending:  # the declaration has checked that there is an order
        names = {value.name for value in pending}
        ready = next(value for value in pending if names.isdisjoint(value.expression.columns))
        sql = f"SELECT *, CAST({ready.expression.text} AS DOUBLE) AS {ready.name} FROM ({sql})"
        pending.remove(ready)
    exact = f"{dataset.key}, {_time(dataset, table)}"
    others = ", ".join(derived_names(dataset))
    values = f", {others}" if others else ""
    return f"SELECT t.*{values} FROM {table} t JOIN (SELECT {exact}{values} FROM ({sql})) USING ({exact})"


def physical_sql(units: str, measure: Measure) -> str:
    """Return whole units as an exact decimal of the measure's resolution."""
    kind = f"DECIMAL(18,{measure.scale})"
    one = f"CAST({10**-measure.scale:.{measure.scale}f} AS {kind})"
    return f"CAST(CAST({units} AS DECIMAL(18,0)) * {one} AS {kind})"


def make_calendar(connection: DuckDBPyConnection, dataset: MeterSeries, table: str, time: str) -> None:
    """Make the table of the local days that hold a table's times, with the UTC moment at which each begins.

    It stands on Python's own time zones.
    """
    zone = ZoneInfo(dataset.time_zone)
    connection.execute("CREATE OR REPLACE TABLE calendar (local_day DATE, begins TIMESTAMP)")
    bounds = connection.execute(f"SELECT min({time}), max({time}) FROM {table}").fetchall()[0]
    if bounds[0] is None:
        return
    first, last = bounds[0].date() - timedelta(days=1), bounds[1].date() + timedelta(days=1)
    days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    connection.execute(
        "INSERT INTO calendar SELECT unnest(?::DATE[]), unnest(?::TIMESTAMP[])",
        [days, [local_midnight(day, zone) for day in days]],
    )


def derived_names(dataset: MeterSeries) -> list[str]:
    """Return the columns that a published view has beside the stored ones."""
    return [f"{measure.name}_avg" for measure in dataset.levels] + [value.name for value in dataset.derived]


def _time(dataset: MeterSeries, table: str) -> str:
    """Return the time column of a table named after a view; ``half_hour`` ends with ``hour``, too."""
    return max((view.grain for view in dataset.views if table.endswith(f"_{view.grain}")), key=len)


def acceptable(dataset: MeterSeries) -> str:
    """Return the condition that no rule rejects a row: grid, completeness, ranges, declared rejects, times."""
    lengths = ", ".join(map(str, dataset.intervals))
    given = " + ".join(f"CAST({measure.name} IS NOT NULL AS INT)" for measure in dataset.measures)
    terms = [
        f"{dataset.interval} IN ({lengths}) AND second % {dataset.interval} = 0",
        f"({given}) IN (0, {len(dataset.measures)})",
    ]
    for measure in dataset.measures:
        name, inside = measure.name, []
        for length in dataset.intervals:
            low, high = measure.limits(length)
            inside.append(f"{dataset.interval} = {length} AND {name} BETWEEN {low!r}::DOUBLE AND {high!r}::DOUBLE")
        terms.append(f"({name} IS NULL OR (isfinite({name}) AND ({' OR '.join(inside)})))")
    terms += [f"({rule.sql}) IS NOT TRUE" for rule in dataset.rejects]
    if dataset.earliest:
        terms.append(f"{dataset.event_time} >= TIMESTAMP '{dataset.earliest:%Y-%m-%d} 00:00:00'")
    tolerance = int(dataset.clock_tolerance.total_seconds())
    terms.append(f"{dataset.event_time} <= received_at + INTERVAL {tolerance} SECOND")
    return "\n    AND ".join(terms)


def _units(measure: Measure) -> str:
    return f"CAST(floor({measure.name} * 1e{measure.scale} + 5e-1) AS BIGINT)"
