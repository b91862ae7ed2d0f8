"""What goes wrong with telecom records, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from datasets.telecom.world import TelecomWorld
from meterlake.lakehouse.simulation import Fault, Row, Simulation

_ENDS: Final = ("telecom.calls", "telecom.sms")
_MONEY: Final = (*_ENDS, "telecom.payments", "telecom.recharges")
_ALL: Final = (*_MONEY, "telecom.support")


def _with(name: str, value: Any) -> Callable[[Row], Row]:  # noqa: ANN401 - any value of JSON
    return lambda row: {**row, name: value}


def _moved(delta: timedelta) -> Callable[[Row], Row]:
    def change(row: Row) -> Row:
        moment = datetime.fromisoformat(row["timestamp"]) + delta
        return {**row, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"}

    return change


def _without_type(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "event_type"}


def _cut(row: Row) -> bytes:
    return orjson.dumps(row)[:-5]


def _listed(row: Row) -> bytes:
    return orjson.dumps([row])


def _corrected(row: Row) -> Row:
    return {**row, "currency": "USD", "revision": 1}


SIMULATION: Final = Simulation(
    world=TelecomWorld,
    faults={
        "missing": Fault("a required field is missing", _ALL, _without_type, "rejected"),
        "wrong_type": Fault("a number is a word", _MONEY, _with("amount", "many"), "rejected"),
        "currency": Fault("the currency is none", _MONEY, _with("currency", "XXX"), "rejected"),
        "unknown_cell": Fault("the cell is not known", _ENDS, _with("from_cell_site", "CELL99999"), "rejected"),
        "unknown_user": Fault("the receiver is not known", _ENDS, _with("to_phone_number", "+33612345678"), "accepted"),
        "balance": Fault(
            "the balance does not add up", ("telecom.recharges",), _with("balance_after", -1.0), "rejected"
        ),
        "future": Fault("it happens a year ahead", _ALL, _moved(timedelta(days=365)), "rejected"),
        "late": Fault("it arrives after all others", _ALL, lambda row: row, "accepted", later=True),
        "duplicate": Fault("it is sent twice", _ALL, lambda row: row, "duplicate", repeat=True),
        "conflict": Fault(
            "it is sent twice, with another currency", _MONEY, _with("currency", "EUR"), "conflicting", repeat=True
        ),
        "revision": Fault("it is corrected later", _MONEY, _corrected, "superseded", repeat=True, later=True),
        "schema": Fault("it has a field that nobody declared", _ALL, _with("new_field", {"a": 1}), "accepted"),
        "array": Fault("it is a list", _ALL, _listed, "undecodable"),
        "corrupt": Fault("it is cut off", _ALL, _cut, "undecodable"),
    },
)
