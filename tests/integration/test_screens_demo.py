"""The demo, as a person sees it who has just cloned the project, and again: on 80 columns, and on 200."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import screen_samples
from screen_samples import WIDTHS, Screens

from meterlake.reconciliation import OUTCOMES
from meterlake.settings import Settings
from stack import launcher
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(5400)]

PICTURES = ["active-power", "gaps", "heatmap", "sub-metering", "today", "voltage"]

MAY = {"#", "#,", *(word for name in OUTCOMES if name != "unexplained" for word in (name, f"{name},"))}
"""How many minutes the boundary has passed over, and why layers differ there, depends on when readings came."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    result = Instance(Settings(home=tmp_path / "home", port_offset=17000))
    yield result
    launcher.down(result, lambda *_: None)


def test_screens_of_the_demo(instance: Instance, tmp_path: Path) -> None:
    screens: Screens = {}
    home = {"METERLAKE_HOME": str(instance.home), "METERLAKE_PORT_OFFSET": str(instance.settings.port_offset)}
    for width in WIDTHS:
        done = subprocess.run(
            [sys.executable, "-m", "cli", "demo", "--out", str(tmp_path / "out")],
            env={**os.environ, **home, "COLUMNS": str(width)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        screens["demo", width] = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        assert screen_samples.too_wide(screens["demo", width], width) == []
        assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == PICTURES
    screen_samples.assert_as_stored(screens, ["demo"], "demo", {}, may=MAY)
