"""Counters that go on from file to file: where a file's readings stand among those of all loads.

The ends of each counter in each file are rows of ``master.<data set>_counters``. A load writes down those of its files,
and gives its tasks the readings of the neighbours, with which they make the amounts between the files.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest.known import MANY
from batch_layer.ingest.tasks import Wanted
from engines import master
from meterlake.counter_ends import HEAD, TAIL, Ends, place
from meterlake.registers import CounterReading
from meterlake.schema import counter_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.ingest.files import Files
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

Key = tuple[str, str]
"""Meter and measure."""


class CountersOfLoad:
    """The counters in the files of one load."""

    def __init__(self, settings: Settings, spark: SparkSession, dataset: MeterSeries, files: Files) -> None:
        self._settings, self._spark, self._dataset, self._files = settings, spark, dataset, files
        self._ends: dict[int, dict[Key, Ends]] = {}

    def find(self, todo: Iterable[int]) -> None:
        """Give the files that have counters the readings of their neighbours."""
        counting = [file for file in todo if self._files.seen(file).form.counter_interval_s and file not in self._ends]
        if not counting:
            return
        found: dict[int, dict[Key, list[Any]]] = {file: defaultdict(list) for file in counting}
        for row in self._files.frame(counting, Wanted.COUNTERS).collect():
            found[row.file][row.meter_id, row.measure].append(row)
        for file, counters in found.items():
            self._ends[file] = {key: _ends(rows, self._files.load_id(file)) for key, rows in counters.items()}
        stored = self._stored({key for counters in self._ends.values() for key in counters})
        for file in counting:
            self._place(file, stored)

    def _place(self, file: int, stored: dict[Key, list[Ends]]) -> None:
        for key, mine in self._ends[file].items():
            beside = [ends[key] for other, ends in self._ends.items() if other != file and key in ends]
            interval_s = self._files.seen(file).form.counter_interval_s
            found = place(mine, [*stored.get(key, ()), *beside], interval_s)
            self._files.neighbours.setdefault(file, {})[key] = found.neighbours
            self._files.revisions[file] = max(self._files.revisions.get(file, 0), found.revision)

    def _stored(self, keys: set[Key]) -> dict[Key, list[Ends]]:
        """Return the ends of counters in the files of other loads."""
        meters = sorted({meter for meter, _ in keys})
        rows = master.counters(self._spark, self._settings, self._dataset).read()
        own = {self._files.load_id(file) for file in self._ends}
        if len(meters) <= MANY:
            rows = rows.where(F.col(self._dataset.key).isin(meters))
        found: dict[Key, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for row in rows.collect():
            if row.load_id not in own:
                found[row[self._dataset.key], row.measure][row.load_id].append(row)
        return {key: [_stored_ends(rows) for rows in loads.values()] for key, loads in found.items() if key in keys}

    def write(self, files: Iterable[int]) -> None:
        """Write down the ends of the counters in files, once a load."""
        table = master.counters(self._spark, self._settings, self._dataset)
        ends = {self._files.load_id(file): (file, self._ends[file]) for file in files if self._ends.get(file)}
        if not ends:
            return
        known = {r.load_id for r in table.read().select("load_id").where(F.col("load_id").isin(list(ends))).collect()}
        rows = [
            row
            for load_id, (file, counters) in ends.items()
            if load_id not in known
            for key, one in counters.items()
            for row in _rows(key, one, load_id, max(self._files.revision, self._files.revisions.get(file, 0)))
        ]
        if rows:
            table.append(self._frame(rows), {})

    def _frame(self, rows: list[tuple[Any, ...]]) -> DataFrame:
        listed = ", ".join(f"{field.name} {field.type.sql('spark')}" for field in counter_fields(self._dataset))
        return self._spark.createDataFrame(rows, listed)


def _rows(key: Key, ends: Ends, load_id: str, revision: int) -> list[tuple[Any, ...]]:
    return [
        (meter, _moment(one.at), measure, edge, one.units, one.serial, revision, load_id)
        for meter, measure in [key]
        for edge, readings in ((HEAD, ends.head), (TAIL, ends.tail))
        for one in readings
    ]


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None)


def _ends(rows: list[Any], load_id: str) -> Ends:
    in_order = sorted(rows, key=lambda row: row.place)
    head, tail = (
        tuple(CounterReading(row.at, row.units, row.serial) for row in in_order if row.edge == edge)
        for edge in (HEAD, TAIL)
    )
    return Ends(head, tail, load_id)


def _stored_ends(rows: list[Any]) -> Ends:
    head, tail = (
        tuple(
            sorted(
                CounterReading(int(row.read_at.replace(tzinfo=UTC).timestamp()), row.units, row.serial)
                for row in rows
                if row.edge == edge
            )
        )
        for edge in (HEAD, TAIL)
    )
    return Ends(head, tail, rows[0].load_id, rows[0].revision, is_stored=True)
