"""Rows of each layer as states of the core, keyed by meter and time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engines import cassandra, hive, trino
from engines.errors import EngineUnavailable
from meterlake.ddl import CASSANDRA_KEYSPACE, HIVE_DATABASE, view_table
from meterlake.grains import is_calendar
from meterlake.merged import CATALOG
from meterlake.state import State
from meterlake.units import exact_units
from meterlake.validation import STATE_COLUMNS, measure_columns
from meterlake.views import time_column, view_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.settings import Settings

Time = datetime | date
"""Start of a row: UTC, aware; the local date of a day, or of the first of a month."""

States = dict[tuple[str, Time], State]
"""(meter, start) -> state."""


# Names come from the declaration; values are bound.
# ruff: noqa: S608


@dataclass(frozen=True)
class Window:
    """What is read: some meters (None: all), from ``since`` up to, not including, ``until``."""

    meters: Sequence[str] | None
    since: Time
    until: Time


@dataclass(frozen=True)
class BatchReader:
    """How batch views are asked. schema: where their tables are. run: takes ``?`` for values."""

    schema: str
    run: Callable[[str, Sequence[Any]], Iterable[Sequence[Any]]]


def through_hive(settings: Settings) -> BatchReader:
    """Return a reader that needs HiveServer2 and not Trino."""

    def run(statement: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        names = [f"p{index}" for index in range(len(values))]
        text = statement.replace("?", "{}").format(*(f"%({name})s" for name in names))
        return hive.rows(settings, text, dict(zip(names, values, strict=True)))

    return BatchReader(HIVE_DATABASE, run)


def through_trino(settings: Settings) -> BatchReader:
    """Return a reader that asks Trino."""
    return BatchReader(f"{CATALOG}.{HIVE_DATABASE}", lambda text, values: trino.rows(settings, text, list(values)))


def batch_states(reader: BatchReader, dataset: MeterSeries, grain: Grain, window: Window) -> States:
    """Return the rows of a batch view."""
    view = dataset.view(grain)
    names = ", ".join(column.name for column in view_columns(dataset, grain))
    kind = time_column(dataset, grain).type.sql("hive")
    low, high = (_utc_day(moment) for moment in (window.since, window.until))
    conditions = [
        f"{grain} >= CAST(? AS {kind})",
        f"{grain} < CAST(? AS {kind})",
        f"{view.partition} BETWEEN ? AND ?",
    ]
    values: list[Any] = [_literal(window.since), _literal(window.until)]
    values += [view.partition_value(low), view.partition_value(high)]
    if window.meters is not None:
        conditions.append(f"{dataset.key} IN ({', '.join('?' for _ in window.meters)})")
        values += window.meters
    table = f"{reader.schema}.{view_table(dataset, grain)}"
    rows = reader.run(f"SELECT {names} FROM {table} WHERE {' AND '.join(conditions)}", values)
    return {(row[0], _time(row[1], grain)): _from_decimals(dataset, row[2:]) for row in rows}


def speed_states(settings: Settings, dataset: MeterSeries, window: Window) -> States:
    """Return the speed layer's rows, asked for by partition key. meters None: those that it knows."""
    names = state_names(dataset)
    return {
        (meter, start.replace(tzinfo=UTC)): State.from_row(dataset, dict(zip(names, values, strict=True)))
        for meter, start, *values in speed_rows(settings, dataset, window)
    }


def speed_rows(settings: Settings, dataset: MeterSeries, window: Window) -> list[tuple[Any, ...]]:
    """Return what ``speed_states`` does, as rows of meter, start (UTC without zone) and ``state_names``."""
    from cassandra.concurrent import execute_concurrent_with_args

    if window.meters is not None and not window.meters:
        return []
    assert isinstance(window.since, datetime)  # noqa: S101 - narrows the type
    assert isinstance(window.until, datetime)  # noqa: S101
    time = dataset.finest.grain
    states, latest = (f"{CASSANDRA_KEYSPACE}.{dataset.name}_{table}" for table in (time, "latest"))
    with cassandra.session(settings) as session:
        meters = window.meters
        if meters is None:
            meters = [row[0] for row in session.execute(f"SELECT {dataset.key} FROM {latest}")]
        wanted = session.prepare(
            f"SELECT {dataset.key}, {time}, {', '.join(state_names(dataset))} FROM {states}"
            f" WHERE {dataset.key} = ? AND day = ? AND {time} >= ? AND {time} < ?"
        )
        questions = [
            (meter, day.isoformat(), window.since, window.until)
            for meter in meters
            for day in _utc_days(window.since, window.until)
        ]
        result: list[tuple[Any, ...]] = []
        for success, rows in execute_concurrent_with_args(session, wanted, questions, concurrency=50):
            if not success:
                raise EngineUnavailable("Cassandra", str(settings.cassandra), rows)
            result += map(tuple, rows)
    return result


def state_names(dataset: MeterSeries) -> list[str]:
    """Return the columns of a state."""
    return [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]


def _from_decimals(dataset: MeterSeries, values: Sequence[Any]) -> State:
    """Return the state in a row of physical decimals."""
    row = dict(zip(STATE_COLUMNS, map(int, values), strict=False))
    rest = iter(values[len(STATE_COLUMNS) :])
    for measure in dataset.measures:
        row |= {name: exact_units(next(rest), measure.scale) for name in measure_columns(measure)}
    return State.from_row(dataset, row)


def _utc_days(since: datetime, until: datetime) -> list[date]:
    last = (until - timedelta(microseconds=1)).date()
    return [since.date() + timedelta(days=step) for step in range((last - since.date()).days + 1)]


def _utc_day(moment: Time) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def _literal(moment: Time) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if isinstance(moment, datetime) else moment.isoformat()


def _time(value: Any, grain: Grain) -> Time:  # noqa: ANN401 - engines differ in how they give times
    if is_calendar(grain):
        return date.fromisoformat(str(value)[:10])
    moment: datetime = value
    return moment.replace(tzinfo=UTC)
