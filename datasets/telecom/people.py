"""The people of the simulation: where they live and work, whom they know, what they hold in their hands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

CITIES: Final = (
    ("Cairo", "Greater Cairo", 30.04, 31.24, 36),
    ("Giza", "Greater Cairo", 30.01, 31.21, 18),
    ("Alexandria", "Coast", 31.20, 29.92, 16),
    ("Mansoura", "Delta", 31.04, 31.38, 9),
    ("Port Said", "Canal", 31.26, 32.30, 7),
    ("Aswan", "Upper Egypt", 24.09, 32.90, 7),
    ("Hurghada", "Red Sea", 27.26, 33.81, 7),
)
MODELS: Final = (
    ("35846279", "Samsung", "Galaxy A15", "Android 14"),
    ("35846270", "Apple", "iPhone 14", "iOS 17"),
    ("86945303", "Huawei", "Nova 11", "EMUI 13"),
    ("35846103", "Xiaomi", "Redmi 13", "Android 14"),
    ("35944803", "Oppo", "A78", "Android 13"),
    ("35123411", "Nokia", "105", None),
)
_FIRST: Final = ("Nour", "Reem", "Karim", "Amr", "Ahmed", "Heba", "Fatma", "Hany", "Aya", "Mariam", "Omar", "Salma")
_LAST: Final = ("El-Sayed", "Omar", "Sami", "Khaled", "Ibrahim", "Soliman", "El-Shamy", "Hassan", "Fathy", "Nabil")
_DEPARTMENTS: Final = ("Customer Service", "Billing", "Retention", "Complaints", "Activation", "Sales")
_AGENTS: Final = 50
_FRIENDS: Final = 8


@dataclass(frozen=True)
class People:
    """Arrays with an item a user: number, device, model, cells at home and at work, friends, activity, payment."""

    phone: Texts
    imei: Texts
    tac: Texts
    home: Ints
    work: Ints
    city: Ints
    friends: Ints
    weight: npt.NDArray[np.float64]
    prepaid: npt.NDArray[np.bool_]
    cells: list[dict[str, Any]]
    agents: list[dict[str, Any]]


def settle(count: int, since: datetime, random: np.random.Generator) -> People:
    """Let people settle: the larger a city, the more cells and people it has."""
    shares = np.array([city[4] for city in CITIES], dtype=float)
    cells = _cells(since, random)
    of_city = [np.array([n for n, cell in enumerate(cells) if cell["city"] == city[0]]) for city in CITIES]
    city = random.choice(len(CITIES), count, p=shares / shares.sum())
    home, work = np.empty(count, np.int64), np.empty(count, np.int64)
    for number, there in enumerate(of_city):
        here = city == number
        home[here] = random.choice(there, int(here.sum()))
        work[here] = random.choice(there, int(here.sum()))
    model = random.choice(len(MODELS), count, p=[0.34, 0.12, 0.12, 0.22, 0.12, 0.08])
    tac = np.array([item[0] for item in MODELS], dtype=object)[model]
    numbers = random.permutation(count)
    prefixes = np.array(["+2010", "+2011", "+2012", "+2015"], dtype=object)[random.integers(0, 4, count)]
    return People(
        phone=np.array([f"{prefix}{number:08d}" for prefix, number in zip(prefixes, numbers, strict=True)], object),
        imei=_imeis(tac, random.integers(0, 1_000_000, count)),
        tac=tac,
        home=home,
        work=work,
        city=city,
        friends=random.integers(0, count, (count, _FRIENDS)),
        weight=random.lognormal(0.0, 1.0, count),
        prepaid=random.random(count) < 0.7,
        cells=cells,
        agents=_agents(since, random),
    )


def user_rows(people: People, who: Ints, since: str) -> list[dict[str, Any]]:
    """Return the records of users, as they are since a time."""
    return [
        {
            "phone_number": phone,
            "user_id": f"U{user:07d}",
            "name": f"{_FIRST[user % len(_FIRST)]} {_LAST[user // len(_FIRST) % len(_LAST)]}",
            "email": f"u{user:07d}@example.org" if user % 5 else None,
            "address": CITIES[city][0],
            "valid_from": since,
        }
        for user, phone, city in zip(who.tolist(), people.phone[who].tolist(), people.city[who].tolist(), strict=True)
    ]


def device_rows(since: str) -> list[dict[str, Any]]:
    """Return the records of all models of devices."""
    return [
        {"tac": tac, "brand": brand, "model": model, "os_version": version, "valid_from": since}
        for tac, brand, model, version in MODELS
    ]


def _cells(since: datetime, random: np.random.Generator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, region, latitude, longitude, count in CITIES:
        for _ in range(count):
            north, east = random.normal(0, 0.05, 2)
            rows.append(
                {
                    "cell_id": f"CELL{len(rows) + 1:05d}",
                    "city": name,
                    "region": region,
                    "latitude": round(latitude + float(north), 6),
                    "longitude": round(longitude + float(east), 6),
                    "valid_from": f"{since:%Y-%m-%dT%H:%M:%SZ}",
                }
            )
    return rows


def _agents(since: datetime, random: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "agent_id": f"AG{1000 + number}",
            "name": f"{_FIRST[int(random.integers(len(_FIRST)))]} {_LAST[int(random.integers(len(_LAST)))]}",
            "department": _DEPARTMENTS[number % len(_DEPARTMENTS)],
            "email": f"ag{1000 + number}@example.org",
            "valid_from": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        }
        for number in range(_AGENTS)
    ]


def _imeis(tac: Texts, serial: Ints) -> Texts:
    """Return device numbers: model, serial number, check digit."""
    bodies = [f"{model}{number:06d}" for model, number in zip(tac, serial.tolist(), strict=True)]
    digits = np.array([list(body) for body in bodies], dtype=np.int64)
    doubled = digits[:, 1::2] * 2
    total = digits[:, ::2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1)
    return np.array(
        [f"{body}{check}" for body, check in zip(bodies, ((10 - total % 10) % 10).tolist(), strict=True)], object
    )
