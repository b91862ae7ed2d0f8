"""What no reading can be made of keeps its reason, its origin and its bytes on the way to quarantine."""

from __future__ import annotations

import json

import pytest
from bridge_samples import ROOMS
from hypothesis import given
from hypothesis import strategies as st

from meterlake.wire import Undecodable, decode, encode_refused

pytestmark = pytest.mark.unit


def test_a_stated_reason_is_that_of_quarantine() -> None:
    data = encode_refused(ROOMS, "missing_field:ENERGY.Power", b'{"a": 1}', topic="tele/a/SENSOR", item=2)
    assert decode(ROOMS, data) == Undecodable("missing_field:ENERGY.Power")
    assert json.loads(data) == {
        "v": 1, "refused": "missing_field:ENERGY.Power", "topic": "tele/a/SENSOR", "item": 2, "payload": '{"a": 1}',
    }  # fmt: skip


@given(payload=st.binary(max_size=40_000), field=st.text(max_size=90))
def test_it_always_fits_into_a_message(payload: bytes, field: str) -> None:
    data = encode_refused(ROOMS, f"missing_field:{field}", payload, topic="t" * 256)
    assert len(data) <= ROOMS.max_message_bytes
    outcome = decode(ROOMS, data)
    assert isinstance(outcome, Undecodable)
    assert outcome.reason.startswith("missing_field:") or not field
    kept = json.loads(data)
    text = payload.decode("utf-8", errors="backslashreplace")
    assert text.startswith(kept["payload"])
    assert kept["payload"] == text or kept["payload_bytes"] == len(payload) > 1000


@pytest.mark.parametrize("reason", [7, None, "", "Reason", "a reason", "x" * 200, "a:" + "b" * 65, ["a"]])
def test_a_reason_that_is_none_is_not_taken(reason: object) -> None:
    assert decode(ROOMS, json.dumps({"v": 1, "refused": reason}).encode()) == Undecodable("bad_value:refused")
