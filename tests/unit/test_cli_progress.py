"""Where no terminal shows bars, downloads say in lines what there is to get and how far it is."""

from __future__ import annotations

import pytest

from cli.progress import StackProgress

pytestmark = pytest.mark.unit


def test_a_download_says_its_size_first_and_each_tenth_once(capsys: pytest.CaptureFixture[str]) -> None:
    with StackProgress() as progress:
        progress.download("trino", 0, 800_000_000)
        progress.download("kafka", 0, 44_000_000)
        for done in range(0, 810, 10):
            progress.download("trino", done * 1_000_000, 800_000_000)
    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[:3] == [
        "trino        to download: 800 MB",
        "kafka        to download: 44 MB",
        "trino         10 % of 800 MB",
    ]
    assert lines[3:] == [f"trino        {share:3} % of 800 MB" for share in range(20, 110, 10)]
