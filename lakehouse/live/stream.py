"""Keeps the live minutes up to date: again and again all of those that no run has passed, which needs no state.

What is read again follows from what no run has read, not from the past: batch runs keep it short.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engines import nessie
from engines.spark_failures import translated
from lakehouse import history
from lakehouse.layers import tables
from lakehouse.live import minutes
from lakehouse.live.window import window
from lakehouse.run import known
from meterlake.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from pyspark.sql import SparkSession

    from lakehouse.live.sink import Sink
    from meterlake.clock import Clock
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.settings import Settings


@dataclass
class Stream:
    """What brings live minutes up to date. report: told when a server is away, and when the boundary has moved."""

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    sink: Sink
    clock: Clock
    report: Callable[[str], None]
    _state: str = field(default="", init=False)
    _read: dict[tuple[str, int], int] = field(default_factory=dict, init=False)

    def run(self, stop: Event) -> None:
        """Go on until ``stop`` is set; servers that are away are waited for. Raises what ``update`` raises else."""
        pause = self.settings.stream_trigger.total_seconds()
        while not stop.wait(pause):
            try:
                self.update()
            except TransientError as error:
                self.report(f"{error.what} Trying again.")
                stop.wait(max(pause, 2.0))

    def update(self) -> int:
        """Bring the minutes up to date once; return how many rows differed.

        Raises NoRun where readers see nothing yet, NoSuchTopic, EngineUnavailable.
        """
        now = self.clock()
        self._follow()
        result = window(self.settings, self.lakehouse, self._read, now)
        with translated(self.settings, "the live minutes"):
            rows = minutes.rows(self.session, self.settings, self.lakehouse, result)
        return self.sink.write(rows, result.boundary, now)

    def _follow(self) -> None:
        """Remember what readers see, and up to where its runs have read Kafka, where that has changed."""
        main = nessie.main(self.settings)
        if main.hash == self._state:
            return
        run = history.current(self.settings, self.lakehouse.name).run
        catalog = known(self.session, self.settings, self.lakehouse, main.at)
        with translated(self.settings, "what runs have read"):
            minutes.remember(self.session, catalog)
            ends = self.session.sql(
                f"SELECT topic, partition, max(end_offset) AS end FROM {catalog.path(tables.OBJECTS)} GROUP BY 1, 2"
            ).collect()
        self._read = {(row.topic, int(row.partition)): row.end for row in ends if row.partition.isdigit()}
        self._state = main.hash
        self.report(f"Readers see run {run}.")
