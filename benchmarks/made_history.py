"""Batch views of a long history that are made up: what ``queries.py`` asks.

From readings a batch run would take hours for them. Their rows are written as a run writes them (its slices, files and
order) and published as it publishes them.
"""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import fleet_dashboards

from batch_layer import lease
from batch_layer.pipeline.batch import shapes
from batch_layer.views import files, tables
from batch_layer.views.slicing import Fleet
from cli.ddl_command import make_all
from engines import spark as engine
from meterlake.clock import system_clock
from meterlake.grains import GRAIN_SECONDS
from meterlake.slices import Layout
from serving_layer.publish.publish import Publication, Publisher

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.settings import Settings


def fill(settings: Settings, dataset: MeterSeries, meters: int, since: datetime, boundary: datetime) -> dict[str, int]:
    """Publish views of a history, make what is live ready to be written, and return how many rows each view has."""
    run_id, rows = f"made-{uuid.uuid4().hex[:8]}", dict[str, int]()
    with (
        engine.session(settings, "queries") as spark,
        lease.held(settings, dataset.name, "a benchmark of queries", system_clock) as held,
    ):
        written: dict[str, dict[str, str]] = {}
        for view in dataset.views:
            table = tables.view_table(dataset, view.grain)
            written[table.name], rows[table.name] = {}, 0
            for begin, end in years(*whole(dataset, view.grain, since, boundary)):
                made, count = made_rows(spark, dataset, view.grain, meters, begin, end)
                rows[table.name] += count
                layout = Layout(table.partition, table.smallest, boundary.date())
                names = tuple(sorted(map(fleet_dashboards.name_of, range(meters))))
                done = files.write(made, table, layout, f"{settings.hdfs}{tables.FOLDER}", run_id, Fleet(meters, names))
                written[table.name] |= {table.partition_name(name): folder for name, folder in done.slices.items()}
                print(f"{table.name}: {rows[table.name]:,} rows up to {end:%Y-%m-%d}", file=sys.stderr, flush=True)
        publisher = Publisher(settings, dataset, held, system_clock)
        history, about = publisher.roll_forward(), (run_id, boundary, None)
        publisher.publish(Publication.of(history, about, written, {"mode": "full"}), shapes(dataset))
    make_all(settings, [dataset])  # now, so that the publish had no live rows to compare these with
    return rows


def whole(dataset: MeterSeries, grain: Grain, since: datetime, boundary: datetime) -> tuple[datetime, datetime]:
    """Return the beginnings of the first row of a view and of the one that holds the boundary, days as local dates."""
    if grain == "day":
        zone = ZoneInfo(dataset.time_zone)
        return tuple(  # type: ignore[return-value]
            moment.astimezone(zone).replace(hour=0, minute=0, tzinfo=UTC) for moment in (since, boundary)
        )
    return (since, boundary) if grain == "minute" else (since.replace(minute=0), boundary.replace(minute=0))


def years(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the calendar years of a range: no slice is longer, and one fits into Spark's memory."""
    starts = [datetime(year, 1, 1, tzinfo=UTC) for year in range(since.year + 1, until.year + 1)]
    bounds = [since, *starts, until]
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


def made_rows(
    spark: SparkSession, dataset: MeterSeries, grain: Grain, meters: int, begin: datetime, end: datetime
) -> tuple[DataFrame, int]:
    """Return rows of a view, one a meter and step, and how many they are."""
    table, step = tables.view_table(dataset, grain), GRAIN_SECONDS[grain]
    steps, first = int((end - begin).total_seconds()) // step, int(begin.timestamp())
    times = {"day": f"date_add(DATE '{begin:%Y-%m-%d}', CAST(number AS INT))"}
    known = {
        dataset.key: "concat('plug-', lpad(CAST(meter AS STRING), 4, '0'))",
        grain: times.get(grain, f"timestamp_seconds({first} + number * {step})"),
        "readings": str(step),
        "covered_s": str(step),
        "flagged": "0",
    }
    columns = []
    for at, column in enumerate(table.columns):
        value = f"(1 + pmod(meter * 31 + number * {at + 3}, 1000)) / 1000"
        made = known.get(column.name, f"{value} * {step}" if column.name.endswith("_sum") else value)
        columns.append(f"CAST({made} AS {column.type.sql('spark')}) AS {column.name}")
    numbered = spark.range(0, meters * steps).selectExpr(f"id div {steps} AS meter", f"pmod(id, {steps}) AS number")
    return numbered.selectExpr(*columns), meters * steps
