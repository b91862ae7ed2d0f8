"""Live minutes of a lakehouse, as its tests ask for them: by themselves, and with gold as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from pyspark.sql import SparkSession

from engines import cassandra, trino
from lakehouse.live.sink import Sink
from lakehouse.live.stream import Stream
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.live import merged_sql
from meterlake.settings import Settings

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
    found: dict[str, Minutes] = {"batch": {}, "live": {}}
    sql = merged_sql(lakehouse, lakehouse.live, f"minute >= TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}'")
    for layer, minute, event, place, currency, events, amount in trino.rows(settings, sql):
        assert (minute, event, place, currency) not in found[layer]
        found[layer][(minute, event, place, currency)] = (events, str(amount))
    return found
