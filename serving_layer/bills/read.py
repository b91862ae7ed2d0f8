"""Reads a meter's costs, and what of its days is estimated, through Trino."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import metastore, trino
from meterlake.errors import PermanentError
from meterlake.tariffs.bill import Bill, bill
from meterlake.tariffs.cost import line_of

if TYPE_CHECKING:
    from datetime import date

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

_COLUMNS = (
    "day", "product_id", "display_name", "tariff", "part", "price", "kwh", "estimated_kwh", "amount", "vat_rate",
    "currency",
)  # fmt: skip


class NoCosts(PermanentError):
    """There is nothing to bill."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}.", hint=hint)


def read_bill(settings: Settings, dataset: MeterSeries, meter: str, days: tuple[date, date]) -> Bill:
    """Return the bill of a meter for local days, both included. Raises NoCosts where it has no costs then."""
    name = f"{dataset.name}_cost"
    with metastore.client(settings) as client:
        if metastore.get_table(client, "presentation", name) is None:
            raise NoCosts(f"{dataset.name} has no costs yet", f"Run `meterlake cost {dataset.name}`.")
    rows = trino.rows(
        settings,
        f"SELECT {', '.join(_COLUMNS)} FROM delta.presentation.{name}"  # noqa: S608 - names of a declaration
        f" WHERE {dataset.key} = ? AND day BETWEEN ? AND ? ORDER BY day, product_id, tariff, part",
        [meter, *days],
    )
    if not rows:
        raise NoCosts(
            f"Meter {meter!r} of {dataset.name} has no costs from {days[0]} to {days[1]}",
            "Check the meter and the days; days without an agreement cost nothing.",
        )
    named = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return bill(meter, *days, named[-1]["currency"], [line_of(row) for row in named])
