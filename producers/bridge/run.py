"""One run: messages are taken, converted, sent and remembered, and then acknowledged, in this order, many at a time.

Killed at any place, what was not acknowledged comes again and makes the same readings, from the memory as it was
before. An outage of Kafka begins everything again from what is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from engines.schema_registry import SchemaRegistry
from meterlake.errors import TransientError
from meterlake.log import get_logger
from producers.bridge.errors import NotTaken
from producers.bridge.messages import Converter
from producers.bridge.totals import BridgeTotals
from producers.errors import Undelivered
from producers.kafka_sink import KafkaSink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from meterlake.declaration import MeterSeries
    from meterlake.live.sources import LiveSource
    from meterlake.settings import Settings
    from producers.bridge.reader import Reader
    from producers.bridge.state import StateStore

AT_ONCE: Final = 1000
POLL_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30


@dataclass
class Bridge:
    """What bridges messages into the topic of a data set.

    reader: makes what messages are read from. trouble: what is waited for at present.
    """

    settings: Settings
    dataset: MeterSeries
    sources: Sequence[LiveSource]
    reader: Callable[[BridgeTotals], Reader]
    store: StateStore
    stop: Event
    totals: BridgeTotals = field(default_factory=BridgeTotals)
    trouble: Callable[[], str] = str

    def run(self) -> None:
        """Run until ``stop``. Raises what is wrong at the start, and later what no waiting mends."""
        has_run = False
        needs_schemas = any(source.payload == "avro" for source in self.sources)
        avro = SchemaRegistry(self.settings).content if needs_schemas else None

        def may_pass(error: BaseException) -> bool:
            return has_run and isinstance(error, TransientError)

        def session() -> None:
            nonlocal has_run
            with self._opened() as (reader, sink):
                has_run = True
                self._pump(reader, sink, avro)

        Retrying(
            retry=retry_if_exception(may_pass),
            wait=wait_exponential(multiplier=1, max=LONGEST_PAUSE_S),
            stop=stop_when_event_set(self.stop),
            sleep=sleep_using_event(self.stop),
            before_sleep=_say,
            reraise=True,
        )(session)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Reader, KafkaSink]]:
        sink = KafkaSink(self.settings, self.dataset, self.totals, self.stop)
        reader = self.reader(self.totals)
        try:
            reader.connect()
            self.trouble = lambda: (
                f"{sink.where}: {sink.trouble}" if sink.trouble
                else f"{reader.where}: {reader.trouble}" if reader.trouble else ""
            )  # fmt: skip
            yield reader, sink
        finally:
            reader.close()

    def _pump(self, reader: Reader, sink: KafkaSink, avro: Callable[[bytes], Any] | None) -> None:
        converter = Converter(self.dataset, self.sources, self.store, self.totals, avro)
        while not self.stop.is_set():
            arrived = reader.take(AT_ONCE, POLL_S)
            if not arrived:
                continue
            made = [message for one in arrived for message in converter.messages(one)]
            taken = sink.send(made)
            try:
                sink.flush()
            except Undelivered as error:
                raise NotTaken(sink.where, error.cause) from error
            if taken < len(made):
                return  # stopped while Kafka was away
            self.store.save(converter.changed())
            reader.acknowledge(arrived)
            get_logger().debug("bridged", messages=len(arrived), sent=len(made))


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    get_logger().warning(f"{error} Trying again in {pause:g} s.", attempt=state.attempt_number)
