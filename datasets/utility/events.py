"""What happens in the network and with customers on days: outages with their steps, calls, load, complaints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from datasets.utility.world import PROFILE, Frame, Numbers, World, fixed, instant, names

_CAUSES: Final = np.array(["weather", "vegetation", "equipment", "overload", "third_party", "animal"], dtype=object)
_TYPES: Final = np.array(["billing", "voltage", "meter", "service"], dtype=object)
_CHANNELS: Final = np.array(["call", "app", "web", "centre", "social"], dtype=object)
_HOURS: Final = PROFILE / PROFILE.sum()
_NEVER: Final = np.datetime64("NaT")


Columns: TypeAlias = dict[str, Numbers]
"""Rows by the column: frames of a day would take longer to make than what is in them."""


@dataclass(frozen=True)
class Outages:
    """The outages of a day, and whom they concern."""

    outages: Columns
    steps: Columns
    calls: Columns
    complaints: Columns


def outages(world: World, day: int) -> Outages | None:
    """Return the outages that begin on a day, as they will have become in the end; None where none does."""
    pick = world.random(21, day)
    count = np.minimum(pick.poisson(world.hazard(day)), 4)
    unplanned = np.repeat(np.arange(world.feeders), count)
    planned = np.flatnonzero(world.planned(day))
    feeder = np.concatenate([unplanned, planned])
    n = len(feeder)
    if not n:
        return None
    is_planned = np.arange(n) >= len(unplanned)
    whole = is_planned | (pick.random(n) < 0.4)
    transformer = feeder * world.per_feeder + pick.integers(0, world.per_feeder, n)
    momentary = ~is_planned & (pick.random(n) < 0.25)
    begin = np.where(is_planned, 9 * 3600, pick.integers(0, 86_400, n))
    severe = 1 + np.maximum(world.weather[world.index(day), world.feeder["region_number"][feeder]], 0)
    length = np.where(momentary, pick.integers(20, 300, n), 600 + pick.lognormal(8.3, 0.8, n) * severe)
    length = np.where(is_planned, 4 * 3600 + pick.normal(0, 2400, n), length)
    sent = np.minimum(pick.exponential(900, n), length * 0.2)
    there = sent + np.minimum(pick.exponential(1800, n), length * 0.4)
    corrected = ~momentary & ~is_planned & (pick.random(n) < 0.1)
    cause_after = np.where(pick.random(n) < 0.12, pick.uniform(8, 40, n), pick.exponential(1.2, n)) * 86_400
    heard = np.where(pick.random(n) < 0.6, "customer", "scada")
    at = instant(day, begin)

    def after(seconds: Numbers, missing: Numbers) -> Numbers:
        return np.where(missing, _NEVER, at + np.asarray(np.round(seconds), "int64").astype("timedelta64[s]"))

    final = np.where(corrected, length * pick.uniform(0.7, 1.3, n), length)
    final = np.maximum(final, there + 60)
    crew = pick.integers(1, max(3, world.feeders // 3), n)
    shift = np.array(["night", "day", "evening"], dtype=object)[(begin // 28_800).astype(int)]
    none = momentary | is_planned
    rows = {
        "outage_id": np.array([f"O{day}-{number:04}" for number in range(n)], dtype=object),
        "feeder": feeder,
        "feeder_id": world.feeder["feeder_id"][feeder],
        "device_type": np.where(whole, "feeder", "transformer").astype(object),
        "device_id": np.where(whole, world.feeder["feeder_id"][feeder], world.transformer_ids[transformer]),
        "is_planned": is_planned,
        "cause": np.where(is_planned, "planned_work", _CAUSES[pick.choice(6, n, p=(0.3, 0.15, 0.25, 0.15, 0.1, 0.05))]),
        "cause_known_at": np.where(is_planned, at, after(cause_after, np.zeros(n, bool))),
        "heard_from": np.where(is_planned, "plan", np.where(momentary, "scada", heard)).astype(object),
        "announced_at": after(-pick.uniform(0.5, 5, n) * 86_400, ~is_planned),
        "planned_end_at": after(np.full(n, 4 * 3600), ~is_planned),
        "began_at": at,
        "estimated_at": after(length * pick.lognormal(0, 0.4, n), none),
        "dispatched_at": after(sent, none),
        "on_site_at": after(there, none),
        "first_restored_at": after(np.maximum(length, there + 60), np.zeros(n, bool)),
        "last_restored_at": after(final, np.zeros(n, bool)),
        "corrected_at": after(length + pick.uniform(2, 6, n) * 86_400, ~corrected),
        "crew_id": np.where(none, None, names("CREW", crew, 2)),
        "crew_shift": np.where(none, None, shift),
        "operations": np.where(momentary, pick.integers(1, 4, n), 1),
        "deleted_at": after(pick.uniform(1, 12, n) * 86_400, ~(momentary & (pick.random(n) < 0.4))),
    }
    who, outage = _concerned(world, day, feeder, np.where(whole, -1, transformer))
    steps = _steps(world, day, rows, who, outage, whole[outage])
    rows["customers_interrupted"] = np.bincount(outage, minlength=n)
    rows["interrupted_kva"] = fixed(np.bincount(outage, world.person["kva"][who], n), 2)
    # Calls and complaints are about those that last.
    lasts = ~none[outage]
    sustained = {name: values[lasts] for name, values in steps.items()}
    return Outages(rows, steps, _calls(world, day, sustained), _about(world, day, sustained))


def _concerned(world: World, day: int, feeder: Numbers, transformer: Numbers) -> tuple[Numbers, Numbers]:
    """Return the customers (places in ``people``) without supply, and the number of the outage of each.

    transformer: -1 where it is the whole feeder. Customers lie in the order of both, so that each is a range.
    """
    active = world.active(day)
    of_feeder, of_transformer = (world.person[name][active] for name in ("feeder", "transformer"))
    is_whole = transformer < 0
    first, last = (
        np.where(is_whole, np.searchsorted(of_feeder, feeder, side), np.searchsorted(of_transformer, transformer, side))
        for side in ("left", "right")
    )
    counts = last - first
    outage = np.repeat(np.arange(len(feeder)), counts)
    within = np.arange(len(outage)) - np.repeat(np.cumsum(counts) - counts, counts)
    return active[np.repeat(first, counts) + within], outage


def _steps(world: World, day: int, rows: Columns, who: Numbers, outage: Numbers, whole: Numbers) -> Columns:
    began, crewed = rows["began_at"][outage], pd.notna(rows["crew_id"])[outage]
    early = whole & (who % 2 == 0) & crewed

    def share(column: str) -> Numbers:
        length = (rows[column][outage] - began).astype("int64")
        seconds = np.round(np.where(early, np.maximum(length * 0.6, 301), length)).astype("int64")
        return began + np.minimum(seconds, length).astype("timedelta64[s]")

    outage_id, customer_id = rows["outage_id"][outage], world.person["customer_id"][who]
    return {
        "step_id": outage_id + "-" + customer_id,
        "outage_id": outage_id,
        "customer_id": customer_id,
        "number": who,
        "feeder_id": rows["feeder_id"][outage],
        "customer_class": world.class_at(who, day),
        "restoration_step": np.where(early, 1, np.where(whole & crewed, 2, 1)),
        "off_at": began,
        "first_on_at": share("first_restored_at"),
        "last_on_at": share("last_restored_at"),
        "corrected_at": rows["corrected_at"][outage],
        "connected_kva": fixed(world.person["kva"][who], 2),
        "deleted_at": rows["deleted_at"][outage],
    }


def _calls(world: World, day: int, steps: Columns) -> Columns:
    pick = world.random(22, day)
    hit = np.flatnonzero(pick.random(len(steps["number"])) < 0.12)
    seconds = pick.integers(30, 3600, len(hit)).astype("timedelta64[s]")
    put_to = np.where(pick.random(len(hit)) < 0.05, None, steps["outage_id"][hit])
    return {
        "call_id": np.array([f"TC{day}-{number:05}" for number in range(len(hit))], dtype=object),
        "outage_id": put_to,
        "customer_id": steps["customer_id"][hit],
        "feeder_id": steps["feeder_id"][hit],
        "called_at": steps["off_at"][hit] + seconds,
    }


def _about(world: World, day: int, steps: Columns) -> Columns:
    """Return complaints about outages: more of them the longer one lasts."""
    pick = world.random(23, day)
    hours = (steps["first_on_at"] - steps["off_at"]).astype("int64") / 3600
    hit = np.flatnonzero(pick.random(len(hours)) < np.minimum(0.01 + 0.012 * hours, 0.2))
    n = len(hit)
    opened = steps["off_at"][hit] + pick.integers(900, 14_400, n).astype("timedelta64[s]")
    made = _complaints(world, day, steps["number"][hit], opened, np.full(n, "outage", dtype=object), "A")
    return made | {"outage_id": steps["outage_id"][hit]}


def complaints(world: World, day: int) -> Columns:
    """Return the complaints of a day that are about no outage."""
    pick, active = world.random(24, day), world.active(day)
    hit = active[pick.random(len(active)) < 0.0008 * world.person["temper"][active]]
    opened = instant(day, pick.integers(8 * 3600, 20 * 3600, len(hit)))
    kinds = _TYPES[pick.choice(4, len(hit), p=(0.5, 0.15, 0.15, 0.2))]
    return _complaints(world, day, hit, opened, kinds, "B") | {"outage_id": np.full(len(hit), None, dtype=object)}


def _complaints(world: World, day: int, who: Numbers, opened: Numbers, kinds: Numbers, letter: str) -> Columns:
    pick, n = world.random(25, day, ord(letter)), len(who)

    def after(seconds: Numbers, missing: Numbers | None = None) -> Numbers:
        moments = opened + np.asarray(np.round(seconds), "int64").astype("timedelta64[s]")
        return moments if missing is None else np.where(missing, _NEVER, moments)

    first = pick.exponential(4 * 3600, n)
    solved = first + pick.lognormal(10.8, 1.1, n)
    return {
        "complaint_id": np.array([f"CM{letter}{day}-{number:05}" for number in range(n)], dtype=object),
        "customer_id": world.person["customer_id"][who],
        "feeder_id": world.feeder["feeder_id"][world.person["feeder"][who]],
        "customer_class": world.class_at(who, day),
        "complaint_type": kinds,
        "channel": _CHANNELS[pick.choice(5, n, p=(0.5, 0.2, 0.1, 0.15, 0.05))],
        "opened_at": opened,
        "first_response_at": after(first),
        "promised_by": after(np.where(kinds == "billing", 120, 48) * 3600),
        "resolved_at": after(solved, pick.random(n) < 0.03),
        "reopened_at": after(solved + pick.uniform(1, 10, n) * 86_400, pick.random(n) >= 0.07),
        "contacts": 1 + pick.poisson(0.7, n),
    }


def feeder_day(world: World, day: int, pick: np.random.Generator) -> tuple[Columns, Numbers]:
    """Return the feeders' day, and their energy in Wh."""
    active, feeder, n = world.active(day), world.feeder, world.feeders
    of, base, kva = (world.person[name][active] for name in ("feeder", "base", "kva"))
    energy = np.bincount(of, base, n) * world.season[world.index(day)] / (1 - feeder["loss"])
    energy = np.round(energy * pick.normal(1, 0.01, n) * 1000)
    ids = feeder["feeder_id"]
    days = {
        "feeder_day_id": np.array([f"{name}-{day}" for name in ids], dtype=object),
        "feeder_id": ids,
        "day_start": np.full(n, instant(day)),
        "energy_input_kwh": fixed(energy, 3),
        "customers_served": np.bincount(of, minlength=n),
        "connected_kva": fixed(np.bincount(of, kva, n), 2),
        "weather_forecast": fixed(np.round(world.forecast(day)[feeder["region_number"]] * 100), 2),
    }
    return days, energy


def network_day(world: World, day: int) -> tuple[Columns, Columns, Columns]:
    """Return the load of a day: feeders by day, feeders by hour, transformers by day."""
    pick, n, count = world.random(26, day), world.feeders, world.transformers
    days, energy = feeder_day(world, day, pick)
    ids = world.feeder["feeder_id"]
    load = np.round(np.outer(energy, _HOURS) * pick.lognormal(0, 0.05, (n, 24)))
    hours = {
        "load_id": np.array([f"{feeder}-{day}-{hour:02}" for feeder in ids for hour in range(24)], dtype=object),
        "feeder_id": np.repeat(ids, 24),
        "hour_start": instant(day, np.tile(np.arange(24) * 3600, n)),
        "load_kw": fixed(load.ravel(), 3),
    }
    active = world.active(day)
    used = np.bincount(world.person["transformer"][active], world.person["base"][active], count)
    mean = used * world.season[world.index(day)] / 24
    peak = mean * 1.35 * pick.lognormal(0.1, 0.15, count)
    over = peak / np.maximum(_ratings(world) / 100, 1)
    transformers = {
        "transformer_day_id": np.array([f"{name}-{day}" for name in world.transformer_ids], dtype=object),
        "transformer_id": world.transformer_ids,
        "feeder_id": np.repeat(ids, world.per_feeder),
        "day_start": np.full(count, instant(day)),
        "peak_kva": fixed(np.round(peak * 100), 2),
        "overload_hours": np.clip(np.floor((over - 1) * 20 + 1), 0, 12).astype("int64"),
    }
    return days, hours, transformers


def _ratings(world: World) -> Numbers:
    """Return the ratings of transformers, in units of 0.01 kVA."""
    mean = np.bincount(world.person["transformer"], world.person["base"], world.transformers) / 24
    return (np.ceil(mean * 2.2 / 10 + 1) * 1000).astype("int64")


def references(world: World, until: int) -> dict[str, Frame]:
    """Return who and what there is, a row for each time that something about it changed."""
    network, people = world.network, world.people
    first = world.start - 5000
    feeders = pd.concat(
        [_feeders(world, np.full(world.feeders, first)), _feeders(world, network["upgraded"].to_numpy())]
    )
    versions = [
        (people["joined"], "active"),
        (people["changed"].where(people["changed"] < people["left"], 10**7), "active"),
        (people["left"], "inactive"),
    ]
    transformers = pd.DataFrame(
        {
            "transformer_id": world.transformer_ids,
            "feeder_id": np.repeat(network["feeder_id"].to_numpy(), world.per_feeder),
            "rating_kva": fixed(_ratings(world), 2),
            "valid_from": instant(first),
        }
    )
    turns = np.repeat(world.tariff_days(until), 4)
    kinds = np.tile(np.arange(4), len(turns) // 4)
    tariffs = pd.DataFrame(
        {
            "tariff_id": tariff_ids(kinds),
            "tariff_name": [f"Tariff {kind + 1}" for kind in kinds.tolist()],
            "price_per_kwh": fixed(world.price(kinds, turns), 4),
            "fixed_charge": "150.00",
            "tax_rate": "0.1700",
            "valid_from": instant(turns),
        }
    )
    customers = pd.concat([_customers(world, days.to_numpy(), status) for days, status in versions])
    result = {"feeders": feeders, "transformers": transformers, "customers": customers, "tariffs": tariffs}
    for name, key in (("feeders", "feeder_id"), ("customers", "customer_id"), ("tariffs", "tariff_id")):
        stamp = result[name]["valid_from"].to_numpy().astype("datetime64[s]").astype("int64").astype(str)
        result[name]["row_id"] = result[name][key].astype(str) + "-" + stamp
    return result


def tariff_ids(kinds: Numbers) -> Numbers:
    """Return the tariffs of classes."""
    return np.array(["A1", "A2", "B3", "D1"], dtype=object)[kinds]


def _feeders(world: World, days: Numbers) -> Frame:
    kept = days < 10**6
    network, days = world.network[kept], days[kept]
    return pd.DataFrame(
        {
            "feeder_id": network["feeder_id"].to_numpy(),
            "grid_station": network["grid_station"].to_numpy(),
            "district": network["district"].to_numpy(),
            "region": network["region"].to_numpy(),
            "length_km": fixed(network["length_m10"].to_numpy(), 2),
            "rating_kw": fixed((_rated(world, days, kept) * 100), 2),
            "vegetation": fixed(network["vegetation"].to_numpy(), 3),
            "installed_on": (world.start - network["age"].to_numpy() * 365).astype("datetime64[D]").astype(str),
            "valid_from": instant(days),
        }
    )


def _rated(world: World, days: Numbers, kept: Numbers) -> Numbers:
    upgraded = world.network["upgraded"].to_numpy()[kept] <= days
    return np.where(upgraded, world.rating_kw(10**6 * 9)[kept], world.rating_kw(-1)[kept])


def _customers(world: World, days: Numbers, status: str) -> Frame:
    kept = days < 10**6
    people, days = world.people[kept], days[kept]
    number = people["number"].to_numpy()
    tenant = (people["changed"].to_numpy() <= days).astype(int)
    return pd.DataFrame(
        {
            "customer_id": people["customer_id"].to_numpy(),
            "customer_name": [
                f"Customer {n + 1}{'b' * t}" for n, t in zip(number.tolist(), tenant.tolist(), strict=True)
            ],
            "phone": [
                f"+9230{n + 10_000_000 * (t + 1):09}" for n, t in zip(number.tolist(), tenant.tolist(), strict=True)
            ],
            "customer_class": world.class_at(number, days),
            "feeder_id": world.network["feeder_id"].to_numpy()[people["feeder"].to_numpy()],
            "transformer_id": world.transformer_ids[people["transformer"].to_numpy()],
            "tariff_id": tariff_ids(world.kind_at(number, days)),
            "connected_kva": fixed(people["kva"].to_numpy(), 2),
            "status": status,
            "valid_from": instant(days),
        }
    )


def new_connections(world: World) -> Frame:
    """Return the orders of those who joined after the beginning."""
    people = world.people[world.people["joined"] > world.start]
    pick = world.random(27)
    joined = people["joined"].to_numpy()
    return pd.DataFrame(
        {
            "order_id": ("N" + people["customer_id"]).to_numpy(),
            "order_type": "new_connection",
            "customer_id": people["customer_id"].to_numpy(),
            "feeder_id": world.network["feeder_id"].to_numpy()[people["feeder"].to_numpy()],
            "customer_class": world.class_at(people["number"].to_numpy(), joined),
            "requested_at": instant(joined - pick.integers(8, 24, len(people)), 10 * 3600),
            "completed_at": instant(joined, 12 * 3600),
            "amount_due": None,
        }
    )
