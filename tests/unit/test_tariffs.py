"""Tariffs: the file, what half hours cost, and bills, by examples worked by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from batch_layer.cost.run import as_texts, differ_since
from meterlake import registry
from meterlake.tariffs.bill import Bill, bill, rounded
from meterlake.tariffs.cost import Line, Usage, lines
from meterlake.tariffs.declaration import BadTariffs, NoPrice, NoTariff, Tariffs
from meterlake.tariffs.file import read
from meterlake.vee.grid import local
from serving_layer.bills.page import page

pytestmark = pytest.mark.unit

STEP = 1800
ZONE = ZoneInfo("Europe/London")
TWO = 'currency = "GBP"\n[[vat]]\nfrom = 1997-09-01\nrate = 0.05\n'


def tariffs(tmp_path: Path, text: str) -> Tariffs:
    path = tmp_path / "tariffs.toml"
    path.write_text(TWO + text)
    return read(path)


def tariff(name: str = "A", products: str = '["*"]', since: str = "2021-01-01", rest: str = "price = 0.15") -> str:
    return f'[[tariff]]\nname = "{name}"\nproducts = {products}\nvalid_from = {since}\n{rest}\n'


def midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp())


def usage(first: date, days: int, wh: int | Iterable[int], products: list[str] | None = None) -> Usage:
    """Half hours of local days: of each the same energy, or those that are given. products: one a local day."""
    starts = np.arange(midnight(first), midnight(first + timedelta(days=days)), STEP, dtype=np.int64)
    day, slot = local(starts, STEP, "Europe/London")
    energy = np.full(len(starts), wh) if isinstance(wh, int) else np.array(list(wh), np.int64)
    named = products or ["p"] * days
    known = sorted(set(named))
    place = np.array([known.index(named[number]) for number in (day - day[0]).tolist()], np.int64)
    return Usage(starts, energy, np.zeros(len(starts), np.bool_), day, slot * 30, place, [(one, None) for one in known])


def costs(lines: Iterable[Line]) -> list[tuple[int, str, int, str]]:
    return [(one.day.day, one.part, one.energy, str(Decimal(one.amount).scaleb(-9).normalize())) for one in lines]


def test_the_file_of_the_data_set_is_read() -> None:
    ours = registry.entry("half_hourly").tariffs()
    assert [(one.name, len(one.bands), len(one.blocks)) for one in ours.tariffs] == [
        ("Standard 2020", 1, 0),
        ("Standard 2021", 1, 0),
        ("Night and day", 3, 0),
        ("Two blocks", 0, 2),
    ]
    assert ours.tax(date(2021, 1, 1)) == Decimal("0.05")
    assert ours.tax(date(1990, 1, 1)) == 0
    assert ours.of("x", "Tariff 9", date(2021, 3, 31)).name == "Standard 2020"
    assert ours.of("x", "Tariff 9", date(2021, 4, 1)).name == "Standard 2021"
    assert ours.of("x", "Tariff 4", date(2021, 4, 1)).name == "Two blocks"


def test_files_with_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    text = TWO + '[prices]\nspot = "spot.csv"\n' + tariff(rest='dynamic = "spot"')
    prices = "start,price\n2021-01-01T00:00,0.15\n2021-01-01T00:30,-0.02\n"
    for name, content in (("tariffs.toml", text), ("spot.csv", prices)):
        (tmp_path / name).write_bytes(content.replace("\n", "\r\n").encode("utf-8-sig"))
    result = read(tmp_path / "tariffs.toml")
    assert [one.dynamic for one in result.tariffs] == ["spot"]
    begin = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp())
    assert result.prices["spot"] == {begin: Decimal("0.15"), begin + STEP: Decimal("-0.02")}
    (tmp_path / "spot.csv").write_bytes("start,price\nJänner,0.15\n".encode("cp1252"))
    with pytest.raises(BadTariffs, match=r"spot.csv cannot be read .*Give a CSV file in UTF-8"):
        read(tmp_path / "tariffs.toml")


def test_a_day_costs_its_energy_and_its_standing_charge(tmp_path: Path) -> None:
    some = tariffs(tmp_path, tariff(rest="standing_charge = 0.2237\nprice = 0.1544"))
    result = lines(usage(date(2021, 2, 1), 1, 123), some)
    # 48 x 0.123 kWh = 5.904 kWh; x 0.1544 = 0.9115776
    assert costs(result) == [(1, "standing charge", 0, "0.2237"), (1, "energy", 5904, "0.9115776")]
    made = bill("m", date(2021, 2, 1), date(2021, 2, 28), "GBP", result)
    assert [(one.quantity, one.unit, one.net) for one in made.lines] == [
        (1, "days", Decimal("0.22")),
        (Decimal("5.904"), "kWh", Decimal("0.91")),
    ]
    assert (made.net, made.tax, made.total) == (
        Decimal("1.13"),
        Decimal("0.06"),
        Decimal("1.19"),
    )  # 5 % of 1.13 is 0.0565


@pytest.mark.parametrize(
    ("day", "night", "rest"), [(date(2021, 3, 28), 12, 34), (date(2021, 10, 31), 16, 34), (date(2021, 3, 29), 14, 34)]
)
def test_bands_follow_the_clock_on_the_wall_when_it_changes(tmp_path: Path, day: date, night: int, rest: int) -> None:
    bands = (
        '[[tariff.band]]\nname = "night"\nfrom = 00:30:00\nto = 07:30:00\nprice = 0.1\n'
        '[[tariff.band]]\nname = "day"\nprice = 0.2'
    )
    result = lines(usage(day, 1, 1000), tariffs(tmp_path, tariff(rest=bands)))
    energy = {one.part: one.energy // 1000 for one in result}
    assert energy == {"standing charge": 0, "night": night, "day": rest}
    assert sum(one.amount for one in result) == night * 10**8 + rest * 2 * 10**8


def test_a_band_may_go_over_midnight_and_hold_on_some_days(tmp_path: Path) -> None:
    bands = (
        '[[tariff.band]]\nname = "late"\nfrom = 22:00:00\nto = 02:00:00\nprice = 0.1\n'
        '[[tariff.band]]\nname = "free time"\ndays = "weekend"\nprice = 0.2\n'
        '[[tariff.band]]\nname = "work"\nprice = 0.3'
    )
    result = lines(usage(date(2021, 2, 5), 2, 10), tariffs(tmp_path, tariff(rest=bands)))  # Friday, Saturday
    assert [(day, part, wh) for day, part, wh, _ in costs(result)] == [
        (5, "standing charge", 0),
        (5, "late", 80),
        (5, "work", 400),
        (6, "standing charge", 0),
        (6, "late", 80),
        (6, "free time", 400),
    ]


def test_blocks_count_a_month_and_split_the_half_hour_that_passes_their_end(tmp_path: Path) -> None:
    blocks = (
        '[[tariff.block]]\nname = "low"\nup_to_kwh = 100\nprice = 0.2\n[[tariff.block]]\nname = "high"\nprice = 0.1'
    )
    some = tariffs(tmp_path, tariff(rest=blocks))
    # 30.1 kWh on the first days of a month, then none
    first = [30_100] + [0] * 47
    result = lines(usage(date(2021, 1, 31), 6, first * 6), some)
    energy = [(one.day.day, one.part, one.energy) for one in result if one.energy]
    assert energy == [
        (31, "low", 30_100),
        (1, "low", 30_100),  # a new month
        (2, "low", 30_100),
        (3, "low", 30_100),
        (4, "low", 9_700),
        (4, "high", 20_400),
        (5, "high", 30_100),
    ]
    made = bill("m", date(2021, 2, 1), date(2021, 2, 28), "GBP", result)
    assert {one.part: (one.quantity, one.net) for one in made.lines if one.unit == "kWh"} == {
        "low": (Decimal("100.000"), Decimal("20.00")),
        "high": (Decimal("50.500"), Decimal("5.05")),
    }


def test_blocks_go_on_where_the_price_changes_in_the_middle_of_a_month(tmp_path: Path) -> None:
    text = '[[tariff.block]]\nname = "low"\nup_to_kwh = 100\nprice = {0}\n[[tariff.block]]\nname = "high"\nprice = 0.1'
    some = tariffs(
        tmp_path, tariff("A", rest=text.format("0.2")) + tariff("B", since="2021-02-03", rest=text.format("0.3"))
    )
    result = lines(usage(date(2021, 2, 1), 4, ([40_000] + [0] * 47) * 4), some)
    assert [(one.day.day, one.tariff, one.part, one.energy) for one in result if one.energy] == [
        (1, "A", "low", 40_000),
        (2, "A", "low", 40_000),
        (3, "B", "low", 20_000),
        (3, "B", "high", 20_000),
        (4, "B", "high", 40_000),
    ]


def test_a_new_price_does_not_rewrite_the_past(tmp_path: Path) -> None:
    before = tariffs(tmp_path, tariff(rest="standing_charge = 0.2\nprice = 0.1"))
    some = usage(date(2021, 2, 26), 4, 100)
    past = lines(some, before)
    after = tariffs(
        tmp_path,
        tariff(rest="standing_charge = 0.2\nprice = 0.1") + tariff("B", since="2021-03-01", rest="price = 0.4"),
    )
    now = lines(some, after)
    assert [one for one in now if one.day < date(2021, 3, 1)] == [one for one in past if one.day < date(2021, 3, 1)]
    assert costs(now)[-2:] == [(1, "standing charge", 0, "0"), (1, "energy", 4800, "1.92")]
    made = bill("m", date(2021, 2, 1), date(2021, 3, 31), "GBP", now)
    shown = [(one.tariff, one.part, one.since.day, one.until.day, one.quantity, one.net) for one in made.lines]
    assert shown == [
        ("A", "standing charge", 26, 28, Decimal(3), Decimal("0.60")),
        ("A", "energy", 26, 28, Decimal("14.400"), Decimal("1.44")),
        ("B", "standing charge", 1, 1, Decimal(1), Decimal("0.00")),
        ("B", "energy", 1, 1, Decimal("4.800"), Decimal("1.92")),
    ]


def test_dynamic_prices_are_taken_half_hour_by_half_hour(tmp_path: Path) -> None:
    day = date(2021, 2, 1)
    rows = [f"{datetime.fromtimestamp(midnight(day) + STEP * n, UTC):%Y-%m-%dT%H:%M},{n / 1000:.3f}" for n in range(48)]
    (tmp_path / "w.csv").write_text("start,price\n" + "\n".join(rows))
    some = tariffs(tmp_path, '[prices]\nw = "w.csv"\n' + tariff(rest='dynamic = "w"'))
    result = lines(usage(day, 1, range(48)), some)
    assert costs(result)[1] == (1, "energy", 1128, "0.03572")  # the sum of n^2 is 35,720
    assert result[1].price is None
    with pytest.raises(NoPrice, match="'w' have none for 2021-02-02 00:00"):
        lines(usage(day, 2, 10), some)
    (tmp_path / "w.csv").write_text("start,price\n2021-02-01T00:00,-0.05\n2021-02-01T00:00+00:00,1\n")
    with pytest.raises(BadTariffs, match="line 3: 2021-02-01T00:00\\+00:00 is there twice"):
        tariffs(tmp_path, '[prices]\nw = "w.csv"\n' + tariff(rest='dynamic = "w"'))


def test_on_a_handover_the_last_product_bears_the_standing_charge(tmp_path: Path) -> None:
    some = tariffs(
        tmp_path,
        tariff("A", '["a"]', rest="standing_charge = 0.1\nprice = 0.1")
        + tariff("B", '["b"]', rest="standing_charge = 0.2\nprice = 0.1"),
    )
    used = usage(date(2021, 2, 1), 2, 10, ["a", "b"])
    assert [(one.product, one.part) for one in lines(used, some)] == [
        ("a", "standing charge"),
        ("a", "energy"),
        ("b", "standing charge"),
        ("b", "energy"),
    ]
    place = used.product.copy()
    place[:10] = 1  # the first half hours of the first day, too
    mixed = Usage(used.starts, used.energy, used.estimated, used.day, used.minute, place, used.products)
    assert [(one.day.day, one.product, one.part, one.energy) for one in lines(mixed, some)][:3] == [
        (1, "a", "standing charge", 0),
        (1, "a", "energy", 380),
        (1, "b", "energy", 100),
    ]
    with pytest.raises(NoTariff, match="Product c has no tariff on 2021-02-01"):
        lines(usage(date(2021, 2, 1), 1, 10, ["c"]), some)


def test_estimates_are_a_part_that_is_named(tmp_path: Path) -> None:
    used = usage(date(2021, 2, 1), 1, 10)
    estimated = used.estimated.copy()
    estimated[:5] = True
    part = Usage(used.starts, used.energy, estimated, used.day, used.minute, used.product, used.products)
    made = bill("m", date(2021, 2, 1), date(2021, 2, 1), "GBP", lines(part, tariffs(tmp_path, tariff())))
    assert (made.kwh, made.estimated_kwh) == (Decimal("0.480"), Decimal("0.050"))


@pytest.mark.parametrize(("amount", "wanted"), [("0.005", "0.01"), ("0.004999999", "0.00"), ("-0.005", "-0.01")])
def test_halves_are_rounded_up(amount: str, wanted: str) -> None:
    assert rounded(Decimal(amount)) == Decimal(wanted)


def test_vat_is_rounded_once_a_rate() -> None:
    def line(day: date, part: str, amount: int, tax: str) -> Line:
        return Line(day, "p", None, "T", part, Decimal("0.1"), 1000, 0, amount, Decimal(tax))

    first, second = date(2021, 1, 1), date(2021, 1, 2)
    some = [
        line(first, "a", 105_000_000, "0.05"),
        line(first, "b", 90_000_000, "0.05"),
        line(second, "a", 4_999_999, "0.2"),
    ]
    made: Bill = bill("m", first, second, "GBP", some)
    assert [(one.part, one.net) for one in made.lines] == [
        ("a", Decimal("0.11")),
        ("b", Decimal("0.09")),
        ("a", Decimal("0.00")),
    ]
    assert [(one.rate, one.net, one.tax) for one in made.taxes] == [
        (Decimal("0.05"), Decimal("0.20"), Decimal("0.01")),
        (Decimal("0.2"), Decimal("0.00"), Decimal("0.00")),
    ]
    assert made.total == Decimal("0.21")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has no tariff"),
        (tariff(rest="prize = 1"), "'prize' is no key of it"),
        (tariff(rest=""), "it has no price"),
        (tariff(rest="price = 0.1234567"), "0.1234567 has too many digits"),
        (tariff(rest='price = "0.1"'), "'0.1' is no price"),
        (tariff(rest="price = 0.1\nvalid_to = 2021-01-01"), "it ends on 2021-01-01, not after it begins"),
        (tariff(rest='dynamic = "x"'), "there are no prices 'x'"),
        (tariff(rest="[[tariff.band]]\nfrom = 01:00:00\nto = 02:00:00\nprice = 1"), "does not hold at all other times"),
        (tariff(rest="[[tariff.block]]\nup_to_kwh = 5\nprice = 1"), "not all blocks but the last have an end"),
        (
            tariff(
                rest='[[tariff.block]]\nname = "a"\nup_to_kwh = 5\nprice = 1\n'
                '[[tariff.block]]\nname = "b"\nup_to_kwh = 5\nprice = 1\n[[tariff.block]]\nprice = 1'
            ),
            "its blocks do not rise",
        ),
        (tariff(rest="[[tariff.block]]\nup_to_kwh = 5\nprice = 1\n[[tariff.block]]\nprice = 1"), "have one name"),
        (tariff("A") + tariff("B"), "'A' and 'B' both begin on 2021-01-01 for all others"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadTariffs, match=says):
        tariffs(tmp_path, text)


def test_what_the_tariffs_say_otherwise_is_known_by_its_first_day(tmp_path: Path) -> None:
    newest = date(2021, 2, 28)
    (tmp_path / "w.csv").write_text("start,price\n2021-02-01T00:00,0.1\n2021-03-05T00:00,0.2\n")
    text = '[prices]\nw = "w.csv"\n' + tariff(rest='dynamic = "w"')
    known = as_texts(tariffs(tmp_path, text), newest)
    assert differ_since(known, tariffs(tmp_path, text), newest) is None
    later = tariffs(tmp_path, text + tariff("B", since="2021-03-01"))
    assert differ_since(known, later, newest) == date(2021, 3, 1)
    earlier = tariffs(tmp_path, text + tariff("B", since="2021-02-14"))
    assert differ_since(known, earlier, newest) == date(2021, 2, 14)
    (tmp_path / "w.csv").write_text("start,price\n2021-02-01T00:00,0.1\n2021-03-05T00:00,0.3\n2021-03-06T00:00,1\n")
    assert differ_since(known, tariffs(tmp_path, text), newest) is None  # of days that have no costs yet
    (tmp_path / "w.csv").write_text("start,price\n2021-02-01T00:00,0.11\n")
    assert differ_since(known, tariffs(tmp_path, text), newest) == date(2021, 2, 1)


def test_the_page_of_a_bill_has_each_line_and_hatches_estimates(tmp_path: Path) -> None:
    used = usage(date(2021, 2, 1), 2, 10)
    part = Usage(
        used.starts, used.energy, used.day == used.day[0], used.day, used.minute, used.product, [("<p>", "A & B")]
    )
    some = lines(part, tariffs(tmp_path, tariff(rest="standing_charge = 0.5\nprice = 0.1")))
    text = page(bill("m<1>", date(2021, 2, 1), date(2021, 2, 2), "GBP", some), "Bill")
    assert "<title>Bill: m&lt;1&gt;, 2021-02-01 to 2021-02-02</title>" in text
    assert '0.960 kWh, of which <span class="estimated">0.480 kWh are estimated</span>.' in text
    for words in (
        "<td>A &amp; B, A<td>2021-02-01 – 2021-02-02<td>standing charge",
        "2 days",
        "£1.00",
        "£0.10",
        "£1.10",
    ):
        assert words in text, words
    assert '<td colspan="5">VAT, 5 % of £1.10<td class="number">£0.06</tr>' in text
    assert '<td colspan="5">To be paid<td class="number">£1.16</tr>' in text
    assert "http" not in text
