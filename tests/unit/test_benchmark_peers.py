"""The peers of benchmarks: pinned, apart from what the project needs; and what is reckoned of their runs."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from datasets.household.declaration import HOUSEHOLD
from meterlake.settings import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # no package that is installed
import made_history
import stream_peers
from peers.common import Course

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", stream_peers.INSTALLED)
def test_packages_are_pinned_with_hashes_and_are_not_ours(name: str) -> None:
    lines = (stream_peers.FOLDER / f"{name}.in").read_text().splitlines()
    asked = [Requirement(line) for line in lines if not line.startswith("#")]
    locked = (stream_peers.FOLDER / f"{name}.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", locked, re.MULTILINE))
    assert all(pins[one.name] in one.specifier for one in asked)
    assert locked.count("--hash=sha256:") >= len(pins)
    ours = (ROOT / "requirements-dev.lock").read_text()
    assert f"\n{asked[0].name}==" not in ours


def test_every_peer_has_a_program() -> None:
    programs = {path.name for path in stream_peers.FOLDER.glob("with_*.py")}
    assert programs == {f"with_{name}.py" for name in stream_peers.PEERS}


def test_a_minute_that_lost_a_reading_is_wrong() -> None:
    def expected(meter: str, minute: int) -> tuple[int, float]:
        assert (meter, minute) == ("m1", 120)
        return 60, 6.0

    at = datetime(1970, 1, 1, 0, 2)  # noqa: DTZ001 - as Cassandra's driver gives it: UTC
    good = SimpleNamespace(meter_id="m1", minute=at, readings=60, total=6.0 + 1e-12)
    short = SimpleNamespace(meter_id="m1", minute=at, readings=59, total=5.9)
    other = SimpleNamespace(meter_id="m1", minute=at, readings=60, total=6.1)
    assert stream_peers.judged([good], expected) == {"minutes": 1, "readings_in_minutes": 60, "wrong": 0}
    assert stream_peers.judged([good, short, other], expected)["wrong"] == 2


def test_steady_is_what_comes_after_the_first_half() -> None:
    course = Course(updates=[(10.0, 400), (12.0, 600), (14.0, 1000)])
    assert course.steady(1000, 14.0) == 200
    assert Course(updates=[(3.0, 1000)]).steady(1000, 3.0) is None
    assert Course().steady(1000, 3.0) is None


def test_a_history_is_made_by_calendar_years() -> None:
    since, until = datetime(2024, 11, 5, tzinfo=UTC), datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
    first, second = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    assert made_history.years(since, until) == [(since, first), (first, second), (second, until)]
    assert made_history.years(second, until) == [(second, until)]


def test_a_history_ends_before_the_row_that_holds_the_boundary() -> None:
    since, boundary = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 34, tzinfo=UTC)
    assert made_history.whole(HOUSEHOLD, "minute", since, boundary) == (since, boundary)
    assert made_history.whole(HOUSEHOLD, "hour", since, boundary)[1] == datetime(2026, 3, 1, 23, tzinfo=UTC)
    # In Paris the second of March has begun.
    assert made_history.whole(HOUSEHOLD, "day", since, boundary)[1] == datetime(2026, 3, 2, tzinfo=UTC)
