"""The boundary that goes with a run: what it has read, and what is known of the archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_layer.pipeline.batch import next_boundary
from batch_layer.views.plan import Plan
from cli import batch_metrics
from datasets.household.declaration import HOUSEHOLD
from meterlake.boundary import BEGINNING, PartitionProgress
from meterlake.settings import Settings
from serving_layer.publish.history import Record

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
BEFORE = datetime(2026, 11, 21, 11, tzinfo=UTC)
PLAN = Plan("run", "incremental", 1, 1, None)
PRESENT = Record("household", 2, "earlier", "published", BEFORE, BEFORE, 1, {}, {})


def test_it_follows_the_archive_and_never_falls() -> None:
    behind = PartitionProgress(0, NOW - timedelta(minutes=5), at_end=False)
    done = replace(behind, at_end=True)
    assert next_boundary(HOUSEHOLD, PLAN, [done], NOW, PRESENT) == datetime(2026, 11, 21, 11, 50, tzinfo=UTC)
    assert next_boundary(HOUSEHOLD, PLAN, [behind, done], NOW, PRESENT) == datetime(2026, 11, 21, 11, 45, tzinfo=UTC)
    long_ago = PartitionProgress(0, BEFORE - timedelta(hours=9), at_end=False)
    assert next_boundary(HOUSEHOLD, PLAN, [long_ago], NOW, PRESENT) == BEFORE


def test_a_range_of_days_does_not_move_it() -> None:
    ranged = replace(PLAN, mode="range")
    assert next_boundary(HOUSEHOLD, ranged, [], NOW, PRESENT) == BEFORE
    assert next_boundary(HOUSEHOLD, ranged, [], NOW, None) == BEGINNING


def test_it_stays_while_nobody_knows_what_has_arrived() -> None:
    assert next_boundary(HOUSEHOLD, PLAN, None, NOW, PRESENT) == BEFORE


def test_where_nothing_arrives_it_is_the_runs_clock() -> None:
    assert next_boundary(HOUSEHOLD, PLAN, [], NOW, None) == datetime(2026, 11, 21, 11, 50, tzinfo=UTC)
    assert next_boundary(HOUSEHOLD, PLAN, None, NOW, None) == datetime(2026, 11, 21, 11, 50, tzinfo=UTC)


def test_metrics_of_a_run_are_written_for_the_textfile_collector(tmp_path: Path) -> None:
    result = {"since": "…", "equal": 7, "unexplained": 1, "examples": []}
    record = replace(PRESENT, details={"reconciliation": result})
    batch_metrics.write(Settings(home=tmp_path), record, 1.5)
    text = (tmp_path / "metrics" / "batch_household.prom").read_text()
    assert 'meterlake_batch_reconciled_minutes{dataset="household",outcome="unexplained"} 1.0' in text
    line = next(line for line in text.splitlines() if line.startswith("meterlake_batch_boundary_timestamp_seconds"))
    assert float(line.split()[1]) == BEFORE.timestamp()
