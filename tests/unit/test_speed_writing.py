"""A task of the stream that cannot write: it reads all that it is given, and reports why."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from datasets.household.declaration import HOUSEHOLD
from engines.errors import EngineUnavailable
from meterlake.settings import Settings
from speed_layer.views import writing
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
