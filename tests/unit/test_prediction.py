"""Prediction of outages: features that know no future, models and measures with exact values."""

# Statements here are made of names of the declaration alone.
# ruff: noqa: E501, S608
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
import utility_twin as twin
from prediction_samples import company, gold

from datasets.utility import DATASET
from datasets.utility.predictions import OUTAGES
from datasets.utility.world import day_number
from lakehouse.kpi import rows_of
from lakehouse.landing.objects import BrokenObject
from lakehouse.prediction import measures, models, registry, training
from lakehouse.prediction import rows as fetched
from lakehouse.prediction.rows import Rows
from lakehouse.prediction.training import TooLittle
from meterlake.errors import DeclarationError
from meterlake.lakehouse.sources import Play

pytestmark = pytest.mark.unit

START, DAYS, SEED = date(2026, 2, 1), 70, 5
CUT = "20260315"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("utility")
    twin.made(folder, Play(twin.urls(folder), DAYS, START, 200, SEED))
    with duckdb.connect() as connection:
        twin.source_tables(connection, folder)
        twin.gold(connection)
        yield connection


def features(base: duckdb.DuckDBPyConnection, until: str) -> list[tuple[Any, ...]]:
    """Return the features of all rows up to a day, without what happened after it."""
    columns = tuple(name for name in OUTAGES.columns if name != "happened")
    sql = rows_of(DATASET, OUTAGES.view, columns, "duckdb", "")
    return sorted(base.execute(f"SELECT * FROM ({sql}) WHERE date_sk <= ?", [until]).fetchall())


def test_features_know_nothing_of_what_comes_after(base: duckdb.DuckDBPyConnection) -> None:
    before = features(base, CUT)
    assert len(before) == 8 * 43
    with base.cursor() as own:
        own.execute("BEGIN")
        # All that happens after the cut happens to another feeder, with other values, or not at all.
        own.execute(f"DELETE FROM fact_outage WHERE date_sk > '{CUT}' AND hash(outage_id) % 3 = 0")
        own.execute(f"""UPDATE fact_outage SET feeder_id = 'F000' || (1 + hash(outage_id) % 8), is_planned = NOT is_planned
            WHERE date_sk > '{CUT}'""")
        own.execute(f"""UPDATE fact_feeder_energy_day SET energy_input_kwh = energy_input_kwh * 7, weather_forecast = -3,
            customers_served = 1 WHERE date_sk > '{CUT}'""")
        assert features(own, CUT) == before
        assert features(own, "20260411") != features(base, "20260411")
        own.execute(f"DELETE FROM fact_outage WHERE date_sk > '{CUT}'")
        own.execute(f"DELETE FROM fact_feeder_energy_day WHERE date_sk > '{CUT}'")
        assert features(own, "99991231") == before
        own.execute(f"UPDATE fact_outage SET is_planned = NOT is_planned WHERE date_sk = '{CUT}'")
        assert features(own, CUT) != before
        own.execute("ROLLBACK")


def test_features_are_those_of_a_query_that_was_written_apart(base: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "feeder_id",
        "date_sk",
        "next_sk",
        "happened",
        "last_7_d",
        "region_3_d",
        "days_since_work",
        "happened_today",
    )
    ours = base.execute(rows_of(DATASET, OUTAGES.view, columns, "duckdb", "") + " ORDER BY 1, 2").fetchall()
    theirs = base.execute("""
        WITH o AS (SELECT feeder_id, (began_at + INTERVAL 5 HOUR)::DATE AS d, is_planned FROM outages),
        e AS (SELECT feeder_id, (day_start + INTERVAL 5 HOUR)::DATE AS d FROM feeder_energy_days),
        r AS (SELECT DISTINCT feeder_id, region FROM feeders)
        SELECT e.feeder_id, strftime(d, '%Y%m%d'), strftime(d + 1, '%Y%m%d'),
            CASE WHEN d < (SELECT max(d) FROM e)
                THEN EXISTS (SELECT 1 FROM o WHERE o.feeder_id = e.feeder_id AND o.d = e.d + 1 AND NOT is_planned)::INT END,
            (SELECT count(*) FROM o WHERE o.feeder_id = e.feeder_id AND NOT is_planned AND o.d BETWEEN e.d - 6 AND e.d),
            (SELECT count(*) FROM o JOIN r USING (feeder_id) WHERE region = (SELECT region FROM r WHERE r.feeder_id = e.feeder_id)
                AND NOT is_planned AND o.d BETWEEN e.d - 2 AND e.d)
              / (SELECT count(*) FROM e x JOIN r USING (feeder_id) WHERE x.d BETWEEN e.d - 2 AND e.d
                AND region = (SELECT region FROM r WHERE r.feeder_id = e.feeder_id)),
            coalesce((SELECT e.d - max(o.d) FROM o WHERE o.feeder_id = e.feeder_id AND is_planned AND o.d BETWEEN e.d - 59 AND e.d), 60),
            EXISTS (SELECT 1 FROM o WHERE o.feeder_id = e.feeder_id AND o.d = e.d AND NOT is_planned)::INT
        FROM e ORDER BY 1, 2""").fetchall()
    assert len(ours) == 8 * DAYS
    for one, other in zip(ours, theirs, strict=True):
        assert [*one[:4], *map(float, one[4:])] == [*other[:4], *(pytest.approx(float(value)) for value in other[4:])]
    assert {row[3] for row in ours} == {0, 1, None}


def test_features_of_new_days_need_no_facts_from_before_the_days_that_they_look_back() -> None:
    """A run reads as much of the past, and no day less would do."""
    new = date(2026, 1, 1)

    def asked(connection: duckdb.DuckDBPyConnection, since: date | None) -> list[tuple[Any, ...]]:
        sql = rows_of(DATASET, OUTAGES.view, OUTAGES.columns, "duckdb", "", since)
        return connection.execute(f"SELECT * FROM ({sql}) WHERE date_sk >= '{new:%Y%m%d}' ORDER BY ALL").fetchall()

    since = new - timedelta(days=OUTAGES.looks_back)
    with gold(3000, 500) as (connection, world, span):
        whole = asked(connection, None)
        assert len(whole) == len(world.network) * (500 - (day_number(new) - span[0]))
        assert asked(connection, since) == whole
        assert asked(connection, since + timedelta(days=1)) != whole
        for fact, when in {"fact_outage": "began_at", "fact_feeder_energy_day": "day_start"}.items():
            connection.execute(f"DELETE FROM {fact} WHERE {when} + INTERVAL 5 HOUR < '{since}'")
        assert asked(connection, since) == whole


def example(shares: list[float], happened: list[int], days: list[str] | None = None) -> Rows:
    names = ("x",)
    listed = np.array(days or [f"202601{number + 1:02}" for number in range(len(shares))], dtype=object)
    keys = tuple((str(day), "F1", "sk") for day in listed)
    return Rows(names, listed, keys, np.array(happened, float), np.array([shares]).T)


def test_measures_by_a_worked_example() -> None:
    """Five rows, in order of what was said: hit, false alarm, hit | miss, rightly no."""
    came, share = np.array([1, 0, 1, 1, 0.0]), np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    found_ = measures.measure(came, share, 0.5)
    assert found_ == {
        "f1": pytest.approx(2 * 2 / (3 + 3)),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "average_precision": pytest.approx((1 + 2 / 3 + 3 / 4) / 3),
        "brier": pytest.approx((0.01 + 0.64 + 0.09 + 0.64 + 0.01) / 5),
        "calibration_error": pytest.approx((0.1 + 0.8 + 0.3 + 0.8 + 0.1) / 5),
    }
    assert measures.threshold(came, share) == 0.2
    assert measures.average_precision(came, np.full(5, 0.5)) == pytest.approx(3 / 5)
    assert measures.average_precision(np.zeros(5), share) == 0
    low, high = measures.intervals(np.array(list("abcde"), dtype=object), came, share, 0.5)["f1"]
    assert low < 2 / 3 < high


def test_drift_is_nothing_where_nothing_has_changed() -> None:
    values = np.arange(100.0)
    limits = measures.edges(values)
    before = measures.shares(values, limits)
    assert sum(before) == pytest.approx(1)
    assert measures.drift(before, before) == 0
    assert measures.drift(before, measures.shares(values + 50, limits)) > 0.25
    half = measures.shares(np.where(values < 50, np.nan, values), limits)
    assert half[-1] == 0.5
    assert measures.drift([0.5, 0.5], [0.75, 0.25]) == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5))


def test_the_split_is_by_time_and_leaves_out_what_is_not_known_yet() -> None:
    days = [f"202601{number // 2 + 1:02}" for number in range(22)]
    rows = example([0.5] * 22, [number % 2 for number in range(22)], days)
    rows.happened[-2:] = np.nan
    parts = fetched.split(rows)
    assert [sorted(set(part.days)) for part in (parts.train, parts.validation, parts.test)] == [
        [f"202601{day:02}" for day in range(1, 7)], ["20260107", "20260108"], ["20260109", "20260110"],
    ]  # fmt: skip


def test_simple_answers_are_what_their_names_say() -> None:
    prediction = replace(OUTAGES, features={"today": "", "week": ""}, persistence="today", rate="week")
    days = np.array(["20260101", "20260102", "20260201", "20260202"], dtype=object)
    features_ = np.array([[1.0, 7], [0, 3.5], [1, 0], [0, 14]])
    rows = Rows(("today", "week"), days, (("", "", ""),) * 4, np.array([1.0, 0, 1, 0]), features_)
    answers = models.simple(prediction, rows)
    assert answers["as today"](rows).tolist() == [1, 0, 1, 0]
    assert answers["last week's rate"](rows).tolist() == [1, 0.5, 0, 1]
    assert answers["rate of the month"](rows).tolist() == [0.5] * 4
    with pytest.raises(DeclarationError, match="'yesterday' is no feature"):
        replace(prediction, persistence="yesterday")
    with pytest.raises(DeclarationError, match="looks_back=-1 is no number of days"):
        replace(prediction, looks_back=-1)


def test_the_best_model_is_near_what_the_hazard_itself_says_and_better_than_simple_answers() -> None:
    rows, hazard = company(8_000, 500)
    assert len(rows) == 32 * 500
    trained = training.train(OUTAGES, rows)
    results = {item.algorithm: item for item in trained.results}
    assert list(results) == [*models.SIMPLE, *models.LEARNED]
    best = results[trained.algorithm]
    parts = fetched.split(rows)
    known = ~np.isnan(rows.happened)
    days = rows.days[known].astype(str)
    said = {
        name: hazard[known][(days >= part.days[0]) & (days <= part.days[-1])]
        for name, part in (("validation", parts.validation), ("test", parts.test))
    }
    limit = measures.threshold(parts.validation.happened, said["validation"])
    top = measures.measure(parts.test.happened, said["test"], limit)
    assert best.measures["f1"] > top["f1"] - 0.05
    for name in models.SIMPLE:
        assert best.measures["average_precision"] > results[name].measures["average_precision"] + 0.03, name
        assert best.measures["brier"] < results[name].measures["brier"]
    assert best.measures["calibration_error"] < 0.05
    low, high = best.intervals["f1"]
    assert low < best.measures["f1"] < high
    assert max(trained.importance, key=trained.importance.__getitem__) in ("forecast", "storm", "storm_in_trees")
    # The same rows make the same model, and it can be kept and read again.
    again = models.fitted(trained.algorithm, parts.train)
    kept = registry.unpacked(registry.packed(again), "the model")
    assert (models.answer(kept)(parts.test) == models.answer(trained.model)(parts.test)).all()
    with pytest.raises(BrokenObject, match=r"the model holds .*Odd, which is no model"):
        registry.unpacked(registry.packed([Odd()]), "the model")
    # Reasons: a feeder in a storm is told so.
    storm = parts.test.where(parts.test.column("forecast") > 2)
    first = [names[0] for names in models.reasons(trained.model, storm, np.array(trained.typical)) if names]
    assert len(first) > 20
    assert sum(name in ("forecast", "storm", "storm_in_trees") for name in first) > 0.8 * len(first)


def test_what_is_never_known_does_no_harm() -> None:
    pick = np.random.default_rng(2)
    shares = pick.random(400)
    days = [f"{date(2026, 1, 1) + timedelta(days=number // 4):%Y%m%d}" for number in range(400)]
    one = example(shares.tolist(), (pick.random(400) < shares).astype(int).tolist(), days)
    rows = replace(one, names=("x", "y"), features=np.column_stack([shares, np.full(400, np.nan)]))
    prediction = replace(OUTAGES, features={"x": "", "y": ""}, persistence="x", rate="x")
    trained = training.train(prediction, rows)
    assert trained.importance["x"] > 0.1
    assert trained.importance["y"] == 0
    assert trained.shares["y"] == [0, 1]
    assert models.reasons(trained.model, rows.where(shares > 0.9), np.array(trained.typical))[0] == ("x",)


class Odd:
    """Something that is no model."""


def test_too_little_history_is_refused() -> None:
    with pytest.raises(TooLittle, match="there are 3 days whose outcome is known, with 1 cases"):
        training.train(OUTAGES, example([0.1, 0.2, 0.3], [0, 1, 0]))
