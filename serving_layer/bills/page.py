"""A bill as one HTML page without outside parts: on screen, and on A4 when it is printed or made a PDF."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader

if TYPE_CHECKING:
    from meterlake.tariffs.bill import Bill

_SIGNS: Final = {"GBP": "£", "EUR": "€", "USD": "$"}
_PAGE: Final = "bill.html.j2"


def page(bill: Bill, title: str) -> str:
    """Return the page."""
    template = Environment(autoescape=True, loader=PackageLoader("serving_layer.bills", "")).get_template(_PAGE)
    sign = _SIGNS.get(bill.currency, f"{bill.currency} ")
    return template.render(bill=bill, title=title, sign=sign, price=_price, percent=_percent)


def _price(price: Decimal | None) -> str:
    return "varies" if price is None else _plain(price)


def _percent(rate: Decimal) -> str:
    return _plain(rate * 100)


def _plain(value: Decimal) -> str:
    """Return a number without the zeros that say nothing, two digits at least where it has any."""
    text = f"{value.normalize():f}"
    return text if "." not in text or len(text.partition(".")[2]) > 1 else f"{text}0"
