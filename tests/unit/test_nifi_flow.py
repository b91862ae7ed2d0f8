"""NiFi's flow, as it is made of a declaration; and which of what it brings is landed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from datasets.telecom.declaration import TELECOM
from lakehouse.landing.inbox import Brought, following
from meterlake.lakehouse.nifi import CONSUME, PUT, Flow, Place, flow, group_of

PLACE = Place(
    {"bootstrap.servers": "k:9092", "sasl.jaas.config": 'a "b\\c"\nd'},
    "http://s3:1",
    "us-east-1",
    "lake",
    "us",
    "secret",
)


def of(**changes: str) -> Flow:
    return flow("telecom", TELECOM.topics, replace(PLACE, **changes))  # type: ignore[arg-type] - texts only


def test_each_topic_of_the_declaration_has_one_group() -> None:
    made = of()
    assert made.name == group_of("telecom")
    assert tuple(topic.topic for topic in made.topics) == TELECOM.topics
    for topic in made.topics:
        consume, write, dead = topic.steps
        assert (consume.type, write.type, dead.type) == (CONSUME, PUT, PUT)
        assert consume.properties["topic"] == topic.topic
        assert write.properties["Object Key"] == "inbox/telecom/${topic}/${partition}/${filename}"
        assert dead.properties["Object Key"] == "dead-letter/telecom/${topic}/${partition}/${filename}"


def test_every_outcome_of_a_step_leads_somewhere() -> None:
    outcomes = {CONSUME: {"success"}, PUT: {"success", "failure"}}
    for topic in of().topics:
        for number, step in enumerate(topic.steps):
            led = {outcome for source, _, outcome in topic.links if source == number}
            assert led | set(step.ends) == outcomes[step.type]
            assert not led & set(step.ends)
            assert set(step.again) <= outcomes[step.type]


def test_options_of_the_client_are_read_by_java_as_they_were_written() -> None:
    lines = of().topics[0].steps[0].properties["client"].splitlines()
    assert lines == ["bootstrap.servers=k:9092", 'sasl.jaas.config=a "b\\\\c"\\nd']


def test_the_stamp_is_that_of_the_content_and_tells_no_secret() -> None:
    assert of().stamp == of().stamp
    stamps = {of().stamp, of(secret_key="other").stamp, of(endpoint="http://s3:2").stamp}
    assert len(stamps) == 3
    assert "secret" not in of().stamp


offsets = st.integers(0, 60)
objects = st.lists(st.tuples(offsets, st.integers(1, 30)).map(lambda p: Brought(p[0], p[0] + p[1], f"{p}")), max_size=8)


@given(objects, offsets, st.integers(0, 90) | st.none())
def test_each_offset_is_landed_once_and_none_is_left_out(brought: list[Brought], at: int, end: int | None) -> None:
    waiting, begin = sorted(brought), at
    landed: list[int] = []
    while (step := following(at, waiting, end)) is not None:
        assert step.until > at
        if step.item is not None:
            assert step.item.first <= at
            assert step.until == step.item.end
        else:
            # From Kafka only what no object has, and what is there.
            assert not any(item.first < step.until and at < item.end for item in waiting)
            assert end is None or step.until <= end
        landed += range(at, step.until)
        at = step.until
    assert landed == list(range(begin, at))
    assert at >= max((item.end for item in brought if end is None or item.first <= end), default=0)
    assert end is None or at >= end
