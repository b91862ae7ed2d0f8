"""Green Button files: what each reading means stands elsewhere in the feed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from reader_samples import ENERGY, ESTIMATED, EXPORT, HOMES, payloads, rows, series, tables

from meterlake.declaration import Level, MeterSeries, View
from meterlake.errors import DeclarationError
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.greenbutton import Flow, GreenButton

pytestmark = pytest.mark.unit

EXAMPLE = (Path(__file__).parents[2] / "docs/formats/examples/green-button.xml").read_text()
FORWARD = Flow("forward", "energy")
ONE = GreenButton(dataset=HOMES, flows=(FORWARD,))
BOTH_WAYS = GreenButton(
    dataset=series(ENERGY, EXPORT, ESTIMATED),
    flows=(FORWARD, Flow("reverse", "feed_in", absent="0")),
    estimated="estimated",
)


def read(text: str, form: GreenButton = ONE, **said: Any) -> list[tuple[Any, ...]]:
    return rows(form, text.encode(), **said)


def test_the_example() -> None:
    assert read(EXAMPLE, BOTH_WAYS) == [
        (1, "house", "2026-03-01 00:00", 251.0, 0.0, 0.0),
        (2, "house", "2026-03-01 00:30", 249.0, 12.0, 0.0),
        (3, "house", "2026-03-01 01:00", 260.0, 30.0, 1.0),
        (4, "house", "2026-03-01 01:30", 255.0, 0.0, 0.0),
        # In thousandths of a watt-hour, and nothing is fed in there.
        (9, "barn", "2026-03-01 00:00", 50.125, 0.0, 0.0),
        (10, "barn", "2026-03-01 00:30", 49.875, 0.0, 0.0),
    ]


def test_readings_of_no_declared_direction_are_no_silent_loss() -> None:
    result = read(EXAMPLE)
    assert Counter(row[1] for row in result) == {"house": 4, "barn": 2, "unknown_direction:19": 4}
    assert payloads(ONE, EXAMPLE.encode())[6] == "start=1772325000, duration=1800, value=12, quality=17"


def test_the_namespace_and_the_order_of_entries_do_not_matter() -> None:
    plain = EXAMPLE.replace("<espi:", "<").replace("</espi:", "</").replace(' xmlns:espi="http://naesb.org/espi"', "")
    assert read(plain, BOTH_WAYS) == read(EXAMPLE, BOTH_WAYS)
    head, *entries, last = EXAMPLE.replace("  <entry>", "\0  <entry>").split("\0")
    types = [last.replace("</feed>\n", ""), *entries[-2:]]
    assert read(head + "".join([*types, *entries[:-2]]) + "</feed>", BOTH_WAYS) == read(EXAMPLE, BOTH_WAYS)


def test_the_meter_may_be_said() -> None:
    assert {row[1] for row in read(EXAMPLE, BOTH_WAYS, meter_id="m1")} == {"m1"}


BLOCK = """<feed><entry><link rel="self" href="UsagePoint/1/MeterReading/2/IntervalBlock/3"/><content><IntervalBlock>
{readings}</IntervalBlock></content></entry><entry><link rel="self" href="ReadingType/9"/><content><ReadingType>
<flowDirection>1</flowDirection><intervalLength>1800</intervalLength>{more}</ReadingType></content></entry></feed>"""
PERIOD = "<timePeriod><start>1772323200</start></timePeriod>"


def small(
    reading: str = f"{PERIOD}<value>5</value>", more: str = "<uom>72</uom>", form: GreenButton = ONE
) -> list[tuple[Any, ...]]:
    return read(BLOCK.format(readings=f"<IntervalReading>{reading}</IntervalReading>", more=more), form)


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        ("", "bad_time"),
        ("<timePeriod><start>x</start></timePeriod><value>5</value>", "bad_time"),
        ("<timePeriod><start>-5</start></timePeriod><value>5</value>", "bad_time"),
        ("<timePeriod><start>1772323201</start></timePeriod><value>5</value>", "off_grid"),
        (f"<duration>0</duration>{PERIOD}<value>5</value>", "bad_interval"),
        (f"<duration>900</duration>{PERIOD}<value>5</value>", "off_grid"),
        (f"{PERIOD}<value>five</value>", "bad_value:energy"),
        (f"{PERIOD}<value>1e999</value>", "not_finite:energy"),
        (f"{PERIOD}<value/>", "missing_value"),
        (PERIOD, "missing_value"),
    ],
)
def test_odd_readings(reading: str, reason: str) -> None:
    assert small(reading) == [(1, reason)]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("<uom>72</uom>", (1, "1", "2026-03-01 00:00", 5.0)),
        ("<uom>72</uom><powerOfTenMultiplier>3</powerOfTenMultiplier>", (1, "1", "2026-03-01 00:00", 5000.0)),
        ("<uom>31</uom><powerOfTenMultiplier>3</powerOfTenMultiplier>", (1, "1", "2026-03-01 00:00", 5000 / 3600)),
        ("<uom>72</uom><powerOfTenMultiplier>x</powerOfTenMultiplier>", (1, "bad_unit:Wh")),
        ("<uom>38</uom>", (1, "bad_unit:W")),
        ("<uom>169</uom>", (1, "bad_unit:169")),
        ("", (1, "bad_unit:")),
        ("<uom>72</uom><accumulationBehaviour>3</accumulationBehaviour>", (1, "cumulative_register")),
    ],
)
def test_units(more: str, expected: tuple[Any, ...]) -> None:
    assert small(more=more) == [expected]


def test_what_is_declared_to_be_ignored() -> None:
    assert small(more="<uom>38</uom>", form=GreenButton(dataset=HOMES, flows=(FORWARD,), ignored=("W",))) == []


def test_a_level() -> None:
    power = MeterSeries(
        name="power", intervals=("30 min",), measures=(Level("power", "kW", "0.001"),), views=(View("30 min"),)
    )
    result = small(more="<uom>38</uom>", form=GreenButton(dataset=power, flows=(Flow("forward", "power"),)))
    assert result == [(1, "1", "2026-03-01 00:00", 0.005)]


def test_a_reading_without_its_type() -> None:
    reading = f"<IntervalReading>{PERIOD}<value>5</value></IntervalReading>"
    two = BLOCK.format(readings=reading, more="<uom>72</uom>").replace(
        "</feed>",
        '<entry><link rel="self" href="ReadingType/8"/><ReadingType><uom>72</uom></ReadingType></entry></feed>',
    )
    assert read(two) == [(1, "no_reading_type")]
    assert read(BLOCK.format(readings=reading, more="<uom>72</uom>").replace("UsagePoint/1/", "")) == [(1, "bad_meter")]
    bare = f"<IntervalBlock>{reading}<ReadingType><uom>72</uom></ReadingType></IntervalBlock>"
    none = GreenButton(dataset=HOMES, flows=(Flow("none", "energy"),), meter_id="m")
    assert read(bare, none) == [(1, "bad_interval")]
    assert tables(none, bare.encode())[0]["payload"] == "start=1772323200, duration=, value=5, quality="


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (EXAMPLE[:-20], "is damaged XML"),
        ("", "is damaged XML"),
        ("<html><body/></html>", "has no IntervalReading"),
        (
            '<!DOCTYPE feed [<!ENTITY a "aaaa">]><feed>&a;</feed>',
            "is damaged XML, or holds what a feed must not .*DTDForbidden",
        ),
        ('<?xml version="1.0" encoding="nonsense"?><feed/>', "is damaged XML"),
    ],
)
def test_another_file_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(WrongFile, match=problem):
        read(text)


def test_contradictions() -> None:
    with pytest.raises(DeclarationError, match="the direction 'out' is unknown"):
        GreenButton(dataset=HOMES, flows=(Flow("out", "energy"),))  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="'forward' occurs 2 times"):
        GreenButton(dataset=series(ENERGY, EXPORT), flows=(FORWARD, Flow("forward", "feed_in")))
