"""Trino SQL of panels: one place for the times, bounds and grains of the views.

Times leave as instants (``timestamp with time zone``): a bare timestamp would be taken in the time zone of Grafana's
machine. The plugin's macros are found by a regular expression that takes one bracket too many where a macro stands
right before another closing bracket: none stands so here, and ``macros.expand`` refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.grains import GRAIN_SECONDS
from meterlake.merged import merged_view, partition_of, partition_sql, published_view
from serving_layer.dashboards.cql import MOST_METERS
from serving_layer.publish.records import FULL_NAME as RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterlake.declaration import Dataset
    from meterlake.grains import Grain

METERS: Final = "($meter)"
"""The chosen meters: the plugin writes an explicit list of quoted names, also when all are chosen."""
NOBODY: Final = "none yet"
"""Value of the meter's variable where there is no meter, so that the list is never empty."""


def when(dataset: Dataset, grain: Grain, column: str = "") -> str:
    """Return SQL of the instant at which a row begins."""
    name = column or grain
    if grain == "day":
        return f"with_timezone(CAST({name} AS TIMESTAMP(3)), '{dataset.time_zone}')"
    return f"with_timezone({name}, 'UTC')"


def bound(dataset: Dataset, grain: Grain, back: int = 0) -> str:
    """Return SQL of the dashboard's range, or of as long a one some days back: files outside are not read."""
    first, last = "$__timeFrom()", "$__timeTo()"
    if back:
        first, last = (f"{macro} - INTERVAL '{back}' DAY" for macro in (first, last))
    if grain == "day":
        first, last = (
            f"CAST(with_timezone({macro} , 'UTC') AT TIME ZONE '{dataset.time_zone}' AS DATE)"
            for macro in (first, last)
        )
    return between(dataset, grain, first, last)


def between(dataset: Dataset, grain: Grain, first: str, last: str, column: str = "") -> str:
    """Return SQL that bounds a view's rows by their times, and by their partitions: no other file is opened."""
    parts = " AND ".join(partition_sql(dataset, grain, f"{time} ") for time in (first, last))
    return f"{column or grain} BETWEEN {first} AND {last} AND {partition_of(dataset, grain)} BETWEEN {parts}"


def since(dataset: Dataset, grain: Grain, first: str) -> str:
    """Return the same for all rows from a time on."""
    return f"{grain} >= {first} AND {partition_of(dataset, grain)} >= {partition_sql(dataset, grain, first)}"


def of_grain(dataset: Dataset, view: Callable[[Dataset, Grain], str], wanted: Mapping[Grain, str], columns: str) -> str:
    """Return SQL of the rows of the view that the dashboard's grain asks for.

    wanted: grain -> condition in constants; a branch whose condition is false is dropped when the query is planned.
    columns: what to select beside ``time``, the meter and ``step_s``, the length of a row of that grain.
    """
    branches = [
        f"SELECT {when(dataset, grain)} AS time, {GRAIN_SECONDS[grain]} AS step_s, {dataset.key}, {columns}\n"
        f"FROM {view(dataset, grain)}\n"
        f"WHERE {condition} AND {dataset.key} IN {METERS} AND {bound(dataset, grain)}"
        for grain, condition in wanted.items()
    ]
    return "\nUNION ALL\n".join(branches)


def with_gaps(rows: str, values: Sequence[str], key: str = "") -> str:
    """Return SQL of rows (``time``, ``step_s``, values), and of one without values where the next row does not follow.

    Grafana would draw a line across missing rows; it leaves out a null. key: the column that tells series apart.
    """
    series, names = (f"PARTITION BY {key} ", f"{key}, ") if key else ("", "")
    nulls = ", ".join(f"IF(shown = time, {value}) AS {value}" for value in values)
    return (
        f"SELECT shown AS time, {names}{nulls}\n"
        f"FROM (\nSELECT *, lead(time) OVER ({series}ORDER BY time) AS next\nFROM (\n{rows}\n)\n)\n"
        # Half a step more: a local day may last 25 hours.
        "CROSS JOIN UNNEST(IF(date_diff('second', time, next) > step_s * 3 / 2,"
        " ARRAY[time, date_add('second', step_s, time)], ARRAY[time])) AS points (shown)\n"
        "ORDER BY 1"
    )


def chosen_or_fitting() -> dict[Grain, str]:
    """Return the conditions of a grain that is chosen, or (``auto``) fits the length of the range."""
    hours = "date_diff('hour', $__timeFrom() , $__timeTo() )"
    fits: dict[Grain, str] = {
        "minute": f"{hours} <= 48",
        "hour": f"{hours} > 48 AND {hours} <= 1500",
        "day": f"{hours} > 1500",
    }
    return {grain: f"('$grain' = '{grain}' OR '$grain' = 'auto' AND {fit})" for grain, fit in fits.items()}


def hours(dataset: Dataset, columns: str, *, merged: bool = False, tail: str = "") -> str:
    """Return SQL of hours within the range. columns: what to select; tail: grouping and order."""
    view = merged_view if merged else published_view
    return (
        f"SELECT {columns}\nFROM {view(dataset, 'hour')}\n"
        f"WHERE {dataset.key} IN {METERS} AND {bound(dataset, 'hour')}{tail}"
    )


def meters(dataset: Dataset) -> str:
    """Return SQL of the meters with a day in the range, and of those that are live: one column, never empty.

    Where there are too many, those with the longer history are kept.
    """
    return (
        f"SELECT coalesce({dataset.key}, '{NOBODY}') AS {dataset.key}\nFROM (VALUES 1) AS always (one)\n"  # noqa: S608
        f"LEFT JOIN (\n  SELECT {dataset.key}, day FROM {published_view(dataset, 'day')}\n"
        f"  WHERE {bound(dataset, 'day')}\n"
        f"  UNION ALL\n  SELECT {dataset.key}, NULL FROM cassandra.speed.{dataset.name}_latest\n) AS found ON true\n"
        f"GROUP BY 1\nORDER BY count(day) DESC, 1\nLIMIT {MOST_METERS}"
    )


def boundary(dataset: Dataset) -> str:
    """Return SQL of the boundary in force as an annotation: where it lies within the range."""
    return (
        "SELECT with_timezone(boundary, 'UTC') AS time,\n"  # noqa: S608
        "  'Boundary: batch before, live after (run ' || run_id || ')' AS text\n"
        f"FROM (\n  SELECT max_by(boundary, seq) AS boundary, max_by(run_id, seq) AS run_id\n  FROM {RUNS}\n"
        f"  WHERE dataset = '{dataset.name}' AND event IN ('published', 'rolled_back') AND at <= current_timestamp\n)\n"
        "WHERE $__timeFilter(boundary) "
    )


def published(dataset: Dataset) -> str:
    """Return SQL of batch runs as annotations: when readers came to see them."""
    return (
        "SELECT with_timezone(at, 'UTC') AS time, event || ' ' || run_id AS text\n"
        f"FROM {RUNS}\nWHERE dataset = '{dataset.name}' AND event IN ('published', 'rolled_back')\n"
        "  AND $__timeFilter(at) \nORDER BY 1"
    )


def unexplained(dataset: Dataset) -> str:
    """Return SQL of runs whose reconciliation left minutes unexplained, as annotations."""
    count = "CAST(json_extract_scalar(details, '$.reconciliation.unexplained') AS BIGINT)"
    return (
        f"SELECT with_timezone(at, 'UTC') AS time, CAST({count} AS VARCHAR) || ' minutes unexplained' AS text\n"
        f"FROM {RUNS}\nWHERE dataset = '{dataset.name}' AND event = 'published' AND {count} > 0\n"
        "  AND $__timeFilter(at) \nORDER BY 1"
    )


def gaps(dataset: Dataset) -> str:
    """Return SQL of the longest gaps in the range as annotations with a beginning and an end."""
    bounds = between(dataset, dataset.finest.grain, "$__timeFrom()", "$__timeTo()", "gap_start")
    return (
        "SELECT with_timezone(gap_start, 'UTC') AS time, with_timezone(gap_end, 'UTC') AS \"timeEnd\",\n"
        f"  {dataset.key} || ': ' || CAST(missing_s / 60 AS VARCHAR) || ' minutes missing' AS text\n"
        f"FROM hive.batch.{dataset.name}_gaps\n"
        f"WHERE {dataset.key} IN {METERS} AND missing_s >= 600\n  AND {bounds}\n"
        "ORDER BY missing_s DESC\nLIMIT 200"
    )
