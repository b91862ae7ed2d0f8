"""NEM12 and NEM13 files, record by record."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nemreader import NEMFile
from reader_samples import BOTH, COUNTED, ENERGY, ESTIMATED, EXPORT, HOMES, payloads, rows, series, tables

from meterlake.errors import DeclarationError
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.nem import Channel, Nem12, Nem13

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "docs/formats/examples"
NEM12 = (EXAMPLES / "nem12.csv").read_bytes()
NEM13 = (EXAMPLES / "nem13.csv").read_bytes()
E1 = Channel("E1", "energy")
SOLAR = Nem12(
    dataset=series(ENERGY, EXPORT, ESTIMATED),
    channels=(E1, Channel("B1", "feed_in", absent="0")),
    estimated="estimated",
)


def energies(data: bytes, **change: Any) -> list[tuple[Any, ...]]:
    return rows(Nem12(dataset=HOMES, channels=(E1,), **change), data)


def day(date: str, value: str = "1", count: int = 48, end: str = "A") -> str:
    return f"300,{date},{','.join([value] * count)},{end}\n"


def nem12(*records: str, end: str = "900\n") -> bytes:
    return ("100,NEM12,202603050900,MDP1,R1\n" + "".join(records) + end).encode()


NMI = "200,4102000001,E1,1,E1,N1,M1,kWh,30,\n"


def test_the_example() -> None:
    result = rows(SOLAR, NEM12)
    assert len(result) == 48 * 4
    # The market's time is UTC+10; line 3 and 9 are one day of both channels.
    assert result[0] == (3, "4102000001", "2026-02-28 14:00", 250.0, 0.0, 0.0)
    assert result[20] == (3, "4102000001", "2026-03-01 00:00", 270.0, 1200.0, 0.0)
    # Records 400 say which half hours of a variable day were substituted.
    assert [row[-1] for row in result[48:96]] == [0.0] * 20 + [1.0] * 28
    # The second meter has no B1, as its configuration says, and its unit is another.
    assert result[96] == (13, "4102000002", "2026-02-28 14:00", 100.0, 0.0, 0.0)
    # Of a day without data there are gap rows.
    assert result[144] == (14, "4102000002", "2026-03-01 14:00", None, None, None)
    sums = {
        meter: [sum(row[at] or 0 for row in result if row[1] == meter) for at in (3, 4)]
        for meter in {r[1] for r in result}
    }
    assert sums == {
        "4102000001": pytest.approx([48 * 250 + 1128 + 24_000, 13_000]),
        "4102000002": pytest.approx([48 * 100 + 1128, 0]),
    }


def test_it_gives_what_nemreader_gives() -> None:
    """The public library reads the same file; it is not used to load (docs/adr)."""
    theirs = NEMFile("nem12.csv").parse_nem_file(NEM12.decode().splitlines()).readings
    result = {
        (nmi, suffix, f"{reading.t_start:%Y-%m-%d %H:%M}"): (reading.read_value, reading.quality_method[0])
        for nmi, channels in theirs.items()
        for suffix, readings in channels.items()
        for reading in readings
    }
    ours = {}
    factor = {"4102000001": 1000, "4102000002": 1}
    for row in tables(replace(SOLAR, utc_offset=0 * SOLAR.utc_offset), NEM12):
        for suffix, measure in (("E1", "energy"), ("B1", "feed_in")):
            meter, start = row["meter_id"], f"{row['ts']:%Y-%m-%d %H:%M}"
            if (meter, suffix) != ("4102000002", "B1"):
                value = row[measure]
                ours[meter, suffix, start] = (value if value is None else value / factor[meter], row["estimated"])
    assert ours.keys() == result.keys()
    for key, (value, quality) in result.items():
        if quality == "N":
            assert ours[key] == (None, None)
        else:
            assert ours[key][0] == pytest.approx(value, abs=1e-12)
            # A half hour is a substitute where one of its channels is.
            assert ours[key][1] == float(result[key[0], "E1", key[2]][1] in "EFS")


def test_a_channel_that_is_not_declared_is_no_silent_loss() -> None:
    result = energies(NEM12)
    assert [row for row in result if len(row) == 2] == [
        (8, "unknown_channel:B1"),
        (9, "no_nmi"),
        (10, "no_nmi"),
    ]
    assert len(result) == 48 * 4 + 3
    assert len(energies(NEM12, ignored=("B1",))) == 48 * 4


def test_a_missing_channel_is_a_missing_measure_unless_declared() -> None:
    form = Nem12(dataset=BOTH, channels=(E1, Channel("B1", "feed_in")))
    result = Counter(row[1] for row in rows(form, NEM12))
    assert result == {"4102000001": 96, "missing_measure": 48, "4102000002": 48}


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_interval_lengths(minutes: int) -> None:
    count = 1440 // minutes
    data = nem12(f"200,41,E1,1,E1,N1,M1,kWh,{minutes},\n", day("20260301", count=count))
    form = Nem12(dataset=series(ENERGY, intervals=("5 min", "15 min", "30 min")), channels=(E1,))
    result = tables(form, data)
    assert [len(result), {row["interval_s"] for row in result}] == [count, {60 * minutes}]
    if minutes != 30:
        assert {reason for _, reason in energies(data)} == {"off_grid"}
        assert len(energies(data)) == count


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([NMI, day("20260301", count=47)], [(3, "missing_column")]),
        ([NMI, day("20260301", count=96)], [(3, "extra_column")]),
        ([NMI, day("20260231")], [(3, "bad_time")]),
        ([NMI, day("2026030")], [(3, "bad_time")]),
        ([NMI, day("20260301", end="X")], [(3, "bad_record:quality")]),
        ([NMI, day("20260301", end="")], [(3, "bad_record:quality")]),
        ([NMI, "400,1,2,A,,\n"], [(3, "bad_record:no_day")]),
        ([NMI, "\n", "700,1\n"], [(3, "empty_line"), (4, "unknown_record")]),
        ([day("20260301")], [(2, "no_nmi")]),
        (["200,4102000001,E1,1,E1,N1,M1,kWh,7,\n"], [(2, "bad_record:interval_length")]),
        (["200,4102000001,E1,1,E1,N1,M1,bananas,30,\n"], [(2, "bad_unit:bananas")]),
        (["200,4102000001,E1,1,E1,N1,M1,kvarh,30,\n"], [(2, "bad_unit:kvarh")]),
        (["200,,E1,1,E1,N1,M1,kWh,30,\n"], [(2, "bad_meter")]),
        (['200,"a\n'], [(2, "bad_record:quotes")]),
    ],
)
def test_odd_records_are_rows(records: list[str], expected: list[tuple[int, str]]) -> None:
    data = nem12(*records)
    assert energies(data) == expected
    assert payloads(Nem12(dataset=HOMES, channels=(E1,)), data) == {
        place: data.decode().split("\n")[place - 1] for place, _ in expected
    }


def test_events() -> None:
    day_v = day("20260301", end="V")
    result = energies(nem12(NMI, day_v, "400,1,46,A,,\n"))
    assert Counter(row[1] for row in result) == {"no_quality": 2, "4102000001": 46}
    result = energies(nem12(NMI, day_v, "400,1,46,A,,\n", "400,47,49,A\n", "400,x,48,A\n", "400,48,47,A\n"))
    assert [row for row in result if row[0] > 3] == [(n, "bad_record:intervals") for n in (5, 6, 7)]
    assert len(energies(nem12(NMI, day_v, "400,1,48,N\n"))) == 48
    assert {row[3] for row in energies(nem12(NMI, day_v, "400,1,48,N\n"))} == {None}


def test_one_bad_value_does_not_lose_the_others() -> None:
    data = nem12(NMI, day("20260301").replace(",1,1,", ",1,x,", 1).replace(",1,A", ",,A"))
    result = energies(data)
    assert Counter(len(row) for row in result) == {4: 47, 2: 1}
    assert (3, "bad_value:energy") in result
    assert result[-1] == (3, "4102000001", "2026-03-01 13:30", None)


def test_a_bad_record_200_takes_nothing_from_the_meter_before() -> None:
    two = "200,4102000001,E1B1,2,B1,N1,M1,nothing,30,\n"
    form = Nem12(dataset=BOTH, channels=(E1, Channel("B1", "feed_in")))
    data = nem12(NMI, day("20260301"), two, day("20260301"), "200,41020009,E1,1,E1,N1,M1,kWh,30,\n", day("20260301"))
    result = Counter((row["meter_id"], row["reason"]) for row in tables(form, data))
    assert result == {
        ("4102000001", "missing_measure"): 48,
        ("41020009", "missing_measure"): 48,
        (None, "bad_unit:nothing"): 1,
        (None, "no_nmi"): 1,
    }


def test_a_day_that_comes_twice_makes_two_readings() -> None:
    result = energies(nem12(NMI, day("20260301"), day("20260301", "2")))
    assert sorted((row[0], row[3]) for row in result) == [(3, 1000.0)] * 48 + [(4, 2000.0)] * 48


def test_a_file_without_its_end() -> None:
    assert energies(nem12(NMI, day("20260301"), end=""))[-1] == (3, "no_end_record")
    assert len(energies(nem12(NMI, day("20260301")) + nem12(NMI, day("20260302")))) == 96


@pytest.mark.parametrize("data", [b"", NEM13, b"200,1\n", b"\xff\n"])
def test_another_file_is_an_error(data: bytes) -> None:
    with pytest.raises(WrongFile, match=r"is empty|does not begin with the header of NEM12"):
        energies(data)


READS = Nem13(dataset=COUNTED, channels=(Channel("11", "energy"),), interval_s=1800, estimated="estimated")


def test_nem13() -> None:
    result = rows(READS, NEM13)
    steady = [row for row in result if row[1] == "4102000003"]
    assert len(steady) == 72
    assert steady[0] == (2, "4102000003", "2026-02-28 14:00", 1000.0, 1.0)
    assert steady[-1] == (4, "4102000003", "2026-03-02 01:30", 1000.0, 1.0)
    # 6 kWh in six hours from a quarter past nine: eleven whole half hours, and a quarter hour at each end.
    others = [row for row in result if row[1] == "4102000004"]
    assert len(others) == 11
    assert (others[0][2], sum(row[3] for row in others)) == ("2026-02-28 23:30", 5500.0)
    assert [row for row in result if len(row) == 2] == [(5, "partial_interval"), (5, "partial_interval")]


def test_odd_records_of_nem13() -> None:
    good = NEM13.decode().split("\n")[1]
    fields = good.split(",")

    def changed(**change: str) -> str:
        return ",".join(change.get(f"f{at}", field) for at, field in enumerate(fields))

    records = [
        changed(f4="77"),
        changed(f9="20260301"),
        changed(f14="20260301000000"),
        changed(f18=""),
        changed(f18="-1"),
        changed(f18="x"),
        changed(f19="litre"),
        changed(f15=""),
        changed(f9="20240101000000"),
        "x",
        ",".join(fields[:10]),
    ]
    data = ("100,NEM13,1,a,b\n" + "\n".join(records) + "\n900\n").encode()
    assert rows(READS, data) == [
        (2, "unknown_channel:77"),
        (3, "bad_time"),
        (4, "bad_time"),
        (5, "missing_value"),
        (6, "counter_went_back"),
        (7, "bad_value:energy"),
        (8, "bad_unit:litre"),
        (9, "bad_record:quality"),
        (11, "unknown_record"),
        (12, "bad_unit:"),
        (10, "gap_too_long"),
    ]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Nem12(dataset=HOMES, channels=()), r"it gives the measures \[\]"),
        (lambda: Nem12(dataset=HOMES, channels=(E1,), ignored=("E1",)), "the suffix 'E1' occurs 2 times"),
        (lambda: Nem12(dataset=HOMES, channels=(Channel("E1", "energy", absent="x"),)), "absent='x' is no number"),
        (lambda: Nem12(dataset=HOMES, channels=(E1,), meter_id="a"), "names a meter, and the file does, too"),
        (lambda: Nem13(dataset=HOMES, channels=(E1,), interval_s=1800), "nothing would tell them"),
    ],
)
def test_contradictions(make: Any, problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        make()
