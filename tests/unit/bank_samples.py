"""A lakehouse in which people own accounts, and bills are of accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meterlake.columns import STRING, TIMESTAMP
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.fields import Field, Known
from meterlake.lakehouse.records import Event, Reference

WHEN = Field("at", TIMESTAMP, "When")


def text(name: str, **more: Any) -> Field:
    return Field(name, STRING, name, **more)


CUSTOMERS = Reference(
    name="customers", title="C", topic="c", key="customer", time="at", fields=(text("customer", pii=True), WHEN)
)
ACCOUNTS = Reference(
    name="accounts", title="A", topic="a", key="account", time="at", owner="customer",
    fields=(text("account"), text("customer", pii=True), WHEN),
)  # fmt: skip
BILLS = Event(
    name="bills", title="B", topic="b", id="bill", time="at", fields=(text("bill"), text("account"), WHEN),
    known=(Known("account", "accounts"),),
)  # fmt: skip
NOBODY = replace(CUSTOMERS, fields=(text("customer"), WHEN))
BANK = Lakehouse(name="bank", title="Bank", time_zone="UTC", events=(BILLS,), references=(CUSTOMERS, ACCOUNTS))
