"""What telecom people ask every day, kept ready in ClickHouse."""

from __future__ import annotations

from typing import Final

from meterlake.lakehouse.model import Mart

_HOUR: Final = ("hour", "time_sk DIV 3600")
_CURRENCY: Final = ("currency", "currency")

MARTS: Final = (
    Mart(
        name="traffic_by_cell_hour",
        title="Traffic of a cell in an hour, and what was dropped",
        fact="fact_calls",
        by=(("cell_sk", "from_cell_sk"), _HOUR),
        figures=(
            ("calls", "COUNT(*)"),
            ("talked_s", "SUM(call_duration_seconds)"),
            ("taken", "COUNT_IF(status IN ('completed', 'dropped'))"),
            ("dropped", "COUNT_IF(status = 'dropped')"),
        ),
    ),
    Mart(
        name="call_revenue_by_type",
        title="Revenue of calls, and how many people it comes from",
        fact="fact_calls",
        by=(("call_type", "call_type"), _CURRENCY),
        figures=(("revenue", "SUM(amount)"), ("calls", "COUNT(*)"), ("callers", "COUNT(DISTINCT from_user_sk)")),
    ),
    Mart(
        name="message_revenue",
        title="Revenue of messages, and how many arrived",
        fact="fact_sms",
        by=(_CURRENCY,),
        figures=(
            ("revenue", "SUM(amount)"),
            ("messages", "COUNT(*)"),
            ("delivered", "COUNT_IF(status = 'delivered')"),
            ("senders", "COUNT(DISTINCT from_user_sk)"),
        ),
    ),
    Mart(
        name="payments_by_method",
        title="What was owed and what was paid, by method",
        fact="fact_payment",
        by=(("payment_method", "payment_method"), ("status", "status"), _CURRENCY),
        figures=(("owed", "SUM(payment_amount)"), ("paid", "SUM(amount)"), ("payments", "COUNT(*)")),
    ),
    Mart(
        name="recharges_by_method",
        title="How people recharge: amounts, and how little they let it come to",
        fact="fact_recharge",
        by=(("payment_method", "payment_method"), _CURRENCY),
        figures=(
            ("recharged", "SUM(amount)"),
            ("recharges", "COUNT(*)"),
            ("people", "COUNT(DISTINCT user_sk)"),
            ("lowest_balance", "MIN(balance_before)"),
        ),
    ),
    Mart(
        name="support_by_reason",
        title="How long support takes, and how often once is enough",
        fact="fact_support",
        by=(("channel", "channel"), ("reason", "reason")),
        figures=(
            ("contacts", "COUNT(*)"),
            ("waited_s", "SUM(wait_time_seconds)"),
            ("solved", "COUNT(resolution_time_seconds)"),
            ("solving_s", "SUM(resolution_time_seconds)"),
            ("once", "COUNT_IF(first_call_resolution)"),
            ("escalated", "COUNT_IF(escalated)"),
        ),
    ),
    Mart(
        name="callers_by_day",
        title="What a caller does in a day: who falls silent, rings once and hangs up, or calls far too many",
        fact="fact_calls",
        by=(("user_sk", "from_user_sk"),),
        figures=(
            ("calls", "COUNT(*)"),
            ("called", "COUNT(DISTINCT to_phone_number)"),
            ("cells", "COUNT(DISTINCT from_cell_sk)"),
            ("devices", "COUNT(DISTINCT from_imei)"),
            ("short", "COUNT_IF(call_duration_seconds < 5)"),
            ("talked_s", "SUM(call_duration_seconds)"),
            ("spent", "SUM(amount)"),
        ),
    ),
)
