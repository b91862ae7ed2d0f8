"""Data sets that are not ours, each declared in a folder of its own: all that a declaration gives exists."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import jsonschema
import pytest
import yaml
from foreign_samples import FOLDER, LONDON, SAMPLES, WORKS, Sample

from meterlake import discovery, generated, registry, timepattern
from meterlake.dataset_check import check
from meterlake.errors import DeclarationError
from meterlake.reading import Reading
from meterlake.replay import Replay
from meterlake.report_specs import reports_of
from meterlake.schema import json_schema
from meterlake.text.format import MeterColumn, Moment, TextFormat, Value
from meterlake.wire import decode, encode
from serving_layer.dashboards import asked, catalogue
from serving_layer.verify.raw_text import RawText, meters_in

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def written(sample: Sample, folder: Path) -> Path:
    path = folder / f"{sample.name}.csv"
    path.write_text(sample.text, encoding="utf-8")
    return path


def test_they_are_found_without_an_edit_of_ours() -> None:
    listing = discovery.in_folder(FOLDER)
    assert listing.problems == ()
    assert sorted(listing.entries) == ["london", "plugs", "works"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_verify_reads_a_file_as_its_format_says(sample: Sample, tmp_path: Path) -> None:
    form = sample.form
    source = RawText(form, [written(sample, tmp_path)], form.meter_id, form.clock, NOW)
    source.fetch(tmp_path)
    with duckdb.connect() as connection:
        source.read(connection)
        names = f"meter_id, ts, interval_s, {form.measures[0]}"
        rows = connection.execute(f"SELECT {names} FROM readings ORDER BY origin_offset").fetchall()  # noqa: S608
    assert rows == sample.rows


def test_the_meters_of_a_file_are_those_that_its_lines_name(tmp_path: Path) -> None:
    assert meters_in(WORKS.form, [written(WORKS, tmp_path)]) == {"north", "south"}
    assert meters_in(LONDON.form, [written(LONDON, tmp_path)]) == {"MAC000002", "MAC000003"}


@pytest.mark.parametrize(
    ("pattern", "c"),
    [
        ("d/M/yyyy H:mm:ss", "%d/%m/%Y %H:%M:%S"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSS", "%Y-%m-%dT%H:%M:%S"),
        ("yyyy-MM-dd'T'HH:mm:ss'Z'", "%Y-%m-%dT%H:%M:%SZ"),
        ("yyyyMMddHHmm", "%Y%m%d%H%M"),
        ("yy-MMM-dd hh:mm a", "%y-%b-%d %I:%M %p"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "%Y-%m-%dT%H:%M:%S"),
    ],
)
def test_patterns_of_times(pattern: str, c: str) -> None:
    assert timepattern.problem(pattern) is None
    assert timepattern.strptime(pattern) == c


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("yyyy-MM-dd'THH:mm", "a quote is not closed"),
        ("yyy-MMM-dd EEE", "its letters yyy, E, E, E are not among"),
        ("yyyy-MM-dd hh:mm", "h and hh count to 12, and need the letter a (AM or PM)"),
        ("yyyy-MM-dd HH:mm a", "the letter a needs h or hh"),
        ("HH:mm", "it says no day"),
        ("yyyy-MM-ddXXX HH:mm", "its letters XXX are not among"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_named(pattern: str, problem: str) -> None:
    assert str(timepattern.problem(pattern)).startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter_id": "a"}, "names a meter, and a column does, too"),
        ({"columns": (Moment("DateTime", "yyyy-MM-dd"), Value("kWh", "energy"))}, "no column holds the meter"),
        ({"columns": (MeterColumn("id"), Moment("t", "yyy"), Value("kWh", "energy"))}, "its letters yyy are not among"),
        ({"decimal": ","}, "',' separates columns and fractions"),
    ],
)
def test_a_contradiction_is_found_at_construction(change: dict[str, object], problem: str) -> None:
    given = {"dataset": LONDON.declaration, "columns": LONDON.form.columns, "interval_s": 1800, **change}
    with pytest.raises(DeclarationError, match=problem):
        TextFormat(**given)  # type: ignore[arg-type]


def test_a_history_of_many_meters_is_no_script_for_one() -> None:
    with pytest.raises(DeclarationError, match="that of many meters"):
        Replay(form=LONDON.form, history="x.csv", interval_s=1800, scaled=(), split=lambda *_: _)  # type: ignore[arg-type,return-value]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a copy of the folder be named by the setting, as an adopter does."""
    folder = tmp_path / "foreign"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "generated"))
    monkeypatch.setenv("METERLAKE_DATASETS", str(folder))
    return folder


def test_their_dashboards_and_alerts_stand_in_their_own_folders(known: Path) -> None:
    before = catalogue.ours().files()
    ours, *theirs = catalogue.parts()
    assert ours.files() == before
    assert [part.root for part in theirs] == [known / name / "generated" for name in ("london", "plugs", "works")]
    london = theirs[0]
    made = [path.relative_to(known / "london" / "generated").as_posix() for path in catalogue.write(london)]
    assert made == [
        "grafana/dashboards/meterlake-consumption/meterlake-london-live.json",
        "grafana/dashboards/meterlake-consumption/meterlake-london-history.json",
        "grafana/dashboards/meterlake-consumption/meterlake-london-merged.json",
        "grafana/dashboards/meterlake-operation/meterlake-london-health.json",
        "grafana/provisioning/alerting/rules.yaml",
    ]
    assert catalogue.drift(london) == []
    (group,) = yaml.safe_load((london.root / catalogue.ALERTING / "rules.yaml").read_text())["groups"]
    assert group["name"] == "meterlake-london"
    assert {rule["uid"] for rule in group["rules"]} == {
        "meterlake-london-meter-silent",
        "meterlake-london-meters-silent",
    }
    everything = [board.uid for board in catalogue.all_boards()]
    assert everything[-1] == "meterlake-health"
    assert {"meterlake-household-live", "meterlake-works-live", "meterlake-plugs-merged"} < set(everything)
    health = json.loads(catalogue.all_boards()[-1].text())
    assert "Boundary of london" in {mark["name"] for mark in health["annotations"]["list"]}


def test_every_panel_of_theirs_asks_for_what_is_declared(known: Path) -> None:
    shown = [board for board in catalogue.all_boards() if "household" not in board.uid]
    assert [problem for board in shown for problem in asked.problems(board)] == []
    texts = "".join(board.text() for board in shown)
    for column in ("london_half_hour", "plugs_minute", "works_hour", "energy_sum", "power_sum"):
        assert column in texts
    assert "voltage" not in texts
    assert "london_minute" not in texts


@pytest.mark.parametrize(
    ("name", "reports"),
    [
        ("london", ["energy", "gaps", "summary"]),
        ("plugs", ["power", "load-duration", "gaps", "summary"]),
        ("works", ["energy", "gaps", "summary"]),
    ],
)
def test_they_have_reports(known: Path, name: str, reports: list[str]) -> None:
    assert list(reports_of(registry.declaration(name))) == reports


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_messages_by_their_schema_are_decoded(sample: Sample) -> None:
    dataset = sample.declaration
    validator = jsonschema.Draft202012Validator(json_schema(dataset))
    for meter, start, length, value in sample.rows:
        given = Reading(meter, int(start.replace(tzinfo=UTC).timestamp()), length, (value,))
        message = encode(dataset, given)
        validator.validate(json.loads(message))
        decoded = decode(dataset, message)
        assert isinstance(decoded, Reading)
        assert (decoded.key, decoded.values) == (given.key, given.values)


def test_tables_are_named_after_their_finest_grain(known: Path) -> None:
    for name, grain in (("london", "half_hour"), ("plugs", "minute"), ("works", "hour")):
        texts = generated.files(registry.declaration(name), generated.THEIRS)
        assert f"speed.{name}_{grain} (" in texts[f"generated/{name}.cql"]
        assert f"batch.{name}_{grain} (" in texts[f"generated/{name}.hql"]


def test_each_holds_together(known: Path) -> None:
    findings = [finding for name in ("london", "plugs", "works") for finding in check(registry.entry(name))]
    assert {finding.state for finding in findings} == {"ok", "old"}
    assert {finding.what for finding in findings if finding.state == "old"} == {"generated files"}
