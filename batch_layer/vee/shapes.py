"""The tables of validation and estimation: what each holds, and how it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_layer import run_records
from engines.merge_table import Shape
from meterlake.columns import BIGINT, STRING, Column
from meterlake.vee import declaration as core

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.vee.declaration import Vee

DATABASE: Final = "vee"


def findings(series: MeterSeries, vee: Vee) -> Shape:
    """Return the table of what rules have found, and of what is missing."""
    return Shape(
        database=DATABASE,
        name=f"{series.name}_findings",
        columns=core.finding_columns(series, vee),
        keys=(series.key, "rule", "begins"),
        order=(series.key, "begins"),
        doc=f"{series.title}: what is implausible, or missing, a row a run of intervals",
        checks={"ends_after_begin": "ends > begins"},
    )


def estimates(series: MeterSeries, vee: Vee) -> Shape:
    """Return the table of estimates."""
    return Shape(
        database=DATABASE,
        name=f"{series.name}_estimates",
        columns=core.estimate_columns(series, vee),
        keys=(series.key, "interval_start"),
        order=(series.key, "interval_start"),
        doc=f"{series.title}: estimates of intervals without a reading that can be used",
        checks={"in_its_gap": "interval_start >= gap_begins AND interval_start < gap_ends"},
    )


def days(series: MeterSeries, vee: Vee) -> Shape:
    """Return the table of days as they were when they were validated last."""
    return Shape(
        database=DATABASE,
        name=f"{series.name}_days",
        columns=core.day_columns(series, vee),
        keys=("day", series.key),
        partition=("day",),
        order=(series.key,),
        doc=f"{series.title}: what each meter's local day held when it was validated",
    )


def runs(series: MeterSeries) -> Shape:
    """Return the record of the runs."""
    return run_records.shape(
        DATABASE,
        f"{series.name}_runs",
        f"Runs of validation and estimation of {series.title}",
        Column("batch_run", STRING, doc="the batch run whose views were read"),
        Column("meter_days", BIGINT, doc="days of meters whose readings had changed"),
        Column("inputs", STRING, doc="JSON: folders of the views, and when registers had changed last"),
        Column("changes", STRING, doc="JSON: rows inserted, updated and deleted, a table"),
        Column("declared", STRING, doc="rules and methods of the declaration, as text"),
    )
