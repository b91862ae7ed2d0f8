"""Feeders and their outages, drawn as the generator draws them, and real histories: as rows of a prediction."""

# Rows of SQL are wider than lines of code.
# ruff: noqa: E501, S608
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from datasets.utility import DATASET, events
from datasets.utility.predictions import OUTAGES
from datasets.utility.world import EPOCH, World, day_number
from lakehouse.kpi import rows_of
from lakehouse.prediction import rows as fetched
from lakehouse.prediction.rows import Rows


def _outages(world: World, day: int) -> pd.DataFrame:
    """Return the outages of a day, drawn as the generator draws them."""
    drawn = np.minimum(world.random(21, day).poisson(world.hazard(day)), 4)
    ids, planned = world.network["feeder_id"].to_numpy(), world.planned(day)
    feeders = np.concatenate([np.repeat(ids, drawn), ids[planned]])
    return pd.DataFrame(
        {
            "feeder_id": feeders,
            "date_sk": f"{EPOCH + timedelta(days=day):%Y%m%d}",
            "is_planned": np.arange(len(feeders)) >= drawn.sum(),
            "began_at": pd.Timestamp(EPOCH + timedelta(days=day)) + timedelta(hours=7),
        }
    )


@contextmanager
def gold(customers: int, days: int) -> Iterator[tuple[duckdb.DuckDBPyConnection, World, range]]:
    """Yield the gold of a company's feeders over days, with the world that it was drawn from, and these days."""
    world = World(7, customers, day_number(date(2024, 9, 1)))
    span = range(world.start, world.start + days)
    with duckdb.connect() as connection:
        frames = {
            "feeders": events.references(world, span[-1])["feeders"],
            "energy": pd.concat(
                [pd.DataFrame(events.feeder_day(world, day, world.random(26, day))[0]) for day in span]
            ),
            "outages": pd.concat([_outages(world, day) for day in span]),
        }
        for name, frame in frames.items():
            connection.register(name, frame)
        connection.execute("""
            CREATE TABLE dim_feeder AS SELECT feeder_id || valid_from AS feeder_sk, * EXCLUDE (installed_on, length_km, vegetation,
                rating_kw), installed_on::DATE AS installed_on, length_km::DOUBLE AS length_km, vegetation::DOUBLE AS vegetation,
                rating_kw::DOUBLE AS rating_kw,
                coalesce(lead(valid_from) OVER (PARTITION BY feeder_id ORDER BY valid_from), '9999-12-31') AS valid_to FROM feeders;
            CREATE TABLE fact_feeder_energy_day AS SELECT f.feeder_sk, e.* REPLACE (weather_forecast::DOUBLE AS weather_forecast),
                strftime(day_start + INTERVAL 5 HOUR, '%Y%m%d') AS date_sk FROM energy e JOIN dim_feeder f
                ON f.feeder_id = e.feeder_id AND e.day_start >= f.valid_from AND e.day_start < f.valid_to;
            CREATE TABLE fact_outage AS FROM outages""")
        yield connection, world, span


def company(customers: int, days: int) -> tuple[Rows, Any]:
    """Return the features of a company's feeders over days, and what the hazard itself says of the day after each."""
    with gold(customers, days) as (connection, world, span):
        rows = fetched.of(
            OUTAGES, connection.execute(rows_of(DATASET, OUTAGES.view, OUTAGES.columns, "duckdb", "")).fetchall()
        )
    place = {name: number for number, name in enumerate(world.network["feeder_id"])}
    shares = {f"{EPOCH + timedelta(days=day):%Y%m%d}": 1 - np.exp(-world.hazard(day)) for day in (*span, span[-1] + 1)}
    return rows, np.array([shares[key[0]][place[key[1]]] for key in rows.keys])


def history(file: Path, time: str, member: str, least: int = 1) -> Rows:
    """Return the rows of a CSV of real outages: a member is a feeder or an area with so many of them, a day is local.

    Nothing else is known of them: the features of weather, age and load are NULL.
    """
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw AS SELECT * FROM read_csv(?, all_varchar = true)", [str(file)])
        connection.execute(
            f"""CREATE TABLE came AS SELECT "{member}" AS feeder_id, try_cast("{time}" AS TIMESTAMP)::DATE AS day FROM raw
            WHERE feeder_id IS NOT NULL AND day IS NOT NULL QUALIFY count(*) OVER (PARTITION BY feeder_id) >= {least}"""
        )
        connection.execute("""
            CREATE TABLE fact_outage AS SELECT feeder_id, strftime(day, '%Y%m%d') AS date_sk, false AS is_planned FROM came;
            CREATE TABLE dim_feeder AS SELECT DISTINCT feeder_id, feeder_id AS feeder_sk, 'all' AS region, NULL::DOUBLE AS length_km,
                NULL::DOUBLE AS vegetation, NULL::DOUBLE AS rating_kw, NULL::DATE AS installed_on FROM came;
            CREATE TABLE fact_feeder_energy_day AS SELECT feeder_sk, feeder_id, strftime(d, '%Y%m%d') AS date_sk,
                d::TIMESTAMP - INTERVAL 5 HOUR AS day_start, NULL::DOUBLE AS energy_input_kwh, NULL::DOUBLE AS weather_forecast
                FROM dim_feeder, (SELECT unnest(range(min(day), max(day) + 1, INTERVAL 1 DAY)) AS d FROM came)""")
        return fetched.of(
            OUTAGES, connection.execute(rows_of(DATASET, OUTAGES.view, OUTAGES.columns, "duckdb", "")).fetchall()
        )
