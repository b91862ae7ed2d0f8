"""One verification: input and views fetched side by side, the views recomputed by DuckDB, every row compared."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from engines.errors import QueryFailed
from serving_layer.publish import history as past
from serving_layer.publish import records
from serving_layer.verify import expected, found
from serving_layer.verify.answers import Answers, compare_files, compare_served
from serving_layer.verify.errors import NothingToVerify, NotPublished, PublishUnderWay
from serving_layer.verify.lineage import layers
from serving_layer.verify.master_files import MasterFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

    from meterlake.declaration import Dataset
    from meterlake.settings import Settings
    from serving_layer.publish.history import History, Record
    from serving_layer.verify.compare import Comparison
    from serving_layer.verify.scope import Scope

_MEMORY: Final = "3GB"


class Input(Protocol):
    """Where readings come from."""

    title: str

    def fetch(self, folder: Path) -> None:
        """Bring what is needed into ``folder``."""

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``."""


@dataclass(frozen=True)
class Report:
    """What a verification found. source: what the views were recomputed from."""

    dataset: str
    run_id: str
    source: str
    scope: str
    comparisons: tuple[Comparison, ...]
    seconds: dict[str, float] = field(default_factory=dict, hash=False)

    @property
    def wrong(self) -> list[Comparison]:
        """Comparisons that found a difference."""
        return [comparison for comparison in self.comparisons if comparison.wrong]

    @property
    def wrong_rows(self) -> int:
        """Rows that are wrong; one that is seen to be so on several paths counts once."""
        most: dict[str, int] = {}
        for comparison in self.comparisons:
            most[comparison.view] = max(most.get(comparison.view, 0), comparison.wrong)
        return sum(most.values())


class MasterInput:
    """The master data set as the published run has read it."""

    def __init__(self, settings: Settings, dataset: Dataset, history: History, record: Record) -> None:
        self._files = MasterFiles(settings, dataset, record.run_id)
        self._layers = layers(history, record)
        self._fetched: list[list[str]] = []
        snapshots = ", ".join(str(layer.snapshot) for layer in self._layers)
        self.title = f"master data files of {dataset.name}, snapshot {snapshots}"

    def fetch(self, folder: Path) -> None:
        """Copy the data files."""
        self._fetched = self._files.fetch(self._layers, folder)

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings`` of them."""
        self._files.read(connection, self._layers, self._fetched)


def published(settings: Settings, dataset: Dataset) -> tuple[History, Record]:
    """Return the history and the run that readers see. Raises NotPublished or PublishUnderWay."""
    history = records.load(settings, dataset.name)
    under_way = past.unfinished(history)
    if under_way is not None:
        raise PublishUnderWay(dataset.name, under_way.run_id)
    record = past.current(history)
    if record is None:
        raise NotPublished(dataset.name)
    return history, record


def verify(settings: Settings, scope: Scope, record: Record, source: Input, tell: Callable[[str], None]) -> Report:
    """Compare the published views with what their input makes.

    Raises NothingToVerify; PublishUnderWay if readers saw another run in the end; what the engines raise.
    """
    dataset, phases = scope.dataset, _Phases()
    with tempfile.TemporaryDirectory(prefix="meterlake-verify-") as name, _database(Path(name)) as connection:
        folder = Path(name)
        with ThreadPoolExecutor(4) as pool:
            answers = Answers(settings, scope, pool, folder)
            tell(f"reading {source.title}")
            try:
                source.fetch(folder)
                phases.done("fetch input")
                source.read(connection)
                phases.done("read input")
                tell("recomputing the views in DuckDB")
                expected.build(connection, dataset)
                expected.limit(connection, scope)
                phases.done("recompute")
                tell("comparing with what readers see")
                comparisons = compare_files(connection, scope, answers)
                phases.done("compare files")
                comparisons += compare_served(connection, scope, answers)
                phases.done("compare servers")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if published(settings, dataset)[1].seq != record.seq:
        raise PublishUnderWay(dataset.name, record.run_id)
    if not any(comparison.rows or comparison.extra for comparison in comparisons):
        raise NothingToVerify(dataset.name, scope.text())
    order = found.view_names(dataset)
    comparisons.sort(key=lambda comparison: order.index(comparison.view))
    return Report(dataset.name, record.run_id, source.title, scope.text(), tuple(comparisons), phases.total())


class _Phases:
    """Seconds of each step."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._begin = self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self._seconds[name] = round(now - self._last, 1)
        self._last = now

    def total(self) -> dict[str, float]:
        return {**self._seconds, "total": round(time.monotonic() - self._begin, 1)}


@contextmanager
def _database(folder: Path) -> Iterator[DuckDBPyConnection]:
    """Open an empty DuckDB that spills into ``folder`` beyond its memory. Its own errors become QueryFailed."""
    import duckdb

    connection = duckdb.connect(
        config={
            "memory_limit": _MEMORY,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": "false",
        }
    )
    try:
        yield connection
    except duckdb.Error as error:
        raise QueryFailed("DuckDB", "", error) from error
    finally:
        connection.close()
