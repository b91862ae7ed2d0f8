"""What a checkpoint says, and whether it still fits its topic."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from datasets.household.declaration import HOUSEHOLD
from engines import hdfs
from engines.topics import Span, Topic
from meterlake.settings import Settings
from speed_layer.checkpoint import Checkpoint, Owner, fits, offsets_of, reachable
from speed_layer.errors import BrokenCheckpoint, MessagesLost, OffsetsAhead, OtherCheckpoint, TopicRecreated
from speed_layer.progress import behind

pytestmark = pytest.mark.unit
TOPIC = Topic(HOUSEHOLD.readings_topic, "id-1", (0, 1))
OWNER = Owner("c", HOUSEHOLD.name, "views", TOPIC.name, TOPIC.id)
SPANS = {0: Span(10, 20), 1: Span(0, 0)}


def test_offsets_are_those_of_spark() -> None:
    text = 'v1\n{"batchWatermarkMs":0,"conf":{}}\n{"meterlake.household.readings":{"0":12,"1":0}}'
    assert offsets_of(text, "f") == {TOPIC.name: {0: 12, 1: 0}}


@pytest.mark.parametrize("text", ["", "v1\n{}", "v1\n{}\nnot json", "v1\n{}\n[1]", 'v1\n{}\n{"t":{"x":1}}'])
def test_a_damaged_file_is_said(text: str) -> None:
    with pytest.raises(BrokenCheckpoint, match=r"/offsets/3 is damaged"):
        offsets_of(text, "/offsets/3")


def test_a_fitting_checkpoint_passes() -> None:
    fits("here", OWNER, HOUSEHOLD, TOPIC)
    reachable("here", TOPIC, {}, SPANS, lossless=True)
    reachable("here", TOPIC, {0: 10, 1: 0}, SPANS, lossless=True)
    reachable("here", TOPIC, {0: 20}, SPANS, lossless=True)


def test_the_owner_must_be_this_data_set_and_this_very_topic() -> None:
    for other in (replace(OWNER, dataset="tank"), replace(OWNER, topic="other")):
        with pytest.raises(OtherCheckpoint, match="The checkpoint here is that of data set"):
            fits("here", other, HOUSEHOLD, TOPIC)
    with pytest.raises(TopicRecreated, match="its id was id-0 and is id-1"):
        fits("here", replace(OWNER, topic_id="id-0"), HOUSEHOLD, TOPIC)


@pytest.mark.parametrize("content", [b"", b"not json", json.dumps(asdict(OWNER)).encode()])
def test_an_owner_that_could_not_be_written_is_written_anew(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    class Folder:
        def status(self, path: str, strict: bool) -> dict[str, int] | None:
            assert not strict
            return {} if path.endswith("/views") else None

        def list(self, _: str) -> list[str]:
            return ["owner.json"]

    written: list[str] = []
    monkeypatch.setattr(hdfs, "client", lambda _: Folder())
    monkeypatch.setattr(hdfs, "read_bytes", lambda *_: content)
    monkeypatch.setattr(hdfs, "write_bytes", lambda _, path, __: written.append(path))
    checkpoint = Checkpoint(Settings(), HOUSEHOLD, "views")
    if content == b"not json":
        with pytest.raises(BrokenCheckpoint, match=r"owner\.json is damaged"):
            checkpoint.open(TOPIC, SPANS)
    else:
        assert checkpoint.open(TOPIC, SPANS).topic_id == TOPIC.id
    assert written == ([] if content else [f"{checkpoint.path}/owner.json"])


def test_every_message_must_still_be_there() -> None:
    with pytest.raises(MessagesLost, match=r"up to offset 7 and now begins at 10 \(3 missing"):
        reachable("here", TOPIC, {0: 7}, SPANS, lossless=True)
    reachable("here", TOPIC, {0: 7}, SPANS, lossless=False)
    with pytest.raises(OffsetsAhead, match="partition 1 was read up to 1 and ends at 0"):
        reachable("here", TOPIC, {1: 1}, SPANS, lossless=False)
    with pytest.raises(TopicRecreated, match="partition 5 is not there any more"):
        reachable("here", TOPIC, {5: 0}, SPANS, lossless=True)


def test_messages_behind() -> None:
    assert behind('{"t":{"0":5,"1":7}}', '{"t":{"0":9,"1":7,"2":3}}') == 7
    assert behind(None, '{"t":{"0":9}}') == 9
    assert behind('{"t":{"0":5}}', None) == 0
    assert behind('{"t":{"0":5}}', '{"t":{"0":4}}') == 0
