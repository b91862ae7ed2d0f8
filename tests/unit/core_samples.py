"""Data sets, readings and DuckDB for the tests of the core."""

from __future__ import annotations

import atexit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb
from hypothesis import strategies as st

from meterlake.declaration import Amount, Derived, Flag, Level, MeterSeries, Reject, View, per_hour
from meterlake.reading import Reading

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

TANK = MeterSeries(
    name="tank",
    title="A tank, to prove that nothing knows about electricity",
    intervals=(10, 60),
    time_zone="Asia/Kolkata",
    measures=(
        Level("pressure", "bar", "0.01", between=(-1, 250)),
        Level("temperature", "K", "1", between=(None, None)),
        Amount("inflow", "l", "0.001", between=(0, None)),
    ),
    rules=(
        Reject("frozen", "temperature < 200 AND inflow > 0"),
        Flag("hot", "temperature > 350"),
        Flag("odd", "sqrt(pressure) * interval_s > power(inflow, 2) + 1 OR pressure BETWEEN 3 AND 4"),
    ),
    derived=(
        Derived("flow", "l/s", "inflow_sum / covered_s"),
        Derived("work", "1", "flow * p", where={"p": "pressure_avg"}),
    ),
    views=(View("minute", "month"), View("hour", "month"), View("day", "year")),
)


LONDON = MeterSeries(
    name="london",
    time_zone="Europe/London",
    intervals=("30 min",),
    measures=(Amount("energy", "kWh", "0.001", between=per_hour(0, 100)),),
    views=(View("30 min"), View("hour"), View("day"), View("month")),
)
"""As little as a data set can declare."""


def changed(**changes: Any) -> MeterSeries:
    """Return TANK with changes; raises what the declaration raises."""
    return replace(TANK, **changes)


def query(sql: str, columns: dict[str, tuple[str, list[Any]]]) -> list[tuple[Any, ...]]:
    """Run SQL over a table ``t`` in DuckDB. columns: name -> (type, values)."""
    unnested = ", ".join(f"unnest(${name}::{kind}[]) AS {name}" for name, (kind, _) in columns.items())
    parameters = {name: values for name, (_, values) in columns.items()}
    return _connection().execute(f"WITH t AS (SELECT {unnested}) {sql}", parameters).fetchall()


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    atexit.register(_connection.cache_clear)  # DuckDB complains of connections that outlive Python
    return duckdb.connect()


def naive(moment: datetime) -> datetime:
    """Return the UTC wall clock of an aware datetime, as tables hold it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def tank_columns(readings: list[Reading]) -> dict[str, tuple[str, list[Any]]]:
    """Return readings of TANK as columns of a master table."""
    measures = {
        measure.name: ("DOUBLE", [reading.values[index] for reading in readings])
        for index, measure in enumerate(TANK.measures)
    }
    return {
        "meter_id": ("VARCHAR", [reading.meter_id for reading in readings]),
        "ts": ("TIMESTAMP", [naive(datetime.fromtimestamp(reading.ts, UTC)) for reading in readings]),
        "interval_s": ("INTEGER", [reading.interval_s for reading in readings]),
        **measures,
        "revision": ("INTEGER", [reading.revision for reading in readings]),
        "received_at": ("TIMESTAMP", [naive(reading.received_at) for reading in readings]),
        "origin": ("VARCHAR", [reading.origin for reading in readings]),
        "origin_partition": ("INTEGER", [reading.origin_partition for reading in readings]),
        "origin_offset": ("BIGINT", [reading.origin_offset for reading in readings]),
        "n": ("INTEGER", list(range(len(readings)))),
    }


def values(low: float, high: float, *special: float) -> st.SearchStrategy[float]:
    """Return doubles of a range, round numbers and edges among them."""
    rounded = st.integers(int(low * 10), int(high * 10)).map(lambda tenths: tenths / 10)
    return st.one_of(st.sampled_from([low, high, *special]), rounded, st.floats(low, high))


@st.composite
def tank_values(draw: st.DrawFn, *, wild: bool = False) -> tuple[float | None, ...]:
    """Return values of TANK: within their ranges, or beyond and missing if wild."""
    odd = (float("nan"), float("inf"), float("-inf"), 1e300, -1e300, -1.0000001, 250.0000001) if wild else ()
    drawn: list[float | None] = [
        draw(values(-1, 250, 0.005, 3, 4, *odd)),
        draw(values(0, 1000, 350, 200, *odd)),
        draw(values(0, 1e5, 0.0005, *odd)),
    ]
    if wild:
        missing = draw(st.sampled_from([(), (), (), (0,), (1, 2), (0, 1, 2)]))
        drawn = [None if index in missing else value for index, value in enumerate(drawn)]
    return tuple(drawn)


@st.composite
def tank_readings(draw: st.DrawFn, *, wild: bool = False) -> Reading:
    """Return a reading of TANK; few keys and revisions, so that they meet."""
    return Reading(
        meter_id=draw(st.sampled_from(["a", "b"])),
        ts=int(NOON.timestamp()) + draw(st.sampled_from([0, 10, 60, 7, -3600, 30, 4000] if wild else [0, 60])),
        interval_s=draw(st.sampled_from([10, 60, 30, 0] if wild else [10, 60])),
        values=draw(tank_values(wild=wild)),
        revision=draw(st.integers(0, 2)),
        received_at=NOON + timedelta(milliseconds=draw(st.sampled_from([-60_001, -60_000, 0, 1, 500]))),
        origin=draw(st.sampled_from(["meterlake.tank.readings", "old.csv"])),
        origin_partition=draw(st.integers(0, 1)),
        origin_offset=draw(st.integers(0, 3)),
    )
