"""What a file of tariffs says. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRICE_DIGITS: Final = 6
"""Digits after the point of a price."""
MONEY_DIGITS: Final = 9
"""Digits after the point of an amount that is not rounded."""
ANY: Final = "*"
"""Product of a tariff for all products that no other tariff names."""

Days = Literal["all", "working", "weekend"]


class BadTariffs(PermanentError):
    """A file of tariffs cannot be what it says."""

    def __init__(self, where: str, problem: str, hint: str) -> None:
        super().__init__(f"{where}: {problem}.", hint=hint)


class NoTariff(PermanentError):
    """A product has no price on a day."""

    def __init__(self, product: str, name: str | None, day: date) -> None:
        shown = f"{product} ({name})" if name else product
        super().__init__(
            f"Product {shown} has no tariff on {day}.",
            hint=f"Add one that is valid then to the file of tariffs, or one for all other products ({ANY!r}).",
        )


class NoPrice(PermanentError):
    """A dynamic price is not known for a half hour."""

    def __init__(self, series: str, start: str) -> None:
        super().__init__(f"The prices {series!r} have none for {start} UTC.", hint="Add it to the file of prices.")


@dataclass(frozen=True)
class Band:
    """A price for some hours of some days, by the clock on the wall: [begin, end), over midnight where end < begin."""

    name: str
    price: Decimal
    begin: time = time(0)
    end: time = time(0)
    days: Days = "all"

    @property
    def is_rest(self) -> bool:
        """Whether it holds at all times that no band before it has."""
        return self.begin == self.end and self.days == "all"


@dataclass(frozen=True)
class Block:
    """A price for what a meter uses in a calendar month beyond the block before, up to so many kWh (None: the rest)."""

    name: str
    price: Decimal
    up_to: Decimal | None


@dataclass(frozen=True)
class Tariff:
    """Prices of some products from a local day on, without VAT.

    valid_to: the first day on which they no longer hold; None: until a later tariff of the product begins. standing: a
    day. One of bands, blocks, dynamic says what a unit of energy costs; dynamic: the name of prices a half hour.
    """

    name: str
    products: tuple[str, ...]
    valid_from: date
    standing: Decimal
    valid_to: date | None = None
    bands: tuple[Band, ...] = ()
    blocks: tuple[Block, ...] = ()
    dynamic: str | None = None

    def holds(self, day: date) -> bool:
        """Return whether it holds on a day."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class Tax:
    """The rate of VAT from a day on: 0.05 is 5 %."""

    since: date
    rate: Decimal


@dataclass(frozen=True)
class Tariffs:
    """All tariffs of a data set. taxes: in order. prices: name -> start of the half hour (s since 1970) -> price."""

    currency: str
    tariffs: tuple[Tariff, ...]
    taxes: tuple[Tax, ...]
    prices: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict, hash=False)

    def of(self, product: str, name: str | None, day: date) -> Tariff:
        """Return the tariff of a product on a day: of several the one that began last. Raises NoTariff.

        product: its id; name: what people call it. A tariff that names it comes before one for all others.
        """
        for wanted in ({product, name} - {None}, {ANY}):
            held = [one for one in self.tariffs if wanted & set(one.products) and one.holds(day)]
            if held:
                return max(held, key=lambda one: one.valid_from)
        raise NoTariff(product, name, day)

    def tax(self, day: date) -> Decimal:
        """Return the rate of VAT on a day; 0 before the first."""
        return max((tax for tax in self.taxes if tax.since <= day), key=lambda tax: tax.since, default=_NONE).rate


_NONE: Final = Tax(date.min, Decimal(0))
