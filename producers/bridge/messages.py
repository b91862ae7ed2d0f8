"""From what came to messages for Kafka: readings, and what is none with its reason."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.client import topic_matches_sub

from meterlake import wire
from meterlake.live.decode import Refusal, Sample, decode
from meterlake.live.intervals import Intervals
from meterlake.log import get_logger
from meterlake.reading import Reading
from producers.bridge.state import source_id
from producers.faults import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.live.intervals import MeterState
    from meterlake.live.sources import LiveSource
    from producers.bridge.reader import Arrived
    from producers.bridge.state import StateStore
    from producers.bridge.totals import BridgeTotals

NO_SOURCE: Final = "no_source"
RETAINED: Final = "retained"
_TOPIC: Final = 256
_KINDS: Final = 1000


class Converter:
    """Makes the messages of a data set. avro: what an Avro message says, where a source has such."""

    def __init__(
        self,
        dataset: MeterSeries,
        sources: Sequence[LiveSource],
        store: StateStore,
        totals: BridgeTotals,
        avro: Callable[[bytes], Any] | None = None,
    ) -> None:
        self._dataset, self._totals, self._avro = dataset, totals, avro
        self._sources = [
            (source, source_id(source), Intervals(source, partial(store.load, source_id(source)))) for source in sources
        ]
        self._logged: set[tuple[str, str]] = set()

    def messages(self, arrived: Arrived) -> list[Message]:
        """Return what a message becomes; nothing where all that it says is remembered, or known."""
        self._totals.messages += 1
        self._totals.last_ms = arrived.at_ms
        made = list(self._outcomes(arrived))
        self._totals.remembered += not made
        return [self._message(arrived, outcome) for outcome in made]

    def changed(self) -> list[tuple[str, str, MeterState]]:
        """Return the states that have changed since the last time, by source and meter."""
        rows = []
        for _, name, intervals in self._sources:
            rows += [(name, meter, state) for meter, state in intervals.changed.items()]
            intervals.changed.clear()
        return rows

    def _outcomes(self, arrived: Arrived) -> Iterator[Reading | Refusal]:
        for source, _, intervals in self._sources:
            if topic_matches_sub(source.topic, arrived.topic):
                if arrived.retained and source.time is None and source.payload != "senml":
                    yield Refusal(RETAINED)
                    return
                for outcome in decode(source, arrived.topic, arrived.payload, arrived.at_ms, self._avro):
                    if isinstance(outcome, Sample):
                        yield from intervals.take(outcome)
                    else:
                        yield outcome
                return
        yield Refusal(NO_SOURCE)

    def _message(self, arrived: Arrived, outcome: Reading | Refusal) -> Message:
        if isinstance(outcome, Reading):
            try:
                value = wire.encode(self._dataset, outcome)
            except OverflowError:
                outcome = Refusal("not_finite", outcome.meter_id)
            else:
                self._totals.readings += 1
                return Message(outcome.meter_id.encode(), value)
        self._totals.refused[outcome.reason] += 1
        self._log(arrived, outcome)
        topic = arrived.topic[:_TOPIC]
        about: dict[str, str | int] = {"topic": topic, "at_ms": arrived.at_ms}
        about |= {"item": outcome.item} if outcome.item else {}
        # By its key, an erasure finds what is of a meter.
        about |= {self._dataset.key: outcome.meter} if outcome.meter else {}
        value = wire.encode_refused(self._dataset, outcome.reason, arrived.payload, **about)
        return Message((outcome.meter or topic).encode(), value)

    def _log(self, arrived: Arrived, refusal: Refusal) -> None:
        """Log each refused message to the file, and the first of its kind on the terminal, too."""
        kind = (arrived.topic, refusal.reason)
        is_new = kind not in self._logged and len(self._logged) < _KINDS
        if is_new:
            self._logged.add(kind)
        write = get_logger().warning if is_new else get_logger().debug
        write("refused", topic=arrived.topic, reason=refusal.reason, payload=repr(arrived.payload[:200]))
