"""Processes that last: what started them ends without a word, and they go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.unit

LAUNCHER = """
import os, sys
from pathlib import Path
from stack.process import launch
child = launch([sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]), Path.cwd(), dict(os.environ))
print(child.pid)
"""


def test_a_launcher_ends_without_warning_and_its_server_goes_on(tmp_path: Path) -> None:
    words = [sys.executable, "-X", "dev", "-c", LAUNCHER, str(tmp_path / "log")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    server = psutil.Process(int(done.stdout))
    try:
        assert server.is_running()
        assert "still running" not in done.stderr
    finally:
        server.kill()
