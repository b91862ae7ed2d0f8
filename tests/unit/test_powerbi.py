"""Power BI's project of a lakehouse: its text is as ClickHouse has the tables, and its DAX means what the SQL means.

Nothing here opens it: its text is read back by the rules of TMDL, apart from the code that writes it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from datasets.telecom.declaration import TELECOM
from lakehouse.clickhouse import shapes
from lakehouse.layers import tables
from lakehouse.powerbi.dax import NoDax, Rows
from lakehouse.powerbi.model import model
from lakehouse.powerbi.project import files
from meterlake import registry
from meterlake.settings import ROOT

pytestmark = pytest.mark.unit

SHAPES = {
    shape.name: [name for name, _ in shape.columns]
    for shape in (
        *(shapes.fact(TELECOM, item) for item in TELECOM.facts),
        *(shapes.dimension(TELECOM, item) for item in TELECOM.dimensions),
        *(shapes.calendar(table) for table in (tables.DIM_DATE, tables.DIM_TIME)),
    )
}
FILES = files(model(TELECOM))
MODEL = "telecom.SemanticModel/definition"
REPORT = "telecom.Report/definition"
TEXTS = {path.removeprefix(f"{MODEL}/tables/"): text for path, text in FILES.items() if "/tables/" in path}


def table(name: str) -> str:
    return TEXTS[f"{name}.tmdl"]


@pytest.mark.parametrize("name", [path.removesuffix(".tmdl") for path in TEXTS])
def test_a_table_has_the_columns_of_clickhouse(name: str) -> None:
    text = table(name)
    (source,) = re.findall(r'Rows = Database\{\[Name = "(\w+)"\]\}\[Data\]', text)
    columns = re.findall(r"^\tcolumn (\w+)\n((?:\t\t.*\n)+)", text, re.MULTILINE)
    assert [column for column, _ in columns] == SHAPES[source]
    for column, body in columns:
        assert f"\t\tsourceColumn: {column}\n" in body
    levels = re.findall(r"^\t\tlevel (\w+)\n\t\t\tlineageTag: \S+\n\t\t\tcolumn: (\w+)\n", text, re.MULTILINE)
    assert all(level == column and column in SHAPES[source] for level, column in levels)
    asked = re.findall(r"'(\w+)'\[(\w+)\]", text)
    assert all(of == name and column in SHAPES[name] for of, column in asked)


def test_relations_lead_from_facts_to_roles_of_dimensions() -> None:
    text = FILES[f"{MODEL}/relationships.tmdl"]
    result = re.findall(r"relationship \S+\n\tfromColumn: (\w+)\.(\w+)\n\ttoColumn: (\w+)\.(\w+)", text)
    wanted = [
        (fact.name, key, dimension, key)
        for fact in TELECOM.facts
        for dimension, key in (("dim_date", "date_sk"), ("dim_time", "time_sk"))
    ]
    for fact in ("fact_calls", "fact_sms"):
        for dimension, key in (("dim_user", "user_sk"), ("dim_device", "device_sk"), ("dim_cell_site", "cell_sk")):
            wanted += [(fact, f"from_{key}", dimension, key), (fact, f"to_{key}", f"{dimension}_to", key)]
    wanted += [(fact, "user_sk", "dim_user", "user_sk") for fact in ("fact_payment", "fact_recharge", "fact_support")]
    wanted.append(("fact_support", "agent_sk", "dim_agent", "agent_sk"))
    assert sorted(result) == sorted(wanted)
    named = {path.removesuffix(".tmdl") for path in TEXTS}
    assert {name for fact, _, dimension, _ in result for name in (fact, dimension)} == named
    assert set(re.findall(r"ref table (\w+)", FILES[f"{MODEL}/model.tmdl"])) == named


def test_figures_of_the_declaration_are_measures() -> None:
    rows = "COUNTROWS('fact_calls')"
    dropped = f"CALCULATE({rows}, KEEPFILTERS('fact_calls'[status] = \"dropped\"))"
    taken = f'CALCULATE({rows}, KEEPFILTERS(\'fact_calls\'[status] IN {{"completed", "dropped"}}))'
    revenue = "IF(HASONEVALUE('fact_calls'[currency]), SUM('fact_calls'[amount]))"
    for name, dax, form in (
        ("Calls: count", rows, "#,##0"),
        ("Calls: talked s", "SUM('fact_calls'[call_duration_seconds])", "#,##0"),
        ("Calls: revenue", revenue, "#,##0.00"),
        ("Calls: callers", "DISTINCTCOUNTNOBLANK('fact_calls'[from_user_sk])", "#,##0"),
        ("Calls: Dropped calls", f"DIVIDE({dropped} + 0, {taken})", "0.00%"),
    ):
        assert f"\tmeasure '{name}' = {dax}\n\t\tformatString: {form}\n" in table("fact_calls")
    solved = "\tmeasure 'Support: solved' = COUNTA('fact_support'[resolution_time_seconds])\n"
    assert solved in table("fact_support")
    balance = "AVERAGE('fact_recharge'[balance_after]))\n\t\tformatString: #,##0.00\n"
    assert f"(HASONEVALUE('fact_recharge'[currency]), {balance}" in table("fact_recharge")
    assert model(TELECOM).left_out == ()


def test_names_and_tags_are_unique() -> None:
    text = "\n".join(FILES[path] for path in FILES if path.endswith(".tmdl"))
    for pattern in (r"lineageTag: (\S+)", r"measure '([^']+)'", r"relationship (\S+)"):
        result = re.findall(pattern, text)
        assert len(result) == len(set(result)) > 0


@pytest.mark.parametrize(
    ("sql", "dax"),
    [
        ("SUM(a) / NULLIF(COUNT(*), 0)", "DIVIDE(SUM('t'[a]) + 0, COUNTROWS('t'))"),
        ("MAX(a) - MIN(a)", "MAX('t'[a]) - MIN('t'[a])"),
        ("100 * (SUM(a) + 1)", "100 * (SUM('t'[a]) + 1)"),
        ("COUNT_IF(yes)", "CALCULATE(COUNTROWS('t'), KEEPFILTERS('t'[yes] = TRUE()))"),
        ("COUNT_IF(NOT (a = 1))", "CALCULATE(COUNTROWS('t'), KEEPFILTERS(NOT (('t'[a] = 1))))"),
        (
            "COUNT_IF(a <> 'x\"y' AND (a > 1 OR a = 2))",
            "CALCULATE(COUNTROWS('t'), KEEPFILTERS('t'[a] <> \"x\"\"y\" && (('t'[a] > 1 || 't'[a] = 2))))",
        ),
        # NULL is below nothing: a blank would be.
        ("COUNT_IF(gone < 5)", "CALCULATE(COUNTROWS('t'), KEEPFILTERS(NOT ISBLANK('t'[gone]) && 't'[gone] < 5))"),
        ("COUNT_IF(gone IS NULL)", "CALCULATE(COUNTROWS('t'), KEEPFILTERS(ISBLANK('t'[gone])))"),
    ],
)
def test_sql_becomes_dax(sql: str, dax: str) -> None:
    assert Rows("t", {"gone"}).figure(sql) == dax


@pytest.mark.parametrize(
    "sql",
    [
        "MEDIAN(a)",
        "SUM(a * b)",
        "COUNT_IF(NOT (gone = 1))",
        "COUNT_IF(a < b)",
        "COUNT_IF(a LIKE 'x%')",
        "SUM(1) OVER ()",
    ],
)
def test_what_dax_would_take_for_something_else_is_refused(sql: str) -> None:
    with pytest.raises(NoDax, match=r"is (no constant|not translated)"):
        Rows("t", {"gone"}).figure(sql)


def test_the_page_shows_fields_that_there_are_within_its_bounds() -> None:
    known = {(name, column, "Column") for name in SHAPES for column in SHAPES[name]}
    known |= {(name, item.name, "Measure") for name in SHAPES for item in model(TELECOM).table(name).measures}
    page = json.loads(FILES[f"{REPORT}/pages/overview/page.json"])
    visuals = [json.loads(text) for path, text in FILES.items() if path.endswith("visual.json")]
    kinds = sorted(visual["visual"]["visualType"] for visual in visuals)
    assert kinds == ["card"] * 6 + ["columnChart"] * 5 + ["lineChart", "slicer"]
    for visual in visuals:
        for state in visual["visual"]["query"]["queryState"].values():
            for projection in state["projections"]:
                ((kind, field),) = projection["field"].items()
                assert (field["Expression"]["SourceRef"]["Entity"], field["Property"], kind) in known
    places = [visual["position"] for visual in visuals]
    for at, one in enumerate(places):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= page["width"]
        assert one["y"] >= 0
        assert one["y"] + one["height"] <= page["height"]
        for other in places[:at]:
            beside = one["x"] >= other["x"] + other["width"] or other["x"] >= one["x"] + one["width"]
            assert beside or one["y"] >= other["y"] + other["height"] or other["y"] >= one["y"] + one["height"]


def test_every_lakehouse_of_ours_has_a_model() -> None:
    result = model(registry.required_lakehouse("utility").declaration)
    assert {relation.table for relation in result.relations} <= {item.name for item in result.tables}
    assert result.left_out
    assert result.left_out[0].startswith("figures of views: saifi, ")


def test_the_project_is_checked_in() -> None:
    root = ROOT / "powerbi" / "telecom"
    there = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    assert there == FILES


def test_the_command_writes_what_differs_and_removes_what_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.powerbi_command.ROOT", tmp_path)
    root = tmp_path / "powerbi" / "telecom"
    asked = ["powerbi", "telecom", "--output", "json"]
    runner = CliRunner()
    assert len(json.loads(runner.invoke(app, asked).stdout)) == len(FILES)
    assert not root.exists()
    assert len(json.loads(runner.invoke(app, [*asked, "--write"]).stdout)) == len(FILES)
    old, own = root / MODEL / "tables" / "dim_old.tmdl", root / "telecom.Report" / "notes.txt"
    old.write_text("table dim_old\n")
    own.write_text("mine")
    (root / "telecom.pbip").write_text("{}")
    assert [Path(row["changed"]).name for row in json.loads(runner.invoke(app, asked).stdout)] == [
        "telecom.pbip",
        "dim_old.tmdl",
    ]
    runner.invoke(app, [*asked, "--write"])
    assert not old.exists()
    assert own.exists()
    assert json.loads(runner.invoke(app, asked).stdout) == []
