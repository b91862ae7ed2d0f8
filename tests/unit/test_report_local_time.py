"""Reports follow the clock on the wall: quarter and half hours, half an hour of summer time, days that were skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from matplotlib.figure import Figure
from report_samples import build, minutes, source_for

from meterlake import registry
from meterlake.report_specs import report_of
from serving_layer.reports.catalogue import make
from serving_layer.reports.local_hours import hour_grain, offsets_between
from serving_layer.reports.request import ReportOptions, Request, make_request
from serving_layer.reports.result import Result
from serving_layer.reports.style import SIZE_INCHES
from serving_layer.reports.tariff import Tariff

pytestmark = pytest.mark.unit
HOUSEHOLD = registry.declaration("household")
Make = Callable[..., Result]

NIGHT = Tariff.model_validate(
    {
        "name": "night",
        "currency": "EUR",
        "price": [
            {
                "valid_from": "2000-01-01",
                "period": [
                    {"name": "night", "per_kwh": 0.1, "hours": ["22:00-06:00"]},
                    {"name": "day", "per_kwh": 0.3},
                ],
            }
        ],
    }
)


def local(zone: str, day: date, hour: int, count: int, **values: float) -> list[dict[str, Any]]:
    """Return readings of so many minutes from an hour of the clock on the wall."""
    begin = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
    return minutes(begin.astimezone(UTC).replace(tzinfo=None), count, **values)


def made(
    name: str, zone: str, readings: list[dict[str, Any]], since: str | None = None, until: str | None = None
) -> Result:
    there = replace(HOUSEHOLD, time_zone=zone)
    with duckdb.connect() as connection:
        build(connection, there, readings)
        source = source_for(connection)
        request = make_request(
            source, there, ReportOptions(since=since, until=until, tariff=NIGHT if name == "cost" else None)
        )
        return make(report_of(there, name), source, request)


def figure(result: Result, label: str) -> float:
    (match,) = [item.number for item in result.key_figures if item.label.startswith(label)]
    return match


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/Paris"])
def test_what_runs_from_six_to_seven_is_in_that_hour(zone: str) -> None:
    readings = local(zone, date(2025, 6, 2), 0, 1440, global_active_power=0.0)
    for reading in readings[360:420]:
        reading["global_active_power"] = 3.0
    by_hour = made("peak-hours", zone, readings).table["total_kWh"]
    assert by_hour.idxmax() == 6
    assert by_hour[6] == pytest.approx(3.0)
    assert by_hour.sum() == pytest.approx(3.0)
    assert figure(made("peak-hours", zone, readings), "Highest single hour") == pytest.approx(3.0)
    heat = made("heatmap", zone, readings).table.iloc[0]
    assert heat.tolist() == pytest.approx([3.0 if hour == 6 else 0.0 for hour in range(24)])
    profile = made("daily-profile", zone, readings)
    assert figure(profile, "Busiest hour begins") == 6
    assert profile.table.set_index("hour")["mean_kW"][6] == pytest.approx(3.0)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Asia/Kolkata"])
def test_the_quietest_hour_of_a_night_is_a_whole_one(zone: str) -> None:
    readings = local(zone, date(2025, 6, 2), 0, 1440, global_active_power=0.5)
    for reading in readings[180:240]:
        reading["global_active_power"] = 0.1
    assert made("standby", zone, readings).table["quietest_hour_kW"].tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Asia/Kathmandu", "Europe/Paris"])
def test_a_year_costs_what_its_months_cost(zone: str) -> None:
    days = [date(2025, 1, 1) + timedelta(days=n) for n in range(365)]
    # The hour before the price changes, each morning: all of it at the night's price, in summer and in winter.
    readings = [reading for day in days for reading in local(zone, day, 5, 60, global_active_power=1.0)]
    year = figure(made("cost", zone, readings, "2025-01-01", "2026-01-01"), "Cost")
    begins = [f"2025-{month:02}-01" for month in range(1, 13)] + ["2026-01-01"]
    months = [figure(made("cost", zone, readings, *span), "Cost") for span in pairwise(begins)]
    assert year == pytest.approx(36.5)
    assert sum(months) == pytest.approx(36.5)


def test_an_hour_in_which_the_clock_goes_back_by_half_an_hour_is_two_rows() -> None:
    zone = "Australia/Lord_Howe"  # on 6 April 2025, 02:00 became 01:30
    readings = local(zone, date(2025, 4, 6), 0, 1470, global_active_power=1.0)
    result = made("peak-hours", zone, readings)
    assert result.table["total_kWh"].tolist() == pytest.approx([1.0, 1.5, *[1.0] * 22])
    assert made("monthly-energy", zone, readings).table["total_kWh"].tolist() == pytest.approx([24.5])


def test_a_skipped_day_counts_once_that_is_never() -> None:
    zone = "Pacific/Apia"  # 30 December 2011 does not exist
    readings = local(zone, date(2011, 12, 29), 0, 48 * 60, global_active_power=1.0)
    result = made("monthly-energy", zone, readings, "2011-12-29", "2012-01-01")
    assert result.table["total_kWh"].tolist() == pytest.approx([48.0])
    assert figure(result, "Total") == pytest.approx(48.0)
    heat = made("heatmap", zone, readings, "2011-12-29", "2012-01-01").table
    assert heat.notna().sum(axis=1).tolist() == [24, 0, 24]
    assert figure(made("gaps", zone, readings, "2011-12-29", "2012-01-01"), "Complete days") == 2
    costs = made("cost", zone, readings, "2011-12-29", "2012-01-01").table
    assert [f"{day:%d}" for day in costs.index] == ["29", "31"]
    assert costs["coverage"].tolist() == [1.0, 1.0]


def test_a_day_that_begins_at_one_has_23_hours() -> None:
    zone = "America/Sao_Paulo"  # midnight of 17 October 2010 was 01:00
    readings = local(zone, date(2010, 10, 16), 0, 47 * 60, global_active_power=1.0)
    assert made("heatmap", zone, readings).table.iloc[1].isna().tolist() == [hour == 0 for hour in range(24)]
    costs = made("cost", zone, readings).table
    assert costs["night [EUR]"].tolist() == pytest.approx([0.8, 0.7])
    assert costs["coverage"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("zone", "step_s", "grain"),
    [
        ("Europe/Paris", 3600, "hour"),
        ("Europe/Paris", 1800, "minute"),
        ("Asia/Kolkata", 3600, "minute"),
        ("Australia/Lord_Howe", 3600, "minute"),
    ],
)
def test_the_coarsest_view_that_no_local_hour_cuts_is_read(zone: str, step_s: int, grain: str) -> None:
    year = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    request = Request(replace(HOUSEHOLD, time_zone=zone), "m", *year, (date(2025, 1, 1), date(2025, 12, 31)))
    assert hour_grain(request, step_s) == grain


def test_a_gap_of_decades_is_no_row_of_years_in_the_picture() -> None:
    zone = "Europe/Paris"
    readings = [row for year in (1991, 2026) for row in local(zone, date(year, 3, 2), 0, 60)]
    result = made("gaps", zone, readings)
    canvas = Figure(figsize=SIZE_INCHES)
    result.draw(canvas)
    assert [axes.get_ylabel() for axes in canvas.axes] == ["1991", "2026"]
    assert "34 years without readings left out" in [text.get_text() for text in canvas.texts]


def test_offsets_are_those_within_the_range() -> None:
    winter = datetime(2025, 1, 1, tzinfo=UTC)
    assert offsets_between("Europe/Paris", winter, winter + timedelta(days=30)) == {3600}
    assert offsets_between("Europe/Paris", winter, winter + timedelta(days=365)) == {3600, 7200}
