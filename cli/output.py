"""How results are shown: as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Output(StrEnum):
    """Format of a command's result."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)


def tell(doing: str) -> None:
    """Say what is being done, beside the result."""
    progress_console.print(doing, markup=False, soft_wrap=True)


def as_json(value: object) -> object:
    """Return ``value`` as JSON knows it: times in ISO 8601 UTC, decimals exact as text."""
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def show(records: Sequence[Mapping[str, Any]], output: Output, *, title: str = "", err: bool = False) -> None:
    """Print ``records`` (one mapping a row, the same keys in each) in the asked format; ``err``: beside progress."""
    if output is Output.JSON:
        typer.echo(json.dumps([dict(record) for record in records], default=as_json, indent=2), err=err)
        return
    target = progress_console if err else console
    if not records:
        target.print("(no rows)")
        return
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in records[0]:
        numeric = all(isinstance(r[column], int | float | Decimal | None) for r in records)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for record in records:
        table.add_row(*(_cell(value) for value in record.values()))
    target.print(table)


_COLOURS = {
    "healthy": "green",
    "ok": "green",
    "missing": "red",
    "unhealthy": "red",
    "crashed": "red",
    "failed": "red",
}


def _cell(value: object) -> Text:
    text = "" if value is None else str(value)
    return Text(text, style=_COLOURS.get(text, ""))
