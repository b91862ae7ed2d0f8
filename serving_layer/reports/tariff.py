"""Prices by time of use, with validity dates, from a small TOML file.

A price holds from its ``valid_from`` (local midnight) until the next one's, or its own ``valid_to``. A new
price is a new entry: what was used before it keeps the price that held then.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from serving_layer.reports.errors import NoPrice, WrongTariff

_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
DAY_MINUTES: Final = 1440


def _window(text: object) -> tuple[int, int]:
    match = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a time of day such as '22:00-06:00'")
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if end > DAY_MINUTES or begin == end:
        raise ValueError(f"{text!r} is empty or ends after 24:00")
    return begin, end


Hours = Annotated[tuple[int, int], BeforeValidator(_window)]
"""First and last (not included) minute of the local day; the last may be the smaller: past midnight."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Period(_Strict):
    """One price within the day. Without ``hours`` it holds at all hours that no period before it names.

    days: of the local calendar; an hour past midnight belongs to its own day.
    """

    name: str = Field(min_length=1)
    per_kwh: FiniteFloat
    hours: tuple[Hours, ...] = ()
    days: Literal["all", "weekdays", "weekends"] = "all"

    @property
    def is_rest(self) -> bool:
        """Whether it holds at every hour."""
        return not self.hours and self.days == "all"

    def holds(self, index: pd.DatetimeIndex) -> np.ndarray:
        """Return at which local times it holds."""
        minute = np.asarray(index.hour) * 60 + np.asarray(index.minute)
        held = np.ones(len(index), dtype=bool) if not self.hours else np.zeros(len(index), dtype=bool)
        for begin, end in self.hours:
            inside = (minute >= begin) & (minute < end) if begin < end else (minute >= begin) | (minute < end)
            held |= inside
        if self.days != "all":
            held &= (np.asarray(index.dayofweek) >= 5) == (self.days == "weekends")
        return held


class Price(_Strict):
    """Prices from a day on. standing_per_day: what a day costs before anything is used."""

    valid_from: date
    valid_to: date | None = None
    standing_per_day: FiniteFloat = 0.0
    period: tuple[Period, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Price:
        rests = [period.is_rest for period in self.period]
        if sum(rests) != 1 or not rests[-1]:
            raise ValueError("its last period, and only that, must have neither hours nor days: it is the rest")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is not after valid_from {self.valid_from}")
        return self

    @property
    def cheapest(self) -> float:
        """The lowest price of a kWh."""
        return min(period.per_kwh for period in self.period)


class Tariff(_Strict):
    """A tariff: its prices in order of time."""

    name: str = Field(min_length=1)
    currency: str = Field(min_length=1, max_length=8)
    price: tuple[Price, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> Tariff:
        starts = [price.valid_from for price in self.price]
        if len(set(starts)) != len(starts):
            raise ValueError("two prices have the same valid_from")
        object.__setattr__(self, "price", tuple(sorted(self.price, key=lambda price: price.valid_from)))
        return self

    @property
    def step_s(self) -> int:
        """The most seconds of which all its times of day are multiples."""
        edges = [edge for price in self.price for period in price.period for hours in period.hours for edge in hours]
        return 60 * math.gcd(DAY_MINUTES, *edges)

    @property
    def period_names(self) -> tuple[str, ...]:
        """Names of all periods, in order of first use."""
        return tuple(dict.fromkeys(period.name for price in self.price for period in price.period))

    def at(self, day: date) -> Price | None:
        """Return the price in force on a day."""
        valid = [price for price in self.price if price.valid_from <= day]
        if not valid or (valid[-1].valid_to is not None and day >= valid[-1].valid_to):
            return None
        return valid[-1]

    def changes(self, first: date, last: date) -> list[date]:
        """Return the days within (first, last] from which another price holds."""
        return [price.valid_from for price in self.price if first < price.valid_from <= last]


def load_tariff(path: Path) -> Tariff:
    """Read a tariff file. Raises WrongTariff, which says what is wrong with it and where."""
    try:
        return Tariff.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise WrongTariff(path, f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError:
        raise WrongTariff(path, "is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongTariff(path, f"is not TOML: {error}") from error
    except ValidationError as error:
        raise WrongTariff(path, "; ".join(_problems(error))) from error


def _problems(error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in item["loc"])
        yield f"{place or 'tariff'}: {item['msg'].removeprefix('Value error, ')}"


def priced(index: pd.DatetimeIndex, tariff: Tariff) -> pd.DataFrame:
    """Return, for local times, ``period``, ``per_kwh``, ``cheapest`` and ``standing_per_day`` then in force.

    Raises NoPrice where the tariff has none.
    """
    codes, days = pd.factorize(np.asarray(index.date))
    by_day = [tariff.at(day) for day in days]
    unpriced = [day for day, price in zip(days, by_day, strict=True) if price is None]
    if unpriced:
        raise NoPrice(tariff.name, min(unpriced), max(unpriced))
    result = pd.DataFrame(
        {"period": "", "per_kwh": np.nan, "cheapest": np.nan, "standing_per_day": np.nan}, index=index
    )
    for price in tariff.price:
        held = np.array([valid is price for valid in by_day], dtype=bool)[codes]
        result.loc[held, ["cheapest", "standing_per_day"]] = [price.cheapest, price.standing_per_day]
        for period in reversed(price.period):
            rows = held & period.holds(index)
            result.loc[rows, "period"] = period.name
            result.loc[rows, "per_kwh"] = period.per_kwh
    return result
