"""Data sets are found: ours, in folders and packages that the setting names, by entry points; or it is said why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark import cloudpickle

from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY
from datasets.household.text import HOUSEHOLD_TEXT
from engines.spark import carry_folders
from meterlake import generated, registry
from meterlake.dataset import DataSet, UnusablePart
from meterlake.dataset_check import check
from meterlake.discovery import Listing, discover
from meterlake.errors import DeclarationError, PermanentError, UnknownName
from meterlake.report_specs import plain_reports, reports_of

pytestmark = pytest.mark.unit

SOURCE = """
from meterlake.dataset import DataSet
from meterlake.declaration import Amount, MeterSeries, View

DATASET = DataSet(
    declaration=MeterSeries(
        name="{name}",
        title="Gas of a street",
        intervals=(60,),
        time_zone="Europe/Oslo",
        measures=(Amount("gas", "m³", "0.001"),),
        views=(View("minute", "month"), View("day", "year")),
    ),
    {parts}
)
"""


def folder(parent: Path, name: str, *, declared: str = "", parts: str = "", source: str | None = None) -> Path:
    """Write the folder of a data set."""
    path = parent / name
    path.mkdir(parents=True)
    text = SOURCE.format(name=declared or name, parts=parts) if source is None else source
    (path / "__init__.py").write_text(text, encoding="utf-8")
    return path


def only_problem(listing: Listing) -> str:
    assert len(listing.problems) == 1
    assert "household" in listing.entries  # the others can be used
    return str(listing.problems[0])


def meterlake(*words: str, datasets: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "METERLAKE_DATASETS": datasets, "COLUMNS": "200", "NO_COLOR": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words], capture_output=True, text=True, check=False, env=environment
    )


def test_ours_is_known_with_its_parts() -> None:
    assert registry.names() == ("half_hourly", "household")
    entry = registry.entry("household")
    assert entry.is_ours
    assert entry.declaration is HOUSEHOLD
    assert entry.text_format() is HOUSEHOLD_TEXT
    assert entry.replay() is HOUSEHOLD_REPLAY
    assert entry.data_set.parts == ("formats", "replay", "reports", "board", "vee")
    with pytest.raises(UnknownName, match=r"Unknown data set 'houshold'. Did you mean 'household'\?"):
        registry.entry("houshold")


def test_a_folder_of_data_sets_or_one_itself_is_named(tmp_path: Path) -> None:
    street, farm = folder(tmp_path, "street"), folder(tmp_path, "farm", declared="farm_gas")
    folder(tmp_path, "_shared", source="UNIT = 'm³'\n")
    (tmp_path / "notes").mkdir()
    for setting in (str(tmp_path), f"{street},{farm}", f"{street}{os.pathsep}{farm}", f"{tmp_path}, {street}"):
        listing = discover(setting)
        assert listing.problems == ()
        assert {name: entry.folder for name, entry in listing.entries.items() if not entry.is_ours} == {
            "farm_gas": farm,
            "street": street,
        }


def test_modules_beside_the_entry_and_shared_ones_are_imported(tmp_path: Path) -> None:
    folder(tmp_path, "_shared", source="PLACE = 'Oslo'\n")
    street = folder(tmp_path, "street", parts='reports=".pages:REPORTS"')
    (street / "pages.py").write_text(
        "from .._shared import PLACE\n"
        "from meterlake.report_specs import SUMMARY, Course\n"
        'REPORTS = (Course(name="gas", title=PLACE, doc="", value="gas_sum"), SUMMARY)\n'
    )
    catalogue = discover(str(tmp_path)).entries["street"].reports()
    assert catalogue is not None
    assert [report.title for report in catalogue] == ["Oslo", "Summary"]


def test_a_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folder(tmp_path, "acme_meters", source="")
    folder(tmp_path / "acme_meters", "canal")
    assert discover("acme_meters").entries["canal"].package == "acme_meters.canal"
    assert discover("acme_meters.canal").entries["canal"].folder == tmp_path / "acme_meters" / "canal"


def test_an_installed_package_names_its_own_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folder(tmp_path, "nordic_meters", source="")
    folder(tmp_path / "nordic_meters", "fjord")
    (tmp_path / "nordic_meters" / "two.py").write_text(SOURCE.format(name="skerry", parts="").replace("DATASET", "TWO"))
    about = tmp_path / "nordic_meters-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nordic-meters\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[meterlake.datasets]\nall = nordic_meters\nskerry = nordic_meters.two:TWO\n"
    )
    listing = discover("")
    assert listing.problems == ()
    assert sorted(listing.entries) == ["fjord", "half_hourly", "household", "skerry"]
    assert listing.entries["skerry"].source == "entry point 'skerry' of nordic-meters"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "has no DATASET. Write DATASET = DataSet(declaration=…) into its __init__.py"),
        ("DATASET = 3\n", "street: DATASET is 3. Write DATASET = DataSet(declaration=…)"),
        ("import numpyy\n", "line 1: No module named 'numpyy'. Install 'numpyy' in this environment"),
        ("DATASET = (\n", "line 1: SyntaxError: '(' was never closed"),
        ("x = 1\nDATASET = x.y\n", "line 2: AttributeError: 'int' object has no attribute 'y'. Mend that line."),
        (SOURCE.format(name="Street", parts=""), "the name 'Street' cannot be used in every engine. Use lower-case"),
        (SOURCE.format(name="street", parts="formats=(3,),"), "the format 3 is none. Give a TextFormat or one of"),
    ],
)
def test_what_is_wrong_in_a_folder_is_said_with_its_place(tmp_path: Path, source: str, says: str) -> None:
    path = folder(tmp_path, "street", source=source)
    problem = only_problem(discover(str(tmp_path)))
    assert problem.startswith(f"METERLAKE_DATASETS={tmp_path}: {path}")
    assert says in problem


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"paths count from {Path.cwd()}" in only_problem(discover(f"{tmp_path}/nowhere"))
    assert "there is no package 'nowhere' (and no such folder)" in only_problem(discover("nowhere"))
    assert "contains no data set" in only_problem(discover(str(tmp_path)))


def test_two_of_one_name_are_named_both(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "a", "street"), folder(tmp_path / "b", "road", declared="street")
    listing = discover(f"{one},{two}")
    assert only_problem(listing).endswith(
        f"the data set 'street' is there twice: {one} and {two}. Rename one of them, or name one place only."
    )
    assert sorted(listing.entries) == ["half_hourly", "household"]


def test_a_part_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    folder(tmp_path, "street", parts='reports=".pages:REPORTS", replay="nowhere", board="meterlake.names:MAX_NAME"')
    entry = discover(str(tmp_path)).entries["street"]
    with pytest.raises(UnusablePart, match=r"Data set 'street', reports: '.pages:REPORTS' cannot be imported \(No mod"):
        entry.reports()
    with pytest.raises(UnusablePart, match=r"'nowhere' names nothing. Write 'module:NAME'"):
        entry.replay()
    with pytest.raises(UnusablePart, match=r"board: 40 is no Board. Give what meterlake.dashboard_specs has"):
        entry.board()


def test_alerts_are_found_beside_the_entry(tmp_path: Path) -> None:
    path = folder(tmp_path, "street", parts='alerts=".bounds:ALERTS"')
    (path / "bounds.py").write_text(
        "from meterlake.alert_specs import Alert\nALERTS = (Alert(name='heavy', measure='power', high=9),)\n"
    )
    entry = discover(str(tmp_path)).entries["street"]
    assert [alert.name for alert in entry.alerts()] == ["heavy"]
    assert {finding.what: finding.state for finding in check(entry)}["alerts"] == "wrong"


def test_a_part_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    path = folder(tmp_path, "street")
    entry = discover(str(tmp_path)).entries["street"]
    assert entry.data_set.parts == ()
    assert entry.reports() is None
    assert entry.board() is None
    with pytest.raises(PermanentError, match=f"has no text format. .* give it as formats= to DATASET of {path}"):
        entry.text_format()
    with pytest.raises(PermanentError, match="has no replay"):
        entry.replay()


def test_a_format_must_be_that_of_the_declaration() -> None:
    other = replace(HOUSEHOLD, name="other")
    with pytest.raises(DeclarationError, match="Data set 'other': a format is that of 'household'"):
        DataSet(declaration=other, formats=(HOUSEHOLD_TEXT,))


def test_what_a_folder_declares_travels_to_workers_that_cannot_import_it(tmp_path: Path) -> None:
    own = "\n@dataclass(frozen=True)\nclass Doubtful(Flag):\n    owner: str = 'Oslo'\n"
    source = SOURCE.replace("\nDATASET", f"{own}\nDATASET").replace("import Amount", "import Flag, Amount")
    parts = 'rules=(Doubtful("burst", "gas > 5"),)'
    source = f"from dataclasses import dataclass\n{source}".replace("    ),\n    {parts}", f"        {parts},\n    ),")
    folder(tmp_path, "street", source=source.replace("{name}", "street"))
    declared = discover(str(tmp_path)).entries["street"].declaration
    carry_folders()
    worker = "import pickle, sys; d = pickle.load(sys.stdin.buffer); print(d.name, d.flags[0].owner)"
    done = subprocess.run(
        [sys.executable, "-c", worker], input=cloudpickle.dumps(declared), capture_output=True, check=False
    )
    assert done.stdout == b"street Oslo\n", done.stderr


def test_a_process_may_know_one_for_a_while() -> None:
    other = replace(HOUSEHOLD, name="other")
    with registry.added(DataSet(declaration=other)):
        assert registry.names() == ("half_hourly", "household", "other")
        assert list(reports_of(other).values()) == list(plain_reports(other))
    assert registry.names() == ("half_hourly", "household")


def test_generated_files_go_into_the_folder_of_the_data_set(tmp_path: Path) -> None:
    street = folder(tmp_path / "my", "street")
    assert {path.parent for path in generated.files_of(discover(str(street)).entries["street"])} == {
        street / "generated"
    }
    done = meterlake("ddl", "street", "--output", "json", datasets=str(street))
    assert done.returncode == 0, done.stderr
    made = [Path(row["changed"]) for row in json.loads(done.stdout)]
    assert [path.name for path in made] == ["street.v1.json", "street.hql", "street.cql", "street.sql"]
    assert {path.parent for path in made} == {street / "generated"}
    assert meterlake("ddl", "street", "--check", datasets=str(street)).returncode == 0
    assert (street / "generated" / "street.hql").read_text().count(
        "CREATE EXTERNAL TABLE"
    ) == 5  # minute, day, gaps, rejects, meters


def test_commands_know_a_foreign_data_set_and_others_are_not_hindered_by_a_broken_one(tmp_path: Path) -> None:
    folder(tmp_path, "street")
    folder(tmp_path, "broken", source="DATASET = None.x\n")
    done = meterlake("report", "street", "--list", "--output", "json", datasets=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [row["report"] for row in json.loads(done.stdout)] == ["gas", "gaps", "summary"]
    done = meterlake("ddl", "--check", datasets=str(tmp_path))  # about all: none is left out in silence
    assert done.returncode == 1
    assert f"{tmp_path / 'broken' / '__init__.py'}, line 1: AttributeError" in done.stderr
    assert "Traceback" not in done.stderr
    assert meterlake("--help", datasets=str(tmp_path)).returncode == 0


def test_our_data_sets_are_called_like_their_folders() -> None:
    found = discover("")
    folders = {item.name: item.folder for item in (*found.entries.values(), *found.lakehouses.values())}
    assert all(path and path.name == name for name, path in folders.items())
    assert {"household", "utility"} <= folders.keys()


def test_who_names_a_data_set_imports_no_other_of_ours() -> None:
    words = (
        "import sys\nfrom meterlake import registry\nregistry.declaration('household'), registry.lakehouse('no_such')\n"
    )
    words += "print(*(name for name in sys.modules if name.startswith('datasets.') and name.count('.') == 1))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["datasets.household"]


def test_a_name_of_ours_that_somebody_else_gives_is_a_problem_for_who_names_it(tmp_path: Path) -> None:
    folder(tmp_path, "mine", declared="household")
    folder(tmp_path, "gas")
    named, every = discover(str(tmp_path), "household"), discover(str(tmp_path))
    assert list(map(str, named.problems)) == list(map(str, every.problems))
    assert list(named.entries) == ["gas"]
