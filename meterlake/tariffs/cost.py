"""What a meter's half hours cost: a line a local day, product, and part of the tariff. Pure array operations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from meterlake.tariffs.declaration import MONEY_DIGITS, PRICE_DIGITS, Band, NoPrice, Tariff, Tariffs
from meterlake.vee.grid import day_of, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from meterlake.vee.grid import Flags, Integers

STANDING: Final = "standing charge"
ENERGY_DIGITS: Final = MONEY_DIGITS - PRICE_DIGITS
"""Energy is counted in 10^-3 kWh."""


@dataclass(frozen=True, eq=False)
class Usage:
    """Half hours of one meter, in order. starts: seconds since 1970. energy: Wh. estimated: which are estimates.

    day: local day since 1970. minute: of the local day, by the clock on the wall. product: place in ``products``.
    products: (id, name for people).
    """

    starts: Integers
    energy: Integers
    estimated: Flags
    day: Integers
    minute: Integers
    product: Integers
    products: Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Line:
    """What one part of a tariff costs on a day. energy, estimated: Wh, all and the part that is estimated.

    price: a kWh, or a day of the standing charge; None where it varies. amount: in 10^-9 of the currency, without VAT.
    """

    day: date
    product: str
    product_name: str | None
    tariff: str
    part: str
    price: Decimal | None
    energy: int
    estimated: int
    amount: int
    tax: Decimal


def lines(usage: Usage, tariffs: Tariffs) -> list[Line]:
    """Return the lines of all days, in order. Raises NoTariff, NoPrice.

    Days of the standing charge are those with half hours; on a day with several products the last one bears it. Blocks
    count what the meter has used in the calendar month under the same product, whatever tariffs it had.
    """
    result: list[Line] = []
    used = _used_before(usage)
    bearers = _bearers(usage)
    for number in np.unique(usage.day).tolist():
        day = day_of(number)
        of_day = usage.day == number
        for place in np.unique(usage.product[of_day]).tolist():
            product, name = usage.products[place]
            tariff = tariffs.of(product, name, day)
            tax = tariffs.tax(day)
            rows = np.flatnonzero(of_day & (usage.product == place))
            parts = _parts(usage, rows, used, tariff, tariffs)
            if bearers[number] == place:
                standing = _units(tariff.standing, MONEY_DIGITS)
                parts = [(STANDING, tariff.standing, 0, 0, standing), *parts]
            result += [
                Line(day, product, name, tariff.name, part, price, energy, estimated, amount, tax)
                for part, price, energy, estimated, amount in parts
            ]
    return result


_Part = tuple[str, Decimal | None, int, int, int]


def _parts(usage: Usage, rows: Integers, used: Integers, tariff: Tariff, tariffs: Tariffs) -> list[_Part]:
    energy, estimated = usage.energy[rows], usage.estimated[rows]
    if tariff.dynamic is not None:
        prices = np.array(list(_prices(usage, rows, tariff.dynamic, tariffs)), np.int64)
        return [("energy", None, int(energy.sum()), int(energy[estimated].sum()), int((prices * energy).sum()))]
    if tariff.blocks:
        return _blocks(energy, estimated, used[rows], tariff)
    result: list[_Part] = []
    free = np.ones(len(rows), np.bool_)
    for band in tariff.bands:
        mine = free & _within(usage, rows, band)
        free &= ~mine
        if mine.any():
            whole = int(energy[mine].sum())
            part = int(energy[mine & estimated].sum())
            result.append((band.name, band.price, whole, part, whole * _units(band.price, PRICE_DIGITS)))
    return result


def _blocks(energy: Integers, estimated: Flags, used: Integers, tariff: Tariff) -> list[_Part]:
    """Return what falls into each block. used: what the month had before each half hour."""
    result: list[_Part] = []
    low = 0
    for block in tariff.blocks:
        high = 2**62 if block.up_to is None else _units(block.up_to, ENERGY_DIGITS)
        within = np.clip(used + energy, low, high) - np.clip(used, low, high)
        low = high
        if within.any():
            whole = int(within.sum())
            part = int(within[estimated].sum())
            result.append((block.name, block.price, whole, part, whole * _units(block.price, PRICE_DIGITS)))
    return result


def _prices(usage: Usage, rows: Integers, name: str, tariffs: Tariffs) -> Iterator[int]:
    prices = tariffs.prices[name]
    for start in usage.starts[rows].tolist():
        if start not in prices:
            raise NoPrice(name, f"{moment(start):%Y-%m-%d %H:%M}")
        yield _units(prices[start], PRICE_DIGITS)


def _within(usage: Usage, rows: Integers, band: Band) -> Flags:
    begin, end = (at.hour * 60 + at.minute for at in (band.begin, band.end))
    minute, weekend = usage.minute[rows], (usage.day[rows] + 3) % 7 >= 5
    if begin == end:
        inside = np.ones(len(rows), np.bool_)
    elif begin < end:
        inside = (minute >= begin) & (minute < end)
    else:
        inside = (minute >= begin) | (minute < end)
    if band.days == "all":
        return inside
    return inside & (weekend if band.days == "weekend" else ~weekend)


def _used_before(usage: Usage) -> Integers:
    """Return what the meter had used before each half hour in its month, under its product."""
    months = np.array([_month(day) for day in usage.day.tolist()], np.int64)
    used = np.zeros(len(usage.energy), np.int64)
    groups = months * max(len(usage.products), 1) + usage.product
    for group in np.unique(groups):
        mine = groups == group
        used[mine] = np.cumsum(usage.energy[mine]) - usage.energy[mine]
    return used


def _bearers(usage: Usage) -> dict[int, int]:
    """Return day -> the product that bears the standing charge: that of its last half hour."""
    return dict(zip(usage.day.tolist(), usage.product.tolist(), strict=True))


def _month(number: int) -> int:
    day = date(1970, 1, 1) + timedelta(days=number)
    return day.year * 12 + day.month


def _units(value: Decimal, digits: int) -> int:
    return int(value.scaleb(digits))


def line_of(row: Mapping[str, Any]) -> Line:
    """Return a line from a row of the table of costs, as any engine gives it."""
    day = row["day"]
    return Line(
        day if isinstance(day, date) else date.fromisoformat(str(day)),
        row["product_id"],
        row["display_name"],
        row["tariff"],
        row["part"],
        None if row["price"] is None else Decimal(str(row["price"])),
        int(Decimal(str(row["kwh"])).scaleb(3)),
        int(Decimal(str(row["estimated_kwh"])).scaleb(3)),
        int(Decimal(str(row["amount"])).scaleb(MONEY_DIGITS)),
        Decimal(str(row["vat_rate"])),
    )
