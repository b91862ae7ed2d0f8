"""The billing cycle of a month: readings, invoices with reversals and corrections, payments, dunning, instalments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from datasets.utility.billing import CHANNELS
from datasets.utility.events import tariff_ids
from datasets.utility.world import Frame, Numbers, World, calendar, dates, day_number, fixed, instant

_NEVER: Final = np.datetime64("NaT")
_LEVELS: Final = (10, 25, 40)
_DISCONNECTED_AFTER: Final = 60
_FIXED: Final = 15_000
_TAX: Final = 1700


@dataclass(frozen=True)
class Cycle:
    """What a month's readings lead to, as it will have become in the end."""

    readings: Frame
    lines: Frame
    payments: Frame
    dunnings: Frame
    instalments: Frame
    orders: Frame


def month_number(day: int) -> int:
    """Return the number of the month of a local day."""
    first = calendar(np.array([day]))[0]
    return int(first.year * 12 + first.month - 1)


@dataclass(frozen=True)
class _Read:
    """All customers' readings of a month: the day, whether estimated, and the register without roll-over."""

    day: Numbers
    estimated: Numbers
    register: Numbers


@lru_cache(maxsize=4)
def _read(world: World, month: int) -> _Read:
    """Return the readings of a month. A month's bills are made of those of the three before, too."""
    pick, people = world.random(31, month), world.people
    n, first = len(people), day_number(date(month // 12, month % 12 + 1, 1))
    day = first + people["number"].to_numpy() % 20 + pick.integers(0, 3, n) + 8 * (pick.random(n) < 0.01)
    estimated = pick.random(n) < people["estimate_rate"].to_numpy()
    begin = world.start - 400
    true = people["register"].to_numpy() + people["metered"].to_numpy() * world.used(begin, day) * 1000
    wrong = np.where(estimated, pick.normal(0, 0.12, n), 0.0)
    wrong = np.where(~estimated & (pick.random(n) < 0.012), pick.choice([-1.6, 4.0], n), wrong)
    register = np.round(true + wrong * people["metered"].to_numpy() * 30_000)
    return _Read(day, estimated, register.astype("int64"))


def cycle(world: World, month: int) -> Cycle:
    """Return what happens in the billing cycle of a month (``month_number``)."""
    people = world.people
    reads = [_read(world, month - back) for back in range(4)]
    now, before = reads[0], reads[1]
    exists = (people["joined"].to_numpy() <= before.day) & (people["left"].to_numpy() > before.day)
    rows, place = people[exists].reset_index(drop=True), np.flatnonzero(exists)
    day, n = now.day[place], len(rows)
    estimated = now.estimated[place]
    in_a_row = np.zeros(n, "int64")
    still = np.ones(n, bool)
    for read in reads:
        still &= read.estimated[place]
        in_a_row += still
    consumption = now.register[place] - before.register[place]
    changed = (rows["new_meter"].to_numpy() > before.day[place]) & (rows["new_meter"].to_numpy() <= day)
    rolled = now.register[place] // 100_000_000 > before.register[place] // 100_000_000
    reading_id = np.array([f"{month:06}{number:09}" for number in rows["number"].tolist()], dtype=object)
    feeder_id = world.feeder["feeder_id"][world.person["feeder"][place]]
    readings = pd.DataFrame(
        {
            "reading_id": reading_id,
            "customer_id": rows["customer_id"],
            "feeder_id": feeder_id,
            "customer_class": world.class_at(place, day),
            "device_id": [
                f"M{number}-{1 + new}"
                for number, new in zip(
                    rows["number"].tolist(), (rows["new_meter"].to_numpy() <= day).astype(int), strict=True
                )
            ],
            "read_at": instant(day, 9 * 3600 + rows["number"].to_numpy() % 25_000),
            "reading_type": np.where(estimated, "estimated", "actual"),
            "reading_reason": np.where(changed, "meter_change", np.where(rolled, "roll_over", "periodic")),
            "register_kwh": fixed(np.maximum(now.register[place], 0) % 100_000_000, 3),
            "consumption_kwh": fixed(consumption, 3),
            "status": np.where(rows["left"].to_numpy() <= day, "inactive", "active"),
            "estimates_in_a_row": in_a_row,
        }
    )
    base = readings[["reading_id", "customer_id", "feeder_id", "customer_class", "read_at"]].assign(
        number=rows["number"],
        habit=rows["habit"],
        kind=world.kind_at(place, day),
        day=day,
        begin=before.day[place],
        units=consumption,
        back_billed=before.estimated[place] & ~estimated,
    )
    invoices = _invoices(world, month, base)
    return Cycle(readings, _lines(invoices), *_money(world, month, invoices))


def _invoices(world: World, month: int, base: Frame) -> Frame:
    """Return invoices: regular ones, those that are there twice, and corrections of those that were reversed."""
    pick, n = world.random(32, month), len(base)
    made = base["day"].to_numpy() + pick.integers(1, 6, n)
    reversed_on = np.where(pick.random(n) < 0.015, made + pick.integers(3, 20, n), 10**7)
    twice = pick.random(n) < 0.004
    billed = base.assign(made=made, reversed_on=reversed_on, invoice_type="regular", suffix="")[pick.random(n) >= 0.012]
    copies = billed[twice[billed.index]].assign(invoice_type="duplicate", suffix="D", reversed_on=10**7)
    fixes = billed[billed["reversed_on"] < 10**7]
    fixes = fixes.assign(
        invoice_type="correction",
        suffix="C",
        made=fixes["reversed_on"],
        reversed_on=10**7,
        units=fixes["units"] * 9 // 10,
    )
    every = pd.concat([billed, copies, fixes], ignore_index=True)
    price = world.price(every["kind"].to_numpy(), every["day"].to_numpy())
    # Milliwatt-hours of 0.001 times 0.0001 of money, to the paisa: halves upwards.
    energy = np.floor_divide(every["units"].to_numpy() * price * 2 + 100_000, 200_000)
    tax = np.floor_divide((energy + _FIXED) * _TAX * 2 + 10_000, 20_000)
    return every.assign(
        invoice_id="I" + every["reading_id"] + every["suffix"],
        tariff_id=tariff_ids(every["kind"].to_numpy()),
        invoiced_at=instant(every["made"], 15 * 3600),
        due=every["made"] + 15,
        reversed_at=np.where(
            every["reversed_on"] < 10**7, instant(np.minimum(every["reversed_on"], 10**6), 16 * 3600), _NEVER
        ),
        energy=energy,
        fixed=_FIXED,
        tax=tax,
        total=energy + tax + _FIXED,
    )


def _lines(invoices: Frame) -> Frame:
    parts, begin, end, due = [], dates(invoices["begin"]), dates(invoices["day"] - 1), dates(invoices["due"])
    for number, (kind, amounts) in enumerate(
        (("energy", invoices["energy"]), ("fixed", invoices["fixed"]), ("tax", invoices["tax"]))
    ):
        units = invoices["units"] if kind == "energy" else np.zeros(len(invoices), "int64")
        parts.append(
            pd.DataFrame(
                {
                    "line_id": invoices["invoice_id"] + f"-{number + 1}",
                    "invoice_id": invoices["invoice_id"],
                    "line_type": kind,
                    "invoice_type": invoices["invoice_type"],
                    "reading_id": invoices["reading_id"],
                    "customer_id": invoices["customer_id"],
                    "feeder_id": invoices["feeder_id"],
                    "customer_class": invoices["customer_class"],
                    "tariff_id": invoices["tariff_id"],
                    "invoiced_at": invoices["invoiced_at"],
                    "read_at": invoices["read_at"],
                    "period_from": begin,
                    "period_to": end,
                    "due_on": due,
                    "kwh": fixed(units, 3),
                    "amount": fixed(amounts, 2),
                    "is_back_billed": invoices["back_billed"],
                    "reversed_at": invoices["reversed_at"],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _money(world: World, month: int, invoices: Frame) -> tuple[Frame, Frame, Frame, Frame]:
    """Return payments, dunning notices, instalments, and orders to disconnect and reconnect."""
    kept = invoices[
        (invoices["reversed_on"] == 10**7) & (invoices["invoice_type"] != "duplicate") & (invoices["total"] > 0)
    ]
    kept = kept.reset_index(drop=True)
    pick, n = world.random(33, month), len(kept)
    habit, due = kept["habit"].to_numpy(), kept["due"].to_numpy()
    delay = np.where(habit == 0, np.round(pick.normal(-5, 4, n)), np.round(pick.lognormal(2.9, 0.7, n)))
    last = np.where(pick.random(n) < 0.45, pick.integers(75, 100, n), 10**5)
    delay = np.where((habit == 2) & (pick.random(n) < 0.8), last, delay).astype("int64")
    planned = (pick.random(n) < 0.02) & (habit != 0)
    paid = np.where(planned, 10**6, np.maximum(due + delay, kept["made"].to_numpy()))
    seconds = 16 * 3600 + pick.integers(0, 25_000, n)
    parts = np.where(pick.random(n) < 0.1, 2, 1)
    channel = np.array(CHANNELS, dtype=object)[pick.choice(4, n, p=(0.35, 0.3, 0.25, 0.1))]
    who = kept[["invoice_id", "customer_id", "feeder_id", "customer_class"]]
    common = who.assign(total=kept["total"], due=due, paid=paid, delay=np.where(planned, 0, delay))

    def payment(rows: Numbers, number: int, amounts: Numbers, days: Numbers) -> Frame:
        return pd.DataFrame(who[rows]).assign(
            payment_id=kept["invoice_id"][rows] + f"-P{number}",
            paid_at=instant(days[rows], seconds[rows]),
            channel=channel[rows],
            amount=fixed(amounts[rows], 2),
        )

    whole, half = kept["total"].to_numpy(), kept["total"].to_numpy() // 2
    pays = (paid < due + 5000) & ~planned
    payments = [
        payment(pays, 1, np.where(parts == 2, half, whole), paid),
        payment(pays & (parts == 2), 2, whole - half, paid + 4),
    ]
    plans = common[planned].reset_index(drop=True)
    kept_plan, late = pick.random((len(plans), 3)) < 0.88, pick.integers(-3, 1, (len(plans), 3))
    instalments = []
    for number in range(3):
        due_on = plans["due"].to_numpy() + 30 * (number + 1)
        amounts = plans["total"].to_numpy() // 3 + (plans["total"].to_numpy() % 3 if number == 2 else 0)
        paid_at = np.where(kept_plan[:, number], instant(due_on + late[:, number], 40_000), _NEVER)
        instalments.append(
            plans[["invoice_id", "customer_id", "feeder_id", "customer_class"]].assign(
                instalment_id="L" + plans["invoice_id"] + f"-{number + 1}",
                plan_id="L" + plans["invoice_id"],
                due_at=instant(due_on, 86_399),
                made_at=instant(plans["due"]),
                paid_at=paid_at,
                amount=fixed(amounts, 2),
            )
        )
    payments += [
        part[part["paid_at"].notna()].assign(payment_id=lambda rows: rows["instalment_id"] + "-P", channel="bank")[
            ["invoice_id", "customer_id", "feeder_id", "customer_class", "payment_id", "paid_at", "channel", "amount"]
        ]
        for part in instalments
    ]
    dunnings = []
    for level, after in enumerate(_LEVELS, start=1):
        asked = common[(common["delay"] > after)]
        dunnings.append(
            asked[["invoice_id", "customer_id", "feeder_id", "customer_class"]].assign(
                dunning_id="D" + asked["invoice_id"] + f"-{level}",
                dunning_level=level,
                sent_at=instant(asked["due"] + after, 9 * 3600),
                amount=fixed(asked["total"].to_numpy(), 2),
            )
        )
    orders = _orders(world, month, common[common["delay"] > _DISCONNECTED_AFTER].reset_index(drop=True))
    return tuple(pd.concat(items, ignore_index=True) for items in (payments, dunnings, instalments, orders))  # type: ignore[return-value]


def _orders(world: World, month: int, owing: Frame) -> list[Frame]:
    pick, n = world.random(34, month), len(owing)
    off = owing["due"].to_numpy() + _DISCONNECTED_AFTER
    cut = owing[["customer_id", "feeder_id", "customer_class"]].assign(
        order_id="X" + owing["invoice_id"],
        order_type="disconnection",
        requested_at=instant(off, 8 * 3600),
        completed_at=instant(off + 1, 11 * 3600),
        amount_due=fixed(owing["total"].to_numpy(), 2),
    )
    pays = (owing["paid"] < owing["due"] + 5000).to_numpy()
    hours = np.minimum(pick.lognormal(3, 0.6, n), 200)
    back = owing[pays]
    on = back[["customer_id", "feeder_id", "customer_class"]].assign(
        order_id="R" + back["invoice_id"],
        order_type="reconnection",
        requested_at=instant(back["paid"], 16 * 3600 + 25_000),
        completed_at=instant(back["paid"], 16 * 3600 + 25_000 + hours[pays] * 3600),
        amount_due=fixed(back["total"].to_numpy(), 2),
    )
    return [cut, on]
