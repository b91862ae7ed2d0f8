"""DAGs for Airflow, from declarations: which commands run after which, how often, and when somebody is to be told.

Tasks run the ``meterlake`` command, so Airflow imports none of our code and has a Python environment of its own.
``airflow/plugins/meterlake_flow.py`` is what the written files are made with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake import generated, registry
from meterlake.dataset import OURS, Entry
from meterlake.durations import duration_text
from meterlake.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from meterlake.dataset import LakehouseEntry
    from meterlake.schedule import Schedule

FOLDER: Final = "airflow/dags"
THEIRS: Final = "generated/airflow/dags"
"""Where a data set that is not ours has its files, in its folder."""


@dataclass(frozen=True)
class Task:
    """A command of a DAG.

    after: tasks before it. given: the parameter, or Airflow's variable, that holds the command's last word; where there
    is none the task is skipped. backfill: the days that a backfill adds, ``utc`` or ``local``. always: it runs whatever
    became of those before.
    """

    name: str
    command: str
    after: tuple[str, ...] = ()
    given: str = ""
    backfill: str = ""
    always: bool = False

    def text(self, makes: str) -> str:
        """Return what makes it. makes: the asset that it brings up to date."""
        named = {"given": self.given, "backfill": self.backfill, "makes": makes}
        words = [_quoted(self.name), _quoted(self.command)]
        words += [f"{word}={_quoted(value)}" for word, value in named.items() if value]
        words += ["always=True"] * self.always
        words += [f"after=[{', '.join(self.after)}]"] * bool(self.after)
        return f"    {self.name} = {_call('task', words, '    ')}"


@dataclass(frozen=True)
class Dag:
    """A DAG: of a data set, run by a schedule or when an asset was brought up to date. makes: the asset of its end."""

    name: str
    dataset: str
    title: str
    time_zone: str
    schedule: Schedule
    tasks: tuple[Task, ...]
    waits_for: str = ""
    makes: str = ""

    def text(self) -> str:
        """Return its file."""
        schedule, last = self.schedule, self.tasks[-1].name
        given = sorted(task.given for task in self.tasks if task.given)
        words = [
            _quoted(self.name),
            _quoted(self.dataset),
            f"asset={_quoted(self.waits_for)}" if self.waits_for else f"cron={_quoted(schedule.cron)}",
            f"time_zone={_quoted(self.time_zone)}",
            f"given=[{', '.join(map(_quoted, given))}]",
            f"retries={schedule.retries}",
            f"pause_s={schedule.pause.total_seconds():g}",
            f"deadline_s={schedule.deadline.total_seconds():g}",
        ]
        lines = [
            f'"""{self.title}: a DAG for Airflow, which `meterlake dags` makes of the declaration."""',
            "",
            "from meterlake_flow import dag, task",
            "",
            f"with {_call('dag', words)}:",
            *(task.text(self.makes if task.name == last else "") for task in self.tasks),
        ]
        return "\n".join(lines) + "\n"

    def row(self) -> dict[str, str]:
        """Return it as a row for people."""
        when = f"asset {self.waits_for}" if self.waits_for else f"{self.schedule.cron} {self.time_zone}"
        return {
            "dag": self.name,
            "runs": when,
            "tasks": ", ".join(task.name for task in self.tasks),
            "late after": duration_text(self.schedule.deadline),
        }


def _quoted(text: str) -> str:
    return json.dumps(text)


def _call(name: str, words: list[str], indent: str = "") -> str:
    """Return a call with a line for each argument, as ruff formats one that ends with a comma."""
    return "\n".join([f"{name}(", *(f"{indent}    {word}," for word in words), f"{indent})"])


def dags_of(entry: Entry | LakehouseEntry) -> tuple[Dag, ...]:
    """Return the DAGs of a data set: one for meters, three for a lakehouse."""
    return (_meters(entry),) if isinstance(entry, Entry) else _lakehouse(entry)


def _meters(entry: Entry) -> Dag:
    """Load, then what ``meterlake batch`` does, a task each, then upkeep."""
    name, data_set = entry.name, entry.data_set
    tasks = []
    if data_set.formats:
        tasks.append(Task("load", f"meterlake load {name} --skip-bad-files", given=f"{name}_files"))
    if data_set.presentation:
        tasks.append(Task("reference", f"meterlake reference {name}", given=f"{name}_reference"))
    sources = tuple(task.name for task in tasks)
    steps = [("stage", f"meterlake batch {name} --views-only", "utc")]
    if data_set.vee and entry.vee().after_batch:
        steps.append(("vee", f"meterlake vee {name}", ""))
    if data_set.presentation:
        steps.append(("present", f"meterlake present {name}", "local"))
        if data_set.tariffs:
            steps.append(("cost", f"meterlake cost {name}", ""))
    before = sources
    for step, command, backfill in steps:
        # What could be loaded is computed, though another file was damaged.
        tasks.append(Task(step, command, before, backfill=backfill, always=step == "stage" and bool(sources)))
        before = (step,)
    tasks.append(Task("maintain", f"meterlake maintain {name}", (*before, *sources)))
    declared = entry.declaration
    return Dag(name, name, f"{declared.title}, load to upkeep", declared.time_zone, data_set.schedule, tuple(tasks))


def _lakehouse(entry: LakehouseEntry) -> tuple[Dag, ...]:
    """Return ingest, transform and model, each begun by what the one before has made."""
    lakehouse = entry.declaration
    name, title = lakehouse.name, lakehouse.title
    landed, gold = f"{name}_landed", f"{name}_gold"

    def dag(part: str, *tasks: Task, waits_for: str = "", makes: str = "") -> Dag:
        what = f"{title}, {part}"
        return Dag(f"{name}_{part}", name, what, lakehouse.time_zone, lakehouse.schedule, tasks, waits_for, makes)

    model = []
    if lakehouse.verification:
        model.append(Task("verify", f"meterlake verify {name}"))
    if lakehouse.marts:
        model.append(Task("clickhouse", f"meterlake clickhouse {name}", tuple(task.name for task in model)))
    if lakehouse.retentions:
        model.append(Task("maintain", f"meterlake maintain {name}", tuple(task.name for task in model)))
    ingest = dag("ingest", Task("land", f"meterlake land {name}"), makes=landed)
    transform = dag("transform", Task("batch", f"meterlake batch {name}"), waits_for=landed, makes=gold)
    return (ingest, transform, dag("model", *model, waits_for=gold)) if model else (ingest, transform)


def files_of(entry: Entry | LakehouseEntry) -> dict[Path, str]:
    """Return path -> text of the DAGs of a data set: in the checkout if it is ours, else in its folder."""
    return {_folder(entry) / f"{dag.name}.py": dag.text() for dag in dags_of(entry)}


def drift(entry: Entry | LakehouseEntry) -> list[Path]:
    """Return the files of a data set's DAGs that are missing or differ, or that no declaration makes."""
    wanted = files_of(entry)
    made = {path for path in _folder(entry).glob("*.py") if _head(entry) in path.read_text(encoding="utf-8")}
    return [*generated.drift(wanted), *sorted(made - wanted.keys())]


def write(entry: Entry | LakehouseEntry) -> list[Path]:
    """Bring the files of a data set's DAGs up to date; return the paths of those that changed."""
    changed, wanted = drift(entry), files_of(entry)
    for path in changed:
        if path in wanted:
            generated.put(path, wanted[path])
        else:
            path.unlink()
    return changed


def _folder(entry: Entry | LakehouseEntry) -> Path:
    ours = entry.package.partition(".")[0] == OURS or entry.folder is None
    return ROOT / FOLDER if ours else (entry.folder or ROOT) / THEIRS


def _head(entry: Entry | LakehouseEntry) -> str:
    """Return the argument by which a file shows whose DAG it is."""
    return f"\n    {_quoted(entry.name)},\n    "


def entries() -> tuple[Entry | LakehouseEntry, ...]:
    """Return all data sets. Raises UnusableDataSet where one cannot be used."""
    return (*registry.entries(), *(item for _, item in sorted(registry.listing().lakehouses.items())))


def all_dags() -> list[Dag]:
    """Return the DAGs of all data sets."""
    return [dag for entry in entries() for dag in dags_of(entry)]
