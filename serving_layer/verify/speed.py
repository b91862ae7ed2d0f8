"""The speed layer's rows of complete minutes: equal to batch's, or different for a reason that the readings tell.

The speed layer leaves what comes after the lateness to batch, and never sees a file. So where a row differs, its
messages that came on time are aggregated once more: they must make the row to the last digit, or they and the first of
those that the master data set has got since. This is the second engine's own proof of what ``meterlake.reconciliation``
decides at each move of the boundary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from serving_layer.verify import actual, expected
from serving_layer.verify.answers import shape_of
from serving_layer.verify.compare import Comparison, Explained, compare
from serving_layer.verify.live import SPEED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime
    from typing import Any

    from duckdb import DuckDBPyConnection

    from meterlake.columns import Column
    from meterlake.declaration import MeterSeries
    from serving_layer.verify.live import Live
    from serving_layer.verify.scope import Scope

    Newer = Callable[[list[tuple[str, date | datetime]]], Sequence[Sequence[Any]]]
    """Gets rows of the finest view (meter, time); returns their readings as the master data set has them now."""

# Names come from the declaration, literals from ``scope``.
# ruff: noqa: S608

VIEW: Final = "speed"
_WANT, _HAVE = "want_speed", "have_speed"
_SINCE: Final = "arrived_since"
_AT_ONCE: Final = 2000
"""So many differing rows are explained together: each is aggregated several times."""
_ALL: Final = -1
"""Instead of a number of messages: every one that the run has read, late ones, too."""


def nothing_newer(_: list[tuple[str, date | datetime]]) -> Sequence[Sequence[Any]]:
    """Return no reading: what has arrived since is not known."""
    return ()


def compare_speed(connection: DuckDBPyConnection, scope: Scope, live: Live, newer: Newer = nothing_newer) -> Comparison:
    """Compare the speed layer's rows before the cutover, as far as they have not expired, with batch's as recomputed.

    Needs the tables ``readings`` and ``want_…``, and those of ``live.load``. newer: asked for rows that the readings of
    the run do not explain.
    """
    dataset, grain = scope.dataset, scope.dataset.finest.grain
    assert live.cutover is not None  # noqa: S101 - narrows the type
    complete = _complete(scope, live.since, live.cutover)
    rolled = expected.rolled_sql(dataset, SPEED, grain, grain)
    connection.execute(f"CREATE OR REPLACE TABLE {_WANT} AS SELECT * FROM want_{grain} WHERE {complete}")
    connection.execute(f"CREATE OR REPLACE TABLE {_HAVE} AS SELECT * FROM ({rolled}) WHERE {complete}")
    listed = _explained(connection, dataset, newer)
    comparison = compare(
        connection, VIEW, f"Cassandra, every complete {grain}", (_WANT, _HAVE), shape_of(_columns(dataset))
    )
    return replace(comparison, explained=len(listed), listed=tuple(listed))


def _complete(scope: Scope, since: datetime, cutover: datetime) -> str:
    grain = scope.dataset.finest.grain
    return (
        f"{scope.condition(grain)} AND {grain} > {scope.row_literal(since, grain)}"
        f" AND {grain} < {scope.row_literal(cutover, grain)}"
    )


def _columns(dataset: MeterSeries) -> list[Column]:
    return actual.stored_columns(dataset, dataset.finest.grain)


def _explained(connection: DuckDBPyConnection, dataset: MeterSeries, newer: Newer) -> list[Explained]:
    """Take the rows that are explained out of both tables; return them."""
    key, grain = dataset.key, dataset.finest.grain
    names = ", ".join(column.name for column in _columns(dataset))
    want, have = (f"SELECT {names} FROM {table}" for table in (_WANT, _HAVE))
    connection.execute(
        f"""CREATE OR REPLACE TABLE differing AS
        SELECT {key}, {grain}, row_number() OVER (ORDER BY {grain}, {key}) AS number FROM (
        SELECT DISTINCT {key}, {grain} FROM (({want} EXCEPT {have}) UNION ALL ({have} EXCEPT {want})))"""
    )
    kind = _columns(dataset)[1].type.sql("duckdb")
    connection.execute(f"CREATE OR REPLACE TABLE explained ({key} VARCHAR, {grain} {kind}, reason VARCHAR)")
    connection.execute(f"CREATE OR REPLACE TABLE {_SINCE} AS FROM {expected.READINGS} LIMIT 0")
    _explain_all(connection, dataset)
    left = connection.execute(f"SELECT {key}, {grain} FROM differing ANTI JOIN explained USING ({key}, {grain})")
    if rows := newer(left.fetchall()):
        marks = ", ".join("?" for _ in expected.make_readings(connection, dataset))
        connection.executemany(f"INSERT INTO {_SINCE} VALUES ({marks})", [list(row) for row in rows])
        places = "origin, origin_partition, origin_offset"
        connection.execute(f"DELETE FROM {_SINCE} WHERE ({places}) IN (SELECT ({places}) FROM {expected.READINGS})")
        connection.execute(f"DELETE FROM differing WHERE ({key}, {grain}) IN (SELECT {key}, {grain} FROM explained)")
        _explain_all(connection, dataset)
    explained = connection.execute(
        f"""SELECT {key}, {grain}, reason, coalesce(w.readings, 0), coalesce(h.readings, 0) FROM explained
        LEFT JOIN {_WANT} w USING ({key}, {grain}) LEFT JOIN {_HAVE} h USING ({key}, {grain}) ORDER BY ALL"""
    ).fetchall()
    for table in (_WANT, _HAVE):
        connection.execute(f"DELETE FROM {table} WHERE ({key}, {grain}) IN (SELECT {key}, {grain} FROM explained)")
    return [Explained(meter, str(time), reason, batch, speed) for meter, time, reason, batch, speed in explained]


def _explain_all(connection: DuckDBPyConnection, dataset: MeterSeries) -> None:
    last = connection.execute("SELECT coalesce(max(number), 0) FROM differing").fetchall()[0][0]
    for first in range(1, int(last) + 1, _AT_ONCE):
        _explain(connection, dataset, f"number BETWEEN {first} AND {first + _AT_ONCE - 1}")


def _explain(connection: DuckDBPyConnection, dataset: MeterSeries, some: str) -> None:
    """Add to the table ``explained`` which rows of ``differing`` are made by the messages that came on time."""
    key, grain = dataset.key, dataset.finest.grain
    connection.execute(
        f"CREATE OR REPLACE TABLE arrivals AS {_arrivals_sql(dataset, some)}", {"topic": dataset.readings_topic}
    )
    connection.execute(
        f"""CREATE OR REPLACE TABLE cuts AS SELECT {key}, {grain}, unnest(generate_series({_ALL}, more)) AS cut FROM (
        SELECT d.{key}, d.{grain}, coalesce(max(a.arrival), 0) AS more FROM differing d
        LEFT JOIN arrivals a ON a.{key} = d.{key} AND a.row_time = d.{grain} WHERE d.{some} GROUP BY ALL)"""
    )
    # No meter's name has a slash: each cut is a meter of its own.
    connection.execute(
        f"""CREATE OR REPLACE TABLE beginnings AS SELECT a.* REPLACE (a.{key} || '/' || cut AS {key})
        FROM arrivals a JOIN cuts c ON a.{key} = c.{key} AND a.row_time = c.{grain}
        AND CASE cut WHEN {_ALL} THEN a.arrival = 0 ELSE NOT a.late AND a.arrival <= cut END"""
    )
    connection.execute(f"CREATE OR REPLACE TABLE beginnings_counted AS {expected.counted_sql(dataset, 'beginnings')}")
    same = " AND ".join(f"s.{column.name} IS NOT DISTINCT FROM h.{column.name}" for column in _columns(dataset)[2:])
    connection.execute(
        f"""INSERT INTO explained
WITH states AS ({expected.view_sql(dataset, grain, "beginnings_counted")}
), fitting AS (
  SELECT c.{key}, c.{grain}, bool_or(cut = {_ALL}) AS by_all, min(cut) FILTER (cut >= 0) AS cut
  FROM cuts c LEFT JOIN states s ON s.{key} = c.{key} || '/' || c.cut AND s.{grain} = c.{grain}
    LEFT JOIN {_HAVE} h ON h.{key} = c.{key} AND h.{grain} = c.{grain}
  WHERE {same} GROUP BY c.{key}, c.{grain}
), replaced AS ({_replaced_sql(dataset)}
)
SELECT f.{key}, f.{grain}, CASE WHEN f.cut > 0 THEN 'arrived_since' WHEN f.by_all THEN 'loaded'
  WHEN r.withdrawn THEN 'withdrawn' WHEN r.{key} IS NOT NULL THEN 'revised' ELSE 'late' END
FROM fitting f LEFT JOIN replaced r ON r.{key} = f.{key} AND r.row_time = f.{grain} WHERE f.cut IS NOT NULL"""
    )


def _arrivals_sql(dataset: MeterSeries, some: str) -> str:
    """Return SQL of the messages of differing rows, and whether they are late.

    arrival: 0 for those that the run has read; the place in the order of arrival for those since then.
    """
    key, at, grain = dataset.key, dataset.event_time, dataset.finest.grain
    wait = int(dataset.lateness.total_seconds()) + dataset.cell_s
    late = f"epoch(r.received_at) >= epoch_us(r.{at}) // 1000000 // {dataset.cell_s} * {dataset.cell_s} + {wait}"
    order = f"PARTITION BY r.{key}, r.row_time ORDER BY r.origin_partition, r.origin_offset"
    return " UNION ALL BY NAME ".join(
        f"""(SELECT r.*, {arrival} AS arrival, {late} AS late FROM ({expected.placed_sql(table, at, grain)}) r
        JOIN differing d ON d.{key} = r.{key} AND d.{grain} = r.row_time
        WHERE r.origin = $topic AND d.{some}{more})"""
        for table, arrival, more in (
            (expected.READINGS, "0", ""),
            (_SINCE, f"row_number() OVER ({order})", f" AND NOT ({late})"),
        )
    )


def _replaced_sql(dataset: MeterSeries) -> str:
    """Return SQL of rows in which a late message replaces one on time; withdrawn: all such have no values."""
    key, names = dataset.key, ", ".join(measure.name for measure in dataset.measures)
    columns = f"{key}, row_time, {dataset.event_time}, {dataset.interval}"
    return f"""
  SELECT {key}, row_time, bool_and(winner_empty) AS withdrawn FROM (
    SELECT {columns}, bool_or(NOT late AND NOT empty) AS known,
      arg_min(late, place) AS winner_late, arg_min(empty, place) AS winner_empty
    FROM (SELECT *, row_number() OVER (
        PARTITION BY {columns} ORDER BY revision DESC, empty, received_at, origin_partition, origin_offset) AS place
      FROM (SELECT *, coalesce({names}) IS NULL AS empty, epoch_us({dataset.event_time}) // 1000000 AS second
        FROM arrivals WHERE arrival = 0)
      WHERE {expected.acceptable(dataset)})
    GROUP BY {columns})
  WHERE known AND winner_late GROUP BY {key}, row_time"""
