"""The speed layer's rows of complete minutes: equal to batch's, or different for a reason that the readings tell.

The speed layer leaves what comes after the lateness to batch, and never sees a file. So where a row differs, each
beginning of its messages, in the order in which they came, is aggregated anew, as long as all behind it came late: one
of them must make the row to the last digit. This is the second engine's own proof of what ``meterlake.reconciliation``
decides at each move of the boundary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from serving_layer.verify import expected, found
from serving_layer.verify.answers import shape_of
from serving_layer.verify.compare import Comparison, Explained, compare
from serving_layer.verify.live import SPEED

if TYPE_CHECKING:
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from meterlake.columns import Column
    from meterlake.declaration import Dataset
    from serving_layer.verify.live import Live
    from serving_layer.verify.scope import Scope

# Names come from the declaration, literals from ``scope``.
# ruff: noqa: S608

VIEW: Final = "speed"
_WANT, _HAVE = "want_speed", "have_speed"
_AT_ONCE: Final = 2000
"""So many differing rows are explained together: each is aggregated several times."""


def compare_speed(connection: DuckDBPyConnection, scope: Scope, live: Live) -> Comparison:
    """Compare the speed layer's rows before the line, as far as they have not expired, with batch's as recomputed.

    Needs the tables ``readings`` and ``want_…``, and those of ``live.load``.
    """
    dataset, grain = scope.dataset, scope.dataset.finest.grain
    assert live.line is not None  # noqa: S101 - narrows the type
    complete = _complete(scope, live.since, live.line)
    rolled = expected.rolled_sql(dataset, SPEED, "minute", grain)
    connection.execute(f"CREATE OR REPLACE TABLE {_WANT} AS SELECT * FROM want_{grain} WHERE {complete}")
    connection.execute(f"CREATE OR REPLACE TABLE {_HAVE} AS SELECT * FROM ({rolled}) WHERE {complete}")
    listed = _explained(connection, dataset)
    comparison = compare(
        connection, VIEW, f"Cassandra, every complete {grain}", (_WANT, _HAVE), shape_of(_columns(dataset))
    )
    return replace(comparison, explained=len(listed), listed=tuple(listed))


def _complete(scope: Scope, since: datetime, line: datetime) -> str:
    grain = scope.dataset.finest.grain
    return (
        f"{scope.condition(grain)} AND {grain} > {scope.row_literal(since, grain)}"
        f" AND {grain} < {scope.row_literal(line, grain)}"
    )


def _columns(dataset: Dataset) -> list[Column]:
    return found.stored_columns(dataset, dataset.finest.grain)


def _explained(connection: DuckDBPyConnection, dataset: Dataset) -> list[Explained]:
    """Take the rows that are explained out of both tables; return them."""
    key, grain = dataset.key, dataset.finest.grain
    names = ", ".join(column.name for column in _columns(dataset))
    want, have = (f"SELECT {names} FROM {table}" for table in (_WANT, _HAVE))
    connection.execute(
        f"""CREATE OR REPLACE TABLE differing AS
        SELECT {key}, {grain}, row_number() OVER (ORDER BY {grain}, {key}) AS number FROM (
        SELECT DISTINCT {key}, {grain} FROM (({want} EXCEPT {have}) UNION ALL ({have} EXCEPT {want})))"""
    )
    count = int(connection.execute("SELECT count(*) FROM differing").fetchall()[0][0])
    kind = _columns(dataset)[1].type.sql("duckdb")
    connection.execute(f"CREATE OR REPLACE TABLE explained ({key} VARCHAR, {grain} {kind}, reason VARCHAR)")
    for first in range(1, count + 1, _AT_ONCE):
        _explain(connection, dataset, f"number BETWEEN {first} AND {first + _AT_ONCE - 1}")
    rows = connection.execute(
        f"""SELECT {key}, {grain}, reason, coalesce(w.readings, 0), coalesce(h.readings, 0) FROM explained
        LEFT JOIN {_WANT} w USING ({key}, {grain}) LEFT JOIN {_HAVE} h USING ({key}, {grain}) ORDER BY ALL"""
    ).fetchall()
    for table in (_WANT, _HAVE):
        connection.execute(f"DELETE FROM {table} WHERE ({key}, {grain}) IN (SELECT {key}, {grain} FROM explained)")
    return [Explained(meter, str(time), reason, batch, speed) for meter, time, reason, batch, speed in rows]


def _explain(connection: DuckDBPyConnection, dataset: Dataset, some: str) -> None:
    """Add to the table ``explained`` which rows of ``differing`` are made by a beginning of their messages."""
    key, grain, at, length = dataset.key, dataset.finest.grain, dataset.event_time, dataset.interval
    connection.execute(
        f"CREATE OR REPLACE TABLE arrivals AS {_arrivals_sql(dataset, some)}", {"topic": dataset.readings_topic}
    )
    connection.execute(f"CREATE OR REPLACE TABLE cuts AS {_cuts_sql(dataset, some)}")
    # No meter's name has a slash: each beginning is a meter of its own.
    connection.execute(
        f"""CREATE OR REPLACE TABLE beginnings AS SELECT a.* REPLACE (a.{key} || '/' || cut AS {key})
        FROM arrivals a JOIN cuts c ON a.{key} = c.{key} AND a.row_time = c.{grain} AND a.arrival <= c.cut"""
    )
    connection.execute(f"CREATE OR REPLACE TABLE beginnings_counted AS {expected.counted_sql(dataset, 'beginnings')}")
    same = " AND ".join(f"s.{column.name} IS NOT DISTINCT FROM h.{column.name}" for column in _columns(dataset)[2:])
    connection.execute(
        f"""INSERT INTO explained
WITH states AS ({expected.view_sql(dataset, grain, "beginnings_counted")}
), fitting AS (
  SELECT c.{key}, c.{grain}, max(c.cut) AS cut, any_value(c.messages) AS messages
  FROM cuts c LEFT JOIN states s ON s.{key} = c.{key} || '/' || c.cut AND s.{grain} = c.{grain}
    LEFT JOIN {_HAVE} h ON h.{key} = c.{key} AND h.{grain} = c.{grain}
  WHERE {same} GROUP BY c.{key}, c.{grain}
), revised AS (
  SELECT DISTINCT f.{key}, f.{grain} FROM fitting f
    JOIN arrivals dropped ON dropped.{key} = f.{key} AND dropped.row_time = f.{grain} AND dropped.arrival > f.cut
    JOIN arrivals kept ON kept.{key} = f.{key} AND kept.row_time = f.{grain} AND kept.arrival <= f.cut
  WHERE kept.{at} = dropped.{at} AND kept.{length} = dropped.{length}
    AND dropped.revision > kept.revision
)
SELECT f.{key}, f.{grain},
  CASE WHEN f.cut = f.messages THEN 'loaded' WHEN r.{key} IS NOT NULL THEN 'revised' ELSE 'late' END
FROM fitting f LEFT JOIN revised r ON r.{key} = f.{key} AND r.{grain} = f.{grain}"""
    )


def _arrivals_sql(dataset: Dataset, some: str) -> str:
    """Return SQL of the messages of differing rows, their place in order of arrival, and whether they are late."""
    key, at = dataset.key, dataset.event_time
    late = int(dataset.lateness.total_seconds()) + dataset.cell_s
    placed = expected.placed_sql(expected.READINGS, at, dataset.finest.grain)
    return f"""
SELECT r.*, row_number() OVER (
    PARTITION BY r.{key}, r.row_time ORDER BY r.origin_partition, r.origin_offset) AS arrival,
  epoch(r.received_at) > epoch_us(r.{at}) // 1000000 // {dataset.cell_s} * {dataset.cell_s} + {late} AS late
FROM ({placed}) r JOIN differing d ON d.{key} = r.{key} AND d.{dataset.finest.grain} = r.row_time
WHERE r.origin = $topic AND d.{some}"""


def _cuts_sql(dataset: Dataset, some: str) -> str:
    """Return SQL of how many first messages of each differing row the speed layer may have seen."""
    key, grain = dataset.key, dataset.finest.grain
    return f"""
SELECT {key}, {grain}, messages, unnest(generate_series(on_time, messages)) AS cut FROM (
  SELECT d.{key}, d.{grain}, count(a.arrival) AS messages, coalesce(max(a.arrival) FILTER (NOT a.late), 0) AS on_time
  FROM differing d LEFT JOIN arrivals a ON a.{key} = d.{key} AND a.row_time = d.{grain} WHERE d.{some} GROUP BY ALL)"""
