"""Lines of a text file become readings, gap rows or quarantine, each under its number in the file."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from foreign_samples import SAMPLES, Sample

from batch_layer.ingest.lines import Lines
from batch_layer.ingest.rows import SPANS, Judged, Raw, Tally, total
from batch_layer.ingest.tasks import Piece, pieces, tallies
from datasets.household.text import HOUSEHOLD_TEXT as FORM
from engines.readers import text
from engines.readers.port import PAYLOAD_BYTES, Options, row_schema
from meterlake.jumps import DAY_S, Stretch
from meterlake.schema import master_fields, quarantine_fields
from meterlake.text.format import TextFormat
from meterlake.text.head import layout
from meterlake.text.lines import MAX_LINE_BYTES
from meterlake.wallclock import FileClock

pytestmark = pytest.mark.unit
GOOD = "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000"
GAP = "21/12/2006;11:23:00;?;?;?;?;?;?;"
HOUR = timedelta(hours=1)
PARIS = ZoneInfo("Europe/Paris")
ARRIVED = datetime(2026, 11, 21, 12, 0, 0, 5)  # noqa: DTZ001 - as tables have it
RAW = Raw(FORM, Options("m1", HOUR), "/raw/x", "file.txt", "load1", ARRIVED)
NONE = timedelta(0)


def file_of(lines: Iterable[str | bytes], end: bytes = b"\r\n") -> bytes:
    every = [FORM.header, *lines]
    return b"".join((line if isinstance(line, bytes) else line.encode()) + end for line in every)


def decode(content: bytes, clock: FileClock = HOUR, form: TextFormat = FORM) -> list[dict[str, Any]]:
    """Return the rows of a file; that its parts give the same rows is seen each time."""
    options = Options("" if form.has_meters else "m1", clock)
    tables = list(text.read(form, io.BytesIO(content), options))
    assert all(table.schema == row_schema(form.dataset) for table in tables)
    rows: list[dict[str, Any]] = [row for table in tables for row in table.to_pylist()]
    if text.is_divisible(form, clock):
        many = list(text.read_many(form, [(io.BytesIO(content), options) for _ in range(3)]))
        for place in range(3):
            assert [row for at, table in many if at == place for row in table.to_pylist()] == rows
        for split in (len(content) // 3, len(content) // 10):
            assert [row for table in parts(content, split, form, options) for row in table.to_pylist()] == rows
    return rows


def parts(content: bytes, split: int, form: TextFormat, options: Options) -> Iterator[Any]:
    lines = seen(content, split)
    for piece in pieces(0, replace(RAW, form=form, options=options), 0, len(content), lines.starts):
        stream = io.BytesIO(content[piece.begin : piece.begin + piece.length])
        yield from text.read_part(form, stream, options, piece.line or 1)


def seen(content: bytes, split: int) -> Lines:
    lines = Lines(split)
    for at in range(0, len(content), 77):
        lines.take(content[at : at + 77])
    lines.end()
    return lines


def reasons(rows: list[dict[str, Any]]) -> dict[int, str | None]:
    return {row["line"]: row["reason"] for row in rows}


def judged(
    lines: Iterable[str | bytes], raw: Raw = RAW, shift: timedelta = NONE, now: datetime | None = None
) -> Judged:
    (table,) = text.read(FORM, io.BytesIO(file_of(lines)), raw.options)
    return Judged(raw, table, shift, now)


def test_a_reading_and_a_gap_row_have_the_columns_of_the_master() -> None:
    rows = judged([GOOD, "junk", GAP]).readings()
    assert rows.schema.names == [column.name for column in master_fields(FORM.dataset)]
    reading, gap = rows.to_pylist()
    assert reading == {
        "meter_id": "m1",
        "ts": datetime(2006, 12, 16, 16, 24),  # noqa: DTZ001
        "interval_s": 60,
        "global_active_power": 4.216,
        "global_reactive_power": 0.418,
        "voltage": 234.84,
        "global_intensity": 18.4,
        "sub_metering_1": 0.0,
        "sub_metering_2": 1.0,
        "sub_metering_3": 17.0,
        "revision": 0,
        "received_at": ARRIVED,
        "origin": "file.txt",
        "origin_partition": 0,
        "origin_offset": 2,
        "load_id": "load1",
    }
    assert [gap[name] for name in FORM.measures] == [None] * 7
    assert (gap["ts"], gap["origin_offset"]) == (datetime(2006, 12, 21, 10, 23), 4)  # noqa: DTZ001


def test_lines_that_the_format_skips_are_counted_and_not_quarantined() -> None:
    raw = replace(RAW, form=replace(FORM, footer="#.*"))
    content = file_of([GOOD, "# by hand", "junk", "#"])
    form = layout(raw.form, "f", content)
    (table,) = text.read(form, io.BytesIO(content), raw.options)
    judged_ = Judged(raw, table, NONE, None)
    tally = judged_.tally()
    assert (tally.rows, tally.skipped, tally.readings, tally.rejected) == (2, 2, 1, 1)
    assert judged_.rejected()["reason"].to_pylist() == ["missing_column"]
    assert text.expected_rows(form, 5) == (tally.rows + tally.skipped, tally.line_sum)


def changed(field: int, text: str) -> str:
    fields = GOOD.split(";")
    fields[field] = text
    return ";".join(fields)


BAD: list[tuple[str | bytes, str]] = [
    (b"x" * (MAX_LINE_BYTES + 1), "line_too_long"),
    (GOOD + ";" + "x" * MAX_LINE_BYTES, "line_too_long"),
    (GOOD.replace("4.216", "4.\x00216"), "nul_byte"),
    (GOOD.encode().replace(b"4.216", b"4.\xff16"), "not_utf8"),
    ("", "empty_line"),
    (FORM.header, "header_again"),
    (GOOD.rpartition(";")[0], "missing_column"),
    ("one word", "missing_column"),
    (GOOD.replace(";", ","), "missing_column"),
    (GOOD + ";1.000", "extra_column"),
    (GOOD + ";", "extra_column"),
    (changed(0, "30/2/2007"), "bad_time"),
    (changed(0, "12/16/2006"), "bad_time"),
    (changed(0, "2006-12-16"), "bad_time"),
    (changed(0, "16/12/06"), "bad_time"),
    (changed(0, "16/12/1969"), "bad_time"),
    (changed(0, "16/12/2106"), "bad_time"),
    (changed(0, "16/12/99999"), "bad_time"),
    (changed(0, ""), "bad_time"),
    (changed(1, "24:00:00"), "bad_time"),
    (changed(1, "17:60:00"), "bad_time"),
    (changed(1, "17:24"), "bad_time"),
    (changed(1, "17:4:00"), "bad_time"),
    (changed(0, "016/12/2006"), "bad_time"),
    (changed(0, " 16/12/2006"), "bad_time"),
    (changed(0, "29/2/2007"), "bad_time"),
    (changed(1, "5:24:00 PM"), "bad_time"),
    (changed(2, "4,216"), "bad_value:global_active_power"),
    (changed(2, "1e400"), "not_finite:global_active_power"),
    (changed(2, "-1e400"), "not_finite:global_active_power"),
    (changed(3, "NaN"), "missing_measure"),
    (changed(3, "-NaN"), "bad_value:global_reactive_power"),
    (changed(3, "nAn"), "bad_value:global_reactive_power"),
    (changed(3, "Infinity"), "bad_value:global_reactive_power"),
    (changed(4, "234.8d"), "bad_value:voltage"),
    (changed(4, "0x1p3"), "bad_value:voltage"),
    (changed(4, " 234.8"), "bad_value:voltage"),
    (changed(4, '"234.8'), "bad_quotes"),
    (changed(4, '"23;4.8"'), "bad_value:voltage"),
    (changed(4, "1_000"), "bad_value:voltage"),
    (changed(4, "e5"), "bad_value:voltage"),
    (changed(5, "1.2.3"), "bad_value:global_intensity"),
    (changed(5, "-"), "bad_value:global_intensity"),
    (changed(8, "١٧"), "bad_value:sub_metering_3"),
    (changed(1, "17:24:30"), "off_grid"),
    (changed(8, ""), "missing_measure"),
    (changed(2, "?"), "missing_measure"),
    (GAP.replace("?", "0", 1), "missing_measure"),
]


def test_every_bad_line_has_its_reason_and_the_others_are_untouched() -> None:
    lines: list[str | bytes] = []
    for bad, _ in BAD:
        lines += [GOOD, bad]
    expected: dict[int, str | None] = dict.fromkeys(range(2, 2 * len(BAD) + 3))
    expected |= {3 + 2 * at: reason for at, (_, reason) in enumerate(BAD)}
    assert reasons(decode(file_of([*lines, GAP]))) == expected


def test_quarantine_keeps_the_line_or_the_bytes_of_what_is_no_text() -> None:
    long = changed(2, "4,216") + "é" * PAYLOAD_BYTES
    lines: list[str | bytes] = [changed(2, "4,216"), b"\xff;", "a\0b", b"x" * (2 * MAX_LINE_BYTES), GOOD, long]
    rows = judged(lines).rejected()
    assert rows.schema.names == [column.name for column in quarantine_fields(FORM.dataset)]
    assert {row["origin_offset"]: (row["reason"], row["payload"]) for row in rows.to_pylist()} == {
        2: ("bad_value:global_active_power", lines[0]),
        3: ("not_utf8", base64.b64encode(b"\xff;").decode()),
        4: ("nul_byte", base64.b64encode(b"a\0b").decode()),
        5: ("line_too_long", base64.b64encode(b"x" * PAYLOAD_BYTES).decode()),
        7: ("bad_value:global_active_power", long[:PAYLOAD_BYTES]),
    }
    assert {(row["origin"], row["load_id"], row["received_at"]) for row in rows.to_pylist()} == {
        ("file.txt", "load1", ARRIVED)
    }


def oracle(line: str) -> tuple[datetime, list[float | None]]:
    """Decode a good line with Python alone."""
    day, clock, *values = line.split(";")
    date, month, year = map(int, day.split("/"))
    moment = datetime(year, month, date, *map(int, clock.split(":")))  # type: ignore[misc,arg-type] # noqa: DTZ001
    return moment - HOUR, [None if value in ("?", "") else float(value) for value in values]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\r\n"], ids=["lf", "crlf", "cr", "crcrlf"])
def test_line_numbers_are_exact_wherever_a_file_is_divided(end: bytes) -> None:
    chance = random.Random(7)  # noqa: S311
    begin = datetime(2007, 3, 1)  # noqa: DTZ001
    lines: list[str] = []
    for minute in range(60):
        at = begin + timedelta(minutes=minute)
        values = [f"{chance.uniform(0, 300):.3f}" for _ in range(7)]
        gap = ["?"] * 6 + [""]
        lines.append(";".join([f"{at.day}/{at.month}/{at.year}", f"{at:%H:%M:%S}", *chance.choice([values, gap])]))
    content = file_of(lines, end)
    rows = decode(content)
    result = {row["line"]: (row["ts"], [row[name] for name in FORM.measures]) for row in rows}
    assert result == {at + 2: oracle(line) for at, line in enumerate(lines)}
    assert text.expected_rows(FORM, seen(content, 64).count) == (60, sum(result))


LETTERS = '0123456789;/:.?+-eE"nNaA x\r\n'


def mutated(chance: random.Random, line: str) -> str:
    """Return a line with up to two characters replaced, left out or put in."""
    for _ in range(chance.choice([0, 1, 1, 2])):
        at, letter = chance.randint(0, len(line)), chance.choice(LETTERS)
        line = line[:at] + chance.choice(["", letter, letter + line[at : at + 1]]) + line[at + 1 :]
    return line


def test_every_line_of_a_damaged_file_is_accounted_for_and_parts_agree() -> None:
    chance = random.Random(11)  # noqa: S311
    good = [GOOD, GAP, ";".join(f'"{field}"' for field in GOOD.split(";")), *(line for line, _ in BAD[2:])]
    lines = [mutated(chance, line) if isinstance(line, str) else line for line in chance.choices(good, k=1000)]
    content = FORM.header.encode() + b"\n"
    for line in lines:
        content += (line.encode() if isinstance(line, str) else line) + chance.choice(
            [b"\n", b"\r", b"\r\n", b"\r\r\n"]
        )
    rows = decode(content)
    assert text.expected_rows(FORM, seen(content, 997).count) == (len(rows), sum(row["line"] for row in rows))
    assert len({row["reason"] for row in rows}) > len(FORM.measures) + 8


def wall_clock(hours: int = 25) -> list[str]:
    """Return the day on which Paris has 25 hours, as the wall shows it: 3 kW in the second 02:00 to 02:59."""
    begin = datetime(2024, 10, 26, 22, tzinfo=UTC)
    lines = []
    for minute in range(hours * 60):
        at = (begin + timedelta(minutes=minute)).astimezone(PARIS)
        values = f"{3 if at.fold else 1}.000;0.110;241.20;4.1;0.000;0.000;1.000"
        lines.append(f"{at.day}/{at.month}/{at.year};{at:%H:%M:%S};{values}")
    return lines


@pytest.mark.parametrize("order", [1, -1], ids=["oldest-first", "newest-first"])
def test_a_clock_on_the_wall_is_read_by_zone_and_order(order: int) -> None:
    rows = decode(file_of(wall_clock()[::order]), PARIS)
    begin = datetime(2024, 10, 26, 22)  # noqa: DTZ001
    assert sorted(row["ts"] for row in rows) == [begin + timedelta(minutes=n) for n in range(1500)]
    assert [row["line"] for row in rows] == list(range(2, 1502))
    assert sum(row["global_active_power"] for row in rows) / 60 == pytest.approx(27.0)  # kWh
    assert {row["ts"].hour for row in rows if row["global_active_power"] == 3} == {1}


def test_times_that_the_wall_clock_skips_or_shows_once_are_quarantined() -> None:
    skipped = changed(0, "31/3/2024").replace("17:24", "02:24")
    once = [line for line in wall_clock() if not line.split(";")[2].startswith("3")][119:181]
    result = reasons(decode(file_of([skipped, *once]), PARIS))
    assert result == {2: "no_such_local_time", 3: None, **dict.fromkeys(range(4, 64), "ambiguous_time"), 64: None}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_line_of_other_peoples_files_is_a_reading_or_has_its_reason(sample: Sample) -> None:
    content = sample.text.encode()
    form = layout(sample.form, "file.csv", content)
    options = Options(form.meter_id, form.clock)
    rows = [row for table in text.read(form, io.BytesIO(content), options) for row in table.to_pylist()]
    assert {row["line"]: row["reason"] for row in rows if row["reason"]} == sample.reasons
    names = ["meter_id", "ts", "interval_s", *form.measures]
    assert [tuple(row[name] for name in names) for row in rows if not row["reason"]] == sample.rows


def test_a_shift_moves_all_times_and_what_lies_ahead_is_counted() -> None:
    week, lines = timedelta(weeks=1), [GAP, GOOD, changed(0, "16/12/2106"), "junk"]
    days = judged(lines).days(3).to_pylist()
    assert sorted(days, key=lambda day: day["day"]) == [
        {"file": 3, "meter_id": "m1", "day": DAY_S * 13498, "rows": 1, "latest": oracle(GOOD)[0], "interval_s": 60},
        {"file": 3, "meter_id": "m1", "day": DAY_S * 13503, "rows": 1, "latest": oracle(GAP)[0], "interval_s": 60},
    ]
    shifted = judged(lines, shift=week, now=oracle(GAP)[0] + week)
    assert {row["origin_offset"]: row["ts"] for row in shifted.readings().to_pylist()} == {3: oracle(GOOD)[0] + week}
    first, last = (int((oracle(line)[0] + week).replace(tzinfo=UTC).timestamp()) for line in (GOOD, GAP))
    assert shifted.tally() == Tally(
        rows=4, line_sum=14, readings=1, ahead=1, first=first, last=last, spans={"m1": (first, last, 120)},
        reasons={"bad_time": (1, 4), "missing_column": (1, 5)},
    )  # fmt: skip


def test_readings_outside_of_what_is_kept_are_set_aside_with_their_line() -> None:
    raw = replace(RAW, kept={"m1": [Stretch(DAY_S * 13503, DAY_S * 13504, 1)], "other": []})
    result = judged([GOOD, GAP, "junk"], raw)
    assert [row["origin_offset"] for row in result.readings().to_pylist()] == [3]
    assert {row["origin_offset"]: (row["reason"], row["payload"]) for row in result.rejected().to_pylist()} == {
        2: ("far_from_others", GOOD),
        4: ("missing_column", "junk"),
    }
    assert result.tally().reasons == {"far_from_others": (1, 2), "missing_column": (1, 4)}


def test_the_parts_of_a_file_tell_the_span_of_each_meter_unless_there_are_too_many() -> None:
    parts = [Tally(spans={"a": (5, 9, 2), "b": (1, 1, 1)}), Tally(spans={"a": (2, 7, 3)})]
    assert total(parts).spans == {"a": (2, 9, 5), "b": (1, 1, 1)}
    many = [Tally(spans={f"{part}{number}": (0, 1, 1) for number in range(SPANS // 2 + 1)}) for part in "ab"]
    assert total(many).spans is None
    assert total([*many, Tally(spans={"a": (2, 7, 3)})]).spans is None


def test_large_files_are_divided_where_their_clock_allows_it() -> None:
    content = file_of([GOOD] * 100)
    starts = seen(content, 1000).starts
    large = pieces(7, RAW, 5, len(content), starts)
    assert [(piece.begin, piece.line) for piece in large] == [(5 + start.byte, start.line) for start in starts]
    assert sum(piece.length for piece in large) == len(content)
    paris = replace(RAW, options=Options("m1", PARIS))
    assert pieces(7, paris, 5, len(content), starts) == [Piece(7, 5, len(content))]


def test_tallies_of_pieces_add_up_and_a_piece_counts_once() -> None:
    first = {"file": 1, "begin": 0, "rows": 3, "line_sum": 9, "readings": 2, "first": 5, "last": 9}
    second = {"file": 1, "begin": 7, "rows": 2, "line_sum": 11, "gaps": 1, "first": 3, "last": 3}
    one = json.dumps({**first, "spans": {"m": [5, 9, 2]}, "reasons": {"a": [1, 4]}})
    two = json.dumps({**second, "spans": {"m": [3, 3, 1]}, "reasons": {"a": [1, 6]}})
    whole = Tally(
        rows=5, line_sum=20, readings=2, gaps=1, first=3, last=9, spans={"m": (3, 9, 3)}, reasons={"a": (2, 4)}
    )
    assert tallies([one, two, one]) == {1: whole}
    assert total([whole, Tally()]) == whole
