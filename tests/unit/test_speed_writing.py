"""A task of the stream that cannot write: it reads all that it is given, and reports why."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from datasets.household.declaration import HOUSEHOLD
from engines.errors import EngineUnavailable
from meterlake.settings import Settings
from speed_layer.views import rows, writing
from speed_layer.views.summary import Summary, total

pytestmark = pytest.mark.unit


def test_a_task_without_cassandra_reads_to_the_end_and_reports_why(tmp_path: Path) -> None:
    away = Settings(home=tmp_path, cassandra_hosts="127.0.0.1:1")
    batches = iter([pa.RecordBatch.from_pydict({"n": [1, 2]})] * 3)

    def never(*_: object) -> None:
        raise AssertionError("there is nowhere to write to")

    (result,) = writing.task(away, HOUSEHOLD, never, batches)
    assert next(batches, None) is None
    (packed,) = result.column("summary").to_pylist()
    assert pickle.loads(packed).written == {}  # noqa: S301 - our own
    with pytest.raises(EngineUnavailable, match=r"Cassandra at 127\.0\.0\.1:1 does not answer"):
        total([Summary().packed(), packed])


class Kept:
    """Takes the rows that a sink would write."""

    def __init__(self) -> None:
        self.recent: list[tuple[Any, ...]] = []
        self.latest: list[tuple[Any, ...]] = []

    def write_recent(self, some: list[tuple[Any, ...]], first_ms: float) -> int:
        self.recent += [row for row in some if row[1] >= first_ms]
        return len(some)

    def write_latest(self, some: Any) -> int:
        self.latest += some
        return len(self.latest)


def test_of_all_batches_of_a_task_the_latest_few_of_each_meter_are_written_and_every_reading_is_counted() -> None:
    readings = [
        {"meter_id": f"m{n % 3}", "ts": 1000 * (n // 3), "interval_s": 1, "voltage": float(n)}
        | {"origin_partition": n % 2, "origin_offset": n, "contended": n == 1}
        for n in range(60)
    ]
    batches = [pa.RecordBatch.from_pylist(readings[first : first + 7]) for first in range(0, 60, 7)]
    sink, summary = Kept(), Summary()
    writing._readings("ts", 1000, sink, summary, batches)  # type: ignore[arg-type]  # noqa: SLF001
    few = rows.MOST_RECENT * 3
    assert sorted(sink.recent) == sorted((f"m{n % 3}", 1000 * (n // 3), 1, float(n), n) for n in range(60 - few, 60))
    assert sorted(row[-1] for row in sink.latest) == [57, 58, 59]
    assert summary == Summary(
        written=Counter(recent=few + 1, latest=3),  # the one in a contended minute: it would have expired
        starts=Counter({1000 * second: 3 for second in range(20)}),
        offsets={0: 58, 1: 59},
        contended=True,
    )
    writing._readings("ts", 0, sink, summary, iter([]))  # type: ignore[arg-type]  # noqa: SLF001
    assert summary.starts.total() == 60
