"""The benchmark of a batch run's cost, in its smallest form: bytes that a run reads and writes do not grow."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import SparkSession

from meterlake.settings import ROOT, Settings

pytestmark = [pytest.mark.spark, pytest.mark.unproved]


@pytest.fixture(scope="module")
def batch_growth() -> ModuleType:
    """The benchmark, which is a program and not a package."""
    spec = importlib.util.spec_from_file_location("batch_growth", ROOT / "benchmarks" / "batch_growth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["batch_growth"] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def test_a_run_reads_and_writes_as_much_in_the_last_hour_as_in_the_second(
    spark: SparkSession, spark_settings: Settings, tmp_path: Path, batch_growth: ModuleType
) -> None:
    options = argparse.Namespace(meters=60, hours=4, every=30, interval=60, commit=15)
    costs = batch_growth.measure(spark, spark_settings, tmp_path, "day", options)
    assert [len(runs) for runs in costs.values()] == [2, 2]
    (first, last) = batch_growth.grown(costs).values()
    assert (first["times_read"], first["times_written"]) == (1, 1)
    assert last["times_read"] < 1.1
    assert last["times_written"] < 1.1
    late = 60 * 30 // 500
    assert all(abs(run.readings - 60 * 30) < 10 * late for runs in costs.values() for run in runs)
