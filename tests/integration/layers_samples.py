"""Both layers of a data set of the tests: its minutes by the core alone and as readers see them, and its removal."""

# Statements here are made of names of the tests alone.
# ruff: noqa: S608
from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

import stream_samples as samples
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from engines import cassandra, hdfs, metastore, spark, trino
from engines.kafka import client_config
from meterlake import merged
from meterlake.declaration import MeterSeries
from meterlake.reading import Reading
from meterlake.settings import Settings
from meterlake.state import State
from meterlake.units import to_decimal
from meterlake.validation import STATE_COLUMNS, measure_columns
from serving_layer.publish import records
from speed_layer.checkpoint import FOLDER

Rows = dict[tuple[str, int], tuple[Any, ...]]
"""Meter and minute, in seconds since 1970 -> the values of the row."""


def row_of(dataset: MeterSeries, state: State) -> tuple[Any, ...]:
    """Return a state as the merged view has it."""
    row = state.row()
    values: list[Any] = [row[name] for name in STATE_COLUMNS]
    for measure in dataset.measures:
        values += [to_decimal(int(row[name] or 0), measure.scale) for name in measure_columns(measure)]
    return tuple(values)


def truth(dataset: MeterSeries, readings: Iterable[Reading]) -> Rows:
    """Return the minutes that the core makes of readings."""
    return {key: row_of(dataset, state) for key, state in samples.expected(dataset, readings).items()}


def merged_minutes(settings: Settings, dataset: MeterSeries) -> Rows:
    """Return the rows of the merged view, each of which must be there once."""
    names = [*STATE_COLUMNS, *(name for measure in dataset.measures for name in measure_columns(measure))]
    view = merged.merged_view(dataset, "minute")
    rows = trino.rows(settings, f"SELECT meter_id, minute, {', '.join(names)} FROM {view}")
    result = {(row[0], int(row[1].replace(tzinfo=UTC).timestamp())): tuple(row[2:]) for row in rows}
    assert len(result) == len(rows)
    return result


def forget(settings: Settings, dataset: MeterSeries) -> None:
    """Remove a data set from all servers. Opens a Spark session, or uses the one that is open."""
    with spark.session(settings, "forget") as session:
        for table in (dataset.name, f"{dataset.name}_quarantine"):
            session.sql(f"DROP TABLE IF EXISTS iceberg.master.{table} PURGE")
        if session.catalog.tableExists(records.FULL_NAME):
            session.sql(f"DELETE FROM {records.FULL_NAME} WHERE dataset = '{dataset.name}'")
    grains = [view.grain for view in dataset.views]
    with metastore.client(settings) as client:
        for name in grains:
            metastore.drop_table(client, merged.MERGED, f"{dataset.name}_{name}")
            metastore.drop_table(client, merged.PUBLISHED, f"{dataset.name}_{name}")
        for name in (*grains, "gaps", "rejects", "meters"):
            metastore.drop_table(client, "batch", f"{dataset.name}_{name}")
            hdfs.client(settings).delete(f"/meterlake/batch/{dataset.name}_{name}", recursive=True)
    with cassandra.session(settings) as session:
        for table in (dataset.finest.grain, "latest", "recent"):
            session.execute(f"DROP TABLE IF EXISTS speed.{dataset.name}_{table}", timeout=60)
    hdfs.client(settings).delete(f"{FOLDER}/{dataset.name}", recursive=True)
    admin = AdminClient(client_config(settings))  # what it was asked for ends with it
    for outcome in admin.delete_topics([dataset.readings_topic, dataset.rejected_topic]).values():
        error = outcome.exception(30)
        assert error is None or error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART, error
