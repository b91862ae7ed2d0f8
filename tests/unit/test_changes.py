"""Corrections and erasures as the core knows them: their record, their revisions, what remains of a meter."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_forms import EXAMPLES, FORMS
from reader_samples import COUNTED, tables

from batch_layer.erase.raw import has_field, lines_in
from batch_layer.ingest.raw_notes import Note
from meterlake.changes import BEFORE, LOADS, Change, by_load, covers, joined
from meterlake.erasure import InTopic, Remains, Retention, left_among_rejects, left_in_topic
from meterlake.fileformats.records import Register
from meterlake.precedence import NoHigherRevision, correcting_revision
from meterlake.schema import MAX_REVISION
from meterlake.text.blank import blanked
from meterlake.text.format import MeterColumn, Moment, TextFormat, Value
from meterlake.text.lines import blocks

pytestmark = pytest.mark.unit
AT = datetime(2026, 11, 26, 10, tzinfo=UTC)
BEGUN = Change("homes", "c1", "correction", AT, "A", "invoice", details={LOADS: ["l1", "l2"]})


def test_a_change_is_its_first_beginning_and_its_end() -> None:
    again = replace(BEGUN, at=AT + timedelta(hours=1), by="B")
    done = again.done(AT + timedelta(hours=2), {"readings": 3})
    other = replace(BEGUN, id="c0", at=AT - timedelta(days=1), kind="erasure", meter="m", details={})
    [erasure, correction] = joined([done, again, BEGUN, other])
    assert (erasure, erasure.is_done) == (other, False)
    assert (correction.by, correction.at, correction.done_at) == ("A", AT, AT + timedelta(hours=2))
    assert correction.details == {LOADS: ["l1", "l2"], "readings": 3}
    assert by_load([erasure, correction]) == {"l1": correction, "l2": correction}


def test_an_erasure_covers_what_it_removed() -> None:
    every = replace(BEGUN, kind="erasure", details={})
    assert covers(every, AT)
    older = replace(every, details={BEFORE: AT.isoformat()})
    assert (covers(older, AT), covers(older, AT - timedelta(seconds=1))) == (False, True)


@pytest.mark.parametrize(("highest", "revision"), [(-1, 1000), (0, 1000), (999, 1000), (1000, 1001), (7000, 7001)])
def test_a_correction_counts_against_what_bridges_number(highest: int, revision: int) -> None:
    assert correcting_revision(highest) == revision


def test_the_highest_revision_cannot_be_corrected() -> None:
    assert correcting_revision(MAX_REVISION - 1) == MAX_REVISION
    with pytest.raises(NoHigherRevision, match="of revision 2147483647"):
        correcting_revision(MAX_REVISION)


KEPT = Retention(timedelta(days=7), timedelta(days=1))


def test_messages_remain_as_long_as_the_topic_keeps_them() -> None:
    result = [InTopic(0, 5, 0, AT, 100, 103), InTopic(1, 2, 1, AT - timedelta(hours=1), 0, 0)]
    until = AT + timedelta(days=8)
    now = {0: 103, 1: 0}
    assert left_in_topic("t", result, now, KEPT, AT) == [
        Remains("Kafka topic t", "4 messages of the meter", until),
        Remains("files of Kafka's brokers", "3 deleted messages, which no consumer can read", until),
    ]
    # What others had before is trimmed with time: those of the meter that stand first only once.
    assert left_in_topic("t", result[:1], {0: 110}, KEPT, AT)[0].what.startswith("2 messages")
    assert left_in_topic("t", result, now, KEPT, until) == []
    earlier = until - timedelta(hours=1)
    assert left_among_rejects("r", result, KEPT, AT) == [Remains("Kafka topic r", "1 messages of the meter", earlier)]
    assert left_among_rejects("r", result[:1], KEPT, AT) == []
    [for_ever, _] = left_in_topic("t", result, now, Retention(None, timedelta(days=1)), until)
    assert (for_ever.until, "retention.ms is -1" in for_ever.what) == (None, True)
    assert Remains.unpacked(for_ever.packed()) == for_ever
    assert Remains.unpacked(Remains("a", "b", AT).packed()) == Remains("a", "b", AT)


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("1;m 1;2", True),
        ('1,"m 1",2', True),
        ("1\t m 1 \t2", True),
        ("1;m 12;2", False),
        ("m 1 2", False),
        ("MTttIDE7/w==", True),  # 1;m 1;\xff in Base64, as quarantine keeps what is no text
        ("MTttIDI7/w==", False),
    ],
)
def test_a_line_names_a_meter_as_a_whole_field(line: str, has: bool) -> None:
    assert has_field(line, "m 1") == has


def test_each_line_of_a_counter_is_its_meters() -> None:
    """Also a line that made no row, since it lies within an interval, or was refused."""
    lines = ["meter,time,total", "a,2026-03-01 00:00,1", "b,2026-03-01 00:00,1", "a,2026-03-01 00:10,2", "a,x,2"]
    counter = Value("total", "energy", register=Register(across_gap="spread"))
    form = TextFormat(
        dataset=COUNTED,
        columns=(MeterColumn("meter"), Moment("time", "yyyy-MM-dd HH:mm"), counter),
        interval_s=1800,
        estimated="estimated",
    )
    content = io.BytesIO("\n".join(lines).encode())
    note = Note("load", "digest", "", "file.csv", "+00:00", 0)
    assert lines_in(content, (form,), note, "a") == {2, 4, 5}


def test_what_is_refused_of_a_counter_names_its_meter() -> None:
    rows = tables(FORMS["obis.csv"], (EXAMPLES / "obis.csv").read_bytes())
    (refused,) = [row for row in rows if row["reason"] == "first_reading"]
    assert has_field(refused["payload"], "1EMH0012345678")


@given(
    lines=st.lists(st.tuples(st.text("ab;", max_size=5), st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"])), max_size=9),
    last=st.text("ab", max_size=3),
    numbers=st.sets(st.integers(1, 11)),
    step=st.integers(1, 7),
)
def test_lines_are_blanked_and_the_others_keep_their_bytes_and_numbers(
    lines: list[tuple[str, str]], last: str, numbers: set[int], step: int
) -> None:
    content = ("".join(map("".join, lines)) + last).encode()
    stream = io.BytesIO(content)
    left = b"".join(blanked(lambda _: stream.read(step), numbers))

    def texts(data: bytes) -> list[str]:
        return [text for block in blocks(io.BytesIO(data).read) for text in block.texts]

    before = texts(content)
    assert texts(left) == [" " if text and number in numbers else text for number, text in enumerate(before, start=1)]
    if not numbers & set(range(1, len(before) + 1)):
        assert left == content
