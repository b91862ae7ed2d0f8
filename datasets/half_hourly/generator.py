"""Made-up half-hourly readings and their reference tables, in the shape of the real ones, with the traps of those.

A household's half hour is a base load, a morning and an evening peak, the season, and chance; people differ in all of
them. Traps, by the number of the meter: a handover on a day (at half of the time, or before it), an agreement that ends
when it begins, two that overlap, none at all, a meterpoint that is not known, rows that are there twice, half hours
that are missing; and two files that are no JSON. Every fourth meter has a register that is read each midnight: it has
counted what is missing, too.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from datasets.half_hourly.declaration import HALF_HOURLY
from meterlake.generator import Generator, Made
from meterlake.timegrid import day_start

if TYPE_CHECKING:
    from pathlib import Path

    Agreement = tuple[int, str, str | None, str, str, str]

DATABASE: Final = "reference.db"
READINGS: Final = "readings"
REGIONS: Final = (
    "East", "East Midlands", "London", "Merseyside", "Midlands", "North", "North East", "North West", "Scotland",
    "South", "South East", "South Wales", "South West",
)  # fmt: skip
_PRODUCTS: Final = 63
_NAMES: Final = 27
_HALF_HOUR: Final = 1800
_DUPLICATED: Final = 3
"""So many rows of a file are there twice, where some are."""
_GONE: Final = (13, 33)
"""Half hours of a file that are missing, where many are."""


@dataclass(frozen=True)
class _Traps:
    """What is wrong, or hard, with a meter."""

    without_agreement: bool = False
    overlapping: bool = False
    unknown: bool = False
    handover: bool = False
    empty: bool = False
    duplicates: bool = False
    missing: tuple[int, int] = (0, 0)


def write(made: Made) -> dict[str, int]:
    """Write ``readings/<meterpoint>.json`` and ``reference.db``; return what they hold."""
    (made.folder / READINGS).mkdir(parents=True, exist_ok=True)
    instants = _instants(made)
    times = [f"{datetime.fromtimestamp(int(ts), UTC):%Y-%m-%d %H:%M:%S}" for ts in instants]
    agreements: list[Agreement] = []
    points: list[tuple[str, str]] = []
    reads: list[tuple[str, str, str]] = []
    kinds = ("readings", "missing", "duplicates", "without_agreement", "overlapping", "unknown", "handovers")
    counts = dict.fromkeys(kinds, 0)
    for number in range(made.meters):
        meter, traps = _id(made, "meter", number), _traps(made, number)
        if not traps.unknown:
            points.append((REGIONS[number % len(REGIONS)], meter))
        agreements += _agreements(made, number, meter, traps, len(agreements))
        rows = _rows(made, number, times, instants, meter)
        reads += _reads(made, number, rows) if number % 4 == 0 else []
        gone = len(rows[slice(*traps.missing)])
        del rows[slice(*traps.missing)]
        rows += rows[:_DUPLICATED] if traps.duplicates else []
        _write_json(made.folder / READINGS / f"{meter}.json", rows)
        counts["readings"] += len(times) - gone
        counts["missing"] += gone
        counts["duplicates"] += len(rows) + gone - len(times)
        counts["without_agreement"] += traps.without_agreement
        counts["overlapping"] += traps.overlapping
        counts["unknown"] += traps.unknown
        counts["handovers"] += traps.handover
    bad = 0 if made.clean else _bad_files(made.folder / READINGS)
    _write_database(made, agreements, points, reads)
    return {
        "meters": made.meters, **counts, "bad_files": bad, "agreements": len(agreements), "products": _PRODUCTS,
        "meterpoints": len(points), "register_reads": len(reads),
    }  # fmt: skip


def _instants(made: Made) -> np.ndarray:
    """Return the half hours of the local days: those when the clocks change have 46 or 50."""
    zone = HALF_HOURLY.time_zone
    begin, end = (day_start(day, zone) for day in (made.start, made.start + timedelta(days=made.days)))
    return np.arange(begin, end, _HALF_HOUR, dtype=np.int64)


def _traps(made: Made, number: int) -> _Traps:
    if made.clean:
        return _Traps()
    without = number % 20 == 7
    return _Traps(
        without_agreement=without,
        overlapping=number % 40 == 1,
        unknown=number % 50 in (12, 47),
        handover=number % 3 == 0 and not without,
        empty=number % 10 == 3 and not without,
        duplicates=number % 25 == 4,
        missing={8: _GONE, 2: (20, 21)}.get(number % 10, (0, 0)),
    )


def _agreements(made: Made, number: int, meter: str, traps: _Traps, known: int) -> list[Agreement]:
    """Return a meter's agreements: two with a handover on a day, and what its traps add."""
    if traps.without_agreement:
        return []
    pick = np.random.default_rng([made.seed, number, 1])
    first, second, third = (_id(made, "product", int(one)) for one in pick.choice(_PRODUCTS, 3, replace=False))
    began = made.start - timedelta(days=int(pick.integers(400, 900)))
    handover = made.start + timedelta(days=made.days // 2 if traps.handover else -int(pick.integers(1, 300)))
    periods: list[tuple[date, date | None, str]] = [(began, handover, first), (handover, None, second)]
    if traps.empty:
        periods.append((handover, handover, third))
    if traps.overlapping:
        periods.append((handover + timedelta(days=1), made.start + timedelta(days=made.days), third))
    account = _id(made, "account", number)
    return [
        (known + place, begin.isoformat(), end.isoformat() if end else None, product, meter, account)
        for place, (begin, end, product) in enumerate(periods, start=1)
    ]


def _rows(made: Made, number: int, times: list[str], instants: np.ndarray, meter: str) -> list[tuple[str, float, str]]:
    """Return the readings of a meter, kWh to the watt-hour."""
    pick = np.random.default_rng([made.seed, number])
    hour = (instants % 86400) / 3600
    season = 1 + 0.35 * np.cos(2 * np.pi * (instants / 86400 - 15) / 365.25)
    size, base = pick.lognormal(0, 0.5), pick.uniform(0.03, 0.12)
    morning = pick.uniform(0.05, 0.3) * np.exp(-((hour - pick.normal(7.5, 0.8)) ** 2) / 2)
    evening = pick.uniform(0.1, 0.6) * np.exp(-((hour - pick.normal(18.5, 1.0)) ** 2) / 6)
    chance = pick.lognormal(0, 0.35, len(instants))
    kwh = np.round(np.clip(size * season * (base + morning + evening) * chance, 0, 20), 3)
    return list(zip(times, kwh.tolist(), [meter] * len(times), strict=True))


def _reads(made: Made, number: int, rows: list[tuple[str, float, str]]) -> list[tuple[str, str, str]]:
    """Return what a meter's register shows at each local midnight, the first and the last included, kWh."""
    zone, first = HALF_HOURLY.time_zone, datetime.fromisoformat(rows[0][0]).replace(tzinfo=UTC)
    shown = 1000 * int(np.random.default_rng([made.seed, number, 2]).integers(1_000, 90_000))
    reads, at = [], 0
    for day in range(made.days + 1):
        midnight = datetime.fromtimestamp(day_start(made.start + timedelta(days=day), zone), UTC)
        until = int((midnight - first).total_seconds()) // _HALF_HOUR
        shown += sum(round(kwh * 1000) for _, kwh, _ in rows[at:until])
        reads.append((rows[0][2], f"{midnight:%Y-%m-%d %H:%M:%S}", f"{shown // 1000}.{shown % 1000:03}"))
        at = until
    return reads


def _write_json(path: Path, rows: list[tuple[str, float, str]]) -> None:
    columns = ["interval_start", "consumption_delta", "meterpoint_id"]
    path.write_text(json.dumps({"columns": columns, "data": rows}, separators=(",", ":")), encoding="utf-8")


def _bad_files(folder: Path) -> int:
    """Write files that cannot be read: one is cut off, one is something else."""
    (folder / "cut_off.json").write_text('{"columns":["interval_start","consumption_delta","meterpoint_id"],"data":[[')
    (folder / "a_page.json").write_text("<html>503 Service Unavailable</html>")
    return 2


def _write_database(
    made: Made, agreements: list[Agreement], points: list[tuple[str, str]], reads: list[tuple[str, str, str]]
) -> None:
    path = made.folder / DATABASE
    path.unlink(missing_ok=True)
    products = [(f"Tariff {n % _NAMES + 1}", n % 2, 100 + n, _id(made, "product", n)) for n in range(_PRODUCTS)]
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(
                "CREATE TABLE agreement (agreement_id INTEGER, agreement_valid_from DATE, agreement_valid_to DATE,"
                " product_id TEXT, meterpoint_id TEXT, account_id TEXT)"
            )
            connection.execute(
                "CREATE TABLE product (display_name TEXT, is_variable INTEGER, id INTEGER, product_id TEXT)"
            )
            connection.execute("CREATE TABLE meterpoint (region TEXT, meterpoint_id TEXT)")
            connection.execute("CREATE TABLE register_read (meterpoint_id TEXT, read_at TEXT, reading_kwh TEXT)")
            connection.executemany("INSERT INTO register_read VALUES (?, ?, ?)", reads)
            connection.executemany("INSERT INTO agreement VALUES (?, ?, ?, ?, ?, ?)", agreements)
            connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", products)
            connection.executemany("INSERT INTO meterpoint VALUES (?, ?)", points)
    finally:
        connection.close()


def _id(made: Made, kind: str, number: int) -> str:
    return hashlib.blake2b(f"{made.seed} {kind} {number}".encode(), digest_size=5).hexdigest()


GENERATOR: Final = Generator(write, title="one JSON file a meterpoint, and reference.db (SQLite)")
