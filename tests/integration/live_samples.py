"""Live minutes of a lakehouse, as its tests ask for them: by themselves, and with gold as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import SparkSession

from engines import cassandra, trino
from lakehouse.live.sink import Sink
from lakehouse.live.stream import Stream
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.live import merged_sql
from meterlake.settings import Settings
from serving_layer.dashboards import asked, catalogue, macros
from serving_layer.dashboards.events import events

Minutes = dict[tuple[datetime, str, str, str], tuple[int, str]]
"""Minute, event, place and currency -> events and amount."""


@contextmanager
def stream(settings: Settings, session: SparkSession, lakehouse: Lakehouse, now: list[datetime]) -> Iterator[Stream]:
    """Open a stream as if its process had just begun. now: its clock is the last of these."""
    with cassandra.session(settings) as tables:
        sink = Sink(settings, lakehouse, tables)
        yield Stream(settings, session, lakehouse, sink, lambda: now[-1], lambda _: None)


def merged(settings: Settings, lakehouse: Lakehouse, since: datetime) -> dict[str, Minutes]:
    """Return what readers see since a minute, by the layer that answers."""
    assert lakehouse.live is not None
    result: dict[str, Minutes] = {"batch": {}, "live": {}}
    sql = merged_sql(lakehouse, lakehouse.live, f"minute >= TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}'")
    for layer, minute, event, place, currency, count, amount in trino.rows(settings, sql):
        assert (minute, event, place, currency) not in result[layer]
        result[layer][(minute, event, place, currency)] = (count, str(amount))
    return result


def answered(settings: Settings, lakehouse: Lakehouse, since: datetime, until: datetime) -> dict[str, list[Any]]:
    """Ask all queries of the dashboard as Grafana does; return its last table: layer -> first, last minute, events."""
    assert lakehouse.live is not None
    board = catalogue.Board(catalogue.CONSUMPTION, events(lakehouse, lakehouse.live).build())
    chosen = macros.Dashboard(since - timedelta(minutes=1), until + timedelta(minutes=10))
    for asks in asked.queries([board], ()):
        columns, rows = trino.select(settings, macros.trino(asks.query, chosen))
        assert columns == list(asks.query.needs)
        assert rows
    return {layer: rest for layer, *rest in rows}
