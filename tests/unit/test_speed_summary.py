"""What tasks of the stream report to the driver, and what becomes of their errors and of readings' ages."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from engines.errors import EngineUnavailable
from meterlake.clock import system_clock
from meterlake.errors import MeterlakeError, OutOfBalance, UnknownName
from speed_layer.metrics import Metrics
from speed_layer.views.summary import Summary, total

pytestmark = pytest.mark.unit


def test_what_tasks_have_done_is_added_up() -> None:
    one = Summary(Counter(minute=3, recent=5), Counter({1000: 4, 2000: 1}), {0: 7, 1: 3})
    two = Summary(Counter(minute=2, latest=1), Counter({2000: 2}), {0: 5, 2: 9}, contended=True)
    result = total(part.packed() for part in (one, two, Summary()))
    assert result.written == {"minute": 5, "recent": 5, "latest": 1}
    assert result.starts == {1000: 4, 2000: 3}
    assert result.offsets == {0: 7, 1: 3, 2: 9}
    assert result.contended
    assert not total([one.packed()]).contended


def test_a_task_that_could_not_write_fails_the_update_with_its_own_error() -> None:
    away = EngineUnavailable("Cassandra", "node:9042", "connection refused")
    with pytest.raises(EngineUnavailable) as raised:
        total(part.packed() for part in (Summary(Counter(minute=3)), Summary(error=away)))
    assert str(raised.value) == str(away)
    assert (raised.value.engine, raised.value.where, raised.value.hint) == ("Cassandra", "node:9042", away.hint)


@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailable("Kafka", "broker:9092", "timed out"),
        OutOfBalance("batch", 5, {"used": 3}),
        UnknownName("data set", "hosehold", ["household"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(error: MeterlakeError) -> None:
    there = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(there) is type(error)
    assert (str(there), there.args, vars(there)) == (str(error), error.args, vars(error))


def test_the_ages_of_readings_are_counted_as_if_one_by_one() -> None:
    metrics, name = Metrics("plugs", system_clock), "meterlake_stream_freshness_seconds"
    metrics.fresh([(0.4, 2), (0.5, 1), (0.75, 3)])
    metrics.fresh([(1e6, 4)])

    def value(suffix: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"{name}_{suffix}", {"dataset": "plugs", **labels})

    assert [value("bucket", le=bound) for bound in ("0.5", "1.0", "3600.0", "+Inf")] == [3, 6, 6, 10]
    assert value("count") == 10
    assert value("sum") == pytest.approx(0.8 + 0.5 + 2.25 + 4e6)
