"""Keeps streaming queries running: through outages, until they have finished or somebody stops them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from engines.spark_failures import meaning
from meterlake.errors import MeterlakeError, PermanentError, TransientError
from meterlake.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from meterlake.settings import Settings

POLL_S: Final = 0.2
LONGEST_PAUSE_S: Final = 15
FINISH_S: Final = 60
"""How long a stop waits for the micro-batch under way."""


class QueryDied(PermanentError):
    """Spark ended a query for a reason that we do not know."""

    def __init__(self, query: str, cause: str, log: str) -> None:
        self.query = query
        super().__init__(
            f"The query {query} ended: {cause.rstrip('.')}.",
            hint=f"What it has done stays; starting it again goes on from its checkpoint. Spark's log is {log}.",
        )


class Stopping(Exception):
    """A micro-batch is not done because the query is being stopped; the next start does it."""


class Task(Protocol):
    """A streaming query that can be started, and started again."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    def check(self) -> None:
        """Raise if its topic and its checkpoint do not fit together (any more)."""
        ...

    def start(self) -> StreamingQuery:
        """Check and start it."""
        ...


@dataclass
class RetryPolicy:
    """Tries again while a server does not answer, and logs that; until ``stop``. count: takes the query's name."""

    stop: Event
    count: Callable[[str], None]
    failures: dict[str, Exception] = field(default_factory=dict)

    def trying(self, name: str) -> Retrying:
        """Return tenacity's loop for something that can be done twice."""

        def say(state: RetryCallState) -> None:
            outcome, action = state.outcome, state.next_action
            error = outcome.exception() if outcome else None
            self.count(name)
            pause = action.sleep if action else 0
            get_logger().warning(f"{error} Trying again in {pause:g} s.", query=name, attempt=state.attempt_number)

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential(multiplier=1, max=LONGEST_PAUSE_S),
            stop=stop_when_event_set(self.stop),
            sleep=sleep_using_event(self.stop),
            before_sleep=say,
            reraise=True,
        )

    def on_batch(self, name: str, function: Callable[[DataFrame, int], None]) -> Callable[[DataFrame, int], None]:
        """Return ``function`` for foreachBatch: tried again through outages; what ends it is kept as it was raised.

        After ``stop``, no micro-batch begins.
        """

        def call(rows: DataFrame, batch_id: int) -> None:
            if self.stop.is_set():
                raise Stopping(name)
            try:
                self.trying(name)(function, rows, batch_id)
            except Exception as error:
                if self.stop.is_set():
                    # Of a job that the stop has cut: its long text would overflow the stack of a regex of Spark's.
                    raise Stopping(name) from None
                self.failures[name] = error
                raise

        return call


class Supervisor:
    """Runs tasks side by side. log: where Spark writes."""

    def __init__(self, settings: Settings, retries: RetryPolicy, log: str) -> None:
        self._settings, self._retries, self._log = settings, retries, log

    def run(self, tasks: Sequence[Task]) -> None:
        """Run until all have finished, or ``stop`` is set: then their micro-batches end first.

        Raises what ended a query for good, the others stopped.
        """
        running: dict[str, StreamingQuery] = {}
        try:
            for task in tasks:
                running[task.name] = task.start()
            while running and not self._retries.stop.wait(POLL_S):
                for task in tasks:
                    if task.name in running and not running[task.name].isActive:
                        self._ended(task, running)
        finally:
            for query in running.values():
                finish(query)

    def _ended(self, task: Task, running: dict[str, StreamingQuery]) -> None:
        """Start a query again if what ended it may pass; forget it if it has finished."""
        query = running.pop(task.name)
        error = self._error(task.name, query)
        if error is None:
            return
        if isinstance(error, QueryDied):
            self._retries.trying(task.name)(task.check)  # may know better what is wrong
        if not isinstance(error, TransientError):
            raise error
        self._retries.count(task.name)
        get_logger().warning(f"{error} Starting the query again.", query=task.name)
        if not self._retries.stop.wait(1):
            running[task.name] = self._retries.trying(task.name)(task.start)

    def _error(self, name: str, query: StreamingQuery) -> Exception | None:
        """Return what ended a query, None if it has just finished."""
        kept = self._retries.failures.pop(name, None)
        if isinstance(kept, MeterlakeError):
            return kept
        if query.exception() is None:
            return None
        trace = java_trace(query)
        result = meaning(self._settings, trace, f"the query {name}")
        cause = f"{type(kept).__name__}: {kept}" if kept is not None else trace
        return result or QueryDied(name, _first_line(cause), self._log)


def finish(query: StreamingQuery) -> None:
    """Stop a query when the micro-batch under way is committed; after a minute, in the middle of it."""
    deadline, before = time.monotonic() + FINISH_S, _batch(query)
    while query.isActive and query.status["isTriggerActive"] and _batch(query) == before:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    query.stop()


def _batch(query: StreamingQuery) -> int:
    last = query.lastProgress
    return -1 if last is None else int(last["batchId"])


def java_trace(query: Any) -> str:  # noqa: ANN401 - its Java side has no types
    """Return the stack trace of what ended a query, with its causes: of those, pyspark keeps only the first."""
    from pyspark import SparkContext

    jvm: Any = SparkContext._jvm  # noqa: SLF001
    return str(jvm.org.apache.spark.util.Utils.exceptionString(query._jsq.exception().get()))  # noqa: SLF001


def _first_line(trace: str) -> str:
    lines = [line for line in trace.splitlines() if line.strip()]
    return lines[0] if lines else "without a word"
