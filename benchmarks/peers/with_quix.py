"""Quix Streams, as its documentation writes it.

Readings that were seen before are dropped by the state of their meter, windows of a minute are summed up and given out
when they close, a sink of batches writes them to Cassandra. A window closes by a later reading of its meter, so the
last minute of each meter is never written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import common
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Count, Sum
from quixstreams.sinks.base import BatchingSink


class Cassandra(BatchingSink):  # type: ignore[misc] # the package is not here when types are checked
    """Writes closed windows."""

    def __init__(self, minutes: common.Minutes, measures: list[str]) -> None:
        super().__init__()
        self._minutes, self._measures = minutes, measures

    def write(self, batch: Any) -> None:  # noqa: ANN401 - Quix's
        """Write what has come since the last checkpoint."""
        self._minutes.write(
            (
                item.key.decode(),
                datetime.fromtimestamp(item.value["start"] / 1000, UTC),
                item.value["readings"],
                *(item.value[name] for name in self._measures),
            )
            for item in batch
        )


def main() -> None:
    """Run until the last message."""
    asked = common.given()
    minutes = common.Minutes(asked.cassandra, asked.table, asked.measures)
    app = Application(
        broker_address=asked.kafka,
        consumer_group=f"quix-{asked.topic}",
        auto_offset_reset="earliest",
        state_dir=asked.folder / "state",
        loglevel="WARNING",
    )
    topic = app.topic(asked.topic, value_deserializer="json", timestamp_extractor=lambda value, *_: value["ts"] * 1000)
    read = 0
    with common.measured(asked.count) as course:

        def is_new(reading: dict[str, Any], state: Any) -> bool:  # noqa: ANN401 - Quix's
            nonlocal read
            read += 1
            if read == asked.count // 2:
                course.reached(read)
            if read == asked.count:
                app.stop()
            name = str(reading["ts"])
            if state.exists(name):
                return False
            state.set(name, True)
            return True

        windows = (
            app.dataframe(topic)
            .filter(is_new, stateful=True)
            .tumbling_window(timedelta(minutes=1), grace_ms=timedelta(seconds=10))
            .agg(readings=Count(), **{name: Sum(name) for name in asked.measures})
            .final()
        )
        windows.sink(Cassandra(minutes, asked.measures))
        app.run()
    minutes.close()


if __name__ == "__main__":
    main()
