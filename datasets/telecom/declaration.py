"""What happens at a mobile operator and who takes part, with the columns of the system that it replaces."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from datasets.telecom.marts import MARTS
from datasets.telecom.references import AGENTS, CELL_SITES, DEVICES, USERS
from meterlake.columns import BOOLEAN, DOUBLE, INT, STRING, TIMESTAMP, decimal
from meterlake.lakehouse.declaration import Lakehouse
from meterlake.lakehouse.fields import Check, Field, Known
from meterlake.lakehouse.live import Live, LiveEvent
from meterlake.lakehouse.model import Dimension, Fact, Kpi, Lookup, Measure
from meterlake.lakehouse.records import Event

E164: Final = r"\+[1-9][0-9]{6,14}"
CURRENCIES: Final = ("EGP", "USD", "EUR")
MONEY: Final = decimal(2)


def _phone(name: str, title: str) -> Field:
    return Field(name, STRING, title, pattern=E164, pii=True, person="users")


def _amount(name: str = "amount", title: str = "What is charged") -> Field:
    return Field(name, MONEY, title, "of its currency", between=(0, None))


def _ends() -> tuple[Field, ...]:
    """Both ends of a call or a message."""
    cells, imeis, tacs = (
        [Field(f"{end}_cell_site", STRING, f"Cell of the {who}") for end, who in _ENDS],
        [Field(f"{end}_imei", STRING, f"Device of the {who}", digits="luhn", pii=True) for end, who in _ENDS],
        [Field(f"{end}_tac", STRING, f"Model of the device of the {who}", pattern="[0-9]{8}") for end, who in _ENDS],
    )
    return (*cells, *imeis, *tacs)


_ENDS: Final = (("from", "sender"), ("to", "receiver"))
_TYPE: Final = Field("event_type", STRING, "Kind of event")
_CURRENCY: Final = Field("currency", STRING, "ISO 4217", one_of=CURRENCIES)
_WHEN: Final = Field("timestamp", TIMESTAMP, "When it began")
_METHOD: Final = Field(
    "payment_method", STRING, "How it is paid", one_of=("card", "cash", "wallet", "bank_transfer", "voucher")
)
_SAME_DEVICE: Final = tuple(
    Check(f"{end}_tac_of_imei", f"substring({end}_imei, 1, 8) = {end}_tac", "The model is that of the device")
    for end, _ in _ENDS
)
_KNOWN_CELLS: Final = tuple(Known(f"{end}_cell_site", "cell_sites") for end, _ in _ENDS)

CALLS: Final = Event(
    name="calls",
    title="Calls",
    topic="telecom.calls",
    id="call_id",
    time="timestamp",
    partition="day",
    fields=(
        Field("call_id", STRING, "Identity of the call"),
        _TYPE,
        _phone("from_phone_number", "Who calls"),
        _phone("to_phone_number", "Who is called"),
        *_ends(),
        _WHEN,
        Field("status", STRING, "How it ended", one_of=("completed", "dropped", "missed", "busy", "failed")),
        Field("call_duration_seconds", INT, "Time of talking", "s", between=(0, 86_400)),
        _amount(),
        _CURRENCY,
        Field("call_type", STRING, "Voice or video", one_of=("voice", "video")),
    ),
    checks=(
        Check(
            "duration_fits_status",
            "(status IN ('completed', 'dropped')) = (call_duration_seconds > 0)",
            "Somebody talked if and only if the call was taken",
        ),
        *_SAME_DEVICE,
    ),
    known=_KNOWN_CELLS,
)
SMS: Final = Event(
    name="sms",
    title="Messages",
    topic="telecom.sms",
    id="sms_id",
    time="timestamp",
    partition="day",
    fields=(
        Field("sms_id", STRING, "Identity of the message"),
        _TYPE,
        _phone("from_phone_number", "Who sends"),
        _phone("to_phone_number", "Who receives"),
        *_ends(),
        _WHEN,
        Field("status", STRING, "How it ended", one_of=("delivered", "failed")),
        Field("jitter_ms", INT, "Jitter", "ms", between=(0, 60_000)),
        Field("latency_ms", INT, "Latency", "ms", between=(0, 600_000)),
        Field("signal_strength_dbm", INT, "Signal", "dBm", between=(-150, 0)),
        _amount(),
        _CURRENCY,
    ),
    checks=_SAME_DEVICE,
    known=_KNOWN_CELLS,
)
PAYMENTS: Final = Event(
    name="payments",
    title="Payments",
    topic="telecom.payments",
    id="payment_id",
    time="timestamp",
    partition="day",
    fields=(
        Field("payment_id", STRING, "Identity of the payment"),
        _TYPE,
        _phone("customer_phone", "Who owes"),
        _phone("phone_number", "For which number"),
        Field("payment_type", STRING, "What is paid", one_of=("invoice", "instalment", "fee")),
        _amount("payment_amount", "What the invoice says"),
        _METHOD,
        Field("status", STRING, "How it ended", one_of=("completed", "declined", "pending")),
        Field("transaction_id", STRING, "Identity at the bank"),
        _amount("amount", "What was paid"),
        _CURRENCY,
        Field("invoice_number", STRING, "Invoice"),
        Field("seasonal_multiplier", DOUBLE, "How busy the season is", between=(0, 10)),
        _WHEN,
    ),
    checks=(Check("not_overpaid", "amount <= payment_amount", "Nobody pays more than the invoice says"),),
)
RECHARGES: Final = Event(
    name="recharges",
    title="Recharges",
    topic="telecom.recharges",
    id="transaction_id",
    time="timestamp",
    partition="day",
    fields=(
        Field("transaction_id", STRING, "Identity of the recharge"),
        _TYPE,
        _phone("customer", "Who recharges"),
        Field("balance_after", MONEY, "Balance after it", "of its currency"),
        Field("balance_before", MONEY, "Balance before it", "of its currency"),
        Field("amount", MONEY, "What is added", "of its currency", between=(1, None)),
        _CURRENCY,
        _METHOD,
        _phone("phone_number", "Which number"),
        _WHEN,
    ),
    checks=(Check("balance_adds_up", "balance_after = balance_before + amount", "The balance grows by the amount"),),
)
SUPPORT: Final = Event(
    name="support",
    title="Support",
    topic="telecom.support",
    id="support_id",
    time="timestamp",
    partition="day",
    fields=(
        Field("support_id", STRING, "Identity of the contact"),
        _TYPE,
        _phone("customer_phone", "Who asks"),
        _phone("phone_number", "About which number"),
        Field("channel", STRING, "By which way", one_of=("call", "chat", "email", "store")),
        Field("reason", STRING, "About what", one_of=("network", "billing", "device", "plan", "other")),
        Field("wait_time_seconds", INT, "Until somebody answered", "s", between=(0, 86_400)),
        Field("resolution_time_seconds", INT, "Until it was solved", "s", between=(0, 2_592_000), nullable=True),
        Field("agent_id", STRING, "Who helped"),
        Field("satisfaction_score", INT, "From 1 to 5", between=(1, 5), nullable=True),
        Field("first_call_resolution", BOOLEAN, "Whether once was enough"),
        Field("escalated", BOOLEAN, "Whether it went to the next level"),
        Field("call_back_requested", BOOLEAN, "Whether a call back was asked for"),
        _WHEN,
    ),
    checks=(
        Check(
            "solved_has_a_time",
            "NOT first_call_resolution OR resolution_time_seconds IS NOT NULL",
            "What was solved at once has a time of solution",
        ),
    ),
    known=(Known("agent_id", "agents"),),
)


def _user(field: str, column: str = "user_sk") -> Lookup:
    return Lookup("dim_user", field, column)


_BOTH_ENDS: Final = tuple(
    Lookup(dimension, f"{end}_{field}", f"{end}_{key}")
    for dimension, field, key in (
        ("dim_user", "phone_number", "user_sk"),
        ("dim_device", "tac", "device_sk"),
        ("dim_cell_site", "cell_site", "cell_sk"),
    )
    for end in ("from", "to")
)

TELECOM: Final = Lakehouse(
    name="telecom",
    title="Telecom",
    time_zone="Africa/Cairo",
    retention=timedelta(days=90),
    events=(CALLS, SMS, PAYMENTS, RECHARGES, SUPPORT),
    references=(USERS, DEVICES, CELL_SITES, AGENTS),
    dimensions=(
        Dimension("dim_user", "users", "user_sk", ("phone_number", "user_id", "name", "email", "address")),
        Dimension(
            "dim_device", "devices", "device_sk", ("tac", "brand", "model", "os_version"), ("brand", "model", "tac")
        ),
        Dimension(
            "dim_cell_site",
            "cell_sites",
            "cell_sk",
            ("cell_id", "city", "region", "latitude", "longitude"),
            ("region", "city", "cell_id"),
        ),
        Dimension(
            "dim_agent",
            "agents",
            "agent_sk",
            ("agent_id", "name", "department", "email"),
            ("department", "agent_id"),
        ),
    ),
    facts=(
        Fact(
            "fact_calls",
            "calls",
            "One row for each attempt to call",
            _BOTH_ENDS,
            (Measure("call_duration_seconds", "additive"), Measure("amount", "additive")),
        ),
        Fact(
            "fact_sms",
            "sms",
            "One row for each message that was sent",
            _BOTH_ENDS,
            (Measure("latency_ms", "not_additive"), Measure("amount", "additive")),
        ),
        Fact(
            "fact_payment",
            "payments",
            "One row for each attempt to pay",
            (_user("phone_number"),),
            (Measure("payment_amount", "additive"), Measure("amount", "additive")),
        ),
        Fact(
            "fact_recharge",
            "recharges",
            "One row for each recharge",
            (_user("phone_number"),),
            (Measure("amount", "additive"), Measure("balance_after", "semi_additive")),
        ),
        Fact(
            "fact_support",
            "support",
            "One row for each contact with support",
            (_user("phone_number"), Lookup("dim_agent", "agent_id", "agent_sk")),
            (Measure("wait_time_seconds", "additive"), Measure("satisfaction_score", "not_additive")),
        ),
    ),
    kpis=(
        Kpi(
            name="call_drop_rate",
            title="Dropped calls",
            unit="1",
            fact="fact_calls",
            sql="COUNT_IF(status = 'dropped') / NULLIF(COUNT_IF(status IN ('completed', 'dropped')), 0)",
            grain=("date_sk",),
            better="lower",
            source="ITU-T E.807: calls that ended early, of those that were taken",
        ),
    ),
    marts=MARTS,
    live=Live(
        lateness=timedelta(minutes=2),
        events=(
            LiveEvent("calls", "from_cell_sk", "city", "amount", "currency"),
            LiveEvent("sms", "from_cell_sk", "city", "amount", "currency"),
            LiveEvent("payments", "user_sk", "address", "amount", "currency"),
            LiveEvent("recharges", "user_sk", "address", "amount", "currency"),
            LiveEvent("support", "user_sk", "address"),
        ),
    ),
    simulation="datasets.telecom.simulation:SIMULATION",
    verification="verification.sql",
)
