"""The tables of costs: what each holds, and how it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_layer import run_records
from batch_layer.presentation.shapes import PRESENTATION
from engines.merge_table import Shape
from meterlake.columns import BIGINT, DATE, STRING, Column, decimal
from meterlake.tariffs.declaration import MONEY_DIGITS, PRICE_DIGITS

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries


def costs(series: MeterSeries) -> Shape:
    """Return the table of costs: a line a meter, local day, product, and part of its tariff."""
    return Shape(
        database=PRESENTATION,
        name=f"{series.name}_cost",
        columns=(
            Column("day", DATE, doc=f"local date, {series.time_zone}"),
            Column(series.key, STRING, doc="the meter"),
            Column("product_id", STRING, doc="the product"),
            Column("display_name", STRING, nullable=True, doc="the product's name"),
            Column("tariff", STRING, doc="the tariff that held on the day"),
            Column("part", STRING, doc="the standing charge, or a band or block of the tariff"),
            Column("price", decimal(PRICE_DIGITS), nullable=True, doc="a kWh, or a day; NULL: a price a half hour"),
            Column("kwh", decimal(3), doc="energy, estimates included"),
            Column("estimated_kwh", decimal(3), doc="the part of it that is estimated"),
            Column("amount", decimal(MONEY_DIGITS), doc="without VAT, not rounded: only lines of bills are"),
            Column("currency", STRING, doc="of price and amount"),
            Column("vat_rate", decimal(PRICE_DIGITS), doc="VAT of the day: 0.05 is 5 %"),
        ),
        keys=("day", series.key, "product_id", "tariff", "part"),
        order=(series.key, "day"),
        doc=f"Costs of {series.title}. One row: a meter, local day, product and part of its tariff",
    )


def runs(series: MeterSeries) -> Shape:
    """Return the record of the runs."""
    return run_records.shape(
        PRESENTATION,
        f"{series.name}_cost_runs",
        f"Runs of the costs of {series.title}",
        Column("inputs", STRING, doc="JSON: versions of the tables that were read"),
        Column("tariffs", STRING, doc="JSON: the tariffs and taxes, each as text with its first day"),
        Column("newest_day", DATE, nullable=True, doc="the last day that has costs"),
        Column("meter_months", BIGINT, doc="months of meters that were computed"),
    )
