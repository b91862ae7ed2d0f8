"""The lines of a bill. Here, and only here, money is rounded: each line to hundredths, halves up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from meterlake.tariffs.cost import STANDING
from meterlake.tariffs.declaration import MONEY_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.tariffs.cost import Line

CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class BillLine:
    """A part of a tariff over a period. quantity: kWh, or days of the standing charge. net: rounded."""

    product: str
    tariff: str
    part: str
    since: date
    until: date
    quantity: Decimal
    unit: str
    estimated: Decimal
    price: Decimal | None
    net: Decimal


@dataclass(frozen=True)
class TaxLine:
    """VAT of one rate: of the sum of the lines that are under it, rounded once."""

    rate: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True)
class Bill:
    """A meter's bill for local days since to until, both included."""

    meter: str
    since: date
    until: date
    currency: str
    lines: tuple[BillLine, ...]
    taxes: tuple[TaxLine, ...]

    @property
    def net(self) -> Decimal:
        """The sum of all lines."""
        return sum((line.net for line in self.lines), Decimal("0.00"))

    @property
    def tax(self) -> Decimal:
        """The sum of all VAT."""
        return sum((line.tax for line in self.taxes), Decimal("0.00"))

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        return self.net + self.tax

    @property
    def kwh(self) -> Decimal:
        """All energy."""
        return sum((line.quantity for line in self.lines if line.unit == "kWh"), Decimal("0.000"))

    @property
    def estimated_kwh(self) -> Decimal:
        """The part of it that is estimated."""
        return sum((line.estimated for line in self.lines), Decimal("0.000"))


def rounded(amount: Decimal) -> Decimal:
    """Return money in hundredths, halves away from zero."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def bill(meter: str, since: date, until: date, currency: str, costs: Iterable[Line]) -> Bill:
    """Return the bill of some days: one line a product, tariff, part and price."""
    groups: dict[tuple[str, str, str, Decimal | None, Decimal], list[Line]] = defaultdict(list)
    for cost in costs:
        if since <= cost.day <= until:
            product = cost.product_name or cost.product
            groups[product, cost.tariff, cost.part, cost.price, cost.tax].append(cost)
    made: list[tuple[Decimal, BillLine]] = []
    for (product, tariff, part, price, rate), some in groups.items():
        is_standing = part == STANDING
        energy = Decimal(sum(one.energy for one in some)).scaleb(-3)
        amount = Decimal(sum(one.amount for one in some)).scaleb(-MONEY_DIGITS)
        line = BillLine(
            product,
            tariff,
            part,
            min(one.day for one in some),
            max(one.day for one in some),
            Decimal(len(some)) if is_standing else energy,
            "days" if is_standing else "kWh",
            Decimal(sum(one.estimated for one in some)).scaleb(-3),
            price,
            rounded(amount),
        )
        made.append((rate, line))
    made.sort(key=lambda one: (one[1].since, one[1].product, one[1].tariff, one[1].part != STANDING, one[1].part))
    taxes = []
    for rate in sorted({rate for rate, _ in made}):
        net = sum((line.net for held, line in made if held == rate), Decimal("0.00"))
        taxes.append(TaxLine(rate, net, rounded(net * rate)))
    return Bill(meter, since, until, currency, tuple(line for _, line in made), tuple(taxes))
