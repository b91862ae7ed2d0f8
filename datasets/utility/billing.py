"""SAP IS-U: tariffs, meter readings, invoices, payments, dunning, instalments. The source has SAP's names."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from datasets.utility.common import (
    CLASSES,
    CURRENCY,
    CUSTOMER,
    ENERGY,
    FEEDER,
    KNOWN_BOTH,
    MONEY,
    moment,
    number,
    table,
    text,
)
from meterlake.columns import BOOLEAN, DATE, INT, decimal
from meterlake.lakehouse.fields import Check, Field, Known
from meterlake.lakehouse.records import Event, Reference

CHANNELS: Final = ("bank", "app", "cash", "direct_debit")

TARIFFS: Final = Reference(
    name="tariffs",
    title="Tariffs: a row for each price, from its first day on",
    topic="utility.tariffs",
    key="tariff_id",
    time="valid_from",
    history="versions",
    extract=table("billing", "ettat", "row_id", tariff_id="TARIFTYP", tariff_name="TTYPBEZ", valid_from="AB"),
    fields=(
        text("tariff_id", "Tariff"),
        text("tariff_name", "Its name"),
        number("price_per_kwh", decimal(4), "Price of energy", f"{CURRENCY}/kWh"),
        number("fixed_charge", MONEY, "Fixed charge of a bill", CURRENCY),
        number("tax_rate", decimal(4), "Tax"),
        moment("valid_from", "From when on", nullable=False),
    ),
)
READINGS: Final = Event(
    name="meter_readings",
    title="Meter-reading documents",
    topic="utility.meter_readings",
    id="reading_id",
    time="read_at",
    extract=table(
        "billing", "eabl", "ABLBELNR",
        reading_id="ABLBELNR", customer_id="GPART", device_id="EQUNR", read_at="ADAT", reading_type="ABLESTYP",
        reading_reason="ABLESGR", register_kwh="ZWSTAND",
    ),
    fields=(
        text("reading_id", "Meter-reading document"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        text("device_id", "Meter"),
        moment("read_at", "When it was read", nullable=False),
        text("reading_type", "How", one_of=("actual", "estimated")),
        text("reading_reason", "Why, or what happened", one_of=("periodic", "meter_change", "roll_over")),
        number("register_kwh", ENERGY, "What the register showed", "kWh"),
        number("consumption_kwh", ENERGY, "Consumption since the reading before", "kWh", least=None),
        text("status", "Whether the point was supplied", one_of=("active", "inactive")),
        number("estimates_in_a_row", INT, "Estimated readings in a row, with this one"),
    ),
    known=KNOWN_BOTH,
)  # fmt: skip
INVOICE_LINES: Final = Event(
    name="invoice_lines",
    title="Lines of print documents (invoices)",
    topic="utility.invoice_lines",
    id="line_id",
    time="invoiced_at",
    extract=table(
        "billing", "dberdlb", "line_id",
        invoice_id="OPBEL", reading_id="ABLBELNR", customer_id="GPART", tariff_id="TARIFTYP", invoiced_at="BUDAT",
        due_on="FAEDN", period_from="AB", period_to="BIS", amount="NETTOBTR", reversed_at="STOKZ_DAT",
    ),
    fields=(
        text("line_id", "Identity of the line"),
        text("invoice_id", "Print document"),
        text("line_type", "What it charges", one_of=("energy", "fixed", "tax")),
        text("invoice_type", "Why it was made", one_of=("regular", "correction", "duplicate")),
        text("reading_id", "Reading that it bills"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        text("tariff_id", "Tariff"),
        moment("invoiced_at", "When it was made", nullable=False),
        moment("read_at", "When the meter was read", nullable=False),
        Field("period_from", DATE, "First day"),
        Field("period_to", DATE, "Last day"),
        Field("due_on", DATE, "To be paid by this day"),
        number("kwh", ENERGY, "Energy (lines of energy; else 0)", "kWh", least=None),
        number("amount", MONEY, "Amount", CURRENCY, least=None),
        Field("is_back_billed", BOOLEAN, "Whether it makes up for estimates"),
        moment("reversed_at", "When it was reversed"),
    ),
    checks=(
        Check("period_in_order", "period_to >= period_from", "A period has a day"),
        Check("reversed_after_it_was_made", "reversed_at >= invoiced_at", "Only what was made is reversed"),
    ),
    known=(*KNOWN_BOTH, Known("tariff_id", "tariffs")),
)  # fmt: skip
PAYMENTS: Final = Event(
    name="payments",
    title="Payments",
    topic="utility.payments",
    id="payment_id",
    time="paid_at",
    extract=table("billing", "dfkkzp", "payment_id", invoice_id="OPBEL", customer_id="GPART", amount="BETRZ"),
    fields=(
        text("payment_id", "Identity of the payment"),
        text("invoice_id", "Print document that it pays"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        moment("paid_at", "When", nullable=False),
        text("channel", "By which way", one_of=CHANNELS),
        number("amount", MONEY, "Amount", CURRENCY),
    ),
    known=KNOWN_BOTH,
)
DUNNINGS: Final = Event(
    name="dunnings",
    title="Dunning notices",
    topic="utility.dunnings",
    id="dunning_id",
    time="sent_at",
    extract=table("billing", "fkkmaze", "dunning_id", invoice_id="OPBEL", customer_id="GPART", dunning_level="MAHNS"),
    fields=(
        text("dunning_id", "Identity of the notice"),
        text("invoice_id", "Print document"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        number("dunning_level", INT, "Step", least=1),
        moment("sent_at", "When", nullable=False),
        number("amount", MONEY, "Amount that is asked for", CURRENCY),
    ),
    known=KNOWN_BOTH,
)
INSTALMENTS: Final = Event(
    name="instalments",
    title="Instalments of plans",
    topic="utility.instalments",
    id="instalment_id",
    time="due_at",
    tolerance=timedelta(days=400),
    extract=table("billing", "fkk_instpln", "instalment_id", customer_id="GPART"),
    fields=(
        text("instalment_id", "Identity of the instalment"),
        text("plan_id", "Plan"),
        text("invoice_id", "Print document that is paid so"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        moment("due_at", "When it is due", nullable=False),
        moment("paid_at", "When it was paid"),
        number("amount", MONEY, "Amount", CURRENCY),
    ),
    known=KNOWN_BOTH,
)
