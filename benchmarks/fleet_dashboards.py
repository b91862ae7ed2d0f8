"""How long each dashboard takes to draw with a fleet: all its queries at once, as a browser asks them.

Rows are made up and written directly: minutes and latest readings of the live meters into Cassandra, batch views as
Parquet into HDFS (`--fill`; into a stack whose batch tables nobody needs). Then every query of a dashboard is asked at
the same time, with all meters chosen, and with one; the time is that of the last answer.

    meterlake up && meterlake ddl --apply
    python benchmarks/fleet_dashboards.py --meters 2000 --fill --rounds 3

Prints one JSON object a dashboard and choice.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
from trino import dbapi

from engines import cassandra, hdfs, metastore, trino
from meterlake import merged, registry
from meterlake.clock import system_clock
from meterlake.ddl import HIVE_DATABASE, view_table
from meterlake.declaration import MeterSeries, View
from meterlake.grains import GRAIN_SECONDS
from meterlake.settings import Settings, load_settings
from meterlake.views import view_columns
from serving_layer.dashboards import asked, catalogue, check, cql, macros
from serving_layer.dashboards.queries import CassandraQuery, PrometheusQuery
from serving_layer.publish.tables import FOLDER
from speed_layer.views.sink import Sink

HISTORY = {"minute": timedelta(hours=26), "hour": timedelta(days=40), "day": timedelta(days=400)}
BOUNDARY_AGE = timedelta(minutes=70)
ROWS_AT_ONCE = 60_000


def name_of(number: int) -> str:
    """Return the name of a meter."""
    return f"plug-{number:04d}"


def fill_live(settings: Settings, dataset: MeterSeries, meters: int, minutes: int, now: datetime) -> None:
    """Write minutes, latest and recent readings, as the stream does."""
    seeded = random.Random(1)  # noqa: S311 - rows that are made up
    newest = int(now.timestamp()) // 60 * 60
    with cassandra.session(settings) as session:
        sink = Sink(settings, dataset, session)
        rows = list[tuple[Any, ...]]()
        for row in _states(dataset, meters, minutes, newest, seeded):
            rows.append(row)
            if len(rows) >= ROWS_AT_ONCE:
                sink.write_minutes(rows)
                rows.clear()
        sink.write_minutes(rows)
        for number in range(meters):
            back = range(120 if number < cql.MOST_SHOWN else 1)
            start = int(now.timestamp())
            readings = [
                (name_of(number), (start - age) * 1000, 1, *(seeded.random() for _ in dataset.measures), age)
                for age in back
            ]
            sink.write_latest(readings)
            sink.write_recent(readings, 0)


def _states(
    dataset: MeterSeries, meters: int, minutes: int, newest: int, seeded: random.Random
) -> Iterator[tuple[Any, ...]]:
    for number in range(meters):
        for back in range(minutes):
            minute = newest - back * 60
            values = [seeded.randint(50, 3000) for _ in dataset.measures]
            states = [units for value in values for units in (value * 60, value - 10, value + 10)]
            yield (name_of(number), minute * 1000, 60, 60, 0, *states, (minute + 60) * 1_000_000)


def fill_history(settings: Settings, dataset: MeterSeries, meters: int, boundary: datetime) -> None:
    """Write the batch views up to the boundary, and make the views that readers query."""
    with metastore.client(settings) as client:
        for view in dataset.views:
            table = view_table(dataset, view.grain)
            places = _write_view(settings, dataset, view, table, meters, boundary)
            metastore.add_partitions(client, HIVE_DATABASE, table, places)
    cutover = merged.cutover(dataset, boundary, boundary + BOUNDARY_AGE, settings.speed_ttl)
    for view in dataset.views:
        trino.rows(settings, merged.published_sql(dataset, view.grain))
        trino.rows(settings, merged.merged_sql(dataset, view.grain, cutover))


def _write_view(
    settings: Settings, dataset: MeterSeries, view: View, table: str, meters: int, boundary: datetime
) -> dict[tuple[str, ...], str]:
    step = GRAIN_SECONDS[view.grain]
    columns = []
    for column in view_columns(dataset, view.grain):
        kind = column.type.sql("duckdb")
        made = {
            dataset.key: "'plug-' || lpad(CAST(meter AS VARCHAR), 4, '0')",
            view.grain: "moment",
            "readings": f"{step}",
            "covered_s": f"{step}",
            "flagged": "0",
        }.get(column.name, f"(0.1 + random() * 2) * {step if column.name.endswith('_sum') else 1}")
        columns.append(f"CAST({made} AS {kind}) AS {column.name}")
    first = (boundary - HISTORY[view.grain]).strftime("%Y-%m-%d %H:%M")
    form = {"month": "%Y-%m", "year": "%Y"}[view.partition]
    places: dict[tuple[str, ...], str] = {}
    with duckdb.connect() as engine, tempfile.TemporaryDirectory() as folder:
        engine.execute(
            f"CREATE TABLE made AS SELECT strftime(moment, '{form}') AS part, {', '.join(columns)}\n"
            f"FROM range({meters}) AS fleet (meter), (SELECT unnest(generate_series(date_trunc('{view.grain}',"
            f" TIMESTAMP '{first}'), TIMESTAMP '{boundary:%Y-%m-%d %H:%M}' - INTERVAL {step} SECOND,"
            f" INTERVAL {step} SECOND)) AS moment)\nORDER BY 2, 3"
        )
        for (part,) in engine.execute("SELECT DISTINCT part FROM made").fetchall():
            file = Path(folder) / f"{part}.parquet"
            kept = f"SELECT * EXCLUDE part FROM made WHERE part = '{part}'"  # noqa: S608
            engine.execute(f"COPY ({kept}) TO '{file}' (COMPRESSION zstd)")
            place = f"{FOLDER}/{table}/fleet-{part}"
            hdfs.client(settings).upload(f"{place}/fleet.parquet", str(file), overwrite=True)
            places[part, part] = f"{settings.hdfs}{place}"  # the partition, and the slice that is all of it
    return places


def measure(settings: Settings, dataset: MeterSeries, rounds: int) -> Iterator[dict[str, object]]:
    """Ask each dashboard's queries at once; yield the time of the last answer, and Trino's CPU time of all."""
    ours = catalogue.ours()
    part = replace(ours, shown=tuple(one for one in ours.shown if one[0] == dataset), lakehouses=())
    with cassandra.session(settings) as session:
        servers = check.Servers(settings, session, [dataset for dataset, _ in part.shown], system_clock())
        everything = list(asked.queries(part.boards(), ()))
        for uid in dict.fromkeys(one.board for one in everything):
            mine = [one for one in everything if one.board == uid and not isinstance(one.query, PrometheusQuery)]
            for meters in (None, 1):
                took, spent = [], dict[str, float]()
                for _ in range(rounds):
                    begin = time.monotonic()
                    with ThreadPoolExecutor(len(mine)) as pool:
                        cpu = pool.map(partial(_ask, settings, session, servers, meters=meters), mine)
                        spent = dict(zip((one.where.partition(": ")[2] for one in mine), cpu, strict=True))
                    took.append(time.monotonic() - begin)
                yield {
                    "dashboard": uid,
                    "meters": meters or "all",
                    "queries": len(mine),
                    "seconds": round(statistics.median(took), 2),
                    "longest_s": round(max(took), 2),
                    "trino_cpu_s": round(sum(spent.values()), 2),
                    "most_cpu": dict(sorted(spent.items(), key=lambda pair: -pair[1])[:18]),
                }


def _ask(
    settings: Settings,
    session: Any,  # noqa: ANN401 - the driver's own
    servers: check.Servers,
    one: asked.Asked,
    meters: int | None,
) -> float:
    """Ask a query; return Trino's CPU seconds."""
    chosen = servers.chosen(one, meters)
    if isinstance(one.query, CassandraQuery):
        list(session.execute(macros.cassandra(one.query, chosen)))
        return 0.0
    return through_trino(settings, macros.trino(one.query, chosen))[1]


def through_trino(settings: Settings, statement: str) -> tuple[list[Any], float]:
    """Return the rows of a statement, and Trino's CPU seconds."""
    address = urlsplit(settings.trino)
    with dbapi.connect(  # type: ignore[no-untyped-call]
        host=address.hostname, port=address.port, user="benchmark"
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        rows = cursor.fetchall()
        return rows, float(cursor.stats["cpuTimeMillis"]) / 1000


def main() -> None:
    """Fill where asked, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--minutes", type=int, default=240, help="live minutes of each meter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fill", action="store_true")
    options = parser.parse_args()
    settings, dataset = load_settings(), registry.declaration("household")
    now = system_clock()
    if options.fill:
        boundary = (now - BOUNDARY_AGE).replace(second=0, microsecond=0)
        fill_history(settings, dataset, options.meters, boundary)
    if options.minutes:
        fill_live(settings, dataset, options.meters, options.minutes, now)
    for line in measure(settings, dataset, options.rounds):
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
