"""What the records of the three source systems share."""

from __future__ import annotations

from typing import Final

from meterlake.columns import BOOLEAN, STRING, TIMESTAMP, LogicalType, decimal
from meterlake.lakehouse.fields import Field, Known
from meterlake.lakehouse.sources import DELETED, Extract

MONEY: Final = decimal(2)
ENERGY: Final = decimal(3)
CURRENCY: Final = "PKR"
CLASSES: Final = ("residential", "commercial", "industrial", "agricultural")


def text(name: str, title: str, *, nullable: bool = False, pii: bool = False, one_of: tuple[str, ...] = ()) -> Field:
    """Return a field of text."""
    return Field(name, STRING, title, nullable=nullable, pii=pii, one_of=one_of)


def moment(name: str, title: str, *, nullable: bool = True) -> Field:
    """Return a field of an instant; in these systems most of them are not known from the beginning."""
    return Field(name, TIMESTAMP, title, nullable=nullable)


def number(
    name: str, kind: LogicalType, title: str, unit: str = "1", *, least: int | None = 0, nullable: bool = False
) -> Field:
    """Return a field of a number that is not below ``least``."""
    return Field(name, kind, title, unit, nullable=nullable, between=(least, None))


def table(database: str, name: str, key: str, **columns: str) -> Extract:
    """Return a table of a database whose key is ``key``. columns: the names that the source has for fields."""
    return Extract(database=database, table=name, key=key, columns=columns)


FEEDER: Final = text("feeder_id", "Feeder that supplies it")
CUSTOMER: Final = text("customer_id", "Business partner (GPART)", pii=True)
IS_DELETED: Final = Field(DELETED, BOOLEAN, "Whether it is gone from the source", nullable=True)
KNOWN_FEEDER: Final = (Known("feeder_id", "feeders"),)
KNOWN_BOTH: Final = (*KNOWN_FEEDER, Known("customer_id", "customers"))
