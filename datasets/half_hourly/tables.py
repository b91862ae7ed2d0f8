"""Agreements, products and meterpoints, and the tables that people read: consumption by product, region and half hour.

Energy is exact (DECIMAL, kWh to the watt-hour); an average is a DOUBLE, made of exact sums.
"""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

from typing import Final

from meterlake.columns import BIGINT, BOOLEAN, DATE, DOUBLE, INT, STRING, TIMESTAMP, Column, decimal
from meterlake.presentation import Assignment, Lookup, Presentation, PresentationTable, ReferenceTable

KWH: Final = decimal(3)

AGREEMENT: Final = ReferenceTable(
    name="agreement",
    title="Agreements",
    key=("agreement_id",),
    columns=(
        Column("agreement_id", INT, doc="the agreement"),
        Column("agreement_valid_from", DATE, doc="first local day"),
        Column("agreement_valid_to", DATE, nullable=True, doc="first local day after it; NULL: open"),
        Column("product_id", STRING, doc="its product"),
        Column("meterpoint_id", STRING, doc="its meterpoint"),
        Column("account_id", STRING, doc="who pays"),
    ),
)
PRODUCT: Final = ReferenceTable(
    name="product",
    title="Products",
    key=("product_id",),
    columns=(
        Column("product_id", STRING, doc="the product"),
        Column("id", INT, doc="its number"),
        Column("display_name", STRING, doc="its name for people; several products may share one"),
        Column("is_variable", INT, doc="1: its price varies"),
    ),
)
METERPOINT: Final = ReferenceTable(
    name="meterpoint",
    title="Meterpoints",
    key=("meterpoint_id",),
    columns=(
        Column("meterpoint_id", STRING, doc="the meterpoint"),
        Column("region", STRING, doc="its distribution region"),
    ),
)

_DAY: Final = Column("day", DATE, doc="local date, London")
_START: Final = Column("interval_start", TIMESTAMP, doc="start of the half hour, UTC")
_PRODUCT: Final = Column("product_id", STRING, doc="the product; 'none' where no agreement was valid")
_NAME: Final = Column("display_name", STRING, nullable=True, doc="the product's name")
_REGION: Final = Column("region", STRING, doc="the region; 'unknown' for unknown meterpoints")
_TOTAL: Final = Column("total_kwh", KWH, doc="energy, kWh")
_METERS: Final = Column("meterpoints", BIGINT, doc="meterpoints with a reading")
_HALF_HOURS: Final = Column("half_hours", BIGINT, doc="readings")

_SUMS: Final = "sum(consumption_sum) AS total_kwh, count(DISTINCT meter_id) AS meterpoints"
# A meterpoint has one row a half hour: there is nothing to be told apart, which would shuffle all rows.
_SUMS_OF_HALF_HOUR: Final = "sum(consumption_sum) AS total_kwh, count(*) AS meterpoints"
_BY_PRODUCT: Final = "coalesce(product_id, 'none') AS product_id, max(display_name) AS display_name"

TABLES: Final = (
    PresentationTable(
        name="active_agreements",
        title="Active agreements",
        grain="an agreement that is valid on the day as_of",
        by="as_of",
        keys=("as_of", "agreement_id"),
        columns=(
            Column("as_of", DATE, doc="the day that was asked for"),
            Column("agreement_id", INT, doc="the agreement"),
            Column("meterpoint_id", STRING, doc="its meterpoint"),
            Column("account_id", STRING, doc="who pays"),
            Column("product_id", STRING, doc="its product"),
            _NAME,
            Column("region", STRING, nullable=True, doc="the meterpoint's region"),
            Column("agreement_valid_from", DATE, doc="first local day"),
            Column("agreement_valid_to", DATE, nullable=True, doc="first local day after it"),
            Column("counts", BOOLEAN, doc="readings are under this one, not under another that is valid, too"),
        ),
        sql="""
            SELECT asked.as_of, a.agreement_id, a.meterpoint_id, a.account_id, a.product_id, p.display_name, m.region,
                   a.agreement_valid_from, a.agreement_valid_to,
                   row_number() OVER (
                       PARTITION BY a.meterpoint_id ORDER BY a.agreement_valid_from DESC, a.agreement_id DESC
                   ) = 1 AS counts
            FROM agreement AS a
            CROSS JOIN asked
            LEFT JOIN product AS p ON p.product_id = a.product_id
            LEFT JOIN meterpoint AS m ON m.meterpoint_id = a.meterpoint_id
            WHERE a.agreement_valid_from <= asked.as_of
              AND (a.agreement_valid_to IS NULL OR a.agreement_valid_to > asked.as_of)
        """,
    ),
    PresentationTable(
        name="total_consumption_half_hour",
        title="Total consumption by half hour",
        grain="a half hour: all readings, under an agreement or not",
        keys=("day", "interval_start"),
        columns=(_DAY, _START, _TOTAL, _METERS),
        sql=f"SELECT day, interval_start, {_SUMS_OF_HALF_HOUR} FROM staging GROUP BY day, interval_start",
    ),
    PresentationTable(
        name="consumption_per_product_per_day",
        title="Consumption by product and day",
        grain="a product and local day; readings without agreement are of the product 'none'",
        keys=("day", "product_id"),
        columns=(_DAY, _PRODUCT, _NAME, _TOTAL, _METERS, _HALF_HOURS),
        sql=f"""
            SELECT day, {_BY_PRODUCT}, {_SUMS}, count(*) AS half_hours
            FROM staging GROUP BY day, coalesce(product_id, 'none')
        """,
    ),
    PresentationTable(
        name="gold_aggregate_per_half_hour",
        title="Aggregate by half hour, for dashboards",
        grain="a half hour, with what is under an agreement and what is not; the two parts are the total",
        keys=("day", "interval_start"),
        columns=(
            _DAY,
            _START,
            Column("local_start", TIMESTAMP, doc="start on London's clock"),
            Column("settlement_period", INT, doc="number of the half hour in its local day, 1 to 46, 48 or 50"),
            _TOTAL,
            Column("agreed_kwh", KWH, doc="energy under an agreement, kWh"),
            Column("unagreed_kwh", KWH, doc="energy without a valid agreement, kWh"),
            _METERS,
            Column("avg_kwh", DOUBLE, doc="energy of a meterpoint, kWh"),
        ),
        sql="""
            SELECT day, interval_start, max(local_start) AS local_start, max(settlement_period) AS settlement_period,
                   sum(consumption_sum) AS total_kwh,
                   sum(CASE WHEN no_agreement THEN 0 ELSE consumption_sum END) AS agreed_kwh,
                   sum(CASE WHEN no_agreement THEN consumption_sum ELSE 0 END) AS unagreed_kwh,
                   count(*) AS meterpoints,
                   CAST(sum(consumption_sum) AS DOUBLE) / count(*) AS avg_kwh
            FROM staging GROUP BY day, interval_start
        """,
    ),
    PresentationTable(
        name="gold_avg_half_hour_by_product",
        title="Average half hour by product",
        grain="a half hour and product",
        keys=("day", "interval_start", "product_id"),
        columns=(
            _DAY,
            _START,
            _PRODUCT,
            _NAME,
            _TOTAL,
            _METERS,
            Column("avg_kwh", DOUBLE, doc="energy of a meterpoint, kWh"),
        ),
        sql=f"""
            SELECT day, interval_start, {_BY_PRODUCT}, {_SUMS_OF_HALF_HOUR},
                   CAST(sum(consumption_sum) AS DOUBLE) / count(*) AS avg_kwh
            FROM staging GROUP BY day, interval_start, coalesce(product_id, 'none')
        """,
    ),
    PresentationTable(
        name="consumption_per_region_per_day",
        title="Consumption by region and day",
        grain="a region and local day",
        keys=("day", "region"),
        columns=(_DAY, _REGION, _TOTAL, _METERS, _HALF_HOURS),
        sql=f"""
            SELECT day, coalesce(region, 'unknown') AS region, {_SUMS}, count(*) AS half_hours
            FROM staging GROUP BY day, coalesce(region, 'unknown')
        """,
    ),
    PresentationTable(
        name="total_consumption_half_hour_region",
        title="Total consumption by half hour and region",
        grain="a half hour and region",
        keys=("day", "interval_start", "region"),
        columns=(_DAY, _START, _REGION, _TOTAL, _METERS),
        sql=f"""
            SELECT day, interval_start, coalesce(region, 'unknown') AS region, {_SUMS_OF_HALF_HOUR}
            FROM staging GROUP BY day, interval_start, coalesce(region, 'unknown')
        """,
    ),
    PresentationTable(
        name="readings_to_look_at",
        title="Readings without agreement, under several, or of unknown meterpoints",
        grain="a meterpoint and local day with such readings",
        keys=("day", "meter_id"),
        columns=(
            _DAY,
            Column("meter_id", STRING, doc="the meterpoint"),
            _HALF_HOURS,
            Column("without_agreement", BIGINT, doc="readings at whose time no agreement is valid"),
            Column("overlapping", BIGINT, doc="readings at whose time several are; the one that began last counts"),
            Column("of_unknown_product", BIGINT, doc="readings whose agreement names a product that is not known"),
            Column("of_unknown_meterpoint", BIGINT, doc="readings of a meterpoint that is not known"),
            _TOTAL,
        ),
        sql="""
            SELECT day, meter_id, count(*) AS half_hours,
                   sum(CASE WHEN no_agreement THEN 1 ELSE 0 END) AS without_agreement,
                   sum(CASE WHEN overlapping_agreement THEN 1 ELSE 0 END) AS overlapping,
                   sum(CASE WHEN unknown_product THEN 1 ELSE 0 END) AS of_unknown_product,
                   sum(CASE WHEN unknown_meterpoint THEN 1 ELSE 0 END) AS of_unknown_meterpoint,
                   sum(consumption_sum) AS total_kwh
            FROM staging
            WHERE no_agreement OR overlapping_agreement OR unknown_product OR unknown_meterpoint
            GROUP BY day, meter_id
        """,
    ),
)

PRESENTATION: Final = Presentation(
    references=(AGREEMENT, PRODUCT, METERPOINT),
    assignment=Assignment(
        reference="agreement",
        meter="meterpoint_id",
        begin="agreement_valid_from",
        end="agreement_valid_to",
        id="agreement_id",
        columns=("agreement_id", "product_id", "account_id"),
    ),
    lookups=(
        Lookup(reference="product", on="product_id", columns=("display_name",)),
        Lookup(reference="meterpoint", on="meter_id", columns=("region",)),
    ),
    tables=TABLES,
)
