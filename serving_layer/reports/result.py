"""What a report comes to, before it is written as a picture, a page or a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from meterlake.grains import Grain
from meterlake.report_specs import Report
from serving_layer.reports.request import Request


@dataclass(frozen=True)
class KeyFigure:
    """One number that a reader takes home. ``text`` is how it is written, ``number`` its exact value."""

    label: str
    number: float
    text: str


@dataclass(frozen=True)
class Result:
    """A finished report.

    frame_note: what the numbers are, such as "hourly means, 1 Feb 2007 – 8 Feb 2007".
    table: the numbers behind the picture; its column names carry their units.
    draw: draws the picture into an empty figure. notes: what a reader must know, in sentences.
    """

    report: Report
    request: Request
    frame_note: str
    key_figures: tuple[KeyFigure, ...]
    table: pd.DataFrame
    draw: Callable[[Figure], None]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Inputs:
    """What a report is made of: its frame on the grid, and, where asked for, the gaps."""

    frame: pd.DataFrame
    grain: Grain
    gaps: pd.DataFrame


def worded(item: KeyFigure, text: str) -> KeyFigure:
    """Return a key figure written otherwise."""
    return KeyFigure(item.label, item.number, text)


def figure(label: str, number: float, unit: str = "", digits: int = 1) -> KeyFigure:
    """Return a key figure written with its unit; an unknown number as a dash."""
    text = "–" if math.isnan(number) else f"{number:,.{digits}f}{' ' if unit else ''}{unit}".replace("-", "−")
    return KeyFigure(label, float(number), text)


def percent(label: str, share: float, digits: int = 1) -> KeyFigure:
    """Return a share as percent, rounded towards incompleteness: 99.97 % is never written as 100 %."""
    shown = share * 100
    if share < 1 and round(shown, digits) >= 100:
        shown = 100 - 10**-digits
    return KeyFigure(label, float(share), "–" if math.isnan(share) else f"{shown:,.{digits}f} %")
