"""What the demo of half-hourly meters makes up: a corrected agreement touches just the readings that it should."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.demo_half_hourly import Correction, corrected_database, late_file
from datasets.half_hourly.verification import Truth, good_files
from meterlake import registry
from meterlake.generator import Made

pytestmark = pytest.mark.unit

START, DAYS = date(2021, 3, 27), 3


def joined(truth: Truth) -> set[tuple[Any, ...]]:
    truth.tables(START)
    return set(truth.base.execute("SELECT meter, start, kwh, product_id, agreement_id, day FROM joined").fetchall())


def test_a_corrected_agreement_restates_just_its_readings(tmp_path: Path) -> None:
    registry.entry("half_hourly").generator().write(Made(tmp_path, 6, START, DAYS, seed=1))
    truth = Truth(good_files(tmp_path / "readings"), tmp_path / "reference.db")
    before = joined(truth)
    (meter, agreement) = min((row[0], row[4]) for row in before if row[5] == date(2021, 3, 29) and row[4])
    day = date(2021, 3, 28)
    wanted = [row for row in before if (row[0], row[4]) == (meter, agreement) and row[5] >= day]
    target = corrected_database(
        tmp_path / "reference.db", tmp_path / "corrected.db", Correction(meter, agreement, day, len(wanted))
    )
    truth.references(target)
    after = joined(truth)
    assert len(wanted) == 46 + 48  # clocks go forward on the day
    assert before - after == set(wanted)
    restated = {row[:3]: row[3] for row in after - before}
    assert restated.keys() == {row[:3] for row in wanted}
    assert set(restated.values()) != {row[3] for row in wanted}
    truth.references(tmp_path / "reference.db")
    assert joined(truth) == before  # the file itself is as it was


def test_a_late_reading_is_one_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "late.json").write_text(late_file("m", datetime(2021, 3, 28, 1, 30)))  # noqa: DTZ001 - UTC
    registry.entry("half_hourly").generator().write(Made(tmp_path / "made", 1, START, 1, seed=1))
    truth = Truth([tmp_path / "late.json"], tmp_path / "made" / "reference.db")
    assert [(meter, start, str(kwh)) for meter, start, kwh in truth.readings()] == [
        ("m", datetime(2021, 3, 28, 1, 30), "0.321")  # noqa: DTZ001
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["demo", "telecom", "--path", "."], "has its own data"),
        (["demo", "half-hourly", "--path", "."], "0 databases and no folder readings"),
        (["demo", "half_hourly", "--path", "."], "0 databases and no folder readings"),
    ],
)
def test_another_folder_is_refused_before_any_server_starts(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert says in str(result.exception), result.output
