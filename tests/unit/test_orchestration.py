"""DAGs from declarations: their tasks do together what `batch` does, in the right order; files are those checked in."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.commands import load
from meterlake import orchestration, registry
from meterlake.dataset import Entry, LakehouseEntry
from meterlake.errors import DeclarationError
from meterlake.schedule import Schedule
from meterlake.settings import ROOT

pytestmark = pytest.mark.unit

HALF_HOURLY = registry.entry("half_hourly")
HOUSEHOLD = registry.entry("household")
PLUGIN = ROOT / "airflow" / "plugins" / "meterlake_flow.py"


def commands(dag: orchestration.Dag) -> dict[str, str]:
    return {task.name: task.command for task in dag.tasks}


def test_half_hourly_is_loaded_staged_validated_presented_and_kept_up() -> None:
    (dag,) = orchestration.dags_of(HALF_HOURLY)
    assert commands(dag) == {
        "load": "meterlake load half_hourly --skip-bad-files",
        "reference": "meterlake reference half_hourly",
        "stage": "meterlake batch half_hourly --views-only",
        "vee": "meterlake vee half_hourly",
        "present": "meterlake present half_hourly",
        "cost": "meterlake cost half_hourly",
        "maintain": "meterlake maintain half_hourly",
    }
    assert {task.name: task.after for task in dag.tasks} == {
        "load": (),
        "reference": (),
        "stage": ("load", "reference"),
        "vee": ("stage",),
        "present": ("vee",),
        "cost": ("present",),
        "maintain": ("cost", "load", "reference"),
    }
    # A file that is damaged keeps no other from being computed; but the run has failed.
    assert [task.name for task in dag.tasks if task.always] == ["stage"]
    assert {task.name: task.backfill for task in dag.tasks if task.backfill} == {"stage": "utc", "present": "local"}
    assert (dag.time_zone, dag.schedule) == ("Europe/London", Schedule("0 0 * * *"))


def test_a_data_set_gets_what_it_declares() -> None:
    # Its batch does not validate, so its DAG does not.
    assert list(commands(orchestration.dags_of(HOUSEHOLD)[0])) == ["load", "stage", "maintain"]
    bare = replace(HALF_HOURLY, data_set=replace(HALF_HOURLY.data_set, formats=(), presentation=None, vee=None))
    (dag,) = orchestration.dags_of(bare)
    assert commands(dag) == {
        "stage": "meterlake batch half_hourly --views-only",
        "maintain": "meterlake maintain half_hourly",
    }
    assert not any(task.always for task in dag.tasks)
    free = replace(HALF_HOURLY, data_set=replace(HALF_HOURLY.data_set, tariffs=None))
    assert "cost" not in commands(orchestration.dags_of(free)[0])


def test_three_dags_of_a_lakehouse_wait_for_each_others_assets() -> None:
    ingest, transform, model = orchestration.dags_of(registry.required_lakehouse("telecom"))
    assert [commands(dag) for dag in (ingest, transform, model)] == [
        {"land": "meterlake land telecom"},
        {"batch": "meterlake batch telecom"},
        {
            "verify": "meterlake verify telecom",
            "clickhouse": "meterlake clickhouse telecom",
            "maintain": "meterlake maintain telecom",
        },
    ]
    assert (ingest.waits_for, ingest.makes) == ("", "telecom_landed")
    assert (transform.waits_for, transform.makes) == ("telecom_landed", "telecom_gold")
    assert (model.waits_for, model.makes) == ("telecom_gold", "")
    assert [task.after for task in model.tasks[1:]] == [("verify",), ("verify", "clickhouse")]
    assert ingest.schedule.deadline == timedelta(hours=1)


def test_a_lakehouse_without_marts_verification_and_retention_has_no_model() -> None:
    utility = registry.required_lakehouse("utility")
    kept = replace(utility, declaration=replace(utility.declaration, retention=None))
    assert commands(orchestration.dags_of(kept)[2]) == {"verify": "meterlake verify utility"}
    bare = replace(utility, declaration=replace(kept.declaration, verification=""))
    assert [dag.name for dag in orchestration.dags_of(bare)] == ["utility_ingest", "utility_transform"]


def test_every_step_of_batch_is_a_task_of_the_dag() -> None:
    """What `batch` calls after its views are the commands of the tasks between stage and upkeep."""
    tree = ast.parse((ROOT / "cli" / "batch_commands.py").read_text(encoding="utf-8"))
    (body,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_batch_and_present"
    ]
    called = {
        node.func.attr for node in ast.walk(body) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    once = {name for name in called if name.endswith("_once")}
    assert once == {"validate_once", "present_once", "cost_once"}
    tasks = [task.name for task in orchestration.dags_of(HALF_HOURLY)[0].tasks]
    assert tasks[tasks.index("stage") + 1 : tasks.index("maintain")] == ["vee", "present", "cost"]


@pytest.mark.parametrize("dag", orchestration.all_dags(), ids=lambda dag: dag.name)
def test_a_file_says_all_of_its_dag_in_calls_that_the_plugin_takes(dag: orchestration.Dag) -> None:
    module = ast.parse(dag.text())
    imported, block = module.body[1:]
    assert ast.unparse(imported) == "from meterlake_flow import dag, task"
    assert isinstance(block, ast.With)
    head = block.items[0].context_expr
    assert isinstance(head, ast.Call)
    named = {word.arg: ast.literal_eval(word.value) for word in head.keywords}
    assert [ast.literal_eval(word) for word in head.args] == [dag.name, dag.dataset]
    assert named == {
        **({"asset": dag.waits_for} if dag.waits_for else {"cron": dag.schedule.cron}),
        "time_zone": dag.time_zone,
        "given": sorted(task.given for task in dag.tasks if task.given),
        "retries": 3,
        "pause_s": 60,
        "deadline_s": dag.schedule.deadline.total_seconds(),
    }
    lines = [line for line in block.body if isinstance(line, ast.Assign)]
    calls = {ast.unparse(line.targets[0]): line.value for line in lines}
    assert list(calls) == [task.name for task in dag.tasks]
    signature = arguments("task")
    for task in dag.tasks:
        call = calls[task.name]
        assert isinstance(call, ast.Call)
        assert [ast.literal_eval(word) for word in call.args] == [task.name, task.command]
        words = {word.arg: ast.unparse(word.value).strip("[]'") for word in call.keywords}
        assert words.keys() <= signature
        assert words.get("after", "") == ", ".join(task.after)
        assert words.get("makes", "") == (dag.makes if task is dag.tasks[-1] else "")
        assert words.get("given", "") == task.given
        assert words.get("backfill", "") == task.backfill
    assert named.keys() <= arguments("dag")


def arguments(function: str) -> set[str]:
    tree = ast.parse(PLUGIN.read_text(encoding="utf-8"))
    (result,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    return {word.arg for word in result.args.kwonlyargs}


def test_commands_and_options_of_tasks_are_there() -> None:
    for dag in orchestration.all_dags():
        for task in dag.tasks:
            program, name, dataset, *options = task.command.split()
            known = {word for option in load(name).params for word in option.opts}
            wanted = set(options) | ({"--since", "--until"} if task.backfill else set())
            assert (program, dataset) == ("meterlake", dag.dataset)
            assert wanted <= known, task.command


def test_checked_in_files_are_those_of_the_declarations() -> None:
    assert [path for entry in orchestration.entries() for path in orchestration.drift(entry)] == []
    checked_in = {path.name for path in (ROOT / orchestration.FOLDER).iterdir() if path.suffix == ".py"}
    ours = [entry for entry in orchestration.entries() if entry.package.startswith("datasets")]
    assert checked_in == {f"{dag.name}.py" for entry in ours for dag in orchestration.dags_of(entry)}


def test_files_of_a_data_set_of_somebody_else_lie_in_its_folder(tmp_path: Path) -> None:
    entry = replace(HOUSEHOLD, data_set=replace(HOUSEHOLD.data_set, vee=None), package="theirs", folder=tmp_path)
    file = tmp_path / "generated/airflow/dags/household.py"
    assert orchestration.drift(entry) == [file]
    assert orchestration.write(entry) == [file]
    assert orchestration.drift(entry) == []
    # One that no declaration makes any more goes; one of another data set stays.
    old, other = file.with_name("household_old.py"), file.with_name("other.py")
    old.write_text(file.read_text())
    other.write_text(file.read_text().replace('    "household",\n    "household",', '    "other",\n    "other",'))
    file.write_text("")
    assert orchestration.drift(entry) == [file, old]
    orchestration.write(entry)
    assert sorted(path.name for path in file.parent.iterdir()) == ["household.py", "other.py"]


def test_the_command_lists_what_it_has_written() -> None:
    done = CliRunner().invoke(app, ["dags", "telecom", "--check", "--output", "json"])
    assert done.exit_code == 0
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert rows == [
        {"dag": "telecom_ingest", "runs": "0 * * * * Africa/Cairo", "tasks": "land", "late after": "1 h"},
        {"dag": "telecom_transform", "runs": "asset telecom_landed", "tasks": "batch", "late after": "1 h"},
        {
            "dag": "telecom_model",
            "runs": "asset telecom_gold",
            "tasks": "verify, clickhouse, maintain",
            "late after": "1 h",
        },
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"cron": "@daily"}, "is no cron expression"),
        ({"cron": "0 0 * * *", "retries": -1}, "its retries are -1"),
        ({"cron": "0 0 * * *", "pause": timedelta(0)}, "its pause is 0:00:00"),
        ({"cron": "0 0 * * *", "deadline": timedelta(hours=-1)}, "its deadline is -1 day"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(words: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        Schedule(**words)


def test_a_declared_schedule_is_that_of_the_dag() -> None:
    schedule = Schedule("30 5 * * 1", retries=1, pause=timedelta(seconds=90), deadline=timedelta(minutes=20))
    entry: Entry = replace(HOUSEHOLD, data_set=replace(HOUSEHOLD.data_set, schedule=schedule))
    text = orchestration.dags_of(entry)[0].text()
    for line in ('cron="30 5 * * 1"', "retries=1", "pause_s=90", "deadline_s=1200"):
        assert f"\n    {line},\n" in text
    lakehouse: LakehouseEntry = registry.required_lakehouse("telecom")
    changed = replace(lakehouse, declaration=replace(lakehouse.declaration, schedule=schedule))
    assert [dag.schedule for dag in orchestration.dags_of(changed)] == [schedule] * 3
