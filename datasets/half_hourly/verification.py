"""The tables of the presentation, computed again by DuckDB over the raw files, by SQL written by hand."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

ZONE = ZoneInfo("Europe/London")
_JOINED = """
CREATE TABLE joined AS
SELECT r.meter, r.start, c.day, c.period, r.kwh, a.agreement_id, a.product_id, p.display_name, m.region,
       (SELECT count(*) FROM agreement o WHERE o.meterpoint_id = r.meter AND o.valid_from <= c.day
          AND (o.valid_to IS NULL OR c.day < o.valid_to)) AS valid
FROM (SELECT DISTINCT meter, start, kwh FROM readings) r
JOIN calendar c ON c.start = r.start
LEFT JOIN LATERAL (
    SELECT * FROM agreement b WHERE b.meterpoint_id = r.meter AND b.valid_from <= c.day
      AND (b.valid_to IS NULL OR c.day < b.valid_to)
    ORDER BY b.valid_from DESC, b.agreement_id DESC LIMIT 1
) a ON true
LEFT JOIN product p ON p.product_id = a.product_id
LEFT JOIN meterpoint m ON m.meterpoint_id = r.meter
"""
_SUMS = "sum(kwh)::DECIMAL(18, 3), count(DISTINCT meter)"
QUERIES = {
    "total_consumption_half_hour": f"SELECT day, start, {_SUMS} FROM joined GROUP BY 1, 2",
    "consumption_per_product_per_day": f"SELECT day, ifnull(product_id, 'none'), max(display_name), {_SUMS}, count(*)"
    " FROM joined GROUP BY 1, 2",
    "gold_aggregate_per_half_hour": "SELECT day, start, max(period), sum(kwh)::DECIMAL(18, 3),"
    " sum(if(valid > 0, kwh, 0))::DECIMAL(18, 3), sum(if(valid = 0, kwh, 0))::DECIMAL(18, 3), count(DISTINCT meter)"
    " FROM joined GROUP BY 1, 2",
    "gold_avg_half_hour_by_product": "SELECT day, start, ifnull(product_id, 'none'),"
    " sum(kwh)::DOUBLE / count(DISTINCT meter) FROM joined GROUP BY 1, 2, 3",
    "consumption_per_region_per_day": f"SELECT day, ifnull(region, 'unknown'), {_SUMS}, count(*)"
    " FROM joined GROUP BY 1, 2",
    "total_consumption_half_hour_region": f"SELECT day, start, ifnull(region, 'unknown'), {_SUMS}"
    " FROM joined GROUP BY 1, 2, 3",
    "readings_to_look_at": "SELECT day, meter, count(*), count(*) FILTER (valid = 0), count(*) FILTER (valid > 1),"
    " count(*) FILTER (region IS NULL), sum(kwh)::DECIMAL(18, 3) FROM joined"
    " WHERE valid <> 1 OR region IS NULL GROUP BY 1, 2",
}
COLUMNS = {
    "total_consumption_half_hour": "day, interval_start, total_kwh, meterpoints",
    "consumption_per_product_per_day": "day, product_id, display_name, total_kwh, meterpoints, half_hours",
    "gold_aggregate_per_half_hour": "day, interval_start, settlement_period, total_kwh, agreed_kwh, unagreed_kwh,"
    " meterpoints",
    "gold_avg_half_hour_by_product": "day, interval_start, product_id, avg_kwh",
    "consumption_per_region_per_day": "day, region, total_kwh, meterpoints, half_hours",
    "total_consumption_half_hour_region": "day, interval_start, region, total_kwh, meterpoints",
    "readings_to_look_at": "day, meter_id, half_hours, without_agreement, overlapping, of_unknown_meterpoint,"
    " total_kwh",
    "active_agreements": "as_of, agreement_id, meterpoint_id, product_id, display_name, region",
}
"""Table -> its columns that the queries above compute, in their order."""


class Truth:
    """What the tables must hold, by the files themselves. files: of readings. database: of reference tables."""

    def __init__(self, files: Iterable[Path], database: Path) -> None:
        self.base = duckdb.connect()
        self.base.execute("CREATE TABLE readings (start TIMESTAMP, kwh DECIMAL(18, 3), meter VARCHAR)")
        for file in files:
            self.base.execute(
                "INSERT INTO readings SELECT row->>0, row->>1, row->>2 FROM"
                " (SELECT unnest(data) AS row FROM read_json(?, columns={'data': 'JSON[]'}))",
                [str(file)],
            )
        self.references(database)
        self.base.execute("CREATE TABLE calendar (start TIMESTAMP, day DATE, period INT)")
        self._extend()

    def add(self, readings: Iterable[tuple[datetime, object, str]]) -> None:
        """Add readings that came otherwise: start in UTC, kWh, meter."""
        self.base.executemany("INSERT INTO readings VALUES (?, ?, ?)", list(readings))
        self._extend()

    def _extend(self) -> None:
        missing = "SELECT DISTINCT start FROM readings WHERE start NOT IN (SELECT start FROM calendar)"
        if starts := [row[0] for row in self.base.execute(missing).fetchall()]:
            rows = [(start, *local(start)) for start in starts]
            self.base.executemany("INSERT INTO calendar VALUES (?, ?, ?)", rows)

    def references(self, database: Path) -> None:
        """Read the reference tables, again where they have changed."""
        source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        wanted = {
            "agreement": "agreement_id, agreement_valid_from, agreement_valid_to, product_id, meterpoint_id,"
            " account_id",
            "product": "product_id, display_name",
            "meterpoint": "meterpoint_id, region",
        }
        rows = {name: source.execute(f"SELECT {columns} FROM {name}").fetchall() for name, columns in wanted.items()}
        source.close()
        self.base.execute(
            "CREATE OR REPLACE TABLE agreement (agreement_id INT, valid_from DATE, valid_to DATE, product_id VARCHAR,"
            " meterpoint_id VARCHAR, account_id VARCHAR)"
        )
        self.base.execute("CREATE OR REPLACE TABLE product (product_id VARCHAR, display_name VARCHAR)")
        self.base.execute("CREATE OR REPLACE TABLE meterpoint (meterpoint_id VARCHAR, region VARCHAR)")
        for name, some in rows.items():
            marks = ", ".join("?" * len(some[0]))
            self.base.executemany(f"INSERT INTO {name} VALUES ({marks})", some)

    def tables(self, as_of: date) -> dict[str, list[tuple[Any, ...]]]:
        """Return table -> its rows, sorted."""
        self.base.execute("DROP TABLE IF EXISTS joined")
        self.base.execute(_JOINED)
        result = {name: sorted(self.base.execute(query).fetchall(), key=repr) for name, query in QUERIES.items()}
        active = self.base.execute(
            "SELECT ?::DATE, a.agreement_id, a.meterpoint_id, a.product_id, display_name, region FROM agreement a"
            " LEFT JOIN product USING (product_id) LEFT JOIN meterpoint USING (meterpoint_id)"
            " WHERE valid_from <= ? AND (valid_to IS NULL OR valid_to > ?)",
            [as_of, as_of, as_of],
        )
        return {**result, "active_agreements": sorted(active.fetchall(), key=repr)}

    def readings(self) -> list[tuple[str, datetime, Any]]:
        """Return the readings, each once."""
        return self.base.execute("SELECT DISTINCT meter, start, kwh FROM readings").fetchall()


def local(start: datetime) -> tuple[date, int]:
    """Return the local day and the number of the half hour in it, by Python's calendar."""
    moment = start.replace(tzinfo=UTC)
    day = moment.astimezone(ZONE).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)
    return day, int((moment - midnight) / timedelta(minutes=30)) + 1


def good_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are JSON."""
    return [file for file in sorted(folder.glob("*.json")) if _is_json(file)]


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except json.JSONDecodeError:
        return False
    return True
