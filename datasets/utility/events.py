"""What happens in the network and with customers on days: outages with their steps, calls, load, complaints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from datasets.utility.world import PROFILE, Frame, Numbers, World, fixed, instant, names

_CAUSES: Final = np.array(["weather", "vegetation", "equipment", "overload", "third_party", "animal"], dtype=object)
_TYPES: Final = np.array(["billing", "voltage", "meter", "service"], dtype=object)
_CHANNELS: Final = np.array(["call", "app", "web", "centre", "social"], dtype=object)
_HOURS: Final = PROFILE / PROFILE.sum()
_NEVER: Final = np.datetime64("NaT")


@dataclass(frozen=True)
class Outages:
    """The outages of a day, and whom they concern."""

    outages: Frame
    steps: Frame
    calls: Frame
    complaints: Frame


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
    severe = 1 + np.maximum(world.weather[world.index(day), world.network["region_number"].to_numpy()[feeder]], 0)
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
    rows = pd.DataFrame(
        {
            "outage_id": [f"O{day}-{number:04}" for number in range(n)],
            "feeder": feeder,
            "feeder_id": world.network["feeder_id"].to_numpy()[feeder],
            "device_type": np.where(whole, "feeder", "transformer"),
            "device_id": np.where(
                whole, world.network["feeder_id"].to_numpy()[feeder], world.transformer_ids[transformer]
            ),
            "is_planned": is_planned,
            "cause": np.where(
                is_planned, "planned_work", _CAUSES[pick.choice(6, n, p=(0.3, 0.15, 0.25, 0.15, 0.1, 0.05))]
            ),
            "cause_known_at": np.where(is_planned, at, after(cause_after, np.zeros(n, bool))),
            "heard_from": np.where(is_planned, "plan", np.where(momentary, "scada", heard)),
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
    )
    steps = _steps(world, day, rows, whole, transformer)
    grouped = steps.groupby("outage_id")["kva"]
    rows["customers_interrupted"] = rows["outage_id"].map(grouped.size()).fillna(0).astype("int64")
    rows["interrupted_kva"] = fixed(rows["outage_id"].map(grouped.sum()).fillna(0).to_numpy(), 2)
    sustained = rows[~(momentary | is_planned)]
    return Outages(rows, steps, _calls(world, day, sustained, steps), _about(world, day, sustained, steps))


def _steps(world: World, day: int, rows: Frame, whole: Numbers, transformer: Numbers) -> Frame:
    people = world.people[world.active(day)]
    parts = [people[:0].assign(outage=0)]
    for number in range(len(rows)):
        column, wanted = (
            ("feeder", rows["feeder"].iat[number]) if whole[number] else ("transformer", transformer[number])
        )
        parts.append(people[people[column] == wanted].assign(outage=number))
    hit = pd.concat(parts, ignore_index=True)
    of = rows.iloc[hit["outage"].to_numpy()].reset_index(drop=True)
    early = whole[hit["outage"].to_numpy()] & (hit["number"].to_numpy() % 2 == 0) & (of["crew_id"].notna().to_numpy())

    def share(column: str) -> Numbers:
        length = (of[column] - of["began_at"]).dt.total_seconds().to_numpy()
        seconds = np.round(np.where(early, np.maximum(length * 0.6, 301), length)).astype("int64")
        return of["began_at"].to_numpy() + np.minimum(seconds, length.astype("int64")).astype("timedelta64[s]")

    return pd.DataFrame(
        {
            "step_id": of["outage_id"] + "-" + hit["customer_id"],
            "outage_id": of["outage_id"],
            "customer_id": hit["customer_id"],
            "number": hit["number"],
            "feeder_id": of["feeder_id"],
            "customer_class": world.class_at(hit, day),
            "restoration_step": np.where(
                early, 1, np.where(whole[hit["outage"].to_numpy()] & of["crew_id"].notna(), 2, 1)
            ),
            "off_at": of["began_at"],
            "first_on_at": share("first_restored_at"),
            "last_on_at": share("last_restored_at"),
            "corrected_at": of["corrected_at"],
            "connected_kva": fixed(hit["kva"].to_numpy(), 2),
            "kva": hit["kva"],
            "deleted_at": of["deleted_at"],
        }
    )


def _calls(world: World, day: int, sustained: Frame, steps: Frame) -> Frame:
    pick = world.random(22, day)
    hit = steps[steps["outage_id"].isin(sustained["outage_id"])]
    hit = hit[pick.random(len(hit)) < 0.12].reset_index(drop=True)
    seconds = pick.integers(30, 3600, len(hit)).astype("timedelta64[s]")
    put_to = hit["outage_id"].mask(pick.random(len(hit)) < 0.05)
    return pd.DataFrame(
        {
            "call_id": [f"TC{day}-{number:05}" for number in range(len(hit))],
            "outage_id": put_to,
            "customer_id": hit["customer_id"],
            "feeder_id": hit["feeder_id"],
            "called_at": hit["off_at"].to_numpy().astype("datetime64[s]") + seconds,
        }
    )


def _about(world: World, day: int, sustained: Frame, steps: Frame) -> Frame:
    """Return complaints about outages: more of them the longer one lasts."""
    pick = world.random(23, day)
    hit = steps[steps["outage_id"].isin(sustained["outage_id"])]
    hours = (hit["first_on_at"] - hit["off_at"]).dt.total_seconds() / 3600
    hit = hit[pick.random(len(hit)) < np.minimum(0.01 + 0.012 * hours.to_numpy(), 0.2)].reset_index(drop=True)
    n = len(hit)
    opened = hit["off_at"].to_numpy().astype("datetime64[s]") + pick.integers(900, 14_400, n).astype("timedelta64[s]")
    return _complaints(
        world, day, world.people.iloc[hit["number"].astype(int)], opened, np.full(n, "outage", dtype=object), "A"
    ).assign(outage_id=hit["outage_id"])


def complaints(world: World, day: int) -> Frame:
    """Return the complaints of a day that are about no outage."""
    pick = world.random(24, day)
    people = world.people[world.active(day)]
    hit = people[pick.random(len(people)) < 0.0008 * people["temper"]]
    opened = instant(day, pick.integers(8 * 3600, 20 * 3600, len(hit)))
    kinds = _TYPES[pick.choice(4, len(hit), p=(0.5, 0.15, 0.15, 0.2))]
    return _complaints(world, day, hit, opened, kinds, "B").assign(outage_id=None)


def _complaints(world: World, day: int, people: Frame, opened: Numbers, kinds: Numbers, letter: str) -> Frame:
    pick, n = world.random(25, day, ord(letter)), len(people)

    def after(seconds: Numbers, missing: Numbers | None = None) -> Numbers:
        moments = opened.astype("datetime64[s]") + np.asarray(np.round(seconds), "int64").astype("timedelta64[s]")
        return moments if missing is None else np.where(missing, _NEVER, moments)

    first = pick.exponential(4 * 3600, n)
    solved = first + pick.lognormal(10.8, 1.1, n)
    return pd.DataFrame(
        {
            "complaint_id": [f"CM{letter}{day}-{number:05}" for number in range(n)],
            "customer_id": people["customer_id"].to_numpy(),
            "feeder_id": world.network["feeder_id"].to_numpy()[people["feeder"].to_numpy()],
            "customer_class": world.class_at(people, day),
            "complaint_type": kinds,
            "channel": _CHANNELS[pick.choice(5, n, p=(0.5, 0.2, 0.1, 0.15, 0.05))],
            "opened_at": opened,
            "first_response_at": after(first),
            "promised_by": after(np.where(kinds == "billing", 120, 48) * 3600),
            "resolved_at": after(solved, pick.random(n) < 0.03),
            "reopened_at": after(solved + pick.uniform(1, 10, n) * 86_400, pick.random(n) >= 0.07),
            "contacts": 1 + pick.poisson(0.7, n),
        }
    )


def feeder_day(world: World, day: int, pick: np.random.Generator) -> tuple[Frame, Numbers]:
    """Return the feeders' day, and their energy in Wh."""
    people, network, n = world.people[world.active(day)], world.network, world.feeders
    season = world.season[world.index(day)]
    energy = np.bincount(people["feeder"], people["base"], n) * season / (1 - network["loss"].to_numpy())
    energy = np.round(energy * pick.normal(1, 0.01, n) * 1000)
    ids = network["feeder_id"].to_numpy()
    days = pd.DataFrame(
        {
            "feeder_day_id": [f"{feeder}-{day}" for feeder in ids],
            "feeder_id": ids,
            "day_start": instant(day),
            "energy_input_kwh": fixed(energy, 3),
            "customers_served": np.bincount(people["feeder"], minlength=n),
            "connected_kva": fixed(np.bincount(people["feeder"], people["kva"], n), 2),
            "weather_forecast": fixed(np.round(world.forecast(day)[network["region_number"]] * 100), 2),
        }
    )
    return days, energy


def network_day(world: World, day: int) -> tuple[Frame, Frame, Frame]:
    """Return the load of a day: feeders by day, feeders by hour, transformers by day."""
    pick, n = world.random(26, day), world.feeders
    days, energy = feeder_day(world, day, pick)
    people = world.people[world.active(day)]
    season = world.season[world.index(day)]
    ids = world.network["feeder_id"].to_numpy()
    load = np.round(np.outer(energy, _HOURS) * pick.lognormal(0, 0.05, (n, 24)))
    hours = pd.DataFrame(
        {
            "load_id": [f"{feeder}-{day}-{hour:02}" for feeder in ids for hour in range(24)],
            "feeder_id": np.repeat(ids, 24),
            "hour_start": instant(day, np.tile(np.arange(24) * 3600, n)),
            "load_kw": fixed(load.ravel(), 3),
        }
    )
    count = world.transformers
    mean = np.bincount(people["transformer"], people["base"], count) * season / 24
    peak = mean * 1.35 * pick.lognormal(0.1, 0.15, count)
    over = peak / np.maximum(_ratings(world) / 100, 1)
    transformers = pd.DataFrame(
        {
            "transformer_day_id": [f"{name}-{day}" for name in world.transformer_ids],
            "transformer_id": world.transformer_ids,
            "feeder_id": np.repeat(ids, world.per_feeder),
            "day_start": instant(day),
            "peak_kva": fixed(np.round(peak * 100), 2),
            "overload_hours": np.clip(np.floor((over - 1) * 20 + 1), 0, 12).astype("int64"),
        }
    )
    return days, hours, transformers


def _ratings(world: World) -> Numbers:
    """Return the ratings of transformers, in units of 0.01 kVA."""
    mean = np.bincount(world.people["transformer"], world.people["base"], world.transformers) / 24
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
            "customer_class": world.class_at(people, days),
            "feeder_id": world.network["feeder_id"].to_numpy()[people["feeder"].to_numpy()],
            "transformer_id": world.transformer_ids[people["transformer"].to_numpy()],
            "tariff_id": tariff_ids(world.kind_at(people, days)),
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
            "customer_class": world.class_at(people, joined),
            "requested_at": instant(joined - pick.integers(8, 24, len(people)), 10 * 3600),
            "completed_at": instant(joined, 12 * 3600),
            "amount_due": None,
        }
    )
