"""The input of a run: the master data set's own data files, read without the table's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import trino
from engines.errors import QueryFailed
from serving_layer.verify.errors import InputExpired, MasterFilesDiffer
from serving_layer.verify.expected import READINGS, make_readings
from serving_layer.verify.remote import download

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.lineage import Layer

# Names come from the declaration, days are dates, snapshots are numbers.
# ruff: noqa: S608


class MasterFiles:
    """The data files of the layers of a run."""

    def __init__(self, settings: Settings, dataset: MeterSeries, run_id: str) -> None:
        self._settings, self._dataset, self._run_id = settings, dataset, run_id
        self._table = f"iceberg.master.{dataset.name}"

    def fetch(self, layers: Sequence[Layer], folder: Path) -> list[list[str]]:
        """Copy the files of each layer into ``folder``; return their local names.

        Raises InputExpired, MasterFilesDiffer, EngineUnavailable.
        """
        return [self._fetch(layer, folder / f"master-{number}") for number, layer in enumerate(layers)]

    def read(self, connection: DuckDBPyConnection, layers: Sequence[Layer], files: Sequence[Sequence[str]]) -> None:
        """Make the table ``readings``. A day is taken from the newest layer that has it."""
        names = make_readings(connection, self._dataset)
        taken: list[str] = []
        for layer, paths in zip(layers, files, strict=True):
            days = [f"DATE '{day.isoformat()}'" for day in layer.days or ()]
            day = f"CAST({self._dataset.event_time} AS DATE)"
            where = [f"{day} NOT IN ({', '.join(taken)})"] if taken else []
            where += [f"{day} IN ({', '.join(days)})" if days else "false"] if layer.days is not None else []
            if paths:
                connection.execute(
                    f"INSERT INTO {READINGS} SELECT {', '.join(names)} FROM read_parquet(?) "
                    f"WHERE {' AND '.join(where) or 'true'}",
                    [list(paths)],
                )
            taken += days

    def _fetch(self, layer: Layer, folder: Path) -> list[str]:
        listed = self._listed(layer.snapshot)
        paths = download(self._settings, list(listed), folder)
        result = sum(_rows(path) for path in paths)
        if result != sum(listed.values()):
            raise MasterFilesDiffer(self._table, sum(listed.values()), result)
        return paths

    def _listed(self, snapshot: int) -> dict[str, int]:
        """Return the files of a snapshot with the number of rows that Trino finds in each."""
        statement = f'SELECT "$path", count(*) FROM {self._table} FOR VERSION AS OF {snapshot} GROUP BY 1 ORDER BY 1'
        try:
            return {path: int(count) for path, count in trino.rows(self._settings, statement)}
        except QueryFailed as error:
            raise InputExpired(self._table, snapshot, self._run_id, error.what) from error


def _rows(path: str) -> int:
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

    try:
        return int(read_metadata(path).num_rows)
    except ArrowException as error:
        raise QueryFailed("Parquet", "read a data file of the master data set", error) from error
