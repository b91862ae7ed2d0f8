"""SQL of the views, in Trino, that show the best value of each interval and day, measured and estimated apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake import timegrid
from meterlake.merged import CATALOG, batch_table

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.vee.declaration import Vee

DATABASE: Final = "vee"
TABLES: Final = f"delta.{DATABASE}"
"""Where findings and estimates lie, in Trino."""
QUALITIES: Final = {
    "measured": "read, and trusted",
    "flagged": "read, and flagged by a rule of the declaration",
    "partial": "read for a part of the interval",
    "estimated": "nothing was read",
    "replaced": "read, and not trusted: the estimate counts",
}
"""Quality codes of the best value."""


def validated_view(series: MeterSeries) -> str:
    """Return the full name of the view of intervals."""
    return f"{CATALOG}.{DATABASE}.{series.name}_validated"


def validated_days_view(series: MeterSeries) -> str:
    """Return the full name of the view of local days."""
    return f"{CATALOG}.{DATABASE}.{series.name}_validated_days"


def validated_sql(series: MeterSeries, vee: Vee) -> str:
    """Return SQL that makes the view of intervals.

    A reading that came after the last run takes the place of its estimate at once.
    """
    name, grain, key = vee.of(series).name, series.finest.grain, series.key
    day = timegrid.local_day_sql(f"b.{grain}", series.time_zone, "trino")
    estimates, batch = f"{TABLES}.{series.name}_estimates", batch_table(series, grain)
    quality = (
        "CASE WHEN e.method IS NOT NULL THEN 'replaced'"
        f" WHEN b.covered_s < {series.cell_s} THEN 'partial' WHEN b.flagged > 0 THEN 'flagged' ELSE 'measured' END"
    )
    return f"""CREATE OR REPLACE VIEW {validated_view(series)} SECURITY INVOKER AS
SELECT
  b.{key},
  b.{grain} AS interval_start,
  {day} AS day,
  coalesce(e.{name}_estimate, b.{name}_sum) AS {name}_best,
  b.{name}_sum AS {name}_measured,
  e.{name}_estimate AS {name}_estimated,
  CASE WHEN e.method IS NULL THEN b.covered_s ELSE 0 END AS measured_s,
  coalesce(e.estimated_s, 0) AS estimated_s,
  {quality} AS quality,
  e.method
FROM {batch} b
LEFT JOIN {estimates} e ON e.{key} = b.{key} AND e.interval_start = b.{grain} AND e.reason = 'replaced'
UNION ALL
SELECT
  e.{key},
  e.interval_start,
  e.day,
  e.{name}_estimate,
  NULL,
  e.{name}_estimate,
  0,
  e.estimated_s,
  'estimated',
  e.method
FROM {estimates} e
WHERE e.reason = 'missing'
  AND NOT EXISTS (SELECT 1 FROM {batch} b WHERE b.{key} = e.{key} AND b.{grain} = e.interval_start)"""  # noqa: S608 - names of declarations


def validated_days_sql(series: MeterSeries, vee: Vee) -> str:
    """Return SQL that makes the view of local days: measured and estimated apart, and both together."""
    name, key = vee.of(series).name, series.key
    return f"""CREATE OR REPLACE VIEW {validated_days_view(series)} SECURITY INVOKER AS
SELECT
  {key},
  day,
  sum({name}_best) AS {name}_best,
  coalesce(sum({name}_measured) FILTER (WHERE quality <> 'replaced'), 0) AS {name}_measured,
  coalesce(sum({name}_estimated), 0) AS {name}_estimated,
  sum(measured_s) AS measured_s,
  sum(estimated_s) AS estimated_s,
  count(*) AS intervals,
  count(*) FILTER (WHERE estimated_s > 0) AS estimated_intervals
FROM {validated_view(series)}
GROUP BY {key}, day"""  # noqa: S608 - names of declarations
