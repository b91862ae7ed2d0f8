"""The telecom lakehouse under a name of a test's own: topics, tables and runs are nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from datasets.telecom.declaration import TELECOM
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.model import View
from meterlake.lakehouse.prediction import Prediction


def renamed(name: str) -> Lakehouse:
    """Return the telecom lakehouse under another name; a run of it may reject half of its records."""

    def topics(records: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(record, topic=f"{name}.{record.topic.partition('.')[2]}") for record in records)

    events, references = topics(TELECOM.events), topics(TELECOM.references)
    return replace(TELECOM, name=name, events=events, references=references, most_rejected=0.5)


def recharges(name: str) -> Lakehouse:
    """Return the part of it that knows recharges, and who makes them: a run takes seconds."""
    whole = renamed(name)
    return replace(
        whole,
        events=tuple(item for item in whole.events if item.name == "recharges"),
        references=tuple(item for item in whole.references if item.name == "users"),
        dimensions=tuple(item for item in whole.dimensions if item.name == "dim_user"),
        facts=tuple(item for item in whole.facts if item.name == "fact_recharge"),
        kpis=(),
        marts=(),
        live=None,
    )


def soon_over(name: str) -> Lakehouse:
    """Return the part of it that knows recharges and payments; what is landed need not be kept."""
    return replace(money(name), retention=timedelta(milliseconds=1))


def money(name: str) -> Lakehouse:
    """Return the part of it that knows recharges and payments, with a prediction about people that nobody has made."""
    whole = renamed(name)
    asked = View("asked", "SELECT date_sk, phone_number, user_sk, amount FROM fact_recharge", ("phone_number",))
    return replace(
        whole,
        events=tuple(item for item in whole.events if item.name in ("recharges", "payments")),
        references=tuple(item for item in whole.references if item.name == "users"),
        dimensions=tuple(item for item in whole.dimensions if item.name == "dim_user"),
        facts=tuple(item for item in whole.facts if item.name in ("fact_recharge", "fact_payment")),
        views=(asked,),
        kpis=(),
        marts=(),
        live=None,
        predictions=(
            Prediction(
                name="recharge_tomorrow",
                title="Whether somebody recharges tomorrow",
                view="asked",
                looks_back=0,
                member=("phone_number", "user_sk"),
                features={"amount": "What was recharged"},
                persistence="amount",
                rate="amount",
            ),
        ),
    )
