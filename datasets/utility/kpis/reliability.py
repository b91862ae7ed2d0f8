"""Reliability by IEEE 1366: interruptions of customers over customers served, with and without major event days."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Final

from datasets.utility.kpis.common import IEEE, LOAD, PLACE, SERVED, TIME, WHERE, joined, kpi, place, seconds
from meterlake.lakehouse.model import Kpi, View

SUPPLY: Final = View(
    "supply",
    f"""SELECT {place("e")}, e.customers_served, e.connected_kva, e.energy_input_kwh, f.length_km, f.rating_kw
    FROM fact_feeder_energy_day e {joined("e")}""",
    WHERE,
)
INTERRUPTIONS: Final = View(
    "interruptions",
    f"""SELECT {place("s")}, s.customer_id, s.customer_class, s.outage_id, s.connected_kva AS kva,
        FLOOR(s.time_sk / 3600) AS hour, s.off_at, o.is_planned, COALESCE(o.cause, 'unknown') AS cause, o.operations,
        {seconds("s.off_at", "s.on_at")} / 60 AS minutes, {seconds("s.off_at", "s.on_at")} > 300 AS is_sustained
    FROM fact_outage_customer_step s {joined("s")} JOIN fact_outage o ON o.outage_id = s.outage_id
    WHERE s.on_at IS NOT NULL""",
    (*WHERE, "customer_class", "cause", "is_planned", "hour"),
)
MAJOR_DAYS: Final = View(
    "major_days",
    """WITH served AS (SELECT date_sk, SUM(customers_served) AS customers FROM supply GROUP BY date_sk),
    lost AS (SELECT date_sk, SUM(minutes) AS minutes FROM interruptions WHERE is_sustained GROUP BY date_sk),
    daily AS (SELECT d.date_sk, CAST(SUBSTR(d.date_sk, 1, 4) AS INT) AS year, COALESCE(l.minutes, 0) / d.customers AS saidi
        FROM served d LEFT JOIN lost l ON l.date_sk = d.date_sk),
    years AS (SELECT DISTINCT year FROM daily),
    thresholds AS (SELECT y.year, EXP(AVG(LN(d.saidi)) + 2.5 * STDDEV_SAMP(LN(d.saidi))) AS t_med
        FROM years y JOIN daily d ON d.year < y.year AND d.year >= y.year - 5 WHERE d.saidi > 0 GROUP BY y.year)
    SELECT d.date_sk, SUBSTR(d.date_sk, 1, 6) AS month, SUBSTR(d.date_sk, 1, 4) AS year, d.saidi, t.t_med,
        COALESCE(d.saidi > t.t_med, FALSE) AS is_major
    FROM daily d LEFT JOIN thresholds t ON t.year = d.year""",
    TIME,
)
RELIABILITY: Final = View(
    "reliability",
    f"""SELECT {", ".join(f"i.{name}" for name in WHERE)}, i.customer_id, i.outage_id, i.minutes, i.is_sustained,
        i.operations, i.kva, m.is_major, CAST(NULL AS INT) AS customers_served, CAST(NULL AS DECIMAL(18, 2)) AS connected_kva
    FROM interruptions i JOIN major_days m ON m.date_sk = i.date_sk
    UNION ALL SELECT {", ".join(WHERE)}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, customers_served, connected_kva
    FROM supply""",
    WHERE,
)
YEARS: Final = View(
    "reliability_years",
    f"""SELECT {", ".join(WHERE)}, minutes, is_sustained, customers_served, FALSE AS is_before FROM reliability
    UNION ALL SELECT CONCAT(CAST(CAST(year AS INT) + 1 AS STRING), SUBSTR(date_sk, 5, 4)),
        CONCAT(CAST(CAST(year AS INT) + 1 AS STRING), SUBSTR(month, 5, 2)), CAST(CAST(year AS INT) + 1 AS STRING),
        {", ".join(PLACE)}, minutes, is_sustained, customers_served, TRUE FROM reliability""",
    WHERE,
)
VIEWS: Final = (SUPPLY, INTERRUPTIONS, MAJOR_DAYS, RELIABILITY, YEARS)

_N: Final = "COUNT_IF(is_sustained{})"
_MINUTES: Final = "SUM(CASE WHEN is_sustained{} THEN minutes END)"
_WITHOUT: Final = " AND NOT is_major"
_INTERRUPTED: Final = "COUNT(DISTINCT CASE WHEN is_sustained THEN customer_id END)"
_CUSTOMER: Final = ("customer_id",)
_SUMMED: Final = {
    "served": "SUM(customers_served)",
    "served_days": "COUNT(DISTINCT CASE WHEN customers_served IS NOT NULL THEN date_sk END)",
}
_OF_SERVED: Final = "(SUM(served) / MAX(served_days))"


def _both(name: str, title: str, unit: str, sql: str) -> tuple[Kpi, Kpi]:
    """Return a figure for all events, and without major event days."""
    return (
        kpi(name, title, unit, "reliability", sql.replace("{}", ""), source=IEEE),
        kpi(f"{name}_without_major", f"{title}, without major event days", unit, "reliability",
            sql.replace("{}", _WITHOUT), source=IEEE, caveat="Only days with a year of history before them can be major"),
    )  # fmt: skip


def _customers(name: str, title: str, inner: str, test: str) -> Kpi:
    """Return the share of customers for whom a sum over their interruptions passes a test."""
    return kpi(
        name, title, "1", "reliability", f"COUNT_IF({test}) / {_OF_SERVED}", source=IEEE, grain=("year",),
        per=_CUSTOMER, inner={"amount": inner, **_SUMMED},
    )  # fmt: skip


def _years(flag: str) -> str:
    served = f"CASE WHEN {flag} THEN customers_served END"
    days = f"COUNT(DISTINCT CASE WHEN {flag} AND customers_served IS NOT NULL THEN date_sk END)"
    return f"(SUM(CASE WHEN {flag} AND is_sustained THEN minutes END) / (SUM({served}) / {days}))"


KPIS: Final = (
    *_both("saifi", "SAIFI: interruptions a customer served", "1", f"{_N} / {SERVED}"),
    *_both("saidi", "SAIDI: minutes without supply a customer served", "min", f"{_MINUTES} / {SERVED}"),
    *_both("caidi", "CAIDI: minutes an interruption", "min", f"{_MINUTES} / {_N}"),
    kpi("caifi", "CAIFI: interruptions a customer interrupted", "1", "reliability",
        f"{_N} / {_INTERRUPTED}".replace("{}", ""), source=IEEE),
    kpi("ctaidi", "CTAIDI: minutes a customer interrupted", "min", "reliability",
        f"{_MINUTES} / {_INTERRUPTED}".replace("{}", ""), source=IEEE),
    kpi("asai", "ASAI: share of the time with supply", "1", "reliability",
        "1 - " + _MINUTES.replace("{}", "") + " / (SUM(customers_served) * 1440)", better="higher", source=IEEE),
    kpi("maifi", "MAIFI: momentary interruptions a customer served", "1", "reliability",
        f"SUM(CASE WHEN NOT is_sustained THEN operations END) / {SERVED}", source=IEEE),
    kpi("maifi_e", "MAIFI_E: momentary events a customer served", "1", "reliability",
        f"COUNT_IF(NOT is_sustained) / {SERVED}", source=IEEE),
    *(_customers(f"cemi_{n}", f"CEMI_{n}: customers with {n} or more interruptions", "COUNT_IF(is_sustained)", f"amount >= {n}")
      for n in (1, 3, 6)),
    *(_customers(f"cemsmi_{n}", f"CEMSMI_{n}: customers with {n} or more interruptions, momentary ones too",
                 "COUNT(outage_id)", f"amount >= {n}") for n in (1, 3, 6)),
    *(_customers(f"celid_s_{n}", f"CELID_s: customers with an interruption of {n} h or more",
                 "MAX(CASE WHEN is_sustained THEN minutes END)", f"amount >= {n * 60}") for n in (4, 8, 12)),
    *(_customers(f"celid_t_{n}", f"CELID_t: customers with {n} h or more altogether",
                 "SUM(CASE WHEN is_sustained THEN minutes END)", f"amount >= {n * 60}") for n in (4, 8, 12)),
    kpi("asifi", "ASIFI: interruptions by connected load", "1", "reliability",
        f"SUM(CASE WHEN is_sustained THEN kva END) / {LOAD}", source=IEEE),
    kpi("asidi", "ASIDI: minutes by connected load", "min", "reliability",
        f"SUM(CASE WHEN is_sustained THEN kva * minutes END) / {LOAD}", source=IEEE),
    kpi("major_event_days", "Major event days", "d", "major_days", "COUNT_IF(is_major)", grain=("year",), source=IEEE),
    kpi("t_med", "Threshold of major event days (2.5 beta)", "min", "major_days", "MAX(t_med)", grain=("year",), source=IEEE,
        caveat="From up to five calendar years before; days with SAIDI 0 are left out of the logarithm"),
    kpi("saidi_on_major", "SAIDI on major event days", "min", "reliability",
        f"COALESCE(SUM(CASE WHEN is_sustained AND is_major THEN minutes END), 0) / {SERVED}", source=IEEE),
    kpi("saidi_to_year_before", "SAIDI over that of the same months a year before", "1", "reliability_years",
        f"{_years('NOT is_before')} / {_years('is_before')}", source=IEEE),
)  # fmt: skip
