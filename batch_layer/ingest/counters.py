"""Counters that go on from file to file: where a file's readings stand among those of all loads.

The ends of each counter in each file are rows of ``master.<data set>_counters``. A load writes down those of its files,
and gives its tasks the readings of the neighbours, with which they make the amounts between the files.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from batch_layer.ingest.known import any_of
from batch_layer.ingest.tasks import Wanted
from engines import master
from meterlake.counter_ends import HEAD, TAIL, Ends, Neighbours, Place, place
from meterlake.registers import CounterReading
from meterlake.schema import counter_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.ingest.files import Files
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

Key = tuple[str, str]
"""Meter and measure."""

MOST: Final = 100_000
"""So many readings that are stored of a load's meters are looked at by the driver; more, in tasks."""


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
        result: dict[int, dict[Key, list[Any]]] = {file: defaultdict(list) for file in counting}
        for row in self._files.frame(counting, Wanted.COUNTERS).collect():
            result[row.file][row.meter_id, row.measure].append(row)
        for file, counters in result.items():
            self._ends[file] = {key: _ends(rows, self._files.load_id(file)) for key, rows in counters.items()}
        mine: dict[Key, dict[int, Ends]] = defaultdict(dict)
        for file, of_file in self._ends.items():
            for key, ends in of_file.items():
                mine[key][file] = ends
        lengths = {file: self._files.seen(file).form.counter_interval_s for file in self._ends}
        placed = self._placed(Mine(dict(mine), frozenset(counting), lengths))
        for (key, file), where in placed.items():
            self._files.neighbours.setdefault(file, {})[key] = where.neighbours
            self._files.revisions[file] = max(self._files.revisions.get(file, 0), where.revision)

    def _placed(self, mine: Mine) -> dict[tuple[Key, int], Place]:
        """Return where the counters of the files stand; what is stored of many loads is looked at in Spark's tasks."""
        own = [self._files.load_id(file) for file in self._ends]
        stored = master.counters(self._spark, self._settings, self._dataset).read()
        stored = stored.where(any_of(self._dataset.key, {meter for meter, _ in mine.ends})).where(
            ~any_of("load_id", own)
        )
        few = stored.limit(MOST + 1).collect()
        if len(few) <= MOST:
            by_key: dict[Key, list[Any]] = defaultdict(list)
            for row in few:
                by_key[row[self._dataset.key], row.measure].append(row)
            return {
                (key, file): where
                for key in mine.ends
                for file, where in mine.placed(key, _stored_ends(by_key.get(key, ())))
            }
        result = {(key, file): where for key in mine.ends for file, where in mine.placed(key, ())}
        task = partial(_placed_rows, mine, self._dataset.key)
        by_place: dict[tuple[Key, int], list[Any]] = defaultdict(list)
        for row in stored.groupBy(self._dataset.key, "measure").applyInArrow(task, _PLACED).collect():
            by_place[(row.meter_id, row.measure), row.file].append(row)
        return result | {at: _place_of(rows) for at, rows in by_place.items()}

    def write(self, files: Iterable[int]) -> None:
        """Write down the ends of the counters in files, once a load."""
        table = master.counters(self._spark, self._settings, self._dataset)
        ends = {self._files.load_id(file): (file, self._ends[file]) for file in files if self._ends.get(file)}
        if not ends:
            return
        written = table.read().select("load_id").where(any_of("load_id", ends)).distinct()
        known = {row.load_id for row in written.collect()}
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


def _stored_ends(rows: Iterable[Any]) -> list[Ends]:
    """Return the ends of one counter in each load."""
    by_load: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_load[row.load_id].append(row)
    return [
        Ends(_edge(of_load, HEAD), _edge(of_load, TAIL), load_id, of_load[0].revision, is_stored=True)
        for load_id, of_load in by_load.items()
    ]


def _edge(rows: Iterable[Any], edge: str) -> tuple[CounterReading, ...]:
    return tuple(
        sorted(
            CounterReading(int(row.read_at.replace(tzinfo=UTC).timestamp()), row.units, row.serial)
            for row in rows
            if row.edge == edge
        )
    )


@dataclass(frozen=True)
class Mine:
    """The ends of the counters in the files of a load. placing: the files that are to be placed. lengths: of their
    intervals, in seconds.
    """

    ends: dict[Key, dict[int, Ends]]
    placing: frozenset[int]
    lengths: dict[int, int]

    def placed(self, key: Key, stored: Sequence[Ends]) -> list[tuple[int, Place]]:
        """Return where the readings of one counter stand in each of the files."""
        of_files = self.ends.get(key, {})
        placed: list[tuple[int, Place]] = []
        for file in of_files.keys() & self.placing:
            beside = [ends for other, ends in of_files.items() if other != file]
            placed.append((file, place(of_files[file], [*stored, *beside], self.lengths[file])))
        return placed


_PLACED: Final = (
    "file INT, meter_id STRING, measure STRING, revision INT, is_before BOOLEAN, at BIGINT, units BIGINT, serial STRING"
)
_NAMES: Final = [column.split()[0] for column in _PLACED.split(", ")]


def _placed_rows(mine: Mine, key: str, stored: pa.Table) -> pa.Table:
    """Return the neighbours of one counter: a row for each reading, and one without for the revision."""
    rows = [_Stored(row[key], row["measure"], row["edge"], row["read_at"], row["units"], row["serial"], row["revision"],
                    row["load_id"]) for row in stored.to_pylist()]  # fmt: skip
    counter = (rows[0].meter, rows[0].measure)
    made: list[tuple[Any, ...]] = []
    for file, (neighbours, revision) in mine.placed(counter, _stored_ends(rows)):
        made.append((file, *counter, revision, None, None, None, None))
        for is_before, readings in ((True, neighbours.before), (False, neighbours.after)):
            made += [(file, *counter, revision, is_before, one.at, one.units, one.serial) for one in readings]
    return pa.table({name: [row[at] for row in made] for at, name in enumerate(_NAMES)}, schema=_SCHEMA)


def _place_of(rows: Iterable[Any]) -> Place:
    given = list(rows)
    before, after = (
        tuple(CounterReading(row.at, row.units, row.serial) for row in given if row.is_before is which)
        for which in (True, False)
    )
    return Place(Neighbours(before, after), given[0].revision)


class _Stored(NamedTuple):
    """A row of the table."""

    meter: str
    measure: str
    edge: str
    read_at: datetime
    units: int
    serial: str
    revision: int
    load_id: str


_SCHEMA: Final = pa.schema(
    [
        ("file", pa.int32()),
        ("meter_id", pa.string()),
        ("measure", pa.string()),
        ("revision", pa.int32()),
        ("is_before", pa.bool_()),
        ("at", pa.int64()),
        ("units", pa.int64()),
        ("serial", pa.string()),
    ]
)
