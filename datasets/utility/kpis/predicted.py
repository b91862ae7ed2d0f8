"""What was predicted of feeders, and what came."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from typing import Final

from datasets.utility.kpis.common import WHERE, joined, kpi, place
from meterlake.lakehouse.model import View

PREDICTED: Final = View(
    "predicted_rows",
    f"""WITH came AS (SELECT feeder_id, date_sk, COUNT(*) AS outages FROM fact_outage WHERE NOT is_planned GROUP BY feeder_id, date_sk),
    lost AS (SELECT feeder_id, date_sk, SUM(minutes) AS minutes FROM interruptions WHERE is_sustained AND NOT is_planned
        GROUP BY feeder_id, date_sk)
    SELECT {place("p")}, p.is_predicted, p.probability, COALESCE(c.outages, 0) > 0 AS has_come, COALESCE(l.minutes, 0) AS minutes,
        ROW_NUMBER() OVER (PARTITION BY p.date_sk ORDER BY p.probability DESC, p.feeder_id)
            <= CEIL(0.1 * COUNT(*) OVER (PARTITION BY p.date_sk)) AS is_worst
    FROM outage_predictions p {joined("p")}
    JOIN (SELECT DISTINCT feeder_id, date_sk FROM fact_feeder_energy_day) d ON d.feeder_id = p.feeder_id AND d.date_sk = p.date_sk
    LEFT JOIN came c ON c.feeder_id = p.feeder_id AND c.date_sk = p.date_sk
    LEFT JOIN lost l ON l.feeder_id = p.feeder_id AND l.date_sk = p.date_sk""",
    WHERE,
)
VIEWS: Final = (PREDICTED,)
_OVER: Final = "Of days that are over, each by the first model that was asked about it"

KPIS: Final = (
    kpi("predicted_hits", "Feeders and days with a predicted outage that came", "1", "predicted_rows",
        "COUNT_IF(is_predicted AND has_come)", better="higher", caveat=_OVER),
    kpi("predicted_misses", "Feeders and days with an outage that was not predicted", "1", "predicted_rows",
        "COUNT_IF(NOT is_predicted AND has_come)", caveat=_OVER),
    kpi("predicted_false_alarms", "Feeders and days with a predicted outage that did not come", "1", "predicted_rows",
        "COUNT_IF(is_predicted AND NOT has_come)", caveat=_OVER),
    kpi("minutes_on_predicted", "Customer minutes of faults on the tenth of the feeders that is predicted worst for a day", "min",
        "predicted_rows", "SUM(CASE WHEN is_worst THEN minutes ELSE 0 END)", better="higher", caveat=_OVER),
    kpi("share_on_predicted", "Their share of all customer minutes of faults", "1", "predicted_rows",
        "SUM(CASE WHEN is_worst THEN minutes ELSE 0 END) / SUM(minutes)", better="higher", caveat=_OVER),
)  # fmt: skip
