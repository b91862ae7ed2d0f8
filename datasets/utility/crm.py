"""CRM: customers and their service points, complaints, service orders."""

from __future__ import annotations

from typing import Final

from datasets.utility.common import (
    CLASSES,
    CUSTOMER,
    FEEDER,
    KNOWN_BOTH,
    KNOWN_FEEDER,
    MONEY,
    moment,
    number,
    table,
    text,
)
from meterlake.columns import INT
from meterlake.lakehouse.fields import Check
from meterlake.lakehouse.records import Event, Reference

CUSTOMERS: Final = Reference(
    name="customers",
    title="Customers with their service point: a row for each time that something about them changed",
    topic="utility.customers",
    key="customer_id",
    time="valid_from",
    history="versions",
    extract=table("crm", "customers", "row_id"),
    fields=(
        CUSTOMER,
        text("customer_name", "Name", pii=True),
        text("phone", "Telephone", nullable=True, pii=True),
        text("customer_class", "Class", one_of=CLASSES),
        FEEDER,
        text("transformer_id", "Transformer that supplies it"),
        text("tariff_id", "Tariff"),
        number("connected_kva", MONEY, "Connected load", "kVA"),
        text("status", "Whether it is supplied", one_of=("active", "inactive")),
        moment("valid_from", "From when on it is so", nullable=False),
    ),
)
COMPLAINTS: Final = Event(
    name="complaints",
    title="Complaints",
    topic="utility.complaints",
    id="complaint_id",
    time="opened_at",
    extract=table("crm", "complaints", "complaint_id"),
    fields=(
        text("complaint_id", "Identity of the complaint"),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        text("complaint_type", "About what", one_of=("outage", "billing", "voltage", "meter", "service")),
        text("channel", "By which way", one_of=("call", "app", "web", "centre", "social")),
        moment("opened_at", "When it was opened", nullable=False),
        moment("first_response_at", "First response"),
        moment("promised_by", "Until when a solution was promised", nullable=False),
        moment("resolved_at", "Solved"),
        moment("reopened_at", "Opened again"),
        number("contacts", INT, "Contacts until it was solved", least=1),
        text("outage_id", "Outage that it is about", nullable=True),
    ),
    checks=(
        Check("responded_after_opening", "first_response_at >= opened_at", "A response follows the complaint"),
        Check("resolved_after_opening", "resolved_at >= opened_at", "A solution follows the complaint"),
    ),
    known=KNOWN_BOTH,
)
ORDERS: Final = Event(
    name="service_orders",
    title="Service orders: new connections, disconnections, reconnections",
    topic="utility.service_orders",
    id="order_id",
    time="requested_at",
    extract=table("crm", "service_orders", "order_id"),
    fields=(
        text("order_id", "Identity of the order"),
        text("order_type", "What is done", one_of=("new_connection", "disconnection", "reconnection")),
        CUSTOMER,
        FEEDER,
        text("customer_class", "Class of the customer", one_of=CLASSES),
        moment("requested_at", "When it was asked for", nullable=False),
        moment("completed_at", "When it was done"),
        number("amount_due", MONEY, "What was owed then", "PKR", nullable=True),
    ),
    checks=(
        Check("completed_after_request", "completed_at >= requested_at", "Nothing is done before it is asked for"),
    ),
    # Who asks for a connection is no customer yet.
    known=KNOWN_FEEDER,
)
