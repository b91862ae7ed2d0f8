"""One verification: input and views fetched side by side, the views recomputed by DuckDB, every row compared.

Batch's views must be what their input makes; the speed layer's complete minutes the same, but for
readings that came late, by file, or since; the merged views batch's rows before the cutover and the speed layer's
from it on.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from engines.errors import QueryFailed
from meterlake.clock import system_clock
from serving_layer.merged.readings import master_row, readings_of
from serving_layer.publish import records
from serving_layer.verify import actual, expected, live, speed
from serving_layer.verify.answers import Answers, compare_files, compare_served
from serving_layer.verify.errors import NothingToVerify, NotPublished, PublishUnderWay
from serving_layer.verify.master_files import MasterFiles
from serving_layer.verify.merged import compare_merged, view_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from duckdb import DuckDBPyConnection

    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.history import Record, Run
    from serving_layer.verify.compare import Comparison
    from serving_layer.verify.scope import Scope

_MEMORY: Final = "3GB"


class Input(Protocol):
    """Where readings come from. has_live: whether those of messages are among them, with their times of arrival."""

    title: str
    has_live: bool

    def fetch(self, folder: Path) -> None:
        """Bring what is needed into ``folder``."""

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``."""


@dataclass(frozen=True)
class Report:
    """What a verification actual. source: what the views were recomputed from."""

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

    has_live = True

    def __init__(self, settings: Settings, dataset: MeterSeries, run: Run) -> None:
        self._files = MasterFiles(settings, dataset, run.run_id)
        self._layers = run.layers
        self._fetched: list[list[str]] = []
        snapshots = ", ".join(str(layer.snapshot) for layer in self._layers)
        self.title = f"master data files of {dataset.name}, snapshot {snapshots}"

    def fetch(self, folder: Path) -> None:
        """Copy the data files."""
        self._fetched = self._files.fetch(self._layers, folder)

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings`` of them."""
        self._files.read(connection, self._layers, self._fetched)


class Inputs:
    """Several inputs as one, in their order."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self.title = "; ".join(each.title for each in inputs)
        self.has_live = any(each.has_live for each in inputs)

    def fetch(self, folder: Path) -> None:
        """Bring what is needed into ``folder``."""
        for each in self._inputs:
            each.fetch(folder)

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``."""
        for each in self._inputs:
            each.read(connection)


def published(settings: Settings, dataset: MeterSeries) -> Run:
    """Return the run that readers see. Raises NotPublished or PublishUnderWay."""
    history = records.load(settings, dataset.name)
    if history.begun is not None:
        raise PublishUnderWay(dataset.name, history.begun.run_id)
    if history.present is None:
        raise NotPublished(dataset.name)
    return history.present


def verify(
    settings: Settings,
    scope: Scope,
    record: Record,
    source: Input,
    report: Callable[[str], None],
    clock: Clock = system_clock,
) -> Report:
    """Compare what readers see with what the published run's input makes.

    Raises NothingToVerify; PublishUnderWay if readers saw another run in the end; what the engines raise.
    """
    dataset, phases = scope.dataset, _Phases()
    with tempfile.TemporaryDirectory(prefix="meterlake-verify-") as name, _database(Path(name)) as connection:
        folder = Path(name)
        with ThreadPoolExecutor(4) as pool:
            both_layers = pool.submit(live.fetch, settings, scope, clock)
            answers = Answers(settings, scope, pool, folder)
            report(f"reading {source.title}")
            try:
                source.fetch(folder)
                phases.done("fetch input")
                source.read(connection)
                phases.done("read input")
                report("recomputing the views in DuckDB")
                expected.build(connection, dataset)
                expected.limit(connection, scope)
                phases.done("recompute")
                report("comparing with what readers see")
                comparisons = compare_files(connection, scope, answers)
                phases.done("compare files")
                comparisons += compare_served(connection, scope, answers)
                phases.done("compare servers")
                newer = partial(_readings_now, settings, dataset)
                comparisons += _compare_live(connection, scope, both_layers.result(), source, newer, report)
                phases.done("compare speed and merged")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if published(settings, dataset).record.seq != record.seq:
        raise PublishUnderWay(dataset.name, record.run_id)
    if not any(each.rows or each.extra or each.explained for each in comparisons):
        raise NothingToVerify(dataset.name, scope.text())
    merged = [view_name(view.grain) for view in dataset.views]
    order = [*actual.view_names(dataset), speed.VIEW, *merged]
    comparisons.sort(key=lambda comparison: order.index(comparison.view))
    return Report(dataset.name, record.run_id, source.title, scope.text(), tuple(comparisons), phases.total())


def _compare_live(
    connection: DuckDBPyConnection,
    scope: Scope,
    fetched: live.Live,
    source: Input,
    newer: speed.Newer,
    report: Callable[[str], None],
) -> list[Comparison]:
    """Compare the speed layer, where there is one and the input knows its messages, and the merged views."""
    live.load(connection, scope, fetched)
    comparisons = []
    if fetched.cutover is None:
        report("there is no speed layer: the merged views are batch's alone")
    elif not source.has_live:
        report("the input does not know when messages arrived: the speed layer's rows are taken as they are")
    else:
        comparisons.append(speed.compare_speed(connection, scope, fetched, newer))
    return comparisons + compare_merged(connection, scope, fetched)


def _readings_now(
    settings: Settings, dataset: MeterSeries, rows: list[tuple[str, date | datetime]]
) -> list[tuple[object, ...]]:
    """Return the readings of some rows of the finest view as the master data set has them now, as rows of it."""
    keys = [(meter, time.replace(tzinfo=UTC) if isinstance(time, datetime) else time) for meter, time in rows]
    readings = readings_of(settings, dataset, dataset.finest.grain, keys)
    return [master_row(reading) for members in readings.values() for reading in members]


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
