"""The numbers behind the figures, against what a person computes by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from report_samples import build, minutes, source_for

from meterlake import registry
from meterlake.report_specs import Summary, report_of, reports_of
from serving_layer.reports.catalogue import make
from serving_layer.reports.render import picture
from serving_layer.reports.request import ReportOptions, make_request
from serving_layer.reports.result import Result
from serving_layer.reports.tariff import Tariff

pytestmark = pytest.mark.unit
HOUSEHOLD = registry.declaration("household")
Make = Callable[..., Result]


@pytest.fixture
def made() -> Make:
    """Make a report of readings (UTC minutes) for a local range."""

    def run(
        name: str, readings: list[dict[str, Any]], since: str | None = None, until: str | None = None, **options: Any
    ) -> Result:
        with duckdb.connect() as connection:
            build(connection, HOUSEHOLD, readings)
            source = source_for(connection)
            request = make_request(source, HOUSEHOLD, ReportOptions(since=since, until=until, **options))
            return make(report_of(HOUSEHOLD, name), source, request)

    return run


def key(result: Result, label: str) -> float:
    (match,) = [item.number for item in result.key_figures if item.label.startswith(label)]
    return match


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def tariff(*prices: dict[str, Any]) -> Tariff:
    return Tariff.model_validate({"name": "test", "currency": "EUR", "price": prices})


def price(valid_from: str, night: float, day: float, standing: float = 0.0, **more: Any) -> dict[str, Any]:
    periods = [{"name": "night", "per_kwh": night, "hours": ["22:00-06:00"]}, {"name": "day", "per_kwh": day}]
    return {"valid_from": valid_from, "standing_per_day": standing, "period": periods, **more}


def test_mean_lowest_and_highest_by_the_hour(made: Make) -> None:
    hour = minutes(utc("2010-02-01T11:00"), 45, global_active_power=1.0) + minutes(
        utc("2010-02-01T11:45"), 15, global_active_power=5.0
    )
    table = made("active-power", hour, "2010-02-01T12:00", "2010-02-01T13:00", grain="hour").table
    assert table.index[0].isoformat() == "2010-02-01T12:00:00+01:00"
    assert table.iloc[0].to_dict() == {"mean_kW": 2.0, "min_kW": 1.0, "max_kW": 5.0, "covered_s": 3600.0}


def test_missing_minutes_are_rows_without_values(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 2) + minutes(utc("2010-02-01T11:04"), 1)
    result = made("active-power", readings)
    assert result.table["mean_kW"].isna().tolist() == [False, False, True, True, False]
    assert key(result, "Coverage") == pytest.approx(3 / 5)


def test_threshold_keeps_only_what_reaches_it(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 30, global_active_power=0.5) + minutes(
        utc("2010-02-01T11:30"), 12, global_active_power=3.0
    )
    result = made("active-power", readings, threshold=3.0)
    assert len(result.table) == 12
    assert key(result, "Time at 3 kW or more") == pytest.approx(0.2)


def test_power_factor_is_nothing_where_no_power_flows(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 1, global_active_power=3.0, global_reactive_power=4.0)
    readings += minutes(utc("2010-02-01T11:01"), 1, global_active_power=0.0)
    table = made("power-factor", readings).table
    assert table["power_factor"].iloc[0] == pytest.approx(0.6)
    assert np.isnan(table["power_factor"].iloc[1])
    assert table["covered_s"].iloc[1] == 60


def test_voltage_outside_the_limits_is_counted(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 3, voltage=253.0) + minutes(utc("2010-02-01T11:03"), 2, voltage=253.01)
    readings += minutes(utc("2010-02-01T11:05"), 1, voltage=206.99)
    assert key(made("voltage", readings), "Intervals with a value outside") == 3


def test_negative_rest_stays_negative_and_is_named(made: Make) -> None:
    # 0.06 kW is 1 Wh a minute; the sub-meter counted 2
    readings = minutes(utc("2010-02-01T11:00"), 1, global_active_power=0.06, sub_metering_3=2.0, flagged=1)
    readings += minutes(utc("2010-02-01T11:01"), 1, global_active_power=0.6, sub_metering_1=3.0, sub_metering_2=4.0)
    result = made("sub-metering", readings)
    assert result.table["other_devices_Wh"].tolist() == pytest.approx([-1.0, 3.0])
    assert result.table["flagged"].tolist() == [1, 0]
    assert "In 1 intervals" in result.notes[0]
    assert "−1.00 Wh" in result.notes[0]
    assert key(result, "Other devices") == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("first", "day", "hours"), [("2010-03-27T23:00", "2010-03-28", 23), ("2010-10-30T22:00", "2010-10-31", 25)]
)
def test_energy_of_days_when_the_clock_changes(made: Make, first: str, day: str, hours: int) -> None:
    readings = minutes(utc(first), hours * 60, global_active_power=2.0)
    following = (datetime.fromisoformat(day) + timedelta(days=1)).date().isoformat()
    result = made("monthly-energy", readings, day, following)
    assert result.table["total_kWh"].tolist() == pytest.approx([2.0 * hours])
    stacked = made("sub-metering", readings, day, following, grain="hour")
    assert len(stacked.table) == hours


def test_month_is_complete_only_with_all_its_hours(made: Make) -> None:
    readings = minutes(utc("2010-01-31T23:00"), 14 * 1440) + minutes(utc("2010-02-28T23:00"), 60)
    table = made("monthly-energy", readings).table
    assert table.index.tolist() == ["2010-02", "2010-03"]
    assert table["total_kWh"].tolist() == pytest.approx([14 * 24.0, 1.0])
    assert table["coverage"].tolist() == pytest.approx([0.5, 1 / (31 * 24 - 1)])  # March loses an hour


def test_heatmap_skips_the_hour_that_does_not_exist(made: Make) -> None:
    readings = minutes(utc("2010-03-27T23:00"), 23 * 60)
    table = made("heatmap", readings, "2010-03-28", "2010-03-29").table
    assert table.iloc[0].isna().tolist() == [hour == 2 for hour in range(24)]


def test_heatmap_averages_the_hour_that_occurs_twice(made: Make) -> None:
    readings = minutes(utc("2010-10-30T22:00"), 25 * 60, global_active_power=1.0)
    for reading in readings:
        if reading["ts"].hour == 1 and reading["ts"].day == 31:  # the second 02:00
            reading["global_active_power"] = 3.0
    table = made("heatmap", readings, "2010-10-31", "2010-11-01").table
    assert table["h02_kW"].tolist() == pytest.approx([2.0])
    assert table["h03_kW"].tolist() == pytest.approx([1.0])


def test_average_day_weighs_by_measured_time(made: Make) -> None:
    # two Mondays at 12:00 local: a full hour of 1 kW, and a quarter of an hour of 6 kW
    readings = minutes(utc("2010-02-01T11:00"), 60, global_active_power=1.0)
    readings += minutes(utc("2010-02-08T11:00"), 15, global_active_power=6.0)
    readings += minutes(utc("2010-02-06T11:00"), 60, global_active_power=4.0)  # a Saturday
    table = made("daily-profile", readings).table.set_index(["day_type", "hour"])
    assert table.loc[("Monday to Friday", 12), "mean_kW"] == pytest.approx(2.0)
    assert table.loc[("Saturday and Sunday", 12), "mean_kW"] == pytest.approx(4.0)
    assert set(table["season"]) == {"Winter (Dec–Feb)"}


def test_load_duration_is_a_share_of_measured_time(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 60, global_active_power=3.0)
    readings += minutes(utc("2010-02-01T13:00"), 180, global_active_power=1.0)  # the hour between is a gap
    table = made("load-duration", readings).table.set_index("share")["at_least_kW"]
    assert table.loc[0.0] == table.loc[0.25] == 3.0
    assert table.loc[0.251] == table.loc[1.0] == 1.0


def test_peak_hours(made: Make) -> None:
    readings = minutes(utc("2010-02-01T11:00"), 60, global_active_power=1.0)
    readings += minutes(utc("2010-02-01T12:00"), 60, global_active_power=4.0)
    readings += minutes(utc("2010-02-02T12:00"), 30, global_active_power=2.0)
    table = made("peak-hours", readings).table
    assert table.loc[13, "total_kWh"] == pytest.approx(5.0)
    assert table.loc[13, "mean_of_an_hour_kWh"] == pytest.approx(5.0 / 1.5)
    assert table["share"].sum() == pytest.approx(1.0)


def test_standby_is_the_median_of_the_quietest_hours(made: Make) -> None:
    readings = []
    for day, quiet in ((1, 0.1), (2, 0.2), (3, 2.0)):
        readings += minutes(utc(f"2010-02-0{day}T00:00"), 1380, global_active_power=1.0)  # from 01:00 local
        for reading in readings[-1380:]:
            if reading["ts"].hour == 2:
                reading["global_active_power"] = quiet
    result = made("standby", readings, tariff=tariff(price("2009-01-01", 0.1, 0.25)))
    assert result.table["quietest_hour_kW"].tolist() == pytest.approx([0.1, 0.2, 1.0])
    assert key(result, "Base load") == pytest.approx(200)
    assert key(result, "Energy of a year") == pytest.approx(0.2 * 8766)
    assert key(result, "Cost of a year") == pytest.approx(0.2 * 8766 * (8 * 0.1 + 16 * 0.25) / 24)


def test_standby_ignores_hours_that_were_hardly_measured(made: Make) -> None:
    readings = minutes(utc("2010-02-01T00:00"), 60, global_active_power=0.5)
    readings += minutes(utc("2010-02-01T01:00"), 5, global_active_power=0.1)
    assert made("standby", readings).table["quietest_hour_kW"].tolist() == pytest.approx([0.5])


def test_cost_across_new_prices_and_the_change_of_the_clock(made: Make) -> None:
    readings = minutes(utc("2010-03-26T23:00"), 47 * 60)  # 27 and 28 March, 1 kW
    prices = tariff(price("2010-01-01", 0.05, 0.10, 0.3), price("2010-03-28", 0.10, 0.20, 0.5))
    table = made("cost", readings, tariff=prices).table
    assert table["night [EUR]"].tolist() == pytest.approx([8 * 0.05, 7 * 0.10])
    assert table["day [EUR]"].tolist() == pytest.approx([16 * 0.10, 16 * 0.20])
    assert table["standing charge [EUR]"].tolist() == pytest.approx([0.3, 0.5])
    assert table["kWh"].tolist() == pytest.approx([24.0, 23.0])


def test_new_price_never_rewrites_the_past(made: Make) -> None:
    readings = minutes(utc("2010-03-26T23:00"), 24 * 60)
    before = made("cost", readings, tariff=tariff(price("2010-01-01", 0.05, 0.10)))
    after = made("cost", readings, tariff=tariff(price("2010-01-01", 0.05, 0.10), price("2010-03-28", 9.0, 9.0)))
    pd.testing.assert_frame_equal(before.table, after.table)
    assert key(before, "Cost") == pytest.approx(2.0)


def test_gap_costs_nothing_but_the_standing_charge(made: Make) -> None:
    readings = minutes(utc("2010-02-01T23:00"), 60) + minutes(utc("2010-02-04T22:00"), 60)
    table = made("cost", readings, tariff=tariff(price("2010-01-01", 0.1, 0.1, 1.0))).table
    assert table["kWh"].tolist() == pytest.approx([1.0, 0.0, 1.0])
    assert table["standing charge [EUR]"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert table["coverage"].tolist() == pytest.approx([1 / 24, 0, 1 / 24])


def test_saving_is_the_way_to_the_cheapest_price_then_in_force(made: Make) -> None:
    # one hour of 60 Wh a minute at 12:00 local, before and after the prices change
    readings = minutes(utc("2010-02-01T11:00"), 60, global_active_power=3.6, sub_metering_2=60.0)
    readings += minutes(utc("2010-02-02T11:00"), 60, global_active_power=3.6, sub_metering_2=60.0)
    prices = tariff(price("2010-01-01", 0.05, 0.10), price("2010-02-02", 0.10, 0.30))
    result = made("cost", readings, tariff=prices)
    assert key(result, "Moving devices saves up to") == pytest.approx(3.6 * (0.05 + 0.20))


def test_half_hours_are_priced_by_the_minute(made: Make) -> None:
    periods = [{"name": "night", "per_kwh": 0.1, "hours": ["22:30-06:30"]}, {"name": "day", "per_kwh": 0.2}]
    prices = tariff({"valid_from": "2010-01-01", "period": periods})
    readings = minutes(utc("2010-02-01T05:00"), 60)  # 06:00 to 07:00 local
    table = made("cost", readings, tariff=prices).table
    assert table[["night [EUR]", "day [EUR]"]].iloc[0].tolist() == pytest.approx([0.05, 0.1])


def test_gaps_are_joined_over_months_and_cut_to_the_range(made: Make) -> None:
    readings = minutes(utc("2010-03-30T00:00"), 60) + minutes(utc("2010-04-02T00:00"), 60)
    whole = made("gaps", readings)
    assert len(whole.table) == 1
    assert key(whole, "Missing minutes") == 71 * 60
    cut = made("gaps", readings, "2010-03-31", "2010-04-01")
    assert cut.table["missing_s"].tolist() == [86_400]
    assert cut.table.index[0].isoformat() == "2010-03-31T00:00:00+02:00"


def test_coverage_of_the_first_and_last_day_counts_between_readings_only(made: Make) -> None:
    result = made("gaps", minutes(utc("2010-02-01T20:00"), 600))
    assert key(result, "Coverage") == 1.0
    assert key(result, "Complete days") == 2
    assert key(result, "Longest") == 0


ZONES = ("America/Sao_Paulo", "Asia/Kolkata", "UTC")
"""Midnight skipped on 17 October 2010; half an hour off; no change at all."""


@pytest.mark.parametrize("zone", ZONES)
def test_every_report_in_other_zones(zone: str) -> None:
    there = dataclasses.replace(HOUSEHOLD, time_zone=zone)
    prices = tariff(price("2010-01-01", 0.1, 0.1, 1.0))
    with duckdb.connect() as connection:
        build(connection, there, minutes(utc("2010-10-15T00:00"), 5 * 1440))
        source = source_for(connection)
        request = make_request(source, there, ReportOptions(tariff=prices))
        results = {
            name: make(report, source, request)
            for name, report in reports_of(there).items()
            if not isinstance(report, Summary)
        }
    assert all(picture(result, "png") for result in results.values())
    assert results["monthly-energy"].table["total_kWh"].sum() == pytest.approx(120.0)
    assert results["cost"].table["kWh"].sum() == pytest.approx(120.0)
    assert results["peak-hours"].table["total_kWh"].sum() == pytest.approx(120.0)
    lengths = results["cost"].table["kWh"].tolist()
    assert (23.0 in [round(length, 6) for length in lengths]) == (zone == "America/Sao_Paulo")
