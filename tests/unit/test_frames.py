"""Queries of notebooks: they name facts, dimensions and views alone; Trino is asked with all that these stand for."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import pytest

from engines import trino
from lakehouse.frames import Lake, NothingToRead, opened
from lakehouse.kpi import asked
from meterlake import registry
from meterlake.errors import DeclarationError, UnknownName
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

UTILITY = registry.required_lakehouse("utility").declaration


def test_tables_of_gold_get_their_catalog() -> None:
    sql = asked(
        UTILITY,
        "SELECT f.region, count(*) FROM fact_outage o JOIN dim_feeder f ON f.feeder_sk = o.feeder_sk GROUP BY 1",
    )
    assert "FROM lake.utility_gold.fact_outage AS o JOIN lake.utility_gold.dim_feeder AS f" in sql
    assert "FROM lake.utility_gold.models" in asked(UTILITY, "SELECT version FROM models")


def test_views_come_before_the_query_and_its_own_withs() -> None:
    sql = asked(UTILITY, "WITH own AS (SELECT month FROM outage_rows) SELECT month, count(*) FROM own GROUP BY month")
    assert re.findall(r"(?:WITH|\),) (\w+) AS \(", sql) == ["horizon", "outage_rows", "own"]
    assert sql.endswith("SELECT month, COUNT(*) FROM own GROUP BY month")


def test_a_with_inside_a_query_stays_where_it_is() -> None:
    sql = asked(UTILITY, "SELECT n FROM (WITH a AS (SELECT count(*) AS n FROM fact_outage) SELECT n FROM a) x")
    assert sql == (
        "SELECT n FROM (WITH a AS (SELECT COUNT(*) AS n FROM lake.utility_gold.fact_outage) SELECT n FROM a) AS x"
    )


def test_an_order_is_kept() -> None:
    assert asked(UTILITY, "SELECT feeder_id FROM supply ORDER BY feeder_id LIMIT 3").endswith(
        "SELECT feeder_id FROM supply ORDER BY feeder_id LIMIT 3"
    )


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"The query: it reads 'outages'.*fact_outage"):
        asked(UTILITY, "SELECT 1 FROM outages")


def test_a_lakehouse_that_nobody_knows() -> None:
    with pytest.raises(UnknownName, match="utilty"):
        opened("utilty")


def test_a_lakehouse_without_tables_says_what_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trino, "rows", lambda *_: [["fact_outage"]])
    with pytest.raises(NothingToRead, match=r"has no table lake\.utility_gold\.fact_complaint.*meterlake land utility"):
        opened("utility")


def test_numbers_are_floats_and_a_missing_total_is_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[Any]] = [["a", Decimal("1.50")], ["b", None]]
    monkeypatch.setattr(trino, "select", lambda *_: (["k", "saidi"], answers))
    lake = Lake(Settings(), UTILITY)
    frame = lake.ask("SELECT feeder_id, 1 FROM supply")
    assert frame["saidi"].dtype == float
    assert frame["saidi"].tolist()[0] == 1.5
    answers[:] = [["a", None]]
    assert math.isnan(lake.total("saidi"))
