"""The distribution company that the sources describe: customers, network, tariffs, weather, and the hazard of outages.

Nothing here has a state: what happens on a day follows from the seed and the day. So sources that are made at once are
those that were played forward day by day. Days are numbers of local days since 1970; Pakistan has no summer time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from datasets.utility.common import CLASSES

UTC_OFFSET: Final = timedelta(hours=5)
EPOCH: Final = date(1970, 1, 1)
REGIONS: Final = ("North", "Central", "South")
PROFILE: Final = np.array(
    [
        3.1,
        2.9,
        2.8,
        2.7,
        2.8,
        3.0,
        3.4,
        3.9,
        4.1,
        4.2,
        4.3,
        4.4,
        4.5,
        4.6,
        4.6,
        4.6,
        4.7,
        4.9,
        5.4,
        5.8,
        5.7,
        5.2,
        4.5,
        3.9,
    ]
)
"""Share of a day's energy in each hour, before it is made to add up."""
_BACK: Final = 400
_AHEAD: Final = 4500
_WORST: Final = 1.5
"""Outages of a feeder on a day of the worst kind, expected."""
_FORECAST_ERROR: Final = 0.5
_PRICES: Final = (160_000, 250_000, 220_000, 90_000)
_DAILY: Final = (9.0, 30.0, 320.0, 40.0)
_DAILY_AT_NOON: Final = 12 * 3600

Frame = pd.DataFrame
Numbers: TypeAlias = Any
"""Arrays of numpy and columns of pandas: the stubs of one do not know the other."""


def day_number(day: date) -> int:
    """Return the number of a local day."""
    return (day - EPOCH).days


def instant(days: Any, seconds: Any = 0) -> Any:  # noqa: ANN401 - arrays and numbers
    """Return instants (UTC, without zone) of local days and seconds of them."""
    local = np.asarray(days, "int64") * 86_400 + np.asarray(np.round(seconds), "int64")
    return (local - int(UTC_OFFSET.total_seconds())).astype("datetime64[s]")


def as_datetime(day: int) -> datetime:
    """Return the beginning of a local day (UTC, without zone)."""
    return datetime.fromtimestamp(day * 86_400, UTC).replace(tzinfo=None) - UTC_OFFSET


def calendar(days: Numbers) -> Any:  # noqa: ANN401 - pandas
    """Return local days as pandas has dates."""
    return pd.DatetimeIndex(np.asarray(days, "int64").astype("datetime64[D]"))


def fixed(units: Numbers, scale: int) -> Numbers:
    """Return the decimals of whole units of 10^-scale as text: exact, as money is."""
    whole = np.asarray(units, "int64")
    # Arrow's decimals are integers of 128 bits.
    wide = pa.py_buffer(np.stack([whole, whole >> 63], axis=-1).tobytes())
    decimals = pa.Array.from_buffers(pa.decimal128(38, scale), len(whole), [None, wide])
    return decimals.cast(pa.string()).to_numpy(zero_copy_only=False)


def dates(days: Numbers) -> Numbers:
    """Return local days as text."""
    return pa.array(np.asarray(days, "int32"), pa.date32()).cast(pa.string()).to_numpy(zero_copy_only=False)


def names(prefix: str, numbers: Numbers, width: int) -> Numbers:
    """Return identities such as C0000012."""
    return np.array([f"{prefix}{number:0{width}}" for number in np.asarray(numbers).tolist()], dtype=object)


@dataclass(frozen=True)
class World:
    """A company of so many customers, from the local day ``start`` on."""

    seed: int
    customers: int
    start: int

    def random(self, *stream: int) -> np.random.Generator:
        """Return the random values of a stream, such as a kind of event and a day."""
        return np.random.default_rng((self.seed, *stream))

    # The network.

    @cached_property
    def feeders(self) -> int:
        """How many feeders there are."""
        return max(8, self.customers // 250)

    @cached_property
    def per_feeder(self) -> int:
        """Transformers of a feeder."""
        return max(2, self.customers // self.feeders // 20)

    @property
    def transformers(self) -> int:
        """How many transformers there are."""
        return self.feeders * self.per_feeder

    @cached_property
    def network(self) -> Frame:
        """Feeders, with what their hazard depends on."""
        pick, number = self.random(1), np.arange(self.feeders)
        region = number * len(REGIONS) // self.feeders
        return pd.DataFrame(
            {
                "feeder_id": names("F", number + 1, 4),
                "region_number": region,
                "region": np.array(REGIONS, dtype=object)[region],
                "district": [
                    f"{REGIONS[r]} {n % 2 + 1}" for n, r in zip(number.tolist(), region.tolist(), strict=True)
                ],
                "grid_station": [f"{REGIONS[r]} {n % 2 + 1}-{n // 4 + 1}" for n, r in zip(number, region, strict=True)],
                "length_m10": pick.integers(300, 4000, self.feeders),
                "vegetation": pick.integers(0, 800, self.feeders),
                "age": pick.integers(1, 45, self.feeders),
                "loss": pick.uniform(0.06, 0.22, self.feeders),
                "upgraded": np.where(
                    pick.random(self.feeders) < 0.25, self.start + pick.integers(20, 700, self.feeders), 10**7
                ),
                "planned_offset": pick.integers(0, 45, self.feeders),
            }
        )

    @cached_property
    def feeder(self) -> dict[str, Numbers]:
        """The columns of ``network``."""
        return {str(name): self.network[name].to_numpy() for name in self.network}

    @cached_property
    def transformer_ids(self) -> Numbers:
        """Identities of the transformers."""
        return names("T", np.arange(self.transformers) + 1, 5)

    # Customers.

    @cached_property
    def people(self) -> Frame:
        """Customers: where, of which class, since when, and how they use and pay."""
        pick, n = self.random(2), self.customers
        number = np.arange(n)
        transformer = number * self.transformers // n
        kind = pick.choice(4, n, p=(0.84, 0.11, 0.03, 0.02))
        joined = np.where(
            pick.random(n) < 0.06, self.start + pick.integers(25, 700, n), self.start - pick.integers(100, 3000, n)
        )
        changed = np.where(pick.random(n) < 0.1, self.start + pick.integers(5, 700, n), 10**7)
        left = np.where(pick.random(n) < 0.03, self.start + pick.integers(60, 700, n), 10**7)
        base = np.array(_DAILY)[kind] * pick.lognormal(0, 0.45, n)
        base = np.where(pick.random(n) < 0.01, 0.0, base)
        return pd.DataFrame(
            {
                "number": number,
                "customer_id": names("C", number + 1, 8),
                "transformer": transformer,
                "feeder": transformer // self.per_feeder,
                "kind": kind,
                "becomes": np.where(pick.random(n) < 0.25, 1, kind),
                "joined": joined,
                "changed": np.maximum(changed, joined + 10),
                "left": np.maximum(left, joined + 40),
                "base": base,
                "metered": base * np.where(pick.random(n) < 0.02, 0.35, 1.0),
                "kva": np.maximum(100, np.round(base * 22)).astype("int64"),
                "estimate_rate": np.where(pick.random(n) < 0.03, 0.85, 0.04),
                "habit": pick.choice(3, n, p=(0.76, 0.2, 0.04)),
                "register": pick.integers(0, 99_000_000, n),
                "new_meter": np.where(pick.random(n) < 0.15, self.start + pick.integers(20, 700, n), 10**7),
                "temper": np.where(pick.random(n) < 0.03, 25.0, 1.0),
            }
        )

    @cached_property
    def person(self) -> dict[str, Numbers]:
        """The columns of ``people``: what happens on a day picks from them, and a frame a day would take longer."""
        return {str(name): self.people[name].to_numpy() for name in self.people}

    def kind_at(self, who: Numbers, days: Any) -> Numbers:  # noqa: ANN401 - an array or a number
        """Return the classes of customers (places in ``people``) on days."""
        person = self.person
        return np.where(person["changed"][who] <= days, person["becomes"][who], person["kind"][who])

    def class_at(self, who: Numbers, days: Any) -> Numbers:  # noqa: ANN401
        """Return the names of the classes of customers on days."""
        return np.array(CLASSES, dtype=object)[self.kind_at(who, days)]

    def active(self, day: int) -> Numbers:
        """Return the places in ``people`` of those who are supplied on a day."""
        return np.flatnonzero((self.person["joined"] <= day) & (self.person["left"] > day))

    # What the days are like.

    @cached_property
    def _days(self) -> Numbers:
        return np.arange(self.start - _BACK, self.start + _AHEAD)

    @cached_property
    def weather(self) -> Numbers:
        """How bad the weather is, by day and region: standard normal, with storms that last."""
        raw = self.random(3).standard_normal((len(self._days) + 2, len(REGIONS)))
        return (raw[:-2] + raw[1:-1] + raw[2:]) / np.sqrt(3)

    @cached_property
    def season(self) -> Numbers:
        """Use of energy of each day, beside the mean: cooling in summer, less at weekends."""
        dates = calendar(self._days)
        summer = 1 + 0.4 * np.cos(2 * np.pi * (dates.dayofyear.to_numpy() - 190) / 365.25)
        return summer * np.where(dates.dayofweek.to_numpy() >= 5, 0.96, 1.0)

    @cached_property
    def _used(self) -> Numbers:
        return np.concatenate([[0.0], np.cumsum(self.season)])

    def index(self, day: Any) -> Any:  # noqa: ANN401
        """Return the place of days in ``weather`` and ``season``."""
        return day - self.start + _BACK

    def used(self, begin: Any, end: Any) -> Any:  # noqa: ANN401
        """Return the days' worth of energy from a day up to another."""
        last = len(self._used) - 1
        places = [np.clip(self.index(np.asarray(day)), 0, last) for day in (begin, end)]
        return self._used[places[1]] - self._used[places[0]]

    def rating_kw(self, day: int) -> Numbers:
        """Return the ratings of feeders on a day: those that were upgraded have half as much again."""
        peak = np.bincount(self.people["feeder"], self.people["base"], self.feeders) * 1.5 * 0.058 / 0.8
        return np.round(peak * np.where(self.network["upgraded"] <= day, 1.5, 1.0) + 50)

    def forecast(self, day: int) -> Numbers:
        """Return the weather of the next day by region, as it is forecast: with an error."""
        return self.weather[self.index(day + 1)] + self.random(4, day).normal(0, _FORECAST_ERROR, len(REGIONS))

    def planned(self, day: int) -> Numbers:
        """Return which feeders have planned work on a day."""
        return (day + self.feeder["planned_offset"]) % 45 == 0

    def hazard(self, day: int) -> Numbers:
        """Return the expected unplanned outages of each feeder on a day: the best that a prediction can know."""
        feeder = self.feeder
        weather = self.weather[self.index(day), feeder["region_number"]]
        since = (day + feeder["planned_offset"]) % 45
        score = (
            -3.3
            + 0.9 * feeder["age"] / 30
            + 1.1 * (self.season[self.index(day)] - 1) * np.where(feeder["upgraded"] <= day, 0.4, 1.0)
            + 0.9 * np.maximum(weather, 0)
            + 0.0012 * feeder["vegetation"] * np.maximum(weather, 0)
            - 0.8 * (since < 15)
        )
        return np.minimum(np.exp(score), _WORST)

    # Prices.

    def tariff_days(self, until: int) -> list[int]:
        """Return the days on which prices begin."""
        last = EPOCH + timedelta(days=until)
        turns = [date(year, month, 1) for year in range(2015, last.year + 1) for month in (1, 7)]
        return [day_number(date(2000, 1, 1)), *(day_number(day) for day in turns if day < last)]

    def price(self, kind: Numbers, days: Numbers) -> Numbers:
        """Return prices of classes on days, in units of 0.0001."""
        turns = np.array(self.tariff_days(self.start + _AHEAD))
        step = np.searchsorted(turns, days, side="right") - 1
        return np.array(_PRICES)[kind] * (100 + 3 * np.maximum(step - 1, 0)) // 100
