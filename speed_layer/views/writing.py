"""What Spark's tasks do at the end of an update: they write their rows to Cassandra, each process by its own session.

Nothing passes through the driver that grows with readings: it gets a ``Summary`` of each task. A failure is reported in
it, and not raised, so that Spark does not try again by itself: the query does, as long as Cassandra does not answer.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines import cassandra
from meterlake.errors import MeterlakeError
from speed_layer.views import rows as decisions
from speed_layer.views.sink import Sink
from speed_layer.views.summary import SCHEMA, Summary, total
from speed_layer.views.transforms import CONTENDED, OFFSET, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

    Work = Callable[[Sink, Summary, Iterable[pa.RecordBatch]], None]

WRITTEN_AT_ONCE: Final = 5_000
"""So many rows are made tuples of at once."""
NOT_WRITTEN: Final = (PARTITION, CONTENDED)
"""Columns of new readings that Cassandra does not get; of the offset, its write time is made."""


def write_minutes(minutes: DataFrame, settings: Settings, dataset: MeterSeries) -> Summary:
    """Write rows of ``transforms.minute_rows``. Raises what ``cassandra.session`` raises."""
    return _written(minutes, settings, dataset, partial(_minutes, dataset.finest.grain))


def write_readings(readings: DataFrame, settings: Settings, dataset: MeterSeries, first_ms: float) -> Summary:
    """Write rows of ``transforms.new_readings``: each meter's latest, and those from a start on as recent ones.

    Raises what ``cassandra.session`` raises.
    """
    return _written(readings, settings, dataset, partial(_readings, dataset.event_time, first_ms))


def _written(frame: DataFrame, settings: Settings, dataset: MeterSeries, work: Work) -> Summary:
    packed = frame.mapInArrow(partial(task, settings, dataset, work), SCHEMA).collect()
    return total(row.summary for row in packed)


def task(
    settings: Settings, dataset: MeterSeries, work: Work, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Do a task's work with the sink of its process; return its summary. All batches are read, whatever happens."""
    summary, rest = Summary(), iter(batches)
    try:
        work(_sink(settings, dataset), summary, rest)
    except MeterlakeError as error:
        summary.error = error
    for _ in rest:
        """Spark ends a process that has left a part of its input, and the session with it."""
    yield pa.RecordBatch.from_arrays([pa.array([summary.packed()], pa.binary())], names=["summary"])


@cache
def _sink(settings: Settings, dataset: MeterSeries) -> Sink:
    """Return the sink of this process, made by its first task that Cassandra answers."""
    return Sink(settings, dataset, cassandra.lasting_session(settings))


def _minutes(grain: str, sink: Sink, summary: Summary, batches: Iterable[pa.RecordBatch]) -> None:
    for batch in batches:
        summary.written[grain] += sink.write_minutes(_rows(batch.columns))


def _readings(start: str, first_ms: float, sink: Sink, summary: Summary, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the latest few readings of each meter, of all that the task is given: most of a backlog is none of them."""
    few = []
    for batch in batches:
        _count(summary, batch, start)
        few.append(_shown(batch, start))
    if not few:
        return
    latest: dict[str, tuple[Any, ...]] = {}
    for batch in pa.Table.from_batches([_shown(pa.concat_batches(few), start)]).to_batches(WRITTEN_AT_ONCE):
        rows = _rows(batch.column(name) for name in batch.schema.names if name not in NOT_WRITTEN)
        decisions.keep_latest(latest, rows)
        summary.written["recent"] += sink.write_recent(rows, first_ms)
    summary.written["latest"] += sink.write_latest(latest.values())


def _count(summary: Summary, readings: pa.RecordBatch, start: str) -> None:
    starts, counts = np.unique(readings.column(start).to_numpy(), return_counts=True)
    summary.starts.update(dict(zip(starts.tolist(), counts.tolist(), strict=True)))
    partitions, offsets = (readings.column(name).to_numpy() for name in (PARTITION, OFFSET))
    for partition in np.unique(partitions).tolist():
        summary.seen(partition, int(offsets[partitions == partition].max()))
    summary.contended |= pc.any(readings.column(CONTENDED)).as_py() or False


def _shown(readings: pa.RecordBatch, start: str) -> pa.RecordBatch:
    """Return the readings that ``rows.shown`` chooses."""
    meters = readings.column(0).dictionary_encode().indices
    columns = [meters, *(readings.column(name) for name in (start, OFFSET, CONTENDED))]
    return readings.take(pa.array(decisions.shown(*(column.to_numpy(zero_copy_only=False) for column in columns))))


def _rows(columns: Iterable[pa.Array]) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in columns), strict=True))
