"""The time grid: intervals, minutes, hours, and local days with their 23 or 25 hours.

Instants are whole seconds since 1970-01-01 UTC, or aware datetimes. ``ts`` is the start of an interval;
an interval of length n starts at a multiple of n (all lengths divide a day, so this is the same as
counting from midnight UTC). Intervals of one length therefore never overlap.

The SQL works on timestamps without zone that hold UTC wall clock (Spark ``timestamp_ntz``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

from meterlake.grains import GRAIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.columns import Dialect
    from meterlake.declaration import Dataset
    from meterlake.grains import Grain

OFF_GRID: Final = "off_grid"

UtcGrain = Literal["minute", "hour"]
"""Grains whose rows begin at UTC boundaries; days follow the data set's zone."""


def on_grid(dataset: Dataset, ts: int, interval_s: int) -> bool:
    """Return whether an interval has a declared length and starts at a multiple of it."""
    return interval_s in dataset.intervals and ts % interval_s == 0


def floor_seconds(ts: int, length: int) -> int:
    """Return the start of the minute (60), hour (3600) or interval that holds an instant."""
    return ts - ts % length


def floor_minute(moment: datetime) -> datetime:
    """Return the start of the minute that holds an aware datetime, in UTC."""
    return utc(moment).replace(second=0, microsecond=0)


def row_time(moment: datetime, grain: Grain, time_zone: str) -> datetime | date:
    """Return the time of the row that holds an aware datetime: start of a minute or hour in UTC, or local day."""
    ts = int(utc(moment).timestamp())
    if grain == "day":
        return local_day(ts, time_zone)
    return datetime.fromtimestamp(floor_seconds(ts, GRAIN_SECONDS[grain]), UTC)


def row_begins(time: datetime | date, time_zone: str) -> datetime:
    """Return the first instant, in UTC, of a view's row: of an aware datetime, or of a local day."""
    if isinstance(time, datetime):
        return utc(time)
    return datetime.fromtimestamp(day_start(time, time_zone), UTC)


def row_start(moment: datetime, grain: Grain, time_zone: str) -> datetime:
    """Return the first instant, in UTC, of the view's row that holds an aware datetime."""
    return row_begins(row_time(moment, grain, time_zone), time_zone)


def utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC. Raises ValueError for a naive one: its meaning is unknown."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; give an aware datetime, such as …+00:00.")
    return moment.astimezone(UTC)


def minutes_spanned(ts: int, interval_s: int) -> range:
    """Return the starts of the minutes that an interval touches: one if it lies within a minute."""
    return range(floor_seconds(ts, 60), ts + interval_s, 60)


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


def full_coverage(dataset: Dataset, grain: Literal["minute", "hour", "day"], day: date | None = None) -> int:
    """Return the seconds of a row of a view when nothing is missing; ``day`` is needed for days."""
    if grain != "day":
        return GRAIN_SECONDS[grain]
    if day is None:
        raise ValueError("The coverage of a day depends on the day; give it.")
    return day_seconds(day, dataset.time_zone)


def local_days_of_utc_day(day: date, time_zone: str) -> list[date]:
    """Return the local days that a UTC day touches: one or two."""
    start = int(datetime.combine(day, time(0), UTC).timestamp())
    first, last = local_day(start, time_zone), local_day(start + 86_399, time_zone)
    return [first + timedelta(days=step) for step in range((last - first).days + 1)]


@lru_cache(maxsize=64)
def zone_offsets(time_zone: str) -> frozenset[int]:
    """Return the offsets from UTC, in seconds, that a zone has between 1970 and 2100, looked at once a week."""
    start, zone = datetime(1970, 1, 1, tzinfo=UTC), ZoneInfo(time_zone)
    moments = (start + timedelta(weeks=week) for week in range(52 * 130))
    offsets = (moment.astimezone(zone).utcoffset() for moment in moments)
    return frozenset(int(offset.total_seconds()) for offset in offsets if offset is not None)


def rolls_up_from(dataset: Dataset, grain: Grain) -> Grain:
    """Return the coarsest declared grain whose rows a row of ``grain`` is made of; raises ValueError for the finest.

    A local day is made of hours only where the zone is always whole hours away from UTC.
    """
    finer = [view.grain for view in dataset.views if GRAIN_SECONDS[view.grain] < GRAIN_SECONDS[grain]]
    if grain == "day":
        offsets = zone_offsets(dataset.time_zone)
        finer = [name for name in finer if not any(offset % GRAIN_SECONDS[name] for offset in offsets)]
    return max(finer, key=GRAIN_SECONDS.__getitem__)


def utc_days_of_local_day(day: date, time_zone: str) -> list[date]:
    """Return the UTC days from which a local day rolls up: one or two."""
    start, end = day_start(day, time_zone), day_start(day + timedelta(days=1), time_zone)
    first = datetime.fromtimestamp(start, UTC).date()
    last = datetime.fromtimestamp(max(start, end - 1), UTC).date()
    return [first + timedelta(days=step) for step in range((last - first).days + 1)]


def choose_interval(coverage: Mapping[int, int]) -> int:
    """Return the interval length that counts where a meter's minute has readings of several.

    coverage: interval_s -> seconds covered by the used readings of that length, in one cell of
    ``dataset.cell_s`` seconds. More coverage wins; at a tie the finer. Raises ValueError if empty.
    The readings of the other lengths count as superseded.
    """
    return min(coverage, key=lambda interval_s: (-coverage[interval_s], interval_s))


def choice_order_sql(dataset: Dataset, covered: str = "covered_s") -> str:
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


def floor_sql(column: str, grain: UtcGrain, dialect: Dialect) -> str:
    """Return the start of a timestamp's minute or hour, as a timestamp without zone.

    Spark needs the session zone UTC here. As a grouping key, ``window(ts, '1 minute').start`` is twice
    as fast and zone-free, but Spark allows only one such expression in a query.
    """
    if dialect == "spark":
        return f"CAST(date_trunc('{grain.upper()}', {column}) AS TIMESTAMP_NTZ)"
    if dialect == "hive":
        pattern = {"minute": "yyyy-MM-dd HH:mm:00", "hour": "yyyy-MM-dd HH:00:00"}[grain]
        return f"CAST(date_format({column}, '{pattern}') AS TIMESTAMP)"
    return f"date_trunc('{grain}', {column})"


def local_day_sql(column: str, time_zone: str, dialect: Dialect) -> str:
    """Return the DATE of a UTC wall-clock timestamp in a zone (an IANA name, from a declaration)."""
    return {
        "spark": f"CAST(convert_timezone('UTC', '{time_zone}', {column}) AS DATE)",
        "trino": f"CAST(with_timezone({column}, 'UTC') AT TIME ZONE '{time_zone}' AS DATE)",
        "hive": f"to_date(from_utc_timestamp({column}, '{time_zone}'))",
        "duckdb": f"CAST(timezone('{time_zone}', timezone('UTC', {column})) AS DATE)",
    }[dialect]


def off_grid_sql(dataset: Dataset, epoch_seconds: str) -> str:
    """Return the condition that an interval is off the grid (never NULL where both columns are given).

    epoch_seconds: SQL of the interval's start in whole seconds since 1970.
    """
    lengths = ", ".join(map(str, sorted(dataset.intervals)))
    interval = dataset.interval
    # CASE keeps an unknown length, such as 0, from being divided by.
    return f"CASE WHEN {interval} IN ({lengths}) THEN {epoch_seconds} % {interval} <> 0 ELSE TRUE END"
