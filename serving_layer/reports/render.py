"""Writing: PNG and SVG pictures, self-contained HTML pages, CSV tables."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from serving_layer.reports import style
from serving_layer.reports.errors import CannotWrite, WrongExtension
from serving_layer.reports.result import KeyFigure, Result

Picture = Literal["png", "svg"]
EXTENSIONS: Final = (".png", ".svg", ".html", ".csv")
PAGE_EXTENSIONS: Final = (".html", ".csv")
_TABLE_ROWS: Final = 100
"""Longer tables are not put into a page: the CSV has them."""


def check_path(path: Path, known: tuple[str, ...] = EXTENSIONS) -> None:
    """Raise WrongExtension unless the path's end names a format."""
    if path.suffix.lower() not in known:
        raise WrongExtension(path, known)


def write(path: Path, result: Result) -> None:
    """Write one report in the format that the path's end names."""
    check_path(path)
    match path.suffix.lower():
        case ".csv":
            save(path, csv(result.table).encode())
        case ".html":
            save(path, page(result.report.title, [result]).encode())
        case suffix:
            save(path, picture(result, "png" if suffix == ".png" else "svg"))


def save(path: Path, content: bytes) -> None:
    """Write a file, making its folder. Raises CannotWrite."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise CannotWrite(path, error) from error


def drawn(result: Result) -> Figure:
    """Return the report's figure."""
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=style.SIZE_INCHES, dpi=style.DPI, facecolor="white")
        FigureCanvasAgg(figure)
        result.draw(figure)
        style.heading(figure, result)
    return figure


def picture(result: Result, kind: Picture) -> bytes:
    """Return the report as PNG of 1200 × 600 pixels, or SVG; the same input gives the same bytes."""
    figure = drawn(result)
    buffer = io.BytesIO()
    with mpl.rc_context(style.RC):
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def csv(table: pd.DataFrame) -> str:
    """Return a table as CSV: times in ISO 8601 with their offset, numbers with all their digits."""
    shown = table.reset_index() if table.index.name is not None else table
    written = shown.copy()
    for name in shown.columns:
        column = shown[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            written[name] = [moment.isoformat() for moment in column]
        elif pd.api.types.is_datetime64_dtype(column.dtype):
            written[name] = [moment.date().isoformat() for moment in column]
    return written.to_csv(index=False, lineterminator="\n")


def page(
    title: str,
    results: Sequence[Result],
    left_out: Sequence[tuple[str, str]] = (),
    headline: Sequence[tuple[str, KeyFigure]] = (),
) -> str:
    """Return a self-contained page: pictures, key figures, notes and short tables.

    left_out: (title, why) of reports that could not be made. headline: (title, key figure) for the top.
    """
    first = results[0]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("serving_layer.reports").joinpath("page.html.j2").read_text("utf-8"))
    sections = [
        {
            "result": result,
            "picture": f"data:image/svg+xml;base64,{b64encode(picture(result, 'svg')).decode()}",
            "rows": _rows(result.table),
        }
        for result in results
    ]
    return template.render(
        title=title,
        request=first.request,
        zone=first.request.zone,
        sections=sections,
        left_out=left_out,
        headline=headline,
        range=style.date_range_text(
            first.request.since.astimezone(first.request.zone), first.request.until.astimezone(first.request.zone)
        ),
    )


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """Return a short table's header and cells as text; nothing for a long one."""
    if len(table) > _TABLE_ROWS:
        return []
    shown = table.reset_index() if table.index.name is not None else table
    return [
        [str(name) for name in shown.columns],
        *([_cell(value) for value in row] for row in shown.itertuples(index=False)),
    ]


def _cell(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}" if value.tzinfo else f"{value:%Y-%m-%d}"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:,.3f}".rstrip("0").rstrip(".")
    return str(value)
