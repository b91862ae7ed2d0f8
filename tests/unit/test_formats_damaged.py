"""Files as they are damaged on their way: nothing crashes, and nothing is lost in silence."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Final

import pytest
from foreign_samples import LONDON
from format_samples import ENERGY, POWER
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.readers import text
from engines.readers.port import Options, row_schema
from meterlake.fileformats.records import Register
from meterlake.text.encoding import as_utf8
from meterlake.text.format import (
    DayValues,
    MeasureColumn,
    MeterColumn,
    Moment,
    TextFormat,
    UnitColumn,
    UtcOffset,
    Value,
)
from meterlake.text.head import WrongText, layout
from meterlake.text.lines import blocks

pytestmark = pytest.mark.unit
FUZZED: Final = int(os.environ.get("METERLAKE_FUZZED_FILES", "25"))
"""How many damaged files of each kind; METERLAKE_FUZZED_FILES for more."""


@dataclass(frozen=True)
class Example:
    """A format, and the lines of a whole file of it."""

    form: TextFormat
    lines: tuple[str, ...]

    @property
    def content(self) -> bytes:
        mark = "\ufeff" if self.form.encoding == "utf-16" else ""
        codec = "utf-16-le" if mark else self.form.encoding
        return (mark + "".join(f"{line}\r\n" for line in self.lines)).encode(codec)


PLAIN: Final = TextFormat(
    dataset=ENERGY,
    columns=(
        MeterColumn("Zähler"),
        Moment("time", "dd.MM.yy HH:mm"),
        UtcOffset("offset"),
        Value("kWh", "energy", "kWh"),
    ),
    interval_s=1800,
    encoding="windows-1252",
    separator=";",
    decimal=",",
    thousands=".",
    skip_lines="to_header",
    footer="Summe.*",
)
LONG: Final = TextFormat(
    dataset=POWER,
    columns=(
        MeterColumn("meter"),
        Moment("time", "yyyy-MM-dd HH:mm"),
        MeasureColumn("register", ignored=("f",)),
        Value("value"),
        UnitColumn("unit"),
    ),
    interval_s=60,
    time_zone="Europe/Paris",
)
WIDE: Final = TextFormat(
    dataset=ENERGY,
    columns=(MeterColumn("meter"), Moment("day", "yyyyMMdd"), DayValues("HH{n}", "energy", days="real")),
    interval_s=1800,
    time_zone="Europe/Paris",
    encoding="utf-16",
)
PLAIN_LINES: Final = [f"Süd {n};01.01.24 0{n}:30;+01:00;1.00{n},5" for n in range(9)]
LONG_LINES: Final = [
    f"{meter},2024-10-27 0{hour}:00,{register}"
    for hour in (1, 2, 2, 3)
    for meter in "ab"
    for register in ("power,250,W", "voltage,230,V", "energy,1,Wh", "f,50,Hz")
]
WIDE_LINES: Final = [
    ",".join(["a", day, *(str(n) for n in range(count))])
    for day, count in (("20240330", 48), ("20240331", 46), ("20241027", 50), ("20241028", 50))
]
EXAMPLES: Final = {
    "london": Example(LONDON.form, (LONDON.header, *(line for line, _ in LONDON.lines))),
    "plain": Example(PLAIN, ("Werk Süd", "", "Zähler;time;offset;kWh", *PLAIN_LINES, "Summe;;;9")),
    "long": Example(LONG, ("meter,time,register,value,unit", *LONG_LINES)),
    "wide": Example(WIDE, (",".join(["meter", "day", *(f"HH{n}" for n in range(1, 51))]), *WIDE_LINES)),
}
READINGS: Final = {"london": 13, "plain": 9, "long": 8, "wide": 192}


def accounted(form: TextFormat, content: bytes) -> None:
    """Read a file, and see that each of its lines is one thing: readings and gap rows, skipped, or in quarantine."""
    try:
        laid = layout(form, "file", content)
    except WrongText:
        return
    lines = [
        line
        for block in blocks(as_utf8(io.BytesIO(content).read, form.encoding), 1, form.encoding)
        for line in block.texts
    ]
    taken: dict[int, int] = {}
    readings = 0
    for table in text.read(laid, io.BytesIO(content), Options(form.meter_id, form.clock)):
        assert table.schema == row_schema(form.dataset)
        for row in table.to_pylist():
            taken[row["line"]] = taken.get(row["line"], 0) + 1
            readings += row["reason"] is None
            if row["reason"] is None:
                assert row["ts"].replace(tzinfo=UTC).timestamp() % form.interval_s == 0
                assert row[form.dataset.key]
            else:
                assert row["payload"] is not None
    below = set(range(laid.first_line, len(lines) + 1))
    assert set(taken) <= below
    if form.is_long:  # a reading stands in the first of the lines of its measures
        parts = len(form.dataset.measures)
        assert len(below) - len(taken) == readings * (parts - 1)
    else:
        assert set(taken) == below
    if not form.is_wide:
        assert set(taken.values()) <= {1}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_whole(name: str) -> None:
    form, content = EXAMPLES[name].form, EXAMPLES[name].content
    tables = text.read(layout(form, "file", content), io.BytesIO(content), Options(form.meter_id, form.clock))
    assert sum(reason is None for table in tables for reason in table["reason"].to_pylist()) == READINGS[name]
    accounted(form, content)


SIGNS: Final = (b'"', b"\r", b"\n", b"\0", b";", b",", b"\xff", b" ", b"-")
FIELDS: Final = (b"", b"9" * 400, b"1e999", b"\xc3", b"x", b"-0", b"24:00", b"1970-01-01 00:00")


def damaged(content: bytes, seed: int) -> bytes:
    """Return a file with up to six things done to it, at bytes, lines and fields."""
    chance = random.Random(seed)  # noqa: S311
    for _ in range(chance.randint(1, 6)):
        lines = content.split(b"\n")
        at, line = chance.randrange(len(content) + 1), chance.randrange(len(lines))
        kind = chance.randrange(9)
        if kind == 0 and content:
            content = content[: at - 1] + bytes([chance.randrange(256)]) + content[at:] if at else content
        elif kind == 1:
            content = content[:at] + content[at + chance.randint(1, 9) :]
        elif kind == 2:
            content = (
                content[:at]
                + chance.choice([b'"', b"\r", b"\n", b"\0", b";", b",", b"\xff", b" ", b"-"])
                + content[at:]
            )
        elif kind == 3:
            content = content[:at]
        else:
            content = b"\n".join(_lines_damaged(lines, line, kind, chance))
    return content


def _lines_damaged(lines: list[bytes], at: int, kind: int, chance: random.Random) -> Sequence[bytes]:
    if kind == 4:
        return [*lines[:at], *lines[at + 1 :]]
    if kind == 5:
        return [*lines[: at + 1], *lines[at:]]
    if kind == 6:
        return chance.sample(lines, len(lines))
    separator = b";" if b";" in lines[at] else b","
    fields = lines[at].split(separator)
    if kind == 7:
        fields = chance.sample(fields, len(fields))
    else:
        fields[chance.randrange(len(fields))] = chance.choice(
            [b"", b"9" * 400, b"1e999", b"\xc3", b"x", b"-0", b"24:00"]
        )
    return [*lines[:at], separator.join(fields), *lines[at + 1 :]]


@settings(max_examples=6 * FUZZED, deadline=None)
@given(st.sampled_from(list(EXAMPLES.values())), st.integers(0, 2**32))
def test_every_line_of_a_damaged_file_is_accounted_for(example: Example, seed: int) -> None:
    accounted(example.form, damaged(example.content, seed))


@settings(max_examples=2 * FUZZED, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "windows-1252", "latin-1"]))
def test_any_bytes_are_some_lines(content: bytes, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16" else b""
    form = replace(PLAIN, encoding=encoding, has_header=False, skip_lines=0)  # type: ignore[arg-type]
    accounted(form, mark + content)


COUNTED_LINES: Final = [
    f"{meter};01.03.26 0{n // 6}:{n % 6}0;+01:00;{1000 + n * n},{n}" for n in range(30) for meter in ("a", "Süd")
]
COUNTED: Final = replace(
    PLAIN,
    columns=(*PLAIN.columns[:3], Value("kWh", "energy", "kWh", register=Register(digits=4, snap_s=60))),
    skip_lines=0,
)


@settings(max_examples=4 * FUZZED, deadline=None)
@given(st.integers(0, 2**32))
def test_every_line_of_a_damaged_file_of_counters_is_accounted_for(seed: int) -> None:
    """A line is refused, or what the counter showed in it is part of amounts: those of a measure add up."""
    content = damaged("\r\n".join(["Zähler;time;offset;kWh", *COUNTED_LINES]).encode("windows-1252"), seed)
    plain = replace(COUNTED, columns=(*COUNTED.columns[:3], Value("kWh", "energy", "kWh")))
    try:
        laid, as_amounts = layout(COUNTED, "file", content), layout(plain, "file", content)
    except WrongText:
        return

    def rows(form: TextFormat) -> list[dict[str, Any]]:
        options = Options(form.meter_id, form.clock)
        return [row for table in text.read(form, io.BytesIO(content), options) for row in table.to_pylist()]

    made, said = rows(laid), {row["line"]: row for row in rows(as_amounts)}
    refused = {row["line"]: row["reason"] for row in made if row["reason"]}
    readable = {at for at, row in said.items() if row["reason"] in (None, "off_grid") and row["energy"] is not None}
    for at in said.keys() - readable:
        reason = said[at]["reason"]
        assert refused[at] == ("missing_measure" if reason in (None, "off_grid") else reason)
    amounts = [row for row in made if row["reason"] is None]
    assert {row["line"] for row in amounts} <= readable
    assert readable == refused.keys() & readable | {row["line"] for row in amounts}
    keys = [(row["meter_id"], row["ts"]) for row in amounts]
    assert len(set(keys)) == len(keys)
    assert all(row["energy"] >= 0 for row in amounts)
