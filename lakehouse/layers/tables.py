"""The tables of a lakehouse: their names and columns, from its declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake.lakehouse.records import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Dimension, Fact
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.lakehouse.records import Record

LAYERS: Final = ("bronze", "silver", "gold")
UNKNOWN: Final = "0" * 32
"""Surrogate key of the member that stands for whatever is unknown."""
FOREVER: Final = "9999-12-31 00:00:00"
EVER: Final = "0001-01-01 00:00:00"
ORIGIN: Final = (
    ("arrived_at", "TIMESTAMP_NTZ"),
    ("source_topic", "STRING"),
    ("source_partition", "STRING"),
    ("source_offset", "BIGINT"),
    ("run_id", "STRING"),
)
REASONS: Final = "ARRAY<STRUCT<code: STRING, field: STRING, value: STRING>>"
VERSIONS: Final = "ARRAY<STRUCT<revision: BIGINT, payload_md5: STRING, records: BIGINT>>"
_BOUNDED: Final = ("record_id", "run_id", "date_sk", "asked_sk")
"""Columns by which files are left out, beside the time of what they have."""
DATE: Final = "dim_date"
TIME: Final = "dim_time"
_BRONZE: Final = (("value", "STRING"), ("key", "STRING"), *ORIGIN)
_OBJECTS: Final = (
    ("manifest", "STRING"),
    ("object", "STRING"),
    ("topic", "STRING"),
    ("partition", "STRING"),
    ("first_offset", "BIGINT"),
    ("end_offset", "BIGINT"),
    ("records", "BIGINT"),
    ("bytes", "BIGINT"),
    ("sha256", "STRING"),
    ("run_id", "STRING"),
)
_DATE_COLUMNS: Final = (
    ("date_sk", "STRING"),
    ("date_value", "DATE"),
    ("year", "INT"),
    ("month", "INT"),
    ("day", "INT"),
    ("day_of_week", "STRING"),
    ("is_weekend", "BOOLEAN"),
)
_TIME_COLUMNS: Final = (
    ("time_sk", "INT"),
    ("hour", "INT"),
    ("minute", "INT"),
    ("second", "INT"),
    ("time_period", "STRING"),
)

_ANSWER: Final = (
    ("asked_sk", "STRING"),
    ("model_version", "STRING"),
    ("probability", "DOUBLE"),
    ("is_predicted", "BOOLEAN"),
    ("reason_1", "STRING"),
    ("reason_2", "STRING"),
    ("reason_3", "STRING"),
    ("run_id", "STRING"),
)
_MODEL: Final = (
    ("prediction", "STRING"),
    ("version", "STRING"),
    ("made_at", "TIMESTAMP_NTZ"),
    ("algorithm", "STRING"),
    ("first_sk", "STRING"),
    ("last_sk", "STRING"),
    ("threshold", "DOUBLE"),
    ("data_snapshot", "STRING"),
    ("code_version", "STRING"),
    ("library", "STRING"),
    ("object", "STRING"),
    ("sha256", "STRING"),
    ("details", "STRING"),
)

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table: its layer and name, its columns with their types in Spark, and by what it is partitioned.

    time: the column that files are sorted by.
    """

    layer: str
    name: str
    columns: Columns
    partitioned: tuple[str, ...] = ()
    time: str = ""

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [name for name, _ in self.columns]


@dataclass(frozen=True)
class Catalog:
    """A lakehouse's tables in a catalog of Spark, which is a branch or a past state."""

    name: str
    lakehouse: Lakehouse

    def table(self, layer: str, name: str) -> str:
        """Return a table's name in SQL."""
        return f"{self.name}.{self.lakehouse.namespace(layer)}.{name}"

    def path(self, table: Table) -> str:
        """Return the name in SQL of a table."""
        return self.table(table.layer, table.name)

    def create(self, table: Table) -> str:
        """Return the statement that creates a table where it is missing.

        Tasks sort what they write by partition: a writer for each period of years at once would take the memory. A
        correction writes files again: those are of moderate size. Metadata has bounds of those columns alone by which
        files are left out, and these are whole: each query reads the metadata of all files.
        """
        columns = ", ".join(f"`{name}` {kind}" for name, kind in table.columns)
        partitioned = f" PARTITIONED BY ({', '.join(table.partitioned)})" if table.partitioned else ""
        bounded = [name for name in (*_BOUNDED, table.time) if name in table.names]
        bounds = "".join(f", 'write.metadata.metrics.column.{name}'='full'" for name in bounded)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.path(table)} ({columns}) USING iceberg{partitioned} TBLPROPERTIES"
            " ('format-version'='2', 'write.parquet.compression-codec'='zstd', 'write.distribution-mode'='hash',"
            " 'write.spark.fanout.enabled'='false', 'write.target-file-size-bytes'='67108864',"
            f" 'write.metadata.metrics.default'='none'{bounds})"
        )

    def partition(self, table: Table, there: Sequence[str]) -> list[str]:
        """Return the statements that let new files be partitioned as declared; those that are there stay as they are.

        there: what it is partitioned by, as ``Table.partitioned`` has it.
        """
        alter = f"ALTER TABLE {self.path(table)}"
        return [
            *(f"{alter} DROP PARTITION FIELD {field}" for field in there if field not in table.partitioned),
            *(f"{alter} ADD PARTITION FIELD {field}" for field in table.partitioned if field not in there),
        ]

    def order(self, table: Table) -> list[str]:
        """Return the statement that lets rows be sorted by time within a file: a day lies in few of them."""
        sort = f"DISTRIBUTED BY PARTITION LOCALLY ORDERED BY `{table.time}`"
        return [f"ALTER TABLE {self.path(table)} WRITE {sort}"] if table.time else []


def every(lakehouse: Lakehouse) -> list[Table]:
    """Return all tables of a lakehouse."""
    return [
        OBJECTS,
        *(bronze(record) for record in lakehouse.records),
        QUARANTINE,
        *(silver(record) for record in lakehouse.records),
        *(dimension(lakehouse, item) for item in lakehouse.dimensions),
        DIM_DATE,
        DIM_TIME,
        *(fact(lakehouse, item) for item in lakehouse.facts),
        *kept(lakehouse),
    ]


def kept(lakehouse: Lakehouse) -> list[Table]:
    """Return the tables that no run computes again: what was answered, by which model."""
    return [MODELS, *(prediction(item) for item in lakehouse.predictions)] if lakehouse.predictions else []


def prediction(item: Prediction) -> Table:
    """Return the table of a prediction's answers: a row for each member and day that is asked about."""
    natural, surrogate = item.member
    return Table("gold", item.name, (("date_sk", "STRING"), (natural, "STRING"), (surrogate, "STRING"), *_ANSWER))


def bronze(record: Record) -> Table:
    """Return the table of records as they came."""
    return Table("bronze", record.name, _BRONZE, ("days(`arrived_at`)",))


def silver(record: Record) -> Table:
    """Return the table of judged records: one row an identity."""
    fields = tuple((field.name, field.type.sql("spark")) for field in record.fields)
    judged = (
        ("record_id", "STRING"),
        *fields,
        ("revision", "BIGINT"),
        ("payload_md5", "STRING"),
        ("is_rejected", "BOOLEAN"),
        ("rejection_reasons", REASONS),
        ("versions", VERSIONS),
        *ORIGIN,
    )
    if not isinstance(record, Event):
        return Table("silver", record.name, judged)
    # What was rejected lies by itself: it is looked through where something arrives that it has asked for.
    return Table("silver", record.name, judged, (_by_time(record), "`is_rejected`"), record.time)


def dimension(lakehouse: Lakehouse, item: Dimension) -> Table:
    """Return the table of a dimension."""
    reference = lakehouse.reference(item.reference)
    attributes = tuple((name, reference.field(name).type.sql("spark")) for name in item.attributes)
    validity = (("valid_from", "TIMESTAMP_NTZ"), ("valid_to", "TIMESTAMP_NTZ"), ("is_current", "BOOLEAN"))
    columns = ((item.key, "STRING"), *attributes, *validity, ("is_placeholder", "BOOLEAN"))
    return Table("gold", item.name, columns)


def fact(lakehouse: Lakehouse, item: Fact) -> Table:
    """Return the table of a fact: keys first, then the event's own fields."""
    event = lakehouse.event(item.event)
    keys = (("transaction_sk", "STRING"), ("date_sk", "STRING"), ("time_sk", "INT"))
    lookups = tuple((lookup.column, "STRING") for lookup in item.lookups)
    fields = tuple((field.name, field.type.sql("spark")) for field in event.fields)
    return Table("gold", item.name, (*keys, *lookups, *fields), (_by_time(event),), event.time)


def _by_time(event: Event) -> str:
    return f"{event.partition}s(`{event.time}`)"


OBJECTS: Final = Table("bronze", "landed_objects", _OBJECTS)
"""What bronze has read: a manifest is read once."""
QUARANTINE: Final = Table(
    "silver", "quarantine", (("record", "STRING"), ("reason", "STRING"), ("value", "STRING"), *ORIGIN)
)
"""What is no record at all."""
MODELS: Final = Table("gold", "models", _MODEL)
"""The registry of models. details: metrics, importance and the training's distributions, as JSON."""
DIM_DATE: Final = Table("gold", DATE, _DATE_COLUMNS)
DIM_TIME: Final = Table("gold", TIME, _TIME_COLUMNS)
