"""The quick way to decode messages gives what the core's decoder gives, or nothing."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from datasets.household.declaration import HOUSEHOLD
from meterlake import wire
from meterlake.plain_wire import plain_decoder
from meterlake.reading import Reading
from meterlake.schema import LATEST_TS, MAX_REVISION

pytestmark = pytest.mark.unit

MUTATIONS = int(os.environ.get("METERLAKE_FUZZED_MESSAGES", "40000"))
PLAIN = plain_decoder(HOUSEHOLD)
PIECES = (
    *(b"0", b"-", b".", b"e", b"E+2", b"1e400", b"1e-400", b"NaN", b"Infinity", b"null", b"true", b"{}", b"[]"),
    *(b'"', b'""', b"\\", b"\\u0000", b"\\ud800", b"\\u00e9", b"\xc3\xa9", b"\xff", b"\x00", b"\x01", b"\n", b" "),
    *(b",", b":", b"{", b"}", b'"v":2', b'"ts":5,', b'"refused":"x",', b'"more":1,', b'"revision":', b"\xef\xbb\xbf"),
    *(str(number).encode() for number in (LATEST_TS, LATEST_TS + 1, MAX_REVISION + 1, 2**63, 2**64, -1, 0.1, 1 / 3)),
)  # fmt: skip


def reading(**changes: object) -> Reading:
    made = Reading("meter é", 1_790_000_040, 60, (1.234, 0.1, 240.12, 5.1, 0.0, 1.0, 2.0))
    return replace(made, **changes)  # type: ignore[arg-type]


def slow(data: bytes) -> tuple[object, ...] | None:
    result = wire.decode(HOUSEHOLD, data)
    if isinstance(result, wire.Undecodable):
        return None
    return (result.meter_id, result.ts, result.interval_s, *result.values, result.revision)


def unusual(random_: random.Random) -> bytes:
    """Return a message as other producers could write it: blanks, order, repeated fields, numbers in any form."""

    def number(*, whole: bool) -> str:
        if whole and random_.random() < 0.9:
            return str(random_.choice((0, 60, 1_790_000_040, 1, random_.randrange(2**33), -1)))
        digits = "".join(random_.choices("0123456789", k=random_.randint(0, 25)))
        forms = ("0", "7", "-0", "-0.0", f"1{digits}", f"0.{digits}1", f"-3.{digits}5e-{random_.randrange(330)}")
        return random_.choice((*forms, f"{random_.uniform(-1, 400)!r}", f"2E+{random_.randrange(320)}"))

    fields = [
        ("v", "1"),
        ("meter_id", random_.choice(('"a"', '"b c"', '"\\u00e9"', '"é/1"', '" a"', '"\\ud83d\\ude00"'))),
    ]
    fields += [("ts", "1790000040"), ("interval_s", random_.choice(("60", "1")))]
    fields += [(measure.name, number(whole=False)) for measure in HOUSEHOLD.measures]
    if random_.random() < 0.5:
        fields.append(("revision", number(whole=True)))
    if random_.random() < 0.2:
        fields.append((random_.choice(fields)[0], number(whole=random_.random() < 0.5)))
    if random_.random() < 0.5:
        random_.shuffle(fields)
    blank = random_.choice(("", "", " ", "\n", "\t \r\n"))
    text = f",{blank}".join(f'{blank}"{name}"{blank}:{blank}{value}{blank}' for name, value in fields)
    return f"{blank}{{{text}}}{blank}".encode()


def mutated(random_: random.Random, data: bytes) -> bytes:
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(data) + 1)
        cut = at + random_.choice((0, 0, 1, 2, 5, 20))
        data = data[:at] + random_.choice((b"", *PIECES)) + data[cut:]
    return data


@pytest.mark.parametrize(
    "one",
    [reading(), reading(revision=7), reading(interval_s=1, ts=0), reading(values=(0.0,) * 7), reading(meter_id="a")],
)
def test_what_producers_send_is_taken_quickly(one: Reading) -> None:
    data = wire.encode(HOUSEHOLD, one)
    assert PLAIN(data) == slow(data) is not None


def test_what_is_taken_quickly_is_what_the_core_decodes() -> None:
    """METERLAKE_FUZZED_MESSAGES for more of them."""
    random_ = random.Random(20261126)  # noqa: S311 - the same messages every time
    plain = [wire.encode(HOUSEHOLD, reading(revision=revision)) for revision in (0, 3)]
    taken = 0
    for _ in range(MUTATIONS):
        data = random_.choice(plain) if random_.random() < 0.5 else unusual(random_)
        if random_.random() < 0.6:
            data = mutated(random_, data)
        quick = PLAIN(data)
        if quick is not None:
            taken += 1
            assert quick == slow(data), data
            assert [type(each) for each in quick] == [str, int, int, *[float] * 7, int]
    assert taken > MUTATIONS / 20


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        wire.encode(HOUSEHOLD, reading(values=(None,) * 7)),
        wire.encode(HOUSEHOLD, reading(ts=1_790_000_041)),
        wire.encode_refused(HOUSEHOLD, "not_json", b"x"),
        b" " * HOUSEHOLD.max_message_bytes + wire.encode(HOUSEHOLD, reading()),
    ],
)
def test_all_else_is_left_to_the_core(message: bytes) -> None:
    assert PLAIN(message) is None
