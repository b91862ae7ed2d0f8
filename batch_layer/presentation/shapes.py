"""The tables of a presentation: what each holds, and how it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_layer import run_records
from engines.merge_table import Shape
from meterlake.columns import BIGINT, STRING, Column
from meterlake.presentation import AS_OF, DAY, RECORDED, staging_columns

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation, PresentationTable, ReferenceTable

REFERENCE: Final = "reference"
STAGING: Final = "staging"
PRESENTATION: Final = "presentation"


def reference(series: MeterSeries, declared: ReferenceTable) -> Shape:
    """Return the table of all versions of a reference table's rows."""
    return Shape(
        database=REFERENCE,
        name=f"{series.name}_{declared.name}",
        columns=(*declared.columns, *RECORDED),
        keys=(*declared.key, "recorded_from"),
        order=declared.key,
        doc=f"{declared.title or declared.name} of {series.title}: every version of a row, and when it was recorded",
        checks={"recorded_in_order": "recorded_to IS NULL OR recorded_to > recorded_from"},
    )


def staging(series: MeterSeries, presentation: Presentation) -> Shape:
    """Return the table of readings with what they were joined with."""
    return Shape(
        database=STAGING,
        name=series.name,
        columns=staging_columns(series, presentation),
        keys=(DAY, series.key, "interval_start"),
        partition=(DAY,),
        order=(series.key, "interval_start"),
        doc=f"{series.title}: one row a meter and {series.finest.grain}, joined with what was valid then",
        checks={"ends_after_start": "interval_end > interval_start"},
    )


def table(series: MeterSeries, declared: PresentationTable) -> Shape:
    """Return a table of the presentation."""
    return Shape(
        database=PRESENTATION,
        name=f"{series.name}_{declared.name}",
        columns=declared.columns,
        keys=declared.keys,
        order=declared.order or tuple(key for key in declared.keys if key != AS_OF),
        doc=f"{declared.title or declared.name}. One row: {declared.grain}",
    )


def runs(series: MeterSeries) -> Shape:
    """Return the record of the presentation's runs."""
    return run_records.shape(
        PRESENTATION,
        f"{series.name}_runs",
        f"Runs of the presentation of {series.title}",
        Column("batch_run", STRING, doc="the batch run whose views were read"),
        Column("mode", STRING, doc="full, incremental or range"),
        Column("days", BIGINT, nullable=True, doc="local days that were computed; NULL: all"),
        Column(
            "inputs", STRING, doc="JSON: folders of the finest view, and when each reference table had changed last"
        ),
        Column("changes", STRING, doc="JSON: rows inserted, updated and deleted, a table"),
    )
