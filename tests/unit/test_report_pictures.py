"""What is drawn and written: axes with units, gaps that break lines, files that stand by themselves."""

# ruff: noqa: DTZ001 - UTC wall clock, as the tables hold it
from __future__ import annotations

import re
import struct
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from report_samples import METER, build, minutes, source_for
from typer.testing import CliRunner

from cli.app import app
from meterlake import registry
from meterlake.errors import MeterlakeError
from meterlake.report_specs import Summary, report_of, reports_of
from serving_layer.reports import sources
from serving_layer.reports.catalogue import make
from serving_layer.reports.errors import CannotWrite, WrongExtension
from serving_layer.reports.render import check_path, csv, drawn, page, picture, save, write
from serving_layer.reports.request import ReportOptions, make_request
from serving_layer.reports.result import Result, percent
from serving_layer.reports.sources import SqlSource
from serving_layer.reports.style import date_range_text, shortened
from serving_layer.reports.tariff import load_tariff

pytestmark = pytest.mark.unit
HOUSEHOLD = registry.declaration("household")
TARIFF = Path(__file__).parents[2] / "data" / "tariff.example.toml"
NAMES = [name for name, report in reports_of(HOUSEHOLD).items() if not isinstance(report, Summary)]


def readings() -> list[dict[str, Any]]:
    """Four days with a gap of five hours, one lonely minute in it, and a rest below zero."""
    first = minutes(datetime(2010, 2, 1), 2000, sub_metering_3=5.0)
    lonely = minutes(datetime(2010, 2, 2, 12), 1, global_active_power=0.06, sub_metering_1=2.0, flagged=1)
    return [*first, *lonely, *minutes(datetime(2010, 2, 2, 15), 2000, global_active_power=2.5)]


@pytest.fixture(scope="module")
def source() -> Any:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, readings())
        yield source_for(connection)


def result_of(source: SqlSource, name: str, **options: Any) -> Result:
    given = ReportOptions(tariff=load_tariff(TARIFF), **options)
    return make(report_of(HOUSEHOLD, name), source, make_request(source, HOUSEHOLD, given))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_title_labels_and_units(source: SqlSource, name: str) -> None:
    result = result_of(source, name)
    figure = drawn(result)
    texts = [text.get_text() for text in figure.texts]
    assert result.report.title in texts
    assert any(text.startswith(f"Meter {METER}") for text in texts)
    assert "Coverage" in " ".join(texts)
    labels = " ".join(axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes)
    assert name == "gaps" or re.search(r"\((kW|kvar|kWh|Wh|V|A|W|%|EUR)\)|Power factor", labels), labels
    assert name == "load-duration" or "Europe/Paris" in labels + " ".join(texts) or "local time" in labels


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_the_same_every_time(source: SqlSource, name: str) -> None:
    result = result_of(source, name)
    first, second = picture(result, "svg"), picture(result_of(source, name), "svg")
    assert first == second
    assert b"<text" in first  # text stays text
    assert struct.unpack(">II", picture(result, "png")[16:24]) == (1200, 600)


def test_gaps_break_the_line_and_are_shaded(source: SqlSource) -> None:
    figure = drawn(result_of(source, "active-power", grain="minute"))
    (axes,) = figure.axes
    line, dots = axes.lines[:2]
    values = np.asarray(line.get_ydata(), dtype=float)
    assert len(values) == 2000 + 340 + 2000
    assert np.flatnonzero(np.isnan(values)).tolist() == [*range(2000, 2160), *range(2161, 2340)]
    assert len(dots.get_xdata()) == 1  # the lonely minute is a dot, or nobody would see it
    assert "no readings" in [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]


def test_legends_stand_above_the_data(source: SqlSource) -> None:
    figure = drawn(result_of(source, "voltage"))
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1 - 1


def test_negative_rest_hangs_below_zero(source: SqlSource) -> None:
    figure = drawn(result_of(source, "sub-metering", grain="minute"))
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    assert "Other devices: below zero (flagged)" in names
    assert axes.get_ylim()[0] < -1


def test_local_axis_over_the_change_of_the_clock() -> None:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, minutes(datetime(2010, 3, 27, 23), 23 * 60))
        figure = drawn(result_of(source_for(connection), "active-power", since="2010-03-28", until="2010-03-29"))
    (axes,) = figure.axes
    assert "Europe/Paris (UTC+1 and UTC+2)" in axes.get_xlabel()
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert {"03:00", "06:00", "12:00"} <= set(names)
    assert len(axes.lines[0].get_xdata()) == 23 * 60


@pytest.mark.parametrize("name", ["active-power", "sub-metering", "cost", "gaps", "monthly-energy", "peak-hours"])
def test_csv_round_trip(source: SqlSource, name: str) -> None:
    table = result_of(source, name).table
    back = pd.read_csv(StringIO(csv(table)), float_precision="round_trip")
    assert len(back) == len(table)
    expected = table.reset_index()
    assert list(back.columns) == [str(column) for column in expected.columns]
    for column in expected.select_dtypes("number"):
        np.testing.assert_array_equal(back[column].to_numpy(dtype=float), expected[column].to_numpy(dtype=float))
    if name == "active-power":
        assert back["start"][0] == "2010-02-01T01:00:00+01:00"
        assert pd.to_datetime(back["start"], utc=True).tolist() == table.index.tz_convert("UTC").tolist()


def test_page_stands_by_itself_and_escapes(source: SqlSource) -> None:
    result = result_of(source, "heatmap")
    evil = Result(
        **{**result.__dict__, "request": type(result.request)(**{**result.request.__dict__, "meter": "<b>$x$"})}
    )
    text = page("Heat", [evil], [("Cost", "no <prices>")])
    assert "<b>$x$" not in text
    assert "&lt;b&gt;$x$" in text
    assert "no &lt;prices&gt;" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "<script" not in text


def test_meter_names_are_no_formulas(source: SqlSource) -> None:
    result = result_of(source, "voltage")
    odd = Result(
        **{**result.__dict__, "request": type(result.request)(**{**result.request.__dict__, "meter": "$\\frac{$"})}
    )
    assert picture(odd, "png")


def test_texts_fit_into_their_places() -> None:
    assert shortened("a\nb\x00") == "a�b�"
    assert shortened("m" * 50) == "m" * 39 + "…"


@pytest.mark.parametrize("path", ["x.pdf", "x", "x.png.txt", ".png"])
def test_wrong_extension_lists_the_right_ones(path: str) -> None:
    with pytest.raises(WrongExtension, match=r"\.png, \.svg, \.html, \.csv"):
        check_path(Path(path))


def test_what_cannot_be_written(source: SqlSource, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="Cannot write"):
        save(tmp_path / "file" / "x.png", b"")
    write(tmp_path / "new" / "x.CSV", result_of(source, "voltage"))
    assert (tmp_path / "new" / "x.CSV").exists()


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        ("2010-02-01", "2010-02-02", "1 Feb 2010"),
        ("2010-02-01", "2010-03-01", "1 Feb 2010 – 28 Feb 2010"),
        ("2010-02-01T12:00", "2010-02-02", "1 Feb 2010 12:00 – 2 Feb 2010 00:00"),
    ],
)
def test_ranges_as_people_write_them(since: str, until: str, text: str) -> None:
    assert date_range_text(datetime.fromisoformat(since), datetime.fromisoformat(until)) == text


def test_almost_all_is_not_all() -> None:
    assert percent("Coverage", 0.99999).text == "99.9 %"
    assert percent("Coverage", 1.0).text == "100.0 %"


@pytest.fixture
def command(source: SqlSource, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sources, "source_of", lambda *_: source)
    runner = CliRunner()
    return lambda *words: runner.invoke(app, ["report", *words])


def test_command_lists_reports(command: Any) -> None:
    result = command("household", "--list", "--output", "json")
    assert result.exit_code == 0
    assert '"report": "daily-profile"' in result.output


def test_command_writes_and_shows_key_figures(command: Any, tmp_path: Path) -> None:
    out = tmp_path / "power.svg"
    result = command("household", "active-power", "--to", "2010-02-02", "--min-power", "2", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "Highest" in result.output
    assert out.read_bytes().startswith(b"<?xml")


def test_command_writes_the_summary(command: Any, tmp_path: Path) -> None:
    out = tmp_path / "all.html"
    result = command("household", "summary", "--tariff", str(TARIFF), "--out", str(out), "--output", "json")
    assert result.exit_code == 0, result.output
    text = out.read_text()
    assert text.count("<section") == len(NAMES)
    assert text.count("data:image/svg+xml") == len(NAMES)
    assert command("household", "summary", "--out", str(tmp_path / "all.csv")).exit_code == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) > 40


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense", "voltage"],
        ["household"],
        ["household", "nonsense"],
        ["household", "voltage", "--out", "x.pdf"],
        ["household", "summary", "--out", "x.png"],
        ["household", "voltage", "--from", "2010-02-02", "--to", "2010-02-01"],
        ["household", "voltage", "--meter-id", "nobody"],
        ["household", "cost"],
    ],
)
def test_wrong_usage_exits_with_2(command: Any, words: list[str]) -> None:
    result = command(*words)
    assert isinstance(result.exception, MeterlakeError)
    assert result.exception.exit_code == 2
    assert result.exception.hint


@pytest.mark.parametrize("power", [0.0, 1.5])
def test_a_single_minute_is_enough_for_every_report(power: float) -> None:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, minutes(datetime(2010, 2, 1, 12), 1, global_active_power=power, meter="m" * 200))
        lonely = source_for(connection)
        for name in NAMES:
            result = result_of(lonely, name)
            assert picture(result, "png")
            assert csv(result.table)


def test_twelve_years_fit_on_the_calendar() -> None:
    with duckdb.connect() as connection:
        build(connection, HOUSEHOLD, minutes(datetime(1999, 2, 1), 1) + minutes(datetime(2010, 11, 1), 1))
        for name in ("heatmap", "monthly-energy", "cost"):
            assert picture(result_of(source_for(connection), name, since="2006-01-02"), "png")
        figure = drawn(result_of(source_for(connection), "gaps"))
    assert len([axes for axes in figure.axes if axes.get_ylabel().isdigit()]) == 12
