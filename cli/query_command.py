"""``meterlake query``: one statement on an engine."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated

import typer

from cli.output import Output, as_json, finite, show
from meterlake.errors import UsageError
from meterlake.settings import load_settings


class Engine(StrEnum):
    """Engine of a query."""

    TRINO = "trino"
    HIVE = "hive"
    CASSANDRA = "cassandra"
    CLICKHOUSE = "clickhouse"


class QueryOutput(StrEnum):
    """Format of a query's answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def query(
    sql: Annotated[str, typer.Argument(help="One SQL statement (CQL for cassandra).")],
    engine: Annotated[Engine, typer.Option("--engine", "-e", help="Which engine answers.")] = Engine.TRINO,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"],
            help="Read Delta and Iceberg tables as they were at this time, UTC.",
        ),
    ] = None,
    output: Annotated[QueryOutput, typer.Option("--output", "-o", help="Format of the answer.")] = QueryOutput.TEXT,
) -> None:
    """Run one statement on Trino, Hive, Cassandra or ClickHouse. Times are UTC; JSON and CSV write ISO 8601.

    Examples:

    - `meterlake query "SELECT day, energy_wh FROM hive.merged.household_day ORDER BY day DESC LIMIT 7"`
    - `meterlake query --engine hive "SELECT count(*) AS minutes FROM batch.household_minute" --output json`
    - `meterlake query "SELECT * FROM delta.reference.half_hourly_product" --as-of 2026-11-25`
    """
    from serving_layer.sql.query import run

    if as_of and engine is not Engine.TRINO:
        raise UsageError(f"{engine.value} cannot answer as of an earlier time.", hint="Leave --engine out: Trino can.")
    answer = run(load_settings(), engine.value, _as_of(sql, as_of) if as_of else sql)
    if output is QueryOutput.CSV:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_csv(value) for value in row] for row in answer.rows)
        typer.echo(text.getvalue(), nl=False)
        return
    records = answer.records()
    if output is QueryOutput.TEXT:
        records = [{name: _shown(value) for name, value in record.items()} for record in records]
    show(records, Output(output.value))


def _as_of(sql: str, moment: datetime) -> str:
    from meterlake import time_travel

    return time_travel.as_of(sql, moment.replace(tzinfo=UTC))


def _csv(value: object) -> object:
    value = finite(value)
    return "" if value is None else value if isinstance(value, int | float | str) else as_json(value)


def _shown(value: object) -> object:
    return f"{value}" if isinstance(value, datetime | date) else value


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(query)
