"""What is tried again, what is not, and what is kept of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from meterlake.errors import PermanentError, TransientError
from speed_layer.running import RetryPolicy, Stopping

pytestmark = pytest.mark.unit


@pytest.fixture
def retries() -> RetryPolicy:
    return RetryPolicy(threading.Event(), lambda _: None)


def test_an_outage_is_waited_for_and_logged(retries: RetryPolicy) -> None:
    calls: list[int] = []

    def write(_rows: Any, batch_id: int) -> None:
        calls.append(batch_id)
        if len(calls) == 1:
            raise TransientError("Cassandra is away.")

    with capture_logs() as lines:
        retries.on_batch("views", write)(None, 7)  # type: ignore[arg-type]
    assert calls == [7, 7]
    event = "Cassandra is away. Trying again in 1 s."
    assert lines == [{"event": event, "log_level": "warning", "query": "views", "attempt": 1}]
    assert retries.failures == {}


def test_what_cannot_pass_is_raised_at_once_and_kept_as_it_was(retries: RetryPolicy) -> None:
    error = PermanentError("wrong")

    def write(*_: Any) -> None:
        raise error

    with pytest.raises(PermanentError, match="wrong"):
        retries.on_batch("archive", write)(None, 1)  # type: ignore[arg-type]
    assert retries.failures == {"archive": error}


def test_a_stop_ends_the_waiting(retries: RetryPolicy) -> None:
    def write(*_: Any) -> None:
        retries.stop.set()
        raise TransientError("away")

    with pytest.raises(Stopping):
        retries.on_batch("views", write)(None, 1)  # type: ignore[arg-type]
    assert retries.failures == {}


def test_after_a_stop_no_update_begins(retries: RetryPolicy) -> None:
    retries.stop.set()
    calls: list[int] = []
    with pytest.raises(Stopping):
        retries.on_batch("views", lambda _, batch_id: calls.append(batch_id))(None, 1)  # type: ignore[arg-type]
    assert calls == []
