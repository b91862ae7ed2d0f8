"""What people do: they call and write their friends, recharge when the balance is low, pay invoices, ask for help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from datasets.telecom.people import People, device_rows, settle, user_rows
from meterlake.lakehouse.simulation import Batch, Request

Ints = npt.NDArray[np.int64]

SHARES: Final = {"calls": 0.30, "sms": 0.25, "payments": 0.15, "recharges": 0.20, "support": 0.10}
_ZONE: Final = ZoneInfo("Africa/Cairo")
# How busy the hours of a day are; Friday is the day of rest.
_HOURS: Final = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 10, 11, 10, 9, 9, 9, 10, 12, 13, 12, 9, 6, 3], dtype=float)
_FRIDAY: Final = 4
_EVENTS_A_STRETCH: Final = 20_000
_CALL_STATUS: Final = np.array(["completed", "dropped", "missed", "busy", "failed"], dtype=object)
_METHODS: Final = np.array(["card", "cash", "wallet", "bank_transfer", "voucher"], dtype=object)
_CENTS_A_MINUTE: Final = 19
_CENTS_AN_SMS: Final = 8
_MOVES_A_STRETCH: Final = 2


class TelecomWorld:
    """All people and what they do; the same request makes the same records."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._random = np.random.default_rng(request.seed)
        self._since = request.start - timedelta(days=30)
        self._people: People = settle(request.users, self._since, self._random)
        self._balance = self._random.integers(0, 5_000, request.users)
        self._sent = dict.fromkeys(SHARES, 0)
        self._troubled: Ints = np.empty(0, np.int64)

    def references(self) -> Iterator[Batch]:
        """Yield cells, devices, agents and users, as they are thirty days before the first event."""
        people, since = self._people, f"{self._since:%Y-%m-%dT%H:%M:%SZ}"
        yield _keyed("telecom.cell_sites", "cell_id", people.cells)
        yield _keyed("telecom.devices", "tac", device_rows(since))
        yield _keyed("telecom.agents", "agent_id", people.agents)
        everybody = np.arange(people.phone.size)
        yield _keyed("telecom.users", "phone_number", user_rows(people, everybody, since))

    def events(self) -> Iterator[list[Batch]]:
        """Yield what happens, a stretch of time after the other, each with some twenty thousand events."""
        request = self._request
        total = request.duration.total_seconds()
        stretch = max(1.0, min(total, _EVENTS_A_STRETCH / request.rate))
        if request.step is not None:
            stretch = min(stretch, request.step.total_seconds())
        begin = 0.0
        while begin < total:
            length = min(stretch, total - begin)
            yield self._stretch(begin, length, round(request.rate * (begin + length)) - round(request.rate * begin))
            begin += length

    def _stretch(self, begin: float, length: float, count: int) -> list[Batch]:
        random = self._random
        kinds = random.choice(len(SHARES), count, p=list(SHARES.values()))
        amounts = dict(zip(SHARES, np.bincount(kinds, minlength=len(SHARES)).tolist(), strict=True))
        made = [
            self._calls(self._times(begin, length, amounts["calls"])),
            self._sms(self._times(begin, length, amounts["sms"])),
            self._payments(self._times(begin, length, amounts["payments"])),
            self._recharges(self._times(begin, length, amounts["recharges"])),
            self._support(self._times(begin, length, amounts["support"])),
        ]
        moves = _MOVES_A_STRETCH
        if self._request.step is not None:  # short stretches: as many in the same time
            a_second = moves * self._request.rate / _EVENTS_A_STRETCH
            moves = round(a_second * (begin + length)) - round(a_second * begin)
        return [*made, self._moves(begin + length, moves)] if moves else made

    def _times(self, begin: float, length: float, count: int) -> npt.NDArray[np.datetime64]:
        """Return moments within a stretch, in order, more of them in busy hours."""
        random = self._random
        offsets = np.sort(random.random(count) * length)
        if length >= 3600:
            start = self._request.start.astimezone(_ZONE)
            hours = ((start.hour + (begin + offsets) / 3600) % 24).astype(int)
            busy = _HOURS[hours] / _HOURS.max()
            quiet = random.random(count) > busy
            offsets[quiet] = random.choice(offsets[~quiet], int(quiet.sum())) if (~quiet).any() else offsets[quiet]
            offsets.sort()
        start_ms = np.datetime64(self._request.start.astimezone(UTC).replace(tzinfo=None), "ms")
        return start_ms + ((begin + offsets) * 1000).astype("timedelta64[ms]")

    def _who(self, count: int) -> Ints:
        weight = self._people.weight
        result: Ints = np.searchsorted(np.cumsum(weight), self._random.random(count) * weight.sum())
        return result.clip(max=weight.size - 1)

    def _ends(self, times: npt.NDArray[np.datetime64]) -> tuple[Ints, dict[str, list[Any]]]:
        """Return who begins, and the columns of both ends: a friend, each in the cell where the hour finds them."""
        people, random = self._people, self._random
        sender = self._who(times.size)
        receiver = people.friends[sender, random.integers(0, people.friends.shape[1], times.size)]
        hour = (times.astype("datetime64[h]").astype(np.int64) + 2) % 24
        at_work = (hour >= 9) & (hour < 17)
        cell_ids = np.array([cell["cell_id"] for cell in people.cells], dtype=object)
        columns: dict[str, list[Any]] = {}
        for field, values in (
            ("phone_number", people.phone),
            ("cell_site", None),
            ("imei", people.imei),
            ("tac", people.tac),
        ):
            for end, who in (("from", sender), ("to", receiver)):
                if values is None:
                    chosen = cell_ids[np.where(at_work, people.work[who], people.home[who])]
                else:
                    chosen = values[who]
                columns[f"{end}_{field}"] = chosen.tolist()
        return sender, columns

    def _calls(self, times: npt.NDArray[np.datetime64]) -> Batch:
        random, count = self._random, times.size
        sender, ends = self._ends(times)
        status = _CALL_STATUS[random.choice(5, count, p=[0.74, 0.03, 0.14, 0.06, 0.03])]
        talked = (status == "completed") | (status == "dropped")
        seconds = np.where(talked, np.clip(random.lognormal(4.3, 1.0, count), 1, 7200), 0).astype(np.int64)
        cents = -(-seconds // 60) * _CENTS_A_MINUTE
        np.subtract.at(self._balance, sender, cents)
        self._troubled = sender[(status == "failed") | (status == "dropped")]
        columns = {
            "call_id": self._ids("calls", "C", count),
            "event_type": ["call"] * count,
            **ends,
            "timestamp": _text(times),
            "status": status.tolist(),
            "call_duration_seconds": seconds.tolist(),
            "amount": (cents / 100).tolist(),
            "currency": ["EGP"] * count,
            "call_type": np.where(random.random(count) < 0.93, "voice", "video").tolist(),
        }
        return _batch("telecom.calls", "from_phone_number", columns)

    def _sms(self, times: npt.NDArray[np.datetime64]) -> Batch:
        random, count = self._random, times.size
        sender, ends = self._ends(times)
        np.subtract.at(self._balance, sender, _CENTS_AN_SMS)
        columns = {
            "sms_id": self._ids("sms", "S", count),
            "event_type": ["sms"] * count,
            **ends,
            "timestamp": _text(times),
            "status": np.where(random.random(count) < 0.98, "delivered", "failed").tolist(),
            "jitter_ms": random.gamma(2, 6, count).astype(np.int64).tolist(),
            "latency_ms": (40 + random.gamma(2, 90, count)).astype(np.int64).tolist(),
            "signal_strength_dbm": (-(60 + random.gamma(3, 8, count)).clip(max=130)).astype(np.int64).tolist(),
            "amount": [_CENTS_AN_SMS / 100] * count,
            "currency": ["EGP"] * count,
        }
        return _batch("telecom.sms", "from_phone_number", columns)

    def _payments(self, times: npt.NDArray[np.datetime64]) -> Batch:
        random, count = self._random, times.size
        phones = self._people.phone[self._who(count)].tolist()
        status = np.array(["completed", "declined", "pending"], object)[random.choice(3, count, p=[0.93, 0.05, 0.02])]
        cents = random.integers(5_000, 80_000, count)
        numbers = self._ids("payments", "P", count)
        columns = {
            "payment_id": numbers,
            "event_type": ["payment"] * count,
            "customer_phone": phones,
            "phone_number": phones,
            "payment_type": np.array(["invoice", "instalment", "fee"], object)[
                random.choice(3, count, p=[0.8, 0.15, 0.05])
            ].tolist(),
            "payment_amount": (cents / 100).tolist(),
            "payment_method": _METHODS[random.choice(5, count, p=[0.45, 0.15, 0.2, 0.15, 0.05])].tolist(),
            "status": status.tolist(),
            "transaction_id": [f"B{number[1:]}" for number in numbers],
            "amount": (np.where(status == "completed", cents, 0) / 100).tolist(),
            "currency": ["EGP"] * count,
            "invoice_number": [f"I{number[1:]}" for number in numbers],
            "seasonal_multiplier": [1.0] * count,
            "timestamp": _text(times),
        }
        return _batch("telecom.payments", "phone_number", columns)

    def _recharges(self, times: npt.NDArray[np.datetime64]) -> Batch:
        """Let those with the lowest balance recharge: of four that come by, the one who needs it most."""
        random, count = self._random, times.size
        passing = random.integers(0, self._balance.size, (count, 4))
        who = passing[np.arange(count), np.argmin(self._balance[passing], axis=1)]
        cents = random.choice([1000, 2000, 5000, 10000], count, p=[0.4, 0.3, 0.2, 0.1])
        before = np.empty(count, np.int64)
        for number, (user, added) in enumerate(zip(who.tolist(), cents.tolist(), strict=True)):
            before[number] = self._balance[user]
            self._balance[user] += added
        phones = self._people.phone[who].tolist()
        columns = {
            "transaction_id": self._ids("recharges", "R", count),
            "event_type": ["recharge"] * count,
            "customer": phones,
            "balance_after": ((before + cents) / 100).tolist(),
            "balance_before": (before / 100).tolist(),
            "amount": (cents / 100).tolist(),
            "currency": ["EGP"] * count,
            "payment_method": _METHODS[random.choice(5, count, p=[0.2, 0.2, 0.2, 0.0, 0.4])].tolist(),
            "phone_number": phones,
            "timestamp": _text(times),
        }
        return _batch("telecom.recharges", "phone_number", columns)

    def _support(self, times: npt.NDArray[np.datetime64]) -> Batch:
        """Let those whose calls have just failed ask for help more often than others."""
        random, count = self._random, times.size
        who = self._who(count)
        if self._troubled.size:
            after = random.random(count) < 0.5
            who[after] = random.choice(self._troubled, int(after.sum()))
        phones = self._people.phone[who].tolist()
        first = random.random(count) < 0.72
        solved = first | (random.random(count) < 0.6)
        seconds = random.lognormal(6.2, 0.9, count).astype(np.int64).clip(max=500_000)
        scores = np.where(first, random.integers(3, 6, count), random.integers(1, 5, count))
        answered = random.random(count) < 0.6
        reasons = np.array(["network", "billing", "device", "plan", "other"], object)
        columns = {
            "support_id": self._ids("support", "T", count),
            "event_type": ["support"] * count,
            "customer_phone": phones,
            "phone_number": phones,
            "channel": np.array(["call", "chat", "email", "store"], object)[
                random.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])
            ].tolist(),
            "reason": reasons[random.choice(5, count, p=[0.4, 0.3, 0.1, 0.1, 0.1])].tolist(),
            "wait_time_seconds": random.exponential(90, count).astype(np.int64).clip(max=7200).tolist(),
            "resolution_time_seconds": [
                value if done else None for value, done in zip(seconds.tolist(), solved.tolist(), strict=True)
            ],
            "agent_id": [
                f"AG{1000 + number}" for number in random.integers(0, len(self._people.agents), count).tolist()
            ],
            "satisfaction_score": [
                value if given else None for value, given in zip(scores.tolist(), answered.tolist(), strict=True)
            ],
            "first_call_resolution": first.tolist(),
            "escalated": (~first & (random.random(count) < 0.3)).tolist(),
            "call_back_requested": (random.random(count) < 0.1).tolist(),
            "timestamp": _text(times),
        }
        return _batch("telecom.support", "phone_number", columns)

    def _moves(self, until: float, count: int) -> Batch:
        """Let a few people move to another city: from then on they are others to the dimension."""
        people = self._people
        who = np.unique(self._random.integers(0, people.city.size, count))
        people.city[who] = (people.city[who] + 1) % len({cell["city"] for cell in people.cells})
        since = self._request.start + timedelta(seconds=until)
        rows = user_rows(people, who, f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z")
        return _keyed("telecom.users", "phone_number", rows)

    def _ids(self, kind: str, letter: str, count: int) -> list[str]:
        """Return ids that no other run has: they begin with the seed and the start."""
        first, self._sent[kind] = self._sent[kind], self._sent[kind] + count
        run = f"{letter}{self._request.seed:x}-{int(self._request.start.timestamp()):x}"
        return [f"{run}-{number:08x}" for number in range(first, first + count)]


def _text(times: npt.NDArray[np.datetime64]) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times, unit="ms").tolist()]


def _batch(topic: str, key: str, columns: dict[str, list[Any]]) -> Batch:
    names = tuple(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Batch(topic, columns[key], rows)


def _keyed(topic: str, key: str, rows: list[dict[str, Any]]) -> Batch:
    return Batch(topic, [row[key] for row in rows], rows)
