"""``batch --every`` tries again what may pass, sooner than its next turn at first, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli import batch_commands
from engines.errors import EngineUnavailable, QueryFailed

pytestmark = pytest.mark.unit


class Runs:
    """Runs of batch: each fails with the next error, and one after the last succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "published"


def test_pauses_grow_up_to_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []
    trying = batch_commands.again(timedelta(minutes=1)).copy(sleep=pauses.append)
    away = EngineUnavailable("HDFS", "http://127.0.0.1:9870", "connection refused")
    assert trying(Runs(*[away] * 5)) == "published"
    assert pauses == [15, 30, 60, 60, 60]
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("HDFS at http://127.0.0.1:9870 does not answer") == 5
    assert "Trying again in 15 s." in said
    assert said.endswith("Trying again in 60 s.")


@pytest.mark.parametrize("error", [QueryFailed("Trino", "SELECT", "no such column"), SystemExit(143)])
def test_what_stays_wrong_and_a_signal_end_it_at_once(error: BaseException) -> None:
    pauses: list[float] = []
    runs = Runs(error, ValueError("never"))
    with pytest.raises(type(error)):
        batch_commands.again(timedelta(minutes=1)).copy(sleep=pauses.append)(runs)
    assert (pauses, len(runs.errors)) == ([], 1)
