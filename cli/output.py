"""How results are shown: as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.layout import laid_out
from meterlake.settings import ROOT, Settings


class Output(StrEnum):
    """Format of a command's result."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for programs.")]

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)


def log_to_file(settings: Settings, command: str, dataset: str) -> None:
    """Log what a command does as JSON to a file of its own, and bind what holds for all its lines."""
    from structlog.contextvars import bind_contextvars

    from meterlake import log

    log.configure(settings.home / "logs" / f"{command}-{dataset}.jsonl")
    bind_contextvars(command=command, dataset=dataset)


def report_progress(doing: str) -> None:
    """Say what is being done, beside the result, and log it."""
    from meterlake.log import get_logger

    progress_console.print(doing, markup=False, soft_wrap=True)
    get_logger().debug(doing)


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


def finite(value: object) -> object:
    """Return ``value`` with None for the numbers that JSON and CSV do not have: NaN and the infinities."""
    if isinstance(value, float | Decimal):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def show(
    records: Sequence[Mapping[str, Any]],
    output: Output,
    *,
    title: str = "",
    err: bool = False,
    optional: Sequence[str] = (),
) -> None:
    """Print ``records`` (one mapping a row, the same keys in each) in the asked format.

    optional: columns that may be left out where the terminal is too narrow, the first one first; they are named then.
    err: print beside progress.
    """
    if output is Output.JSON:
        rows = [finite(dict(record)) for record in records]
        typer.echo(json.dumps(rows, default=as_json, indent=2, allow_nan=False), err=err)
        return
    target = progress_console if err else console
    if title:
        target.print(title, markup=False, style="italic", soft_wrap=True)
    if not records:
        target.print("(no rows)")
        return
    for part in laid_out(records, target.width, optional):
        target.print(part)


def shown_path(path: Path) -> str:
    """Return a path as people read it: within the checkout, relative to it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
