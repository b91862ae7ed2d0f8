"""Each measurement works, on servers of its own and at a small size: its figures are there, and none says wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meterlake.settings import ROOT

sys.path.insert(0, str(ROOT))  # benchmarks are no package that is installed
from benchmarks.__main__ import BENCHMARKS, FOLDER

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(7200)]

PARTS = {
    "cpu_groups.py", "flame_graph.py", "sampling.py", "second_nodes.py", "soak_oracle.py", "soak_watch.py",
    "standalone.py",
}  # fmt: skip
NOT_RUN = {"__main__.py", "vee_accuracy.py", *PARTS}
"""The runner, parts of others, and one that wants a file of somebody's own."""
JUDGE_GROWTH = {
    "batch_day", "batch_years", "half_hourly_fleet", "lakehouse_growth", "load_many", "run_records", "soak",
}  # fmt: skip
"""What these say of growth is noise at a small size."""


def test_every_file_is_a_measurement_that_is_run() -> None:
    run = {words.split()[0] for each in BENCHMARKS.values() for words in (each.command, each.small)}
    assert run | NOT_RUN == {path.name for path in FOLDER.glob("*.py")}


def test_all_of_them_at_a_small_size(tmp_path: Path) -> None:
    home = {"METERLAKE_HOME": str(tmp_path / "home"), "METERLAKE_PORT_OFFSET": "16000"}
    command = [sys.executable, "-m", "benchmarks", "--small", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env={**os.environ, **home}, cwd=ROOT, check=False, capture_output=True, text=True)
    kept = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert kept.keys() == BENCHMARKS.keys(), done.stderr
    wrong = {
        name: result["exit_code"]
        for name, result in kept.items()
        if not result["figures"] or result["exit_code"] not in ({0, 1} if name in JUDGE_GROWTH else {0})
    }
    assert wrong == {}, done.stderr
