"""Trino SQL of panels: one place for the times, bounds and grains of the views.

Times leave as instants (``timestamp with time zone``): a bare timestamp would be taken in the time zone of Grafana's
machine. The plugin's macros are found by a regular expression that takes one bracket too many where a macro stands
right before another closing bracket: none stands so here, and ``macros.expand`` refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.ddl import view_table
from meterlake.grains import GRAIN_SECONDS, is_calendar
from meterlake.merged import CATALOG, MERGED, PUBLISHED, partition_of, partition_sql, published_view
from meterlake.physical_units import HOUR_S
from meterlake.timegrid import zone_offsets
from serving_layer.publish.records import FULL_NAME as RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

MOST_METERS: Final = 200
"""So many names the list of meters holds, and a query asks for; Trino asks Cassandra for each before it begins."""
MOST_LINES: Final = 50
"""So many meters have lines of their own; of more, the spread is drawn."""
METERS: Final = "($meter)"
"""The chosen meters: the plugin writes an explicit list of quoted names, also when all are chosen."""
FEW: Final = f"cardinality(ARRAY[$meter]) < {MOST_METERS}"
"""All that match are in the list, or some were picked: they are asked for by name."""
MANY: Final = f"cardinality(ARRAY[$meter]) >= {MOST_METERS}"
"""All of a fleet, of which the list holds a part only: all that match the search are meant."""
SINGLE: Final = f"cardinality(ARRAY[$meter]) <= {MOST_LINES}"
"""Meters are shown one by one. Such conditions are constant: what they exclude is dropped when the query is planned."""
SPREAD: Final = ("10 % below", "Median", "90 % below")
FINE_ROWS: Final = 2880
"""Rows a meter of a grain below an hour, such as 48 hours of minutes, up to which it is drawn."""
COARSE_ROWS: Final = 1500
"""The same of hours."""
FLEET_ROWS: Final = 170
"""Rows a meter of a fleet: 7 days of hours, or almost 3 hours of minutes; 2,000 meters have 340,000 then."""
NOBODY: Final = "none yet"
"""Value of the meter's variable where there is no meter, so that the list is never empty."""


def when(dataset: MeterSeries, grain: Grain, column: str = "") -> str:
    """Return SQL of the instant at which a row begins."""
    name = column or grain
    if is_calendar(grain):
        return f"with_timezone(CAST({name} AS TIMESTAMP(3)), '{dataset.time_zone}')"
    return f"with_timezone({name}, 'UTC')"


def bound(dataset: MeterSeries, grain: Grain, back: int = 0) -> str:
    """Return SQL of the dashboard's range, or of as long a one some days back: files outside are not read."""
    first, last = "$__timeFrom()", "$__timeTo()"
    if back:
        first, last = (f"{macro} - INTERVAL '{back}' DAY" for macro in (first, last))
    if is_calendar(grain):
        first, last = (
            f"CAST(date_trunc('{grain}', with_timezone({macro} , 'UTC') AT TIME ZONE '{dataset.time_zone}') AS DATE)"
            for macro in (first, last)
        )
    return between(dataset, grain, first, last)


def between(dataset: MeterSeries, grain: Grain, first: str, last: str, column: str = "") -> str:
    """Return SQL that bounds a view's rows by their times, and by their partitions: no other file is opened."""
    parts = " AND ".join(partition_sql(dataset, grain, f"{time} ") for time in (first, last))
    return f"{column or grain} BETWEEN {first} AND {last} AND {partition_of(dataset, grain)} BETWEEN {parts}"


def since(dataset: MeterSeries, grain: Grain, first: str) -> str:
    """Return the same for all rows from a time on."""
    return f"{grain} >= {first} AND {partition_of(dataset, grain)} >= {partition_sql(dataset, grain, first)}"


def matching(dataset: MeterSeries) -> str:
    """Return the condition that a meter's name matches the search."""
    return f"strpos(lower({dataset.key}), lower('$search')) > 0"


def chosen(dataset: MeterSeries) -> str:
    """Return the condition that a meter is meant: one of the list, or of a fleet all that match the search."""
    return f"({FEW} AND {dataset.key} IN {METERS} OR {MANY} AND {matching(dataset)})"


def grains(dataset: MeterSeries) -> list[Grain]:
    """Return the declared grains, the finest first."""
    return sorted((view.grain for view in dataset.views), key=GRAIN_SECONDS.__getitem__)


def hourly(dataset: MeterSeries) -> Grain:
    """Return the grain for what is looked at by the hour: the coarsest within one, else the finest of all."""
    within = [grain for grain in grains(dataset) if GRAIN_SECONDS[grain] <= HOUR_S]
    return within[-1] if within else grains(dataset)[0]


def local_hours(dataset: MeterSeries) -> Grain:
    """Return the grain for hours of the local day: the coarsest within one that no offset of the zone cuts."""
    offsets = zone_offsets(dataset.time_zone)
    within = [grain for grain in grains(dataset) if GRAIN_SECONDS[grain] <= HOUR_S]
    whole = [grain for grain in within if not any(offset % GRAIN_SECONDS[grain] for offset in offsets)]
    return whole[-1] if whole else grains(dataset)[0]


def daily(dataset: MeterSeries) -> Grain:
    """Return the grain for what is looked at by the day or longer: the local day, else the coarsest of all."""
    return "day" if "day" in grains(dataset) else grains(dataset)[-1]


def of_grain(
    dataset: MeterSeries,
    view: Callable[[MeterSeries, Grain], str],
    wanted: Mapping[Grain, str],
    columns: str,
) -> str:
    """Return SQL of the rows of the view that the dashboard's grain asks for.

    wanted: grain -> condition in constants; a branch whose condition is false is dropped when the query is planned.
    columns: what to select beside ``time``, the meter and ``step_s``, the length of a row of that grain.
    """
    branches = [
        f"SELECT {when(dataset, grain)} AS time, {GRAIN_SECONDS[grain]} AS step_s, {dataset.key}, {columns}\n"
        f"FROM {view(dataset, grain)}\n"
        f"WHERE {condition} AND {chosen(dataset)} AND {bound(dataset, grain)}"
        for grain, condition in wanted.items()
    ]
    return "\nUNION ALL\n".join(branches)


def fitting(offered: Sequence[Grain], *, most: int = FINE_ROWS) -> dict[Grain, str]:
    """Return grain -> condition that it fits the length of the range: the finest with at most ``most`` rows a meter."""
    seconds = "date_diff('second', $__timeFrom() , $__timeTo() )"
    listed = sorted(offered, key=GRAIN_SECONDS.__getitem__)
    ends = [f"{min(most, COARSE_ROWS) * GRAIN_SECONDS[grain]}" for grain in listed]
    if GRAIN_SECONDS[listed[0]] < HOUR_S:
        ends[0] = f"{most * GRAIN_SECONDS[listed[0]]}"
    result: dict[Grain, str] = {}
    for place, grain in enumerate(listed):
        low = [f"{seconds} > {ends[place - 1]}"] if place else []
        high = [f"{seconds} <= {ends[place]}"] if place + 1 < len(listed) else []
        result[grain] = " AND ".join([*low, *high]) or "true"
    return result


def lines_or_spread(dataset: MeterSeries, rows: str) -> str:
    """Return SQL of a line a meter or, of more than can be told apart, of the spread over them.

    rows: SQL with ``time``, ``step_s``, the meter and ``value``. The lines are told apart by the meter's column.
    """
    spread = ", ".join(f"'{name}'" for name in SPREAD)
    return (
        f"SELECT time, step_s, which AS {dataset.key}, share AS value\nFROM (\n"
        f"SELECT time, step_s, IF({SINGLE}, {dataset.key}, '') AS alone, max(value) AS own,\n"
        f"  approx_percentile(IF({SINGLE}, NULL, value), ARRAY[0.1, 0.5, 0.9]) AS shares\n"
        f"FROM (\n{rows}\n)\nGROUP BY 1, 2, 3\n)\n"
        f"CROSS JOIN UNNEST(IF({SINGLE}, ARRAY[alone], ARRAY[{spread}]), IF({SINGLE}, ARRAY[own], shares))"
        " AS drawn (which, share)"
    )


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


def chosen_or_fitting(dataset: MeterSeries) -> dict[Grain, str]:
    """Return the conditions of a grain that is chosen, or (``auto``) fits the length of the range."""
    fits = few_or_many(grains(dataset))
    return {grain: f"('$grain' = '{grain}' OR '$grain' = 'auto' AND {fit})" for grain, fit in fits.items()}


def few_or_many(offered: Sequence[Grain]) -> dict[Grain, str]:
    """Return grain -> condition that it fits the range: of a fleet, fewer rows of each meter are asked for."""
    few, many = fitting(offered), fitting(offered, most=FLEET_ROWS)
    return {grain: f"({FEW} AND {few[grain]} OR {MANY} AND {many[grain]})" for grain in few}


def hours(dataset: MeterSeries, columns: str, *, grain: Grain | None = None, tail: str = "") -> str:
    """Return SQL of published hours within the range. columns: what to select; tail: grouping and order.

    grain: another than that of hours.
    """
    grain = grain or hourly(dataset)
    return (
        f"SELECT {columns}\nFROM {published_view(dataset, grain)}\n"
        f"WHERE {chosen(dataset)} AND {bound(dataset, grain)}{tail}"
    )


def meters(dataset: MeterSeries) -> str:
    """Return SQL of the meters that match the search and have a day in the range, or are live: never empty.

    Where there are too many, those with the longer history are kept.
    """
    return (
        f"SELECT coalesce({dataset.key}, '{NOBODY}') AS {dataset.key}\nFROM (VALUES 1) AS always (one)\n"
        f"LEFT JOIN (\n{_known(dataset)}\n) AS found ON true\n"
        f"GROUP BY 1\nORDER BY count(seen) DESC, 1\nLIMIT {MOST_METERS}"
    )


def listed(dataset: MeterSeries) -> str:
    """Return SQL of how many meters of how many that match the search the list holds, as text: ``200 of 2000``."""
    count = f"count(DISTINCT {dataset.key})"
    return (
        f"SELECT CAST(least({count}, {MOST_METERS}) AS VARCHAR) || ' of ' || CAST({count} AS VARCHAR) AS meters\n"
        f"FROM (\n{_known(dataset)}\n)"
    )


def layer() -> str:
    """Return SQL of the schema that answers: the merged views by name; of a fleet, what is published."""
    return f"SELECT IF({MANY}, '{PUBLISHED}', '{MERGED}') AS layer"


def of_layer(dataset: MeterSeries, grain: Grain) -> str:
    """Return the full name of the view of the layer that answers; the variable is filled in by Grafana."""
    return f"{CATALOG}.${{layer}}.{view_table(dataset, grain)}"


def _known(dataset: MeterSeries) -> str:
    grain = daily(dataset)
    return (
        f"  SELECT {dataset.key}, {grain} AS seen FROM {published_view(dataset, grain)}\n"  # noqa: S608
        f"  WHERE {matching(dataset)} AND {bound(dataset, grain)}\n"
        f"  UNION ALL\n  SELECT {dataset.key}, NULL FROM cassandra.speed.{dataset.name}_latest\n"
        f"  WHERE {matching(dataset)}"
    )


def ranked(dataset: MeterSeries, value: str) -> str:
    """Return SQL of the chosen meters by place: ``ranked`` (name), ``highest`` and ``lowest`` (from 1).

    value: aggregate over a meter's rows in the range, such as ``sum(energy_wh)``.
    """
    grain = daily(dataset)
    order = f"coalesce({value}, 0)"
    return (
        f"SELECT {dataset.key} AS ranked, row_number() OVER (ORDER BY {order} DESC, {dataset.key}) AS highest,\n"
        f"  row_number() OVER (ORDER BY {order}, {dataset.key}) AS lowest\n"
        f"FROM {published_view(dataset, grain)}\n"
        f"WHERE {chosen(dataset)} AND {bound(dataset, grain)}\nGROUP BY {dataset.key}"
    )


def boundary(dataset: MeterSeries) -> str:
    """Return SQL of the boundary in force as an annotation: where it lies within the range."""
    return (
        "SELECT with_timezone(boundary, 'UTC') AS time,\n"  # noqa: S608
        "  'Boundary: batch before, live after (run ' || run_id || ')' AS text\n"
        f"FROM (\n  SELECT max_by(boundary, seq) AS boundary, max_by(run_id, seq) AS run_id\n  FROM {RUNS}\n"
        f"  WHERE dataset = '{dataset.name}' AND event IN ('published', 'rolled_back') AND at <= current_timestamp\n)\n"
        "WHERE $__timeFilter(boundary) "
    )


def published(dataset: MeterSeries) -> str:
    """Return SQL of batch runs as annotations: when readers came to see them."""
    return (
        "SELECT with_timezone(at, 'UTC') AS time, event || ' ' || run_id AS text\n"
        f"FROM {RUNS}\nWHERE dataset = '{dataset.name}' AND event IN ('published', 'rolled_back')\n"
        "  AND $__timeFilter(at) \nORDER BY 1"
    )


def unexplained(dataset: MeterSeries) -> str:
    """Return SQL of runs whose reconciliation left minutes unexplained, as annotations."""
    count = "CAST(json_extract_scalar(details, '$.reconciliation.unexplained') AS BIGINT)"
    return (
        f"SELECT with_timezone(at, 'UTC') AS time, CAST({count} AS VARCHAR) || ' minutes unexplained' AS text\n"
        f"FROM {RUNS}\nWHERE dataset = '{dataset.name}' AND event = 'published' AND {count} > 0\n"
        "  AND $__timeFilter(at) \nORDER BY 1"
    )


def gaps(dataset: MeterSeries) -> str:
    """Return SQL of the longest gaps in the range as annotations with a beginning and an end; of single meters only."""
    bounds = between(dataset, dataset.finest.grain, "$__timeFrom()", "$__timeTo()", "gap_start")
    return (
        "SELECT with_timezone(gap_start, 'UTC') AS time, with_timezone(gap_end, 'UTC') AS \"timeEnd\",\n"
        f"  {dataset.key} || ': ' || CAST(missing_s / 60 AS VARCHAR) || ' minutes missing' AS text\n"
        f"FROM hive.batch.{dataset.name}_gaps\n"
        f"WHERE {SINGLE} AND {dataset.key} IN {METERS} AND missing_s >= 600\n  AND {bounds}\n"
        "ORDER BY missing_s DESC\nLIMIT 200"
    )
