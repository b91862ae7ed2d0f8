"""Readings of the master data set, as the core has them, through Trino."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engines import trino
from meterlake import timegrid
from meterlake.merged import row_time_sql
from meterlake.reading import Reading
from meterlake.schema import master_fields
from meterlake.views import time_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.settings import Settings
    from serving_layer.merged.layers import Time

# Names come from the declaration, snapshots are numbers; values are bound.
# ruff: noqa: S608

_AT_ONCE: Final = 500
"""So many rows are asked for in one statement."""


def master_table(dataset: MeterSeries) -> str:
    """Return the full name of the master table in Trino."""
    return f"iceberg.master.{dataset.name}"


def readings_of(
    settings: Settings,
    dataset: MeterSeries,
    grain: Grain,
    rows: Iterable[tuple[str, Time]],
    snapshot: int | None = None,
) -> dict[tuple[str, Time], list[Reading]]:
    """Return the readings of some rows (meter, time) of a view.

    snapshot: the master data set as it was; None as it is now.
    """
    result: dict[tuple[str, Time], list[Reading]] = defaultdict(list)
    wanted = sorted(rows, key=lambda row: (row[1], row[0]))
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        for reading in _read(settings, dataset, grain, some, snapshot):
            moment = datetime.fromtimestamp(reading.ts, UTC)
            result[reading.meter_id, timegrid.row_time(moment, grain, dataset.time_zone)].append(reading)
    return result


def _read(
    settings: Settings, dataset: MeterSeries, grain: Grain, rows: list[tuple[str, Time]], snapshot: int | None
) -> Iterator[Reading]:
    names = [field.name for field in master_fields(dataset)]
    version = "" if snapshot is None else f" FOR VERSION AS OF {snapshot}"
    time, zone = dataset.event_time, dataset.time_zone
    since = timegrid.row_begins(rows[0][1], zone)
    until = timegrid.row_end(timegrid.row_begins(rows[-1][1], zone), grain, zone)
    kind = time_column(dataset, grain).type.sql("trino")
    pairs = ", ".join(f"(?, CAST(? AS {kind}))" for _ in rows)
    # The range lets Iceberg leave files out; the pairs decide.
    statement = (
        f"SELECT {', '.join(names)} FROM {master_table(dataset)}{version}"
        f" WHERE {time} >= CAST(? AS TIMESTAMP(6)) AND {time} < CAST(? AS TIMESTAMP(6))"
        f" AND ({dataset.key}, {row_time_sql(dataset, grain, time)}) IN (VALUES {pairs})"
    )
    values = [_text(since), _text(until), *(value for meter, start in rows for value in (meter, _text(start)))]
    return (_reading(dataset, row) for row in trino.rows(settings, statement, values))


def _reading(dataset: MeterSeries, row: Sequence[Any]) -> Reading:
    count = len(dataset.measures)
    meter, time, interval, *values = row[: 3 + count]
    revision, received_at, origin, partition, offset, load_id = row[3 + count :]
    return Reading(
        meter_id=meter,
        ts=int(time.replace(tzinfo=UTC).timestamp()),
        interval_s=interval,
        values=tuple(values),
        revision=revision,
        received_at=received_at.replace(tzinfo=UTC),
        origin=origin,
        origin_partition=partition,
        origin_offset=offset,
        load_id=load_id,
    )


def master_row(reading: Reading) -> tuple[object, ...]:
    """Return a reading as a row of the master data set, times in UTC without zone."""
    start = datetime.fromtimestamp(reading.ts, UTC).replace(tzinfo=None)
    arrival = reading.received_at.astimezone(UTC).replace(tzinfo=None)
    place = (reading.origin, reading.origin_partition, reading.origin_offset, reading.load_id)
    return (reading.meter_id, start, reading.interval_s, *reading.values, reading.revision, arrival, *place)


def _text(moment: Time) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if isinstance(moment, datetime) else moment.isoformat()
