"""All figures of the utility against queries over the source databases that were written apart, and worked examples."""

# Statements here are made of names of this module and the declaration alone.
from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb
import pytest
import utility_twin as twin
from utility_expected import EXPECTED, GROUPED, PRELUDE

from datasets.utility import DATASET
from lakehouse import kpi
from meterlake.errors import UnknownName
from meterlake.lakehouse.sources import Play

pytestmark = pytest.mark.unit

START, DAYS, CUSTOMERS, SEED = date(2025, 11, 20), 110, 220, 5
SHARES = ("share_by_cause", "complaints_by_type", "complaints_by_channel", "payments_by_channel")
BY_YEARS = ("customer_growth", "energy_growth", "saidi_to_year_before")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("utility")
    twin.made(folder, Play(twin.urls(folder), DAYS, START, CUSTOMERS, SEED))
    with duckdb.connect() as connection:
        twin.source_tables(connection, folder)
        twin.gold(connection)
        connection.execute(PRELUDE)
        yield connection


def ask(base: duckdb.DuckDBPyConnection, name: str, by: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    sql, _ = kpi.statement(DATASET, name, by, None, None, "duckdb")
    return base.execute(sql).fetchall()


def plain(rows: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], float | None]:
    return {row[:-1]: None if row[-1] is None else float(row[-1]) for row in rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_figure_is_what_a_query_over_the_sources_gives(base: duckdb.DuckDBPyConnection, name: str) -> None:
    (wanted,) = base.execute(EXPECTED[name]).fetchall()
    (result,) = ask(base, name)
    assert wanted[0] is not None
    assert float(result[0]) == pytest.approx(float(wanted[0]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("name", "by"), GROUPED, ids=lambda item: item if isinstance(item, str) else "-".join(item))
def test_a_figure_by_something_is_that_of_each(base: duckdb.DuckDBPyConnection, name: str, by: tuple[str, ...]) -> None:
    wanted = plain(base.execute(GROUPED[name, by]).fetchall())
    result = plain(ask(base, name, by))
    assert result.keys() == wanted.keys()
    assert len(result) > 1
    for key, value in wanted.items():
        assert result[key] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), key


def test_every_figure_has_its_query() -> None:
    grouped = {name for name, _ in GROUPED}
    names = {item.name for item in DATASET.kpis}
    assert names == EXPECTED.keys() | grouped
    assert grouped >= {*SHARES, *BY_YEARS}
    assert len(names) == 120


def test_figures_are_of_a_time_and_know_their_columns(base: duckdb.DuckDBPyConnection) -> None:
    sql, days = kpi.statement(DATASET, "saidi", ("region",), date(2026, 1, 1), date(2026, 2, 1), "duckdb")
    assert days == ["20260101", "20260201"]
    rows = plain(base.execute(sql, days).fetchall())
    wanted = base.execute("""
        SELECT region, sum(m) / (SELECT sum(customers_served) / 31 FROM feeder_energy_days e WHERE e.feeder_id IN
            (SELECT feeder_id FROM feeders g WHERE g.region = f.region)
            AND loc(day_start)::DATE BETWEEN DATE '2026-01-01' AND DATE '2026-01-31')
        FROM long JOIN (SELECT DISTINCT feeder_id, region FROM feeders) f USING (feeder_id)
        WHERE loc(off_at)::DATE BETWEEN DATE '2026-01-01' AND DATE '2026-01-31' GROUP BY 1""").fetchall()
    assert rows == {key: pytest.approx(value) for key, value in plain(wanted).items()}
    with pytest.raises(UnknownName, match="Did you mean 'region'"):
        kpi.statement(DATASET, "saidi", ("regio",), None, None)


def test_two_systems_that_contradict_each_other_are_counted_where_they_do(base: duckdb.DuckDBPyConnection) -> None:
    with base.cursor() as own:
        own.execute("BEGIN")
        assert set(plain(ask(own, "contradicting_feeders", ("region",))).values()) == {0}
        (victim,) = own.execute("SELECT min(customer_id) FROM dim_customer WHERE feeder_id = 'F0001'").fetchall()
        own.execute("UPDATE dim_customer SET feeder_id = 'F0008' WHERE customer_id = ?", victim)
        result = plain(ask(own, "contradicting_feeders", ("feeder_id",)))
        assert {key: value for key, value in result.items() if value} == {("F0008",): 1}
        own.execute("ROLLBACK")


def interrupt(base: duckdb.DuckDBPyConnection, day: date, minutes: int, customers: range, operations: int = 1) -> None:
    """Write an outage at noon (UTC) of a day, of customers for so many minutes."""
    number = base.execute("SELECT count(*) FROM fact_outage").fetchall()[0][0]
    sk, begin = f"{day:%Y%m%d}", datetime.combine(day, time(7))
    base.execute(
        "INSERT INTO fact_outage BY NAME"
        " SELECT ? AS outage_id, ? AS date_sk, false AS is_planned, ? AS operations, 'animal' AS cause",
        [f"O{number}", sk, operations],
    )
    for customer in customers:
        base.execute(
            "INSERT INTO fact_outage_customer_step BY NAME SELECT ? AS step_id, ? AS outage_id, ? AS customer_id,"
            " 'f1' AS feeder_sk, ? AS date_sk, 43200 AS time_sk, ? AS off_at, ? AS on_at, 1 AS connected_kva",
            [f"O{number}-{customer}", f"O{number}", f"C{customer}", sk, begin, begin + timedelta(minutes=minutes)],
        )


def test_reliability_by_a_worked_example(base: duckdb.DuckDBPyConnection) -> None:
    """Ten customers, two years.

    2024: days with SAIDI 10, 20 and 40, and one without. Logarithms: ln 20 - ln 2, ln 20, ln 20 + ln 2; their mean is
    ln 20, their standard deviation ln 2; T_MED = exp(ln 20 + 2.5 ln 2) = 20 * 2^2.5 = 113.137.
    2025: 200 minutes for all ten (a day of SAIDI 200: major), 200 minutes for five (100: not major), twice ten minutes
    for the first, and 3 minutes with two operations for four.
    """
    with duckdb.connect() as own:
        for (made,) in base.execute(
            "SELECT sql FROM duckdb_tables() WHERE table_name SIMILAR TO '(fact|dim)_.*'"
        ).fetchall():
            own.execute(made)
        own.execute("INSERT INTO dim_feeder BY NAME SELECT 'f1' AS feeder_sk, 'F1' AS feeder_id, 'R' AS region")
        days = [date(2024, 3, day) for day in (1, 2, 3, 4)] + [date(2025, 5, day) for day in (1, 2, 3, 4, 5)]
        for day in days:
            own.execute(
                "INSERT INTO fact_feeder_energy_day BY NAME"
                " SELECT 'f1' AS feeder_sk, ? AS date_sk, 10 AS customers_served, 10 AS connected_kva",
                [f"{day:%Y%m%d}"],
            )
        for day, customers in zip(days[:3], (1, 2, 4), strict=True):
            interrupt(own, day, 100, range(customers))
        interrupt(own, days[4], 200, range(10))
        interrupt(own, days[5], 200, range(5))
        interrupt(own, days[6], 10, range(1))
        interrupt(own, days[7], 10, range(1))
        interrupt(own, days[8], 3, range(4), operations=2)
        wanted = {
            "saifi": 17 / 10, "saidi": 3020 / 10, "caidi": 3020 / 17, "caifi": 17 / 10, "ctaidi": 302,
            "saifi_without_major": 7 / 10, "saidi_without_major": 1020 / 10, "caidi_without_major": 1020 / 7,
            "cemi_1": 1, "cemi_3": 1 / 10, "cemi_6": 0, "cemsmi_3": 4 / 10, "maifi": 8 / 10, "maifi_e": 4 / 10,
            "celid_s_4": 0, "celid_t_4": 5 / 10, "asai": 1 - 3020 / (10 * 5 * 1440), "asifi": 17 / 10, "asidi": 302,
            "major_event_days": 1, "t_med": 20 * 2**2.5, "saidi_on_major": 200,
        }  # fmt: skip
        for name, value in wanted.items():
            sql, days_asked = kpi.statement(DATASET, name, (), date(2025, 1, 1), date(2026, 1, 1), "duckdb")
            assert own.execute(sql, days_asked).fetchall() == [(pytest.approx(value, abs=1e-12),)], name
        by_year = ask(own, "t_med", ("year",))
        assert by_year == [("2024", None), ("2025", pytest.approx(113.13708498984761))]
