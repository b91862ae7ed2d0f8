"""What a user may ask for, and what a wrong options is answered."""

# ruff: noqa: DTZ001 - UTC wall clock, as the tables hold it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from report_samples import METER, build, minutes, source_for

from meterlake import registry
from meterlake.declaration import Amount, Derived, Level, MeterSeries, View, per_hour
from meterlake.errors import UnknownName, UsageError
from meterlake.report_specs import Cost, Summary, plain_reports, report_of, reports_of
from serving_layer.reports.catalogue import KINDS, make
from serving_layer.reports.errors import (
    NoPrice,
    NoReadings,
    TariffNeeded,
    ViewMissing,
    WrongMoment,
    WrongOption,
    WrongRange,
    WrongTariff,
)
from serving_layer.reports.request import ReportOptions, make_request, parse_moment
from serving_layer.reports.sources import MERGED_SCHEMA, SqlSource, Window, source_of
from serving_layer.reports.summary import summary
from serving_layer.reports.tariff import load_tariff

pytestmark = pytest.mark.unit
HOUSEHOLD = registry.declaration("household")
EXAMPLE = Path(__file__).parents[2] / "data" / "tariff.example.toml"


@pytest.fixture(scope="module")
def source() -> Any:
    with duckdb.connect() as connection:
        readings = minutes(datetime(2010, 2, 1), 1440 * 3) + minutes(datetime(2010, 2, 10), 60)
        build(connection, HOUSEHOLD, readings + minutes(datetime(2010, 2, 2), 60, meter="it's"))
        yield source_for(connection)


def options(**given: Any) -> ReportOptions:
    return ReportOptions(**{"meter": METER, **given})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010-02-01", "2010-01-31T23:00:00+00:00"),
        ("2010-07-01", "2010-06-30T22:00:00+00:00"),
        ("2010-02-01T18:30", "2010-02-01T17:30:00+00:00"),
        ("2010-02-01T18:30+05:30", "2010-02-01T13:00:00+00:00"),
        ("2010-02-01T18:30:00Z", "2010-02-01T18:30:00+00:00"),
    ],
)
def test_times_are_local_unless_they_say_otherwise(text: str, expected: str) -> None:
    assert parse_moment(text, HOUSEHOLD, "--from").isoformat() == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2010-02-30", "01/02/2010", "2010-2-1", "2010-02-01T25:00"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(WrongMoment, match="--from"):
        parse_moment(text, HOUSEHOLD, "--from")


@pytest.mark.parametrize(
    ("since", "until", "grain"),
    [
        ("2010-02-01", "2010-02-04", "minute"),
        ("2010-02-01", "2010-02-05", "hour"),
        ("2010-02-01T10:00", "2010-02-01T10:05", "minute"),
    ],
)
def test_grain_follows_the_range(source: SqlSource, since: str, until: str, grain: str) -> None:
    assert make_request(source, HOUSEHOLD, options(since=since, until=until)).grain_by_range() == grain


def test_years_are_read_by_the_day() -> None:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, minutes(datetime(2010, 2, 1), 1) + minutes(datetime(2010, 6, 1), 1))
        request = make_request(source_for(connection), HOUSEHOLD, ReportOptions())
        assert request.grain_by_range() == "day"
        assert (
            make_request(source_for(connection), HOUSEHOLD, ReportOptions(grain="minute")).grain_by_range() == "minute"
        )


def test_range_is_cut_to_the_days_with_readings(source: SqlSource) -> None:
    request = make_request(source, HOUSEHOLD, options(since="1999-01-01", until="2999-01-01"))
    assert request.days == (datetime(2010, 2, 1).date(), datetime(2010, 2, 10).date())


@pytest.mark.parametrize("until", ["2010-02-01", "2010-01-31"])
def test_empty_or_reversed_range(source: SqlSource, until: str) -> None:
    with pytest.raises(WrongRange, match="is empty"):
        make_request(source, HOUSEHOLD, options(since="2010-02-01", until=until))


def test_range_outside_the_readings_says_where_they_are(source: SqlSource) -> None:
    with pytest.raises(NoReadings, match="between 2010-02-01 and 2010-02-10"):
        make_request(source, HOUSEHOLD, options(since="2011-01-01", until="2011-02-01"))


def test_range_within_a_gap(source: SqlSource) -> None:
    request = make_request(source, HOUSEHOLD, options(since="2010-02-06", until="2010-02-07"))
    with pytest.raises(NoReadings, match="2010-02-06 00:00"):
        make(report_of(HOUSEHOLD, "voltage"), source, request)


def test_unknown_meter_lists_the_known_ones(source: SqlSource) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'house-1'\?"):
        make_request(source, HOUSEHOLD, options(meter="house-2"))


def test_a_named_meter_is_asked_for_by_its_key(source: SqlSource) -> None:
    asked: list[tuple[str, list[Any]]] = []

    def run(statement: str, values: list[Any]) -> Sequence[Sequence[Any]]:
        asked.append((statement, values))
        return source.run(statement, values)

    request = make_request(replace(source, run=run), HOUSEHOLD, options(meter=METER))
    assert request.extent == make_request(source, HOUSEHOLD, options()).extent
    assert asked == [("SELECT MIN(day), MAX(day) FROM batch.household_day WHERE meter_id = ?", [METER])]


def test_several_meters_need_a_choice(source: SqlSource) -> None:
    with pytest.raises(UsageError, match="--meter-id: house-1, it's"):
        make_request(source, HOUSEHOLD, ReportOptions())


def test_values_are_bound_never_pasted(source: SqlSource) -> None:
    request = make_request(source, HOUSEHOLD, options(meter="it's"))
    assert len(make(report_of(HOUSEHOLD, "voltage"), source, request).table) == 60
    with pytest.raises(UnknownName):
        make_request(source, HOUSEHOLD, options(meter="x' OR '1'='1"))


def test_hive_gets_named_placeholders_and_its_partitions() -> None:
    asked: list[tuple[str, list[Any]]] = []

    def run(statement: str, values: list[Any]) -> list[list[Any]]:
        asked.append((statement, values))
        return []

    reader = SqlSource("hive", "Hive", "hive", "batch", run)
    since, until = (parse_moment(text, HOUSEHOLD, "--from") for text in ("2010-02-01", "2010-03-01"))
    reader.view(HOUSEHOLD, "hour", ["voltage_avg", "covered_s"], Window(METER, since, until))
    statement, values = asked[0]
    assert "FROM batch.household_hour WHERE meter_id = %(p0)s AND hour >= CAST(%(p1)s AS TIMESTAMP)" in statement
    assert "month >= %(p3)s AND month <= %(p4)s" in statement
    assert values == [METER, datetime(2010, 1, 31, 23), datetime(2010, 2, 28, 23), "2010-01", "2010-02"]


def test_merged_view_yields_the_same_rows_and_gaps(source: SqlSource) -> None:
    merged = SqlSource("merged", "merged", "duckdb", "batch", source.run, merged=True)
    window = make_request(source, HOUSEHOLD, options()).window
    assert merged.gaps(HOUSEHOLD, window).equals(source.gaps(HOUSEHOLD, window))
    columns = ["voltage_sum", "covered_s"]
    assert merged.view(HOUSEHOLD, "day", columns, window).equals(source.view(HOUSEHOLD, "day", columns, window))


def test_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = None
    assert source_of("merged", settings).schema == MERGED_SCHEMA  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match="hive, merged, trino"):
        source_of("oracle", settings)


def test_missing_views_say_how_to_make_them() -> None:
    from engines.errors import QueryFailed

    def run(statement: str, values: list[Any]) -> list[list[Any]]:
        raise QueryFailed("Trino", statement, "line 1:42: Schema 'batch' does not exist")

    with pytest.raises(ViewMissing, match="meterlake batch household"):
        SqlSource("trino", "Trino", "trino", "hive.batch", run).extents(HOUSEHOLD)


def test_options_that_a_report_cannot_follow(source: SqlSource) -> None:
    for name, option in (("heatmap", {"grain": "day"}), ("voltage", {"threshold": 3.0})):
        request = make_request(source, HOUSEHOLD, options(**option))
        with pytest.raises(WrongOption, match=name):
            make(report_of(HOUSEHOLD, name), source, request)


def test_unknown_report() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'voltage'"):
        report_of(HOUSEHOLD, "voltag")


def test_every_report_has_a_kind() -> None:
    kinds = {type(report) for report in reports_of(HOUSEHOLD).values()}
    assert kinds == {*KINDS, Summary}


def test_a_data_set_without_a_catalogue_has_plain_reports() -> None:
    pump = MeterSeries(
        name="pump",
        title="Pump",
        measures=(Level("flow_rate", "l/s", "0.1", title="Flow"),),
        intervals=(60,),
        time_zone="UTC",
        derived=(Derived("double_flow", "l/s", "flow_rate_sum * 2 / covered_s"),),
        views=(View("minute", "month"), View("day", "year")),
    )
    assert list(reports_of(pump)) == ["flow-rate", "double-flow", "gaps", "summary"]
    assert plain_reports(pump)[0].title == "Flow over time"


def test_half_hours_of_one_amount_are_reported() -> None:
    london = MeterSeries(
        name="london",
        time_zone="Europe/London",
        intervals=("30 min",),
        measures=(Amount("energy", "kWh", "0.001", between=per_hour(0, 100), title="Energy"),),
        views=(View("30 min"), View("hour"), View("day"), View("month")),
    )
    assert list(reports_of(london)) == ["energy", "gaps", "summary"]
    start = datetime(2026, 10, 24, 23)  # local midnight of a day of 25 hours
    readings = [
        {"meter_id": "m", "ts": start + timedelta(minutes=30 * n), "interval_s": 1800, "flagged": 0, "energy": 0.25}
        for n in range(50)
        if n != 5
    ]
    with duckdb.connect() as connection:
        build(connection, london, readings)
        source = source_for(connection)
        request = make_request(source, london, ReportOptions())
        assert request.grain_by_range() == "half_hour"
        result = make(report_of(london, "energy"), source, request)
        halves = result.table
        assert list(halves.columns) == ["energy_kWh", "covered_s"]
        assert (len(halves), halves["energy_kWh"].sum(), halves["covered_s"].sum()) == (50, 12.25, 49 * 1800)
        daily = make(report_of(london, "energy"), source, make_request(source, london, ReportOptions(grain="day")))
        assert daily.table["energy_kWh"].tolist() == [12.25]
        figures = {item.label: item.number for item in result.key_figures}
        assert (figures["Sum"], figures["Coverage"]) == (12.25, 0.98)
        with pytest.raises(UnknownName, match="grain of london"):
            make_request(source, london, ReportOptions(grain="month"))


def test_cost_needs_prices_for_the_whole_range(source: SqlSource, tmp_path: Path) -> None:
    with pytest.raises(TariffNeeded, match="--tariff"):
        make(report_of(HOUSEHOLD, "cost"), source, make_request(source, HOUSEHOLD, options()))
    later = tmp_path / "later.toml"
    later.write_text(_HEAD + "[[price]]\nvalid_from = 2010-02-03\n" + _REST)
    request = make_request(source, HOUSEHOLD, options(tariff=load_tariff(later)))
    with pytest.raises(NoPrice, match="2010-02-01 to 2010-02-02"):
        make(report_of(HOUSEHOLD, "cost"), source, request)
    whole = report_of(HOUSEHOLD, "summary")
    assert isinstance(whole, Summary)
    problem = summary(whole, request, source)
    assert [title for title, _ in problem.left_out] == ["Cost of energy"]
    assert "no price" in problem.left_out[0][1]
    assert not any(isinstance(result.report, Cost) for result in problem.results)


def test_the_example_tariff_is_sound_with_a_byte_order_mark_and_windows_line_ends_too(tmp_path: Path) -> None:
    tariff = load_tariff(EXAMPLE)
    marked = tmp_path / "marked.toml"
    marked.write_bytes(EXAMPLE.read_bytes().replace(b"\n", b"\r\n"))
    marked.write_bytes(b"\xef\xbb\xbf" + marked.read_bytes())
    assert load_tariff(marked) == tariff
    assert tariff.step_s == 2 * 3600
    assert len(tariff.price) == 3
    assert tariff.at(datetime(2005, 1, 1).date()) is None


_HEAD = 'name = "t"\ncurrency = "EUR"\n'
_REST = '[[price.period]]\nname = "all"\nper_kwh = 0.1\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "name: Field required"),
        ("name = ", "is not TOML"),
        (_HEAD, "price: Field required"),
        (_HEAD + "[[price]]\nvalid_from = 2010-02-30\n" + _REST, "is not TOML"),
        (_HEAD + '[[price]]\nvalid_from = "soon"\n' + _REST, "price.1.valid_from"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\n" + _REST.replace("0.1", '"cheap"'), "price.1.period.1.per_kwh"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\n" + _REST.replace("0.1", "nan"), "finite"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\ncolour = 1\n" + _REST, "price.1.colour"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\n" + _REST + 'hours = ["25:00-06:00"]\n', "25:00-06:00"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\n" + _REST + 'hours = ["22:00-06:00"]\n', "it is the rest"),
        (_HEAD + "[[price]]\nvalid_from = 2010-01-01\nvalid_to = 2009-01-01\n" + _REST, "is not after valid_from"),
        (_HEAD + ("[[price]]\nvalid_from = 2010-01-01\n" + _REST) * 2, "same valid_from"),
    ],
)
def test_wrong_tariffs_say_what_and_where(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "tariff.toml"
    path.write_text(text)
    with pytest.raises(WrongTariff) as raised:
        load_tariff(path)
    assert complaint in raised.value.what


def test_unreadable_tariffs(tmp_path: Path) -> None:
    with pytest.raises(WrongTariff, match="No such file"):
        load_tariff(tmp_path / "none.toml")
    with pytest.raises(WrongTariff, match="Is a directory"):
        load_tariff(tmp_path)
    binary = tmp_path / "latin.toml"
    binary.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(WrongTariff, match="UTF-8"):
        load_tariff(binary)
