"""The electric utility: what its three systems hold, and the dimensions, facts and figures that are made of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from datasets.utility import billing, crm, oms
from datasets.utility.kpis import KPIS, PAGES, VIEWS
from datasets.utility.kpis.common import PLACE
from datasets.utility.kpis.reliability import SUPPLY
from datasets.utility.predictions import OUTAGES
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.model import Dimension, Fact, Filters, Lookup, Measure

_FEEDER: Final = Lookup("dim_feeder", "feeder_id", "feeder_sk")
_CUSTOMER: Final = Lookup("dim_customer", "customer_id", "customer_sk")
_TARIFF: Final = Lookup("dim_tariff", "tariff_id", "tariff_sk")
_TRANSFORMER: Final = Lookup("dim_transformer", "transformer_id", "transformer_sk")


def _fact(name: str, event: str, grain: str, lookups: tuple[Lookup, ...], *measures: str) -> Fact:
    return Fact(name, event, grain, lookups, tuple(Measure(measure, "additive") for measure in measures))


_BOTH: Final = (_FEEDER, _CUSTOMER)

UTILITY: Final = Lakehouse(
    name="utility",
    title="Electric utility",
    time_zone="Asia/Karachi",
    retention=timedelta(days=400),
    references=(oms.FEEDERS, oms.TRANSFORMERS, crm.CUSTOMERS, billing.TARIFFS),
    events=(
        oms.OUTAGES, oms.STEPS, oms.CALLS, oms.FEEDER_DAYS, oms.LOADS, oms.TRANSFORMER_DAYS,
        crm.COMPLAINTS, crm.ORDERS,
        billing.READINGS, billing.INVOICE_LINES, billing.PAYMENTS, billing.DUNNINGS, billing.INSTALMENTS,
    ),
    sources=".play:SOURCES",
    verification="verification.sql",
    views=VIEWS,
    predictions=(OUTAGES,),
    kpis=KPIS,
    pages=PAGES,
    filters=Filters(SUPPLY.name, ("year", "month", *PLACE)),
    dimensions=(
        Dimension("dim_feeder", "feeders", "feeder_sk", tuple(f.name for f in oms.FEEDERS.fields[:8])),
        Dimension("dim_transformer", "transformers", "transformer_sk", ("transformer_id", "feeder_id", "rating_kva")),
        Dimension("dim_customer", "customers", "customer_sk", tuple(f.name for f in crm.CUSTOMERS.fields[:9])),
        Dimension("dim_tariff", "tariffs", "tariff_sk", tuple(f.name for f in billing.TARIFFS.fields[:5])),
    ),
    facts=(
        _fact("fact_outage", "outages", "One row for each outage", (_FEEDER,), "customers_interrupted"),
        _fact(
            "fact_outage_customer_step", "outage_steps", "One row for each customer of an outage",
            _BOTH, "connected_kva",
        ),
        _fact("fact_trouble_call", "trouble_calls", "One row for each call", _BOTH),
        _fact(
            "fact_feeder_energy_day", "feeder_days", "One row for each feeder and local day",
            (_FEEDER,), "energy_input_kwh",
        ),
        _fact("fact_feeder_load_hour", "feeder_loads", "One row for each feeder and hour", (_FEEDER,)),
        _fact(
            "fact_transformer_day", "transformer_days", "One row for each transformer and local day",
            (_FEEDER, _TRANSFORMER), "overload_hours",
        ),
        _fact("fact_complaint", "complaints", "One row for each complaint", _BOTH, "contacts"),
        _fact("fact_service_order", "service_orders", "One row for each order", _BOTH, "amount_due"),
        _fact("fact_meter_reading", "meter_readings", "One row for each reading", _BOTH, "consumption_kwh"),
        _fact(
            "fact_invoice_line", "invoice_lines", "One row for each line of an invoice",
            (*_BOTH, _TARIFF), "kwh", "amount",
        ),
        _fact("fact_payment", "payments", "One row for each payment", _BOTH, "amount"),
        _fact("fact_dunning", "dunnings", "One row for each notice", _BOTH, "amount"),
        _fact("fact_instalment", "instalments", "One row for each instalment", _BOTH, "amount"),
    ),
)  # fmt: skip
