"""Reads a file of tariffs (TOML; that of the half-hourly data set explains each key), and files of prices (CSV)."""

from __future__ import annotations

import csv
import tomllib
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from meterlake.tariffs.declaration import ANY, PRICE_DIGITS, BadTariffs, Band, Block, Tariff, Tariffs, Tax

_KEYS: Final = {
    "": {"currency", "vat", "prices", "tariff"},
    "vat": {"from", "rate"},
    "tariff": {"name", "products", "valid_from", "valid_to", "standing_charge", "price", "band", "block", "dynamic"},
    "band": {"name", "price", "from", "to", "days"},
    "block": {"name", "price", "up_to_kwh"},
}


def read(path: Path) -> Tariffs:
    """Return the tariffs of a file. Raises BadTariffs, naming the place."""
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTariffs(str(path), f"it cannot be read ({error})", "Give a file of tariffs (TOML).") from None
    where = path.name
    _check_keys(held, "", where)
    if not held.get("tariff"):
        raise BadTariffs(where, "it has no tariff", "Add a [[tariff]].")
    taxes = tuple(_tax(one, f"{where}, vat {number}") for number, one in enumerate(held.get("vat", ()), start=1))
    prices = {name: _prices(path.parent / str(file), name) for name, file in held.get("prices", {}).items()}
    tariffs = tuple(_tariff(one, where, prices) for one in held["tariff"])
    _check_once(tariffs, where)
    return Tariffs(str(held.get("currency", "GBP")), tariffs, tuple(sorted(taxes, key=lambda tax: tax.since)), prices)


def _tariff(held: dict[str, Any], file: str, prices: dict[str, Any]) -> Tariff:
    where = f"{file}, tariff {held.get('name', '?')!r}"
    _check_keys(held, "tariff", where)
    for key, kind in (("name", str), ("products", list), ("valid_from", date)):
        if not isinstance(held.get(key), kind) or not held[key]:
            raise BadTariffs(where, f"its {key} is {held.get(key)!r}", f"Give a {kind.__name__}.")
    given = [key for key in ("price", "band", "block", "dynamic") if key in held]
    if len(given) != 1:
        raise BadTariffs(where, f"it has {' and '.join(given) or 'no price'}", "Give price, band, block or dynamic.")
    valid_to = held.get("valid_to")
    if valid_to is not None and not held["valid_from"] < valid_to:
        raise BadTariffs(where, f"it ends on {valid_to}, not after it begins", "valid_to is the first day after it.")
    if held.get("dynamic") is not None and held["dynamic"] not in prices:
        raise BadTariffs(where, f"there are no prices {held['dynamic']!r}", "Name their file under [prices].")
    bands, blocks = _bands(held, where), _blocks(held, where)
    names = [*(band.name for band in bands), *(block.name for block in blocks)]
    if len(set(names)) < len(names):
        raise BadTariffs(where, f"two of its parts have one name ({', '.join(names)})", "Name each differently.")
    return Tariff(
        name=held["name"],
        products=tuple(map(str, held["products"])),
        valid_from=held["valid_from"],
        valid_to=valid_to,
        standing=_price(held.get("standing_charge", 0), where),
        bands=bands,
        blocks=blocks,
        dynamic=held.get("dynamic"),
    )


def _bands(held: dict[str, Any], where: str) -> tuple[Band, ...]:
    if "price" in held:
        return (Band("energy", _price(held["price"], where)),)
    bands = tuple(_band(one, where) for one in held.get("band", ()))
    if bands and not bands[-1].is_rest:
        raise BadTariffs(where, "its last band does not hold at all other times", "Leave from, to and days out there.")
    return bands


def _blocks(held: dict[str, Any], where: str) -> tuple[Block, ...]:
    blocks = tuple(_block(one, where) for one in held.get("block", ()))
    limits = [block.up_to for block in blocks[:-1]]
    if any(limit is None for limit in limits) or (blocks and blocks[-1].up_to is not None):
        raise BadTariffs(where, "not all blocks but the last have an end", "Give up_to_kwh to all but the last.")
    if any(first is not None and second is not None and first >= second for first, second in pairwise(limits)):
        raise BadTariffs(where, "its blocks do not rise", "Each block ends after the one before.")
    return blocks


def _band(held: dict[str, Any], where: str) -> Band:
    where = f"{where}, band {held.get('name', '?')!r}"
    _check_keys(held, "band", where)
    begin, end = held.get("from", time(0)), held.get("to", time(0))
    if not isinstance(begin, time) or not isinstance(end, time) or begin.second or end.second:
        raise BadTariffs(where, f"it is from {begin} to {end}", "Write times such as 07:30:00.")
    days = held.get("days", "all")
    if days not in ("all", "working", "weekend"):
        raise BadTariffs(where, f"its days are {days!r}", "Use all, working or weekend.")
    return Band(str(held.get("name", "energy")), _price(held.get("price"), where), begin, end, days)


def _block(held: dict[str, Any], where: str) -> Block:
    where = f"{where}, block {held.get('name', '?')!r}"
    _check_keys(held, "block", where)
    limit = held.get("up_to_kwh")
    limit = None if limit is None else Decimal(limit)
    if limit is not None and (limit <= 0 or _digits(limit) > 3):
        raise BadTariffs(where, f"it ends at {limit} kWh", "Give more than 0, to the Wh.")
    return Block(str(held.get("name", "energy")), _price(held.get("price"), where), limit)


def _tax(held: dict[str, Any], where: str) -> Tax:
    _check_keys(held, "vat", where)
    if not isinstance(held.get("from"), date):
        raise BadTariffs(where, f"it is from {held.get('from')!r}", "Give the first day.")
    rate = _price(held.get("rate"), where)
    if not 0 <= rate < 1:
        raise BadTariffs(where, f"the rate is {rate}", "5 % is 0.05.")
    return Tax(held["from"], rate)


def _prices(path: Path, name: str) -> dict[int, Decimal]:
    """Return prices a half hour of a CSV file with columns ``start`` (UTC, ISO 8601) and ``price``."""
    result: dict[int, Decimal] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=2):
                where = f"{path.name}, line {number}"
                try:
                    moment = datetime.fromisoformat(row["start"])
                    price = Decimal(row["price"])
                except (KeyError, TypeError, ValueError, InvalidOperation):
                    raise BadTariffs(where, f"{row} is no start and price", "Write 2021-01-01T00:30,0.1523") from None
                start = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
                if start in result:
                    raise BadTariffs(where, f"{row['start']} is there twice", "Keep one price a half hour.")
                result[start] = _price(price, where)
    except (OSError, UnicodeDecodeError) as error:
        raise BadTariffs(f"Prices {name!r}", f"{path} cannot be read ({error})", "Give a CSV file in UTF-8.") from None
    return result


def _price(value: Any, where: str) -> Decimal:  # noqa: ANN401 - what TOML has
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise BadTariffs(where, f"{value!r} is no price", "Write it such as 0.1523.")
    if _digits(Decimal(value)) > PRICE_DIGITS:
        raise BadTariffs(where, f"{value} has too many digits", f"Give at most {PRICE_DIGITS} after the point.")
    return Decimal(value)


def _digits(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


def _check_keys(held: dict[str, Any], kind: str, where: str) -> None:
    unknown = sorted(held.keys() - _KEYS[kind])
    if unknown:
        raise BadTariffs(where, f"{unknown[0]!r} is no key of it", f"It may have {', '.join(sorted(_KEYS[kind]))}.")


def _check_once(tariffs: tuple[Tariff, ...], where: str) -> None:
    seen: dict[tuple[str, date], str] = {}
    for tariff in tariffs:
        for product in tariff.products:
            before = seen.setdefault((product, tariff.valid_from), tariff.name)
            if before != tariff.name or tariff.products.count(product) > 1:
                what = "all others" if product == ANY else product
                problem = f"{before!r} and {tariff.name!r} both begin on {tariff.valid_from} for {what}"
                raise BadTariffs(where, problem, "Which one counts cannot be told: change one.")
    names = [(tariff.name, tariff.valid_from) for tariff in tariffs]
    if len(set(names)) < len(names):
        raise BadTariffs(where, "a tariff is there twice with the same first day", "Keep one.")
