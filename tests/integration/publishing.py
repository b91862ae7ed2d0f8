"""Publishing as the tests do it: each time under a lease of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batch_layer import lease
from meterlake.clock import Clock
from meterlake.declaration import MeterSeries
from meterlake.settings import Settings
from serving_layer.publish.history import History, Record
from serving_layer.publish.publish import Publisher


@contextmanager
def publisher(
    settings: Settings, dataset: MeterSeries, clock: Clock, step: Callable[[str], None] = lambda _: None
) -> Iterator[Publisher]:
    with lease.held(settings, dataset.name, "a test", clock) as held:
        yield Publisher(settings, dataset, held, clock, step)


def roll_forward(settings: Settings, dataset: MeterSeries, clock: Clock) -> History:
    with publisher(settings, dataset, clock) as result:
        return result.roll_forward()


def roll_back(
    settings: Settings, dataset: MeterSeries, run_id: str, clock: Clock, *, allow_gap: bool = False
) -> Record:
    with publisher(settings, dataset, clock) as result:
        return present(result.roll_back(run_id, allow_gap=allow_gap))


def present(history: History) -> Record:
    assert history.current is not None
    return history.current
