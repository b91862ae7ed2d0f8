"""What is tried again, what is not, and what is kept of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from meterlake.errors import PermanentError, TransientError
from speed_layer.running import Patience, Stopping

pytestmark = pytest.mark.unit


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def patience(said: list[tuple[str, str]]) -> Patience:
    return Patience(threading.Event(), lambda *words: said.append(words), lambda _: None)


def test_an_outage_is_waited_for_and_said(patience: Patience, said: list[tuple[str, str]]) -> None:
    calls: list[int] = []

    def write(_rows: Any, batch_id: int) -> None:
        calls.append(batch_id)
        if len(calls) == 1:
            raise TransientError("Cassandra is away.")

    patience.on_batch("views", write)(None, 7)  # type: ignore[arg-type]
    assert calls == [7, 7]
    assert said == [("views", "Cassandra is away. Trying again in 1 s.")]
    assert patience.failures == {}


def test_what_cannot_pass_is_raised_at_once_and_kept_as_it_was(patience: Patience) -> None:
    error = PermanentError("wrong")

    def write(*_: Any) -> None:
        raise error

    with pytest.raises(PermanentError, match="wrong"):
        patience.on_batch("archive", write)(None, 1)  # type: ignore[arg-type]
    assert patience.failures == {"archive": error}


def test_a_stop_ends_the_waiting(patience: Patience) -> None:
    def write(*_: Any) -> None:
        patience.stop.set()
        raise TransientError("away")

    with pytest.raises(Stopping):
        patience.on_batch("views", write)(None, 1)  # type: ignore[arg-type]
    assert patience.failures == {}


def test_after_a_stop_no_update_begins(patience: Patience) -> None:
    patience.stop.set()
    calls: list[int] = []
    with pytest.raises(Stopping):
        patience.on_batch("views", lambda _, batch_id: calls.append(batch_id))(None, 1)  # type: ignore[arg-type]
    assert calls == []
