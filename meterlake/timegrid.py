"""The time grid: intervals, rows of fixed length, and local days and months with their 23 or 25 hours.

Instants are whole seconds since 1970-01-01 UTC, or aware datetimes. ``ts`` is the start of an interval;
an interval of length n starts at a multiple of n (all lengths divide a day, so this is the same as
counting from midnight UTC). Intervals of one length therefore never overlap.

The SQL works on timestamps without zone that hold UTC wall clock (Spark ``timestamp_ntz``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from meterlake.grains import GRAIN_SECONDS, is_calendar, is_fixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meterlake.columns import Dialect
    from meterlake.declaration import MeterSeries
    from meterlake.grains import FixedGrain, Grain

OFF_GRID: Final = "off_grid"
_EARLIEST, _LATEST = date(1970, 1, 1), date(2100, 1, 1)
"""Between these days the offsets of a zone are looked at."""


def on_grid(dataset: MeterSeries, ts: int, interval_s: int) -> bool:
    """Return whether an interval has a declared length and starts at a multiple of it."""
    return interval_s in dataset.intervals and ts % interval_s == 0


def floor_seconds(ts: int, length: int) -> int:
    """Return the start of the minute (60), hour (3600) or interval that holds an instant."""
    return ts - ts % length


def floor_minute(moment: datetime) -> datetime:
    """Return the start of the minute that holds an aware datetime, in UTC."""
    return utc(moment).replace(second=0, microsecond=0)


def row_time(moment: datetime, grain: Grain, time_zone: str) -> datetime | date:
    """Return the time of the row that holds an aware datetime: its start in UTC; of a day or month its first day."""
    ts = int(utc(moment).timestamp())
    if is_calendar(grain):
        return first_day(local_day(ts, time_zone), grain)
    return datetime.fromtimestamp(floor_seconds(ts, GRAIN_SECONDS[grain]), UTC)


def row_begins(time: datetime | date, time_zone: str) -> datetime:
    """Return the first instant, in UTC, of a view's row: of an aware datetime, or of a local day."""
    if isinstance(time, datetime):
        return utc(time)
    return datetime.fromtimestamp(day_start(time, time_zone), UTC)


def row_start(moment: datetime, grain: Grain, time_zone: str) -> datetime:
    """Return the first instant, in UTC, of the view's row that holds an aware datetime."""
    return row_begins(row_time(moment, grain, time_zone), time_zone)


def row_end(moment: datetime, grain: Grain, time_zone: str) -> datetime:
    """Return the first instant, in UTC, after the view's row that holds an aware datetime."""
    time = row_time(moment, grain, time_zone)
    if isinstance(time, datetime):
        return time + timedelta(seconds=GRAIN_SECONDS[grain])
    return row_begins(next_row(time, grain), time_zone)


def first_day(day: date, grain: Grain) -> date:
    """Return the day by which a row of days or months that holds a local day is named."""
    return day.replace(day=1) if grain == "month" else day


def next_row(day: date, grain: Grain) -> date:
    """Return the day by which the row after that of a day, or of a month's first day, is named."""
    return first_day(day + timedelta(days=31), grain) if grain == "month" else day + timedelta(days=1)


def utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC. Raises ValueError for a naive one: its meaning is unknown."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; give an aware datetime, such as …+00:00.")
    return moment.astimezone(UTC)


def local_day(ts: int, time_zone: str) -> date:
    """Return the calendar day of an instant in a zone."""
    return datetime.fromtimestamp(ts, ZoneInfo(time_zone)).date()


def day_start(day: date, time_zone: str) -> int:
    """Return the first instant of a local day."""
    # Midnight may not exist (a zone that changes at 00:00): fold=0 then yields the moment of the change.
    return int(datetime.combine(day, time(0), ZoneInfo(time_zone)).timestamp())


@lru_cache(maxsize=4096)
def day_seconds(day: date, time_zone: str) -> int:
    """Return the length of a local day, its full coverage: 86,400 s, or 23 or 25 hours at a DST change."""
    return day_start(day + timedelta(days=1), time_zone) - day_start(day, time_zone)


def full_coverage(dataset: MeterSeries, grain: Grain, day: date | None = None) -> int:
    """Return the seconds of a row when nothing is missing; ``day`` (its first) is needed for days and months."""
    if is_fixed(grain):
        return GRAIN_SECONDS[grain]
    if day is None:
        raise ValueError(f"The coverage of a {grain} depends on the day; give it.")
    return day_start(next_row(day, grain), dataset.time_zone) - day_start(day, dataset.time_zone)


def full_coverage_sql(dataset: MeterSeries, grain: Grain) -> str:
    """Return, in Spark's SQL, ``full_coverage`` of a row by its time, in the column ``grain``."""
    if is_fixed(grain):
        return str(GRAIN_SECONDS[grain])
    after = f"add_months({grain}, 1)" if grain == "month" else f"date_add({grain}, 1)"
    begin, end = (
        f"convert_timezone('{dataset.time_zone}', 'UTC', CAST({day} AS TIMESTAMP_NTZ))" for day in (grain, after)
    )
    return f"timestampdiff(SECOND, {begin}, {end})"


def local_days_of_utc_day(day: date, time_zone: str) -> list[date]:
    """Return the local days that a UTC day touches: one or two. (A zone that crosses the date line skips a day.)"""
    start = int(datetime.combine(day, time(0), UTC).timestamp())
    first, last = local_day(start, time_zone), local_day(start + 86_399, time_zone)
    days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    return [day for day in days if day_seconds(day, time_zone)]


@lru_cache(maxsize=64)
def zone_offsets(time_zone: str, since: date | None = None) -> frozenset[int]:
    """Return the offsets from UTC, in seconds, that a zone has up to 2100, looked at once a week.

    since: the first day that counts; 1970 where it is left out.
    """
    return frozenset(offset for _, offset in _weekly_offsets(time_zone, since or _EARLIEST))


def offsets_cut(dataset: MeterSeries, seconds: int) -> list[int]:
    """Return the offsets of a data set's zone, since its earliest day, that cut rows of so many seconds."""
    return sorted(offset for offset in zone_offsets(dataset.time_zone, dataset.earliest) if offset % seconds)


def uncut_since(time_zone: str, seconds: int) -> date | None:
    """Return the first day of a year from which on no offset cuts rows of so many seconds; None where some do today."""
    cutting = [moment for moment, offset in _weekly_offsets(time_zone, _EARLIEST) if offset % seconds]
    last = max(cutting, default=datetime.combine(_EARLIEST, time(0), UTC))
    return date(last.year + 1, 1, 1) if last.year < _LATEST.year - 1 else None


def _weekly_offsets(time_zone: str, since: date) -> Iterator[tuple[datetime, int]]:
    moment, zone = datetime.combine(since, time(0), UTC), ZoneInfo(time_zone)
    while moment.date() < _LATEST:
        offset = moment.astimezone(zone).utcoffset()
        if offset is not None:
            yield moment, int(offset.total_seconds())
        moment += timedelta(weeks=1)


def rolls_up_from(dataset: MeterSeries, grain: Grain) -> Grain:
    """Return the coarsest declared grain whose rows a row of ``grain`` is made of; raises ValueError for the finest.

    A month is made of days. A local day is made of rows that no offset of the zone cuts: of hours only where the zone
    is always whole hours away from UTC.
    """
    finer = [view.grain for view in dataset.views if GRAIN_SECONDS[view.grain] < GRAIN_SECONDS[grain]]
    if is_fixed(grain):
        finer = [name for name in finer if GRAIN_SECONDS[grain] % GRAIN_SECONDS[name] == 0]
    else:
        finer = [name for name in finer if is_calendar(name) or not offsets_cut(dataset, GRAIN_SECONDS[name])]
    return max(finer, key=GRAIN_SECONDS.__getitem__)


def utc_days_of_local_day(day: date, time_zone: str) -> list[date]:
    """Return the UTC days from which a local day rolls up: one or two."""
    start, end = day_start(day, time_zone), day_start(day + timedelta(days=1), time_zone)
    first = datetime.fromtimestamp(start, UTC).date()
    last = datetime.fromtimestamp(max(start, end - 1), UTC).date()
    return [first + timedelta(days=step) for step in range((last - first).days + 1)]


def choose_interval(coverage: Mapping[int, int]) -> int:
    """Return the interval length that counts where a row of the finest view has readings of several.

    coverage: interval_s -> seconds covered by the used readings of that length, in one cell of
    ``dataset.cell_s`` seconds. More coverage wins; at a tie the finer. Raises ValueError if empty.
    The readings of the other lengths count as superseded.
    """
    return min(coverage, key=lambda interval_s: (-coverage[interval_s], interval_s))


def choice_order_sql(dataset: MeterSeries, covered: str = "covered_s") -> str:
    """Return ORDER BY terms that put the length that counts first, over rows of one length each.

    For ``ROW_NUMBER() OVER (PARTITION BY meter, cell ORDER BY …) = 1``.
    """
    return f"{covered} DESC, {dataset.interval} ASC"


def epoch_seconds_sql(column: str, dialect: Dialect) -> str:
    """Return seconds since 1970 as BIGINT of a timestamp of whole seconds, whatever the session's zone."""
    return {
        "spark": f"CAST({column} - TIMESTAMP_NTZ '1970-01-01 00:00:00' AS BIGINT)",
        "trino": f"CAST(to_unixtime(with_timezone({column}, 'UTC')) AS BIGINT)",
        "hive": (
            f"(CAST(datediff({column}, '1970-01-01') AS BIGINT) * 86400"
            f" + hour({column}) * 3600 + minute({column}) * 60 + second({column}))"
        ),
        "duckdb": f"(epoch_us({column}) // 1000000)",
    }[dialect]


def row_time_sql(column: str, grain: Grain, time_zone: str, dialect: Dialect) -> str:
    """Return the time column of the row of a view that holds a timestamp of UTC wall clock: ``row_time`` in SQL."""
    if grain == "day":
        return local_day_sql(column, time_zone, dialect)
    if grain == "month":
        return month_sql(local_day_sql(column, time_zone, dialect), dialect)
    return floor_sql(column, grain, dialect)


def floor_sql(column: str, grain: FixedGrain, dialect: Dialect) -> str:
    """Return the start of the row of a fixed length that holds a timestamp, as a timestamp without zone.

    Spark needs the session zone UTC here. As a grouping key, ``window(ts, '1 minute').start`` is twice
    as fast and zone-free, but Spark allows only one such expression in a query.
    """
    minutes = GRAIN_SECONDS[grain] // 60
    unit = "hour" if minutes > 1 else "minute"
    start = _truncated_sql(column, unit, dialect)
    if grain in ("minute", "hour"):
        return start
    into_the_hour = {
        "spark": f"INTERVAL '{minutes}' MINUTE * (minute({column}) DIV {minutes})",
        "trino": f"INTERVAL '{minutes}' MINUTE * (minute({column}) / {minutes})",
        "duckdb": f"INTERVAL '{minutes}' MINUTE * (minute({column}) // {minutes})",
    }
    if dialect == "hive":  # has no product of an interval
        text = f"date_format({column}, 'yyyy-MM-dd HH:')"
        minute = f"lpad(CAST(minute({column}) - minute({column}) % {minutes} AS STRING), 2, '0')"
        return f"CAST(concat({text}, {minute}, ':00') AS TIMESTAMP)"
    return f"({start} + {into_the_hour[dialect]})"


def _truncated_sql(column: str, unit: str, dialect: Dialect) -> str:
    if dialect == "spark":
        return f"CAST(date_trunc('{unit.upper()}', {column}) AS TIMESTAMP_NTZ)"
    if dialect == "hive":
        pattern = {"minute": "yyyy-MM-dd HH:mm:00", "hour": "yyyy-MM-dd HH:00:00"}[unit]
        return f"CAST(date_format({column}, '{pattern}') AS TIMESTAMP)"
    return f"date_trunc('{unit}', {column})"


def local_day_sql(column: str, time_zone: str, dialect: Dialect) -> str:
    """Return the DATE of a UTC wall-clock timestamp in a zone (an IANA name, from a declaration)."""
    return {
        "spark": f"CAST(convert_timezone('UTC', '{time_zone}', {column}) AS DATE)",
        "trino": f"CAST(with_timezone({column}, 'UTC') AT TIME ZONE '{time_zone}' AS DATE)",
        "hive": f"to_date(from_utc_timestamp({column}, '{time_zone}'))",
        "duckdb": f"CAST(timezone('{time_zone}', timezone('UTC', {column})) AS DATE)",
    }[dialect]


def month_sql(day: str, dialect: Dialect) -> str:
    """Return the first day of a DATE's month."""
    return {
        "spark": f"trunc({day}, 'MONTH')",
        "trino": f"date_trunc('month', {day})",
        "hive": f"CAST(trunc({day}, 'MM') AS DATE)",
        "duckdb": f"CAST(date_trunc('month', {day}) AS DATE)",
    }[dialect]


def off_grid_sql(dataset: MeterSeries, epoch_seconds: str) -> str:
    """Return the condition that an interval is off the grid (never NULL where both columns are given).

    epoch_seconds: SQL of the interval's start in whole seconds since 1970.
    """
    lengths = ", ".join(map(str, sorted(dataset.intervals)))
    interval = dataset.interval
    # CASE keeps an unknown length, such as 0, from being divided by.
    return f"CASE WHEN {interval} IN ({lengths}) THEN {epoch_seconds} % {interval} <> 0 ELSE TRUE END"
