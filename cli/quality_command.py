"""``meterlake quality``: what only readings in order can show, as a table and a report."""

from __future__ import annotations

import csv
import html
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, as_json, finite, progress_console, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.durations import duration_text
from meterlake.errors import PermanentError, UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from serving_layer.publish.publish import Publisher

Rows = list[dict[str, Any]]

_STYLE = (
    "body{font:15px system-ui;margin:2em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;text-align:left}tr:nth-child(even){background:#f4f4f4}"
)
SHOWN = 1000
"""So many findings are shown or written; the table holds all."""


class NothingPublished(PermanentError):
    """There is no published run to look at."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        super().__init__(
            f"No run of {dataset} is published: there are no minutes to look at.",
            hint=f"Compute and publish them first (`meterlake batch {dataset}`).",
        )


def quality(
    dataset: DatasetArgument,
    meter_id: Annotated[str | None, typer.Option("--meter-id", help="Show one meter only; all are looked at.")] = None,
    listed: Annotated[
        int, typer.Option("--list", min=0, max=SHOWN, help="Also show so many findings, longest first.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the findings to a file: .csv, .html or .json.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Look for stuck values, jumps and long gaps in the published minutes, by the thresholds of the declaration.

    All findings go to the Hive table `batch.<data set>_quality`, replacing those of the last look; what is shown, or
    written with `--out`, are the counts and up to 1,000 findings, the longest first. Nothing is refused or changed:
    the views stay as they are.

    Examples:

    - `meterlake quality household --list 20`
    - `meterlake quality household --out quality.html`
    - `meterlake query "SELECT * FROM hive.batch.household_quality WHERE finding = 'long_gap'"`
    """
    declared, settings = registry.declaration(dataset), load_settings()
    if out and out.suffix not in _WRITERS:
        raise UsageError(f"{out} cannot be written: unknown kind of file.", hint=f"Use one of {', '.join(_WRITERS)}.")
    if not declared.quality:
        raise PermanentError(f"{dataset} declares no quality checks.", hint="Declare some (meterlake.quality).")
    counts, rows = look(settings, declared, system_clock, meter_id)
    if output is Output.JSON:
        show(rows if listed else counts, output)
    else:
        show([_counted(row) for row in counts], output, optional=("largest", "meters"))
        if listed:
            show([_line(row, declared.key) for row in rows[:listed]], output, title="\nThe longest")
    if out:
        _WRITERS[out.suffix](out, declared, counts, rows)
        progress_console.print(f"Written: {out}", markup=False)


def look(settings: Settings, dataset: MeterSeries, clock: Clock, meter_id: str | None = None) -> tuple[Rows, Rows]:
    """Compute the findings from the published run, and publish them; return counts, and the longest findings."""
    from batch_layer import lease
    from engines import spark
    from engines.spark_failures import translated
    from serving_layer.publish.publish import Publisher

    # Under the lease no batch removes the files that are read.
    with (
        lease.held(settings, dataset.name, f"quality of {dataset.name}", clock) as held,
        spark.session(settings, "quality") as session,
        translated(settings, f"quality of {dataset.name}"),
    ):
        history = Publisher(settings, dataset, held, clock).roll_forward()
        if history.present is None:
            raise NothingPublished(dataset.name)
        result = _written(session, Publisher(settings, dataset, held, clock), history.tables)
        held.check()
        return _rows(result, dataset, meter_id)


def _written(session: Any, publisher: Publisher, folders: Any) -> Any:  # noqa: ANN401 - of Spark
    """Write the findings of published folders, show them to readers, and return them."""
    from batch_layer import quality as checks
    from batch_layer.pipeline import quality
    from batch_layer.views import files, tables

    settings, dataset = publisher.settings, publisher.dataset
    minutes = tables.view_table(dataset, dataset.finest.grain)
    progress_console.print(f"looking at {minutes.name}", markup=False)
    rows = files.read(session, minutes, folders[minutes.name].values())
    ordered = checks.in_order(rows, dataset).persist()
    try:
        result = checks.findings(ordered, dataset)
        after = quality.replace(session, settings, dataset, result, publisher.lease, publisher.clock())
    finally:
        ordered.unpersist()
    return files.read(session, checks.table(dataset), after.values())


def _rows(result: Any, dataset: MeterSeries, meter_id: str | None) -> tuple[Rows, Rows]:  # noqa: ANN401
    from batch_layer import quality as checks

    mine = result if meter_id is None else result.where(result[dataset.key] == meter_id)
    counts = [row.asDict() for row in checks.summary(mine).collect()]
    longest = mine.orderBy(mine.lasted_s.desc(), "begins", dataset.key, "finding", "measure").limit(SHOWN)
    return counts, [row.asDict() for row in longest.collect()]


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a count as people read it, narrow enough for a terminal."""
    jump = row["largest_jump"]
    return {
        "what": _what(row),
        "findings": row["findings"],
        "meters": row["meters"],
        "longest": duration_text(timedelta(seconds=row["longest_s"])),
        "largest": "" if jump is None else f"{jump:g}",
        "first": f"{row['first']:%Y-%m-%d}",
        "last": f"{row['last']:%Y-%m-%d}",
    }


def _line(row: dict[str, Any], key: str) -> dict[str, Any]:
    values = [f"{row[name]:g}" for name in ("before", "value") if row[name] is not None]
    return {
        "meter": row[key],
        "what": _what(row),
        "begins_utc": f"{row['begins']:%Y-%m-%d %H:%M}",
        "lasted": duration_text(timedelta(seconds=row["lasted_s"])),
        "value": " to ".join(values),
    }


def _what(row: dict[str, Any]) -> str:
    return " ".join(filter(None, (row["finding"].replace("_", " "), row["measure"])))


def _csv(path: Path, _: MeterSeries, __: Rows, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0] if rows else [])
        writer.writerows([_text(value) for value in row.values()] for row in rows)


def _json(path: Path, _: MeterSeries, __: Rows, rows: Rows) -> None:
    path.write_text(json.dumps(finite(rows), default=as_json, indent=2, allow_nan=False) + "\n")


def _html(path: Path, dataset: MeterSeries, counts: Rows, rows: Rows) -> None:
    title = html.escape(f"{dataset.title}: stuck values, jumps and long gaps")
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><h2>Counts</h2>{_grid(counts)}<h2>The longest {len(rows)}</h2>{_grid(rows)}</html>\n"
    )


def _grid(rows: Rows) -> str:
    if not rows:
        return "<p>Nothing was found.</p>"
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}" for name in rows[0])
    lines = ("".join(f"<td>{html.escape(_text(value))}" for value in row.values()) for row in rows)
    return f"<table><tr>{head}{''.join(f'<tr>{line}' for line in lines)}</table>"


def _text(value: object) -> str:
    return "" if value is None else str(value if isinstance(value, int | float | str) else as_json(value))


_WRITERS = {".csv": _csv, ".html": _html, ".json": _json}


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(quality)
