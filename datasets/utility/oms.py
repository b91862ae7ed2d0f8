"""OMS and SCADA: feeders, transformers, outages with their restoration steps, trouble calls, load."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from datasets.utility.common import (
    CLASSES,
    CUSTOMER,
    ENERGY,
    FEEDER,
    IS_DELETED,
    KNOWN_BOTH,
    KNOWN_FEEDER,
    MONEY,
    moment,
    number,
    table,
    text,
)
from meterlake.columns import BOOLEAN, DATE, INT
from meterlake.lakehouse.fields import Check, Field
from meterlake.lakehouse.records import Event, Reference

CAUSES: Final = ("weather", "vegetation", "equipment", "overload", "third_party", "animal", "planned_work", "unknown")

FEEDERS: Final = Reference(
    name="feeders",
    title="Feeders: a row for each time that something about one changed",
    topic="utility.feeders",
    key="feeder_id",
    time="valid_from",
    history="versions",
    extract=table("oms", "feeders", "row_id"),
    fields=(
        text("feeder_id", "Feeder"),
        text("grid_station", "Grid station"),
        text("district", "District"),
        text("region", "Region"),
        number("length_km", MONEY, "Length", "km"),
        number("rating_kw", MONEY, "Rating", "kW"),
        number("vegetation", ENERGY, "Share of its length beside trees"),
        Field("installed_on", DATE, "When it was built"),
        moment("valid_from", "From when on it is so", nullable=False),
    ),
)
TRANSFORMERS: Final = Reference(
    name="transformers",
    title="Distribution transformers",
    topic="utility.transformers",
    key="transformer_id",
    time="valid_from",
    extract=table("oms", "transformers", "transformer_id"),
    fields=(
        text("transformer_id", "Transformer"),
        FEEDER,
        number("rating_kva", MONEY, "Rating", "kVA"),
        moment("valid_from", "Since when", nullable=False),
    ),
)
OUTAGES: Final = Event(
    name="outages",
    title="Outages",
    topic="utility.outages",
    id="outage_id",
    time="began_at",
    extract=replace(table("oms", "outages", "outage_id"), deletions="compare"),
    fields=(
        text("outage_id", "Identity of the outage"),
        FEEDER,
        text("device_type", "Device that opened", one_of=("feeder", "transformer")),
        text("device_id", "The device"),
        Field("is_planned", BOOLEAN, "Whether it is planned work"),
        text("cause", "Cause, as far as it is known", nullable=True, one_of=CAUSES),
        moment("cause_known_at", "When the cause was entered"),
        text("heard_from", "Who noticed it first", one_of=("customer", "scada", "plan")),
        moment("announced_at", "When planned work was announced"),
        moment("planned_end_at", "When planned work was to end"),
        moment("began_at", "First interruption", nullable=False),
        moment("estimated_at", "Estimated restoration, as first announced"),
        moment("dispatched_at", "A crew was sent"),
        moment("on_site_at", "The crew was there"),
        moment("restored_at", "Last customer restored"),
        text("crew_id", "Crew", nullable=True),
        text("crew_shift", "The crew's shift", nullable=True),
        number("customers_interrupted", INT, "Customers interrupted"),
        number("operations", INT, "Operations of the device: momentary events may have several", least=1),
        number("interrupted_kva", MONEY, "Connected load that was interrupted", "kVA"),
        IS_DELETED,
    ),
    checks=(
        Check("restored_after_it_began", "restored_at >= began_at", "Nothing is restored before it is interrupted"),
        Check("on_site_after_dispatch", "on_site_at >= dispatched_at", "A crew is sent before it is there"),
    ),
    known=KNOWN_FEEDER,
)
STEPS: Final = Event(
    name="outage_steps",
    title="Customers of an outage, with when each was interrupted and restored",
    topic="utility.outage_steps",
    id="step_id",
    time="off_at",
    extract=replace(table("oms", "outage_customer_steps", "step_id"), deletions="compare"),
    fields=(
        text("step_id", "Identity of the row"),
        text("outage_id", "Outage"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        number("restoration_step", INT, "Step of the restoration", least=1),
        moment("off_at", "Interrupted", nullable=False),
        moment("on_at", "Restored"),
        number("connected_kva", MONEY, "Connected load", "kVA"),
        IS_DELETED,
    ),
    checks=(Check("on_after_off", "on_at >= off_at", "Nobody is restored before the interruption"),),
    known=KNOWN_BOTH,
)
CALLS: Final = Event(
    name="trouble_calls",
    title="Calls of customers without supply",
    topic="utility.trouble_calls",
    id="call_id",
    time="called_at",
    extract=table("oms", "trouble_calls", "call_id"),
    fields=(
        text("call_id", "Identity of the call"),
        text("outage_id", "Outage that it was put to", nullable=True),
        CUSTOMER,
        FEEDER,
        moment("called_at", "When", nullable=False),
    ),
    known=KNOWN_BOTH,
)
FEEDER_DAYS: Final = Event(
    name="feeder_days",
    title="Feeders by day: energy input, customers supplied",
    topic="utility.feeder_days",
    id="feeder_day_id",
    day_in_id=r".+-(?P<days>[0-9]+)",
    time="day_start",
    extract=table("oms", "feeder_energy_days", "feeder_day_id"),
    fields=(
        text("feeder_day_id", "Identity of the row"),
        FEEDER,
        moment("day_start", "Start of the local day", nullable=False),
        number("energy_input_kwh", ENERGY, "Energy into the feeder", "kWh"),
        number("customers_served", INT, "Active customers"),
        number("connected_kva", MONEY, "Their connected load", "kVA"),
        number(
            "weather_forecast", MONEY, "How bad the next day's weather will be, as forecast", least=None, nullable=True
        ),
    ),
    known=KNOWN_FEEDER,
)
LOADS: Final = Event(
    name="feeder_loads",
    title="Load of feeders by hour",
    topic="utility.feeder_loads",
    id="load_id",
    day_in_id=r".+-(?P<days>[0-9]+)-[0-9]{2}",
    time="hour_start",
    extract=table("oms", "feeder_load_hours", "load_id"),
    fields=(
        text("load_id", "Identity of the row"),
        FEEDER,
        moment("hour_start", "Start of the hour", nullable=False),
        number("load_kw", ENERGY, "Mean load of the hour", "kW"),
    ),
    known=KNOWN_FEEDER,
)
TRANSFORMER_DAYS: Final = Event(
    name="transformer_days",
    title="Transformers by day: peak and overload",
    topic="utility.transformer_days",
    id="transformer_day_id",
    day_in_id=r".+-(?P<days>[0-9]+)",
    time="day_start",
    extract=table("oms", "transformer_days", "transformer_day_id"),
    fields=(
        text("transformer_day_id", "Identity of the row"),
        text("transformer_id", "Transformer"),
        FEEDER,
        moment("day_start", "Start of the local day", nullable=False),
        number("peak_kva", MONEY, "Greatest load", "kVA"),
        number("overload_hours", INT, "Hours above the rating", "h"),
    ),
    known=KNOWN_FEEDER,
)
