"""Collection and losses: energy in, energy billed, money billed, money paid."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Any, Final

from datasets.utility.kpis.common import WHERE, joined, kpi, place
from meterlake.lakehouse.model import Kpi, View

MONEY: Final = View(
    "energy_and_money",
    f"""SELECT {", ".join(WHERE)}, energy_input_kwh AS input_kwh, CAST(NULL AS DECIMAL(18, 3)) AS billed_kwh,
        CAST(NULL AS DECIMAL(18, 2)) AS billed, CAST(NULL AS DECIMAL(18, 2)) AS paid FROM supply
    UNION ALL SELECT {", ".join(WHERE)}, NULL, kwh, amount, NULL FROM invoice_rows WHERE counts
    UNION ALL SELECT {place("p")}, NULL, NULL, NULL, p.amount FROM fact_payment p {joined("p")}""",
    WHERE,
)
PAYMENTS: Final = View(
    "payment_rows",
    f"SELECT {place('p')}, p.channel, p.customer_class, p.amount FROM fact_payment p {joined('p')}",
    (*WHERE, "channel", "customer_class"),
)
ITEMS: Final = View(
    "open_items",
    f"""WITH paid AS (SELECT invoice_id, SUM(amount) AS paid FROM fact_payment GROUP BY invoice_id),
    early AS (SELECT p.invoice_id, SUM(p.amount) AS paid FROM fact_payment p JOIN invoice_rows i ON i.invoice_id = p.invoice_id
        WHERE p.date_sk <= DATE_FORMAT(i.due_on, 'yyyyMMdd') GROUP BY p.invoice_id)
    SELECT {", ".join(f"i.{name}" for name in WHERE)}, i.customer_class, i.invoice_id, i.amount,
        i.amount - COALESCE(p.paid, 0) AS open_amount, COALESCE(e.paid, 0) >= i.amount AS is_in_time,
        DATE_FORMAT(i.due_on, 'yyyyMMdd') < h.date_sk AS is_due,
        CASE WHEN DATEDIFF(TO_DATE(h.date_sk, 'yyyyMMdd'), i.due_on) <= 30 THEN '0-30 d' WHEN DATEDIFF(TO_DATE(h.date_sk, 'yyyyMMdd'), i.due_on) <= 60 THEN '31-60 d'
            WHEN DATEDIFF(TO_DATE(h.date_sk, 'yyyyMMdd'), i.due_on) <= 90 THEN '61-90 d' WHEN DATEDIFF(TO_DATE(h.date_sk, 'yyyyMMdd'), i.due_on) <= 180 THEN '91-180 d'
            ELSE 'over 180 d' END AS age
    FROM invoice_rows i CROSS JOIN horizon h LEFT JOIN paid p ON p.invoice_id = i.invoice_id
    LEFT JOIN early e ON e.invoice_id = i.invoice_id WHERE i.counts""",
    (*WHERE, "customer_class", "age"),
)
BALANCES: Final = View(
    "receivables",
    f"""WITH daily AS (SELECT date_sk, feeder_id, SUM(COALESCE(billed, 0)) AS billed, SUM(COALESCE(paid, 0)) AS paid
        FROM energy_and_money GROUP BY date_sk, feeder_id)
    SELECT {", ".join(f"s.{name}" for name in WHERE)}, d.billed,
        SUM(d.billed - d.paid) OVER (PARTITION BY s.feeder_id ORDER BY s.date_sk) AS balance
    FROM supply s JOIN daily d ON d.date_sk = s.date_sk AND d.feeder_id = s.feeder_id""",
    WHERE,
)
DUNNINGS: Final = View(
    "dunning_rows",
    f"""SELECT {place("d")}, d.customer_class, d.dunning_level, d.dunning_id, MAX(d.amount) AS amount,
        SUM(COALESCE(p.amount, 0)) AS brought_in
    FROM fact_dunning d {joined("d")} LEFT JOIN fact_payment p ON p.invoice_id = d.invoice_id AND p.paid_at >= d.sent_at
        AND p.paid_at < d.sent_at + INTERVAL '15' DAY
    GROUP BY d.date_sk, f.region, f.district, f.grid_station, f.feeder_id, d.customer_class, d.dunning_level, d.dunning_id""",
    (*WHERE, "customer_class", "dunning_level"),
)
PLANS: Final = View(
    "instalment_rows",
    f"""SELECT {place("i")}, i.customer_class, i.plan_id, i.amount, i.due_at <= h.ends AS is_due, COALESCE(i.paid_at <= i.due_at, FALSE) AS is_kept
    FROM fact_instalment i {joined("i")} CROSS JOIN horizon h""",
    (*WHERE, "customer_class"),
)
THEFT: Final = View(
    "theft_rows",
    f"""WITH losses AS (SELECT feeder_id, 1 - SUM(billed_kwh) / SUM(input_kwh) AS loss FROM energy_and_money GROUP BY feeder_id)
    SELECT {", ".join(f"i.{name}" for name in WHERE)}, i.customer_class, i.customer_id, i.is_low AND l.loss > 0.15 AS is_suspect
    FROM invoice_flags i JOIN losses l ON l.feeder_id = i.feeder_id""",
    (*WHERE, "customer_class"),
)
VIEWS: Final = (MONEY, PAYMENTS, ITEMS, BALANCES, DUNNINGS, PLANS, THEFT)

_AHEAD: Final = "Bills follow the energy by weeks: compare long periods"


def _money(name: str, title: str, unit: str, sql: str, **more: Any) -> Kpi:  # noqa: ANN401 - as kpi has them
    return kpi(name, title, unit, "energy_and_money", sql, **more)


KPIS: Final = (
    _money("energy_input", "Energy into the feeders", "kWh", "SUM(input_kwh)", better="higher", grain=("month", "feeder_id")),
    _money("distribution_loss", "Distribution loss", "1", "1 - SUM(billed_kwh) / SUM(input_kwh)", caveat=_AHEAD),
    _money("billing_efficiency", "Billing efficiency", "1", "SUM(billed_kwh) / SUM(input_kwh)", better="higher", caveat=_AHEAD),
    _money("collection_efficiency", "Collection efficiency", "1", "SUM(paid) / SUM(billed)", better="higher", caveat=_AHEAD),
    _money("atc_loss", "Aggregate technical and commercial loss", "1",
           "1 - (SUM(billed_kwh) / SUM(input_kwh)) * (SUM(paid) / SUM(billed))", caveat=_AHEAD),
    kpi("days_sales_outstanding", "Days of sales outstanding", "d", "receivables",
        "MAX_BY(owed, date_sk) * COUNT(*) / SUM(billed_of)", per=("date_sk",),
        inner={"owed": "SUM(balance)", "billed_of": "SUM(billed)"}, caveat="From what was billed since the first invoice"),
    kpi("receivables_by_age", "Receivables by their age", "PKR", "open_items",
        "SUM(CASE WHEN is_due AND open_amount > 0 THEN open_amount END)", grain=("age",), caveat="As of the last day"),
    kpi("paid_in_time", "Invoices paid by the due date", "1", "open_items",
        "COUNT_IF(is_due AND is_in_time) / COUNT_IF(is_due)", better="higher"),
    kpi("payments_by_channel", "Share of payments by channel", "1", "payment_rows",
        "SUM(amount) / SUM(SUM(amount)) OVER ()", grain=("channel",), better="higher"),
    kpi("plans_kept", "Instalment plans whose due instalments were all paid in time", "1", "instalment_rows",
        "COUNT_IF(due > 0 AND kept = due) / COUNT_IF(due > 0)", grain=("year",), better="higher", per=("plan_id",),
        inner={"due": "COUNT_IF(is_due)", "kept": "COUNT_IF(is_due AND is_kept)"}),
    kpi("dunning_notices", "Dunning notices by step", "1", "dunning_rows", "COUNT(*)", grain=("dunning_level",)),
    kpi("dunning_brought_in", "Paid within 15 days of a dunning step", "PKR", "dunning_rows", "SUM(brought_in)",
        grain=("dunning_level",), better="higher"),
    kpi("disconnections", "Disconnections for non-payment", "1", "order_rows", "COUNT_IF(order_type = 'disconnection')"),
    kpi("recovered_after_disconnection", "Debt recovered after disconnection", "1", "order_rows",
        "SUM(CASE WHEN order_type = 'reconnection' THEN amount_due END) / SUM(CASE WHEN order_type = 'disconnection' THEN amount_due END)",
        grain=("year",), better="higher"),
    _money("loss_of_feeders", "Distribution loss by feeder", "1", "1 - SUM(billed_kwh) / SUM(input_kwh)", grain=("feeder_id",), caveat=_AHEAD),
    kpi("suspected_theft", "Customers with low bills on feeders that lose more than 15 %", "1", "theft_rows",
        "COUNT(DISTINCT CASE WHEN is_suspect THEN customer_id END)", caveat="A reason to look, no proof"),
)  # fmt: skip
