"""All commands, in the order of the help: where each stands, and its first sentence.

A command's module is imported when the command is asked for: help is there at once. A test holds that the sentences
here are those of the commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context

    from engines.spark_runtime import Runtime
    from meterlake.settings import Settings


@dataclass(frozen=True)
class Known:
    """A command before it is imported: its module in ``cli``, its topic in the help, the first sentence of its own."""

    module: str
    topic: str
    help: str


COMMANDS: Final = {
    "demo": Known(
        "demo_command",
        "Start here",
        "Show all of it on real servers: history loaded up to now, sensors live, one merged answer, pictures.",
    ),
    "up": Known(
        "stack_commands",
        "Servers",
        "Start the servers, with all that they need, and wait until each has done real work.",
    ),
    "down": Known("stack_commands", "Servers", "Stop exactly what `up` started in this checkout; data is kept."),
    "status": Known(
        "stack_commands",
        "Servers",
        "Show every service: state (checked by a write and a read), port, process id, memory.",
    ),
    "logs": Known("stack_commands", "Servers", "Print the last lines of a server's log."),
    "doctor": Known(
        "stack_commands", "Servers", "Check what the stack needs of this machine, and say how to get what is missing."
    ),
    "plan": Known(
        "plan_command",
        "Servers",
        "Size an installation: brokers, cores, nodes and disks for so many meters, and what bad hours are like.",
    ),
    "load": Known("load_command", "Readings in", "Load files of readings into the master data set, in one commit."),
    "correct": Known(
        "correct_command",
        "Readings in",
        "Load files whose readings replace those of the same meter, time and length, in one commit.",
    ),
    "generate": Known(
        "presentation_commands",
        "Readings in",
        "Make up files of a data set, and its reference tables: to try it, to test, to measure.",
    ),
    "reference": Known(
        "presentation_commands",
        "Readings in",
        "Bring the reference tables up to date with a database: agreements, products, meterpoints and the like.",
    ),
    "simulate": Known(
        "simulate_command",
        "Readings in",
        "Send readings of any number of meters, which live a recorded history now: a household's one a second.",
    ),
    "bridge": Known("bridge_command", "Readings in", "Other people's live messages into the topic of a data set."),
    "land": Known(
        "lakehouse_commands",
        "Readings in",
        "Land what sources of a lakehouse have: objects in S3 that are never rewritten, each with a manifest.",
    ),
    "archive": Known(
        "stream_commands",
        "Readings in",
        "Append what arrives in Kafka to the master data set, every message once; what is no reading to quarantine.",
    ),
    "stream": Known(
        "stream_commands",
        "Readings in",
        "Bring what arrives in Kafka into Cassandra, minute by minute: readable seconds after it was measured.",
    ),
    "batch": Known(
        "batch_commands",
        "Batch views",
        "Compute the views from the master data set, audit them, and publish them.",
    ),
    "runs": Known(
        "run_commands",
        "Batch views",
        "Show the published runs, newest last: what each read, used and wrote, and where its boundary lies.",
    ),
    "rollback": Known(
        "run_commands",
        "Batch views",
        "Let readers see an earlier run again: one that `meterlake runs` shows as kept.",
    ),
    "query": Known(
        "query_command",
        "Answers",
        "Run one statement on Trino, Hive, Cassandra or ClickHouse. Times are UTC; JSON and CSV write ISO 8601.",
    ),
    "present": Known(
        "presentation_commands",
        "Batch views",
        "Join readings with what was valid at their time, and bring the tables made of them up to date.",
    ),
    "vee": Known(
        "vee_command",
        "Batch views",
        "Validate readings, and estimate what is missing or not to be trusted: what has changed since the last run.",
    ),
    "cost": Known(
        "cost_commands",
        "Batch views",
        "Compute what each meter's energy costs, day by day, by the tariffs of its products: what has changed only.",
    ),
    "bill": Known(
        "cost_commands",
        "Answers",
        "Make a meter's bill for some days: one line a product, tariff, part and price, then VAT, then what is to be"
        " paid.",
    ),
    "explain": Known(
        "explain_command",
        "Answers",
        "Show what stands behind one number: its readings, what became of each, and where each came from.",
    ),
    "lineage": Known(
        "lineage_command",
        "Answers",
        "Trace rows of a table back to the runs that made them: what each read, and by which version of the code.",
    ),
    "export": Known(
        "export_command", "Answers", "Write the rows of a view into a file: CSV, Parquet, a workbook, or NEM12."
    ),
    "report": Known(
        "report_command",
        "Answers",
        "Draw one meter's history: as a picture, a self-contained page, or the table behind it.",
    ),
    "verify": Known(
        "verify_command",
        "Answers",
        "Recompute what readers see with a second engine, and compare: batch, speed and merged.",
    ),
    "quality": Known(
        "quality_command",
        "Answers",
        "Look for stuck values, jumps and long gaps in the published minutes, by the thresholds of the declaration.",
    ),
    "kpi": Known("lakehouse_commands", "Answers", "Show a figure of a lakehouse, as its declaration defines it."),
    "dictionary": Known(
        "lakehouse_commands",
        "Answers",
        "Print the data dictionary of a lakehouse as Markdown: tables, columns, units, rules, figures.",
    ),
    "train": Known(
        "predict_command",
        "Answers",
        "Train models of what the next day brings, beside simpler answers, and keep the best of them.",
    ),
    "drift": Known(
        "predict_command",
        "Answers",
        "Show how the days since a model was trained differ from those that it has learned from, and how good it was.",
    ),
    "clickhouse": Known(
        "clickhouse_command",
        "Answers",
        "Load ClickHouse with what readers of a lakehouse see: days that have changed, each replaced as a whole.",
    ),
    "maintain": Known(
        "maintain_command",
        "Upkeep",
        "Make small files of the master data set large, and remove what nobody needs any more.",
    ),
    "erase": Known(
        "erase_command",
        "Upkeep",
        "Remove a meter's readings or a person's records from wherever they are kept.",
    ),
    "dataset": Known(
        "dataset_command",
        "Generated files",
        "Data sets: list them, check one, begin one from a sample of its files.",
    ),
    "ddl": Known(
        "ddl_command",
        "Generated files",
        "Write the generated files of a data set: Hive DDL, Cassandra CQL, Trino views, JSON Schema of its messages.",
    ),
    "powerbi": Known(
        "powerbi_command",
        "Generated files",
        "Make a Power BI project of a lakehouse: a semantic model (TMDL) and a report (PBIR) over ClickHouse.",
    ),
    "dashboards": Known(
        "dashboard_commands",
        "Generated files",
        "Write Grafana's dashboards and alert rules to `grafana/`, where they are checked in and provisioned from.",
    ),
    "dags": Known(
        "dags_command",
        "Generated files",
        "Write Airflow's DAGs of the data sets to `airflow/dags/`, where they are checked in.",
    ),
    "dremio": Known(
        "dremio_command",
        "Generated files",
        "Make what Dremio needs to show a lakehouse: a source of Nessie, a space, views, and a view for each figure.",
    ),
    "superset": Known(
        "superset_command",
        "Generated files",
        "Make Superset's data sets, charts and dashboard of a lakehouse's figures.",
    ),
}


class Commands(TyperGroup):
    """The commands of ``COMMANDS``: each is what the help says of it, until it is asked for."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of typer's own
        super().__init__(**settings)
        for name, known in COMMANDS.items():
            self.add_command(TyperCommand(name, help=known.help, rich_help_panel=known.topic))

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Return the command that the words ask for, imported."""
        if args and args[0] in COMMANDS:
            self.add_command(load(args[0]))
        return super().resolve_command(ctx, args)


def load(name: str) -> Command:
    """Import a command and return it. Commands that use Spark get its jars from the stack."""
    from engines import spark_runtime

    spark_runtime.provide(_runtime)
    app = typer.Typer(rich_markup_mode="markdown", callback=lambda: None)
    import_module(f"cli.{COMMANDS[name].module}").register(app)
    return typer.main.get_group(app).commands[name]


def _runtime(settings: Settings) -> Runtime:
    """Return what Spark runs on: few commands start it."""
    from stack.runtime.spark import runtime

    return runtime(settings)
