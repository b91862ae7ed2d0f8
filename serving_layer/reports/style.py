"""One look for all reports: 1200 × 600 pixels, a palette that colour-blind people can tell apart, quiet grids.

Colours are those of Okabe and Ito; order matters less than that neighbours differ in lightness too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from serving_layer.reports.frames import missing_spans
from serving_layer.reports.result import Result

BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8A939C"
INK: Final = "#1F2933"
QUIET: Final = "#5B6670"
GRID: Final = "#E3E7EB"
MISSING: Final = "#D9DDE1"
"""Where nothing was measured."""

SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
HEAT: Final = "viridis"

SIZE_INCHES: Final = (12.0, 6.0)
DPI: Final = 100
LEFT, RIGHT, BOTTOM, TOP = 0.068, 0.975, 0.155, 0.815

RC: Final[Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # a meter may be called $a$
    "axes.edgecolor": "#B8C0C8",
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "meterlake",
    "timezone": "UTC",
}


def heading(figure: Figure, result: Result) -> None:
    """Write title, subtitle and the line of key figures round the axes."""
    figure.text(LEFT, 0.945, result.report.title, fontsize=17, fontweight="bold", va="center")
    subtitle = f"{shortened(result.request.who, 46)}  ·  {result.frame_note}"
    figure.text(LEFT, 0.893, subtitle, fontsize=10.5, color=QUIET, va="center")
    x = LEFT
    for item in result.key_figures:
        label = figure.text(x, 0.025, f"{item.label}  ", fontsize=9.5, color=QUIET)
        value = figure.text(x + _width(figure, label), 0.025, item.text, fontsize=10.5, fontweight="bold")
        end = x + _width(figure, label) + _width(figure, value)
        if end > RIGHT + 0.005:  # the page and the command line have all of them
            label.remove()
            value.remove()
            break
        x = end + 0.019
    source = figure.text(RIGHT, 0.945, result.request.source, fontsize=9, color=QUIET, va="center", ha="right")
    source.set_gid("source")


def _width(figure: Figure, text: Artist) -> float:
    """Return the width of a text as a share of the figure's."""
    box = text.get_window_extent()
    return float(box.width / figure.bbox.width)


def single_axes(figure: Figure) -> Axes:
    """Return axes that leave room for title, legend and key figures."""
    return figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))


def legend_above(axes: Axes, handles: Sequence[Artist], *, at: float = 0.0) -> None:
    """Put the legend over the axes, where no data is. at: its left end, as a share of the axes' width."""
    if handles:
        axes.legend(
            handles=list(handles),
            loc="lower left",
            bbox_to_anchor=(at, 1.0),
            ncols=len(handles),
            borderaxespad=0.2,
            handlelength=1.5,
            columnspacing=1.5,
            borderpad=0.2,
        )


def time_axis(axes: Axes, zone: ZoneInfo, since: datetime, until: datetime) -> None:
    """Make the x axis local time of a zone, summer time included, from ``since`` to ``until``."""
    date_ticks(axes, zone)
    axes.set_xlim(cast("Any", _wall(since)), cast("Any", _wall(until)))
    axes.set_xlabel(f"Local time, {zone_text(zone, since, until)}")


def date_ticks(axes: Axes, zone: ZoneInfo | None = None) -> None:
    """Put ticks at round times; they name only what changes, for the subtitle has the whole dates."""
    locator = cast("Any", AutoDateLocator)(tz=zone, minticks=5, maxticks=11)
    axes.xaxis.set_major_locator(locator)
    formatter = cast("Any", ConciseDateFormatter)(
        locator,
        tz=zone,
        formats=["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
        zero_formats=["", "%Y", "%-d %b", "%-d %b", "%H:%M", "%H:%M"],
        show_offset=False,
    )
    axes.xaxis.set_major_formatter(formatter)


def _wall(moment: datetime) -> np.datetime64:
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None).to_datetime64()


def zone_text(zone: ZoneInfo, since: datetime, until: datetime) -> str:
    """Return the zone with its offsets in a range: ``Europe/Paris (UTC+1, UTC+2 in summer)``."""
    moments = pd.date_range(since, until, periods=200, tz=zone)
    offsets = sorted({moment.utcoffset() for moment in moments.to_pydatetime()})
    texts = [_offset(offset.total_seconds()) for offset in offsets if offset is not None]
    return f"{zone.key} ({' and '.join(texts)})"


def _offset(seconds: float) -> str:
    hours, minutes = divmod(abs(int(seconds)) // 60, 60)
    sign = "−" if seconds < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{minutes:02d}" if minutes else "") if seconds else "UTC"


def shade_missing(axes: Axes, frame: pd.DataFrame) -> list[Artist]:
    """Shade the runs of rows without coverage over the axes' height; return the legend's entry, if any."""
    spans = missing_spans(frame)
    for since, until in spans:
        axes.axvspan(cast("Any", since), cast("Any", until), color=MISSING, linewidth=0.8, zorder=0.5)
    return [Patch(color=MISSING, label="no readings")] if spans else []


def date_range_text(since: datetime, until: datetime) -> str:
    """Return a half-open local range as people write it, its last day included."""
    whole = since.hour == since.minute == until.hour == until.minute == 0
    if not whole:
        return f"{_day(since)} {since:%H:%M} – {_day(until)} {until:%H:%M}"
    last = (pd.Timestamp(until).tz_localize(None) - pd.Timedelta(days=1)).to_pydatetime()
    return _day(since) if last.date() == since.date() else f"{_day(since)} – {_day(last)}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def shortened(text: str, length: int = 40) -> str:
    """Return a text that fits into its place, on one line."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in text)
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"
