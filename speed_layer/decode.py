"""From messages to readings in Spark: the core's decoder, ``meterlake.wire``, over batches of Arrow.

What is plainly a reading takes its quick way, ``meterlake.plain_wire`` (docs/adr/0010).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.catalyst import Bits
from meterlake import wire
from meterlake.plain_wire import plain_decoder
from meterlake.schema import master_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.plain_wire import Row

UNDECODABLE: Final = "undecodable"
"""Column: why a message is no reading, or NULL."""
REPEATED: Final = "repeated"
"""Column: whether the same reading came before it in the same task."""
SECONDS: Final = "seconds"
"""Column: the reading's start, seconds since 1970."""
ORIGINAL: Final = ("key", "payload", "size")
"""Columns of what is undecodable: its bytes, and how many the value has."""
_ARRIVAL: Final = ("received_at TIMESTAMP_LTZ", "origin STRING", "origin_partition INT", "origin_offset BIGINT")


def decoded(messages: DataFrame, dataset: MeterSeries, *, keep_original: bool = False) -> DataFrame:
    """Return each message with the columns of the master data set, and ``undecodable``, ``repeated``, ``seconds``.

    messages: of Spark's Kafka source. The reading's own columns are NULL where a message is undecodable.
    keep_original: add ``key``, ``payload`` and ``size`` of what is undecodable. Of a message that is too large only the
    beginning is kept: memory must not depend on what others send.
    """
    limit = dataset.max_message_bytes
    given = messages.select(
        F.when(F.octet_length("value") > limit, F.substring("value", 1, limit + 1)).otherwise(F.col("value")),
        F.col("key") if keep_original else F.lit(None).cast("binary"),
        F.octet_length("value"),
        "timestamp",
        "topic",
        "partition",
        "offset",
    )
    rows = given.mapInArrow(partial(_decode_all, dataset), _schema(dataset))
    bits = Bits(messages.sparkSession)
    times = {
        dataset.event_time: bits.time(F.col(SECONDS) * 1_000_000),
        "received_at": bits.time(F.unix_micros("received_at")),
    }
    names = [field.name for field in master_fields(dataset) if field.name != "load_id"]
    more = ORIGINAL if keep_original else ()
    return rows.select(
        *(times.get(name, F.col(name)).alias(name) for name in names), UNDECODABLE, REPEATED, SECONDS, *more
    )


def _schema(dataset: MeterSeries) -> str:
    measures = [f"{measure.name} DOUBLE" for measure in dataset.measures]
    reading = [f"{dataset.key} STRING", f"{SECONDS} BIGINT", f"{dataset.interval} INT", *measures, "revision INT"]
    verdict = [f"{UNDECODABLE} STRING", f"{REPEATED} BOOLEAN", "payload BINARY"]
    return ", ".join([*reading, *verdict, "key BINARY", "size INT", *_ARRIVAL])


def _arrow_types(dataset: MeterSeries) -> list[pa.DataType]:
    """Return the types of what ``_row`` returns."""
    reading = [pa.string(), pa.int64(), pa.int32(), *(pa.float64() for _ in dataset.measures), pa.int32()]
    return [*reading, pa.string(), pa.bool_(), pa.binary()]


def _decode_all(dataset: MeterSeries, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Decode the messages of one task."""
    seen: set[Row] = set()
    plain = plain_decoder(dataset)
    names = [field.split()[0] for field in _schema(dataset).split(", ")]
    for batch in batches:
        values, *passed_on = batch.columns
        rows = [_row(dataset, value, plain, seen) for value in values.to_pylist()]
        kinds = _arrow_types(dataset)
        columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        yield pa.RecordBatch.from_arrays([*arrays, *passed_on], names=names)


def _row(
    dataset: MeterSeries, value: bytes | None, plain: Callable[[bytes], Row | None], seen: set[Row]
) -> tuple[Any, ...]:
    """Return a message's reading, why there is none, whether it is in ``seen``, and the bytes of no reading."""
    reading = plain(value) if value is not None else None
    if reading is None:
        outcome = wire.decode(dataset, value)
        if isinstance(outcome, wire.Undecodable):
            nothing = (None,) * (len(dataset.measures) + 4)
            return (*nothing, outcome.reason, False, value)
        reading = (outcome.meter_id, outcome.ts, outcome.interval_s, *outcome.values, outcome.revision)
    repeated = reading in seen
    seen.add(reading)
    return (*reading, None, repeated, None)
