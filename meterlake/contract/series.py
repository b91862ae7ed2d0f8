"""The contract of a data set of meters: merged and published views, gaps, meters, the master, and the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake import ddl, merged
from meterlake.contract.promises import Contract, Level, Promise, Rule, Table
from meterlake.schema import master_fields, wire_fields
from meterlake.views import published_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.columns import Column
    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain


def contract(dataset: MeterSeries) -> Contract:
    """Return what a data set of meters promises."""
    gaps, meters = ddl.gaps_table(dataset), ddl.meters_table(dataset)
    tables = [
        *(_view(dataset, view.grain, merged.MERGED) for view in dataset.views),
        *(_view(dataset, view.grain, merged.PUBLISHED) for view in dataset.views),
        Table(
            name=gaps,
            place=f"{merged.CATALOG}.{ddl.HIVE_DATABASE}.{gaps}",
            kind="table",
            doc="Time without coverage between a meter's first and last reading.",
            grain="a meter and a run of time without coverage, cut at its partition",
            columns=_promises(ddl.gap_columns(dataset), (dataset.key, "gap_start")),
        ),
        Table(
            name=meters,
            place=f"{merged.CATALOG}.{ddl.HIVE_DATABASE}.{meters}",
            kind="table",
            doc="Meters that have readings.",
            grain="a meter",
            columns=_promises(ddl.meter_columns(dataset), (dataset.key,)),
        ),
        Table(
            name=dataset.name,
            place=f"iceberg.master.{dataset.name}",
            kind="table",
            doc="Every reading as it arrived, also those that do not count.",
            grain="a reading and its arrival: the same reading may be there more than once",
            columns=_promises(master_fields(dataset), ()),
        ),
        Table(
            name=dataset.readings_topic,
            place=dataset.readings_topic,
            kind="topic",
            doc="Readings as they are sent, in JSON.",
            grain="a reading",
            columns=_promises(wire_fields(dataset), ()),
        ),
    ]
    minutes = dataset.lateness.total_seconds() / 60
    return Contract(
        name=dataset.name,
        title=dataset.title,
        purpose="Exact sums, lowest and highest values and coverage of meters' readings, by grain.",
        limits=f"Times are UTC; days and months are those of {dataset.time_zone}. Filter by the time column.",
        tables=tuple(tables),
        levels=(
            Level(
                property="latency",
                value=minutes,
                unit="m",
                doc="Readings that arrive within it are in the merged views at once; later ones with the next batch.",
            ),
        ),
    )


def _view(dataset: MeterSeries, grain: Grain, schema: str) -> Table:
    name = ddl.view_table(dataset, grain)
    words = {
        merged.MERGED: "History and live readings as one answer.",
        merged.PUBLISHED: "What batch runs have published.",
    }
    return Table(
        name=f"{schema}_{name}",
        place=f"{merged.CATALOG}.{schema}.{name}",
        kind="view",
        doc=words[schema],
        grain=f"a meter and {grain.replace('_', ' ')}",
        columns=_promises(published_columns(dataset, grain), (dataset.key, grain)),
        rules=(
            Rule(
                name="covered_by_readings",
                sql="readings >= 0 AND covered_s >= 0 AND (readings > 0) = (covered_s > 0)",
                doc="What is covered is covered by readings.",
            ),
        ),
    )


def _promises(columns: Iterable[Column], keys: tuple[str, ...]) -> tuple[Promise, ...]:
    return tuple(
        Promise(
            name=column.name,
            type=column.type,
            doc=column.doc,
            nullable=column.nullable,
            key=keys.index(column.name) + 1 if column.name in keys else 0,
        )
        for column in columns
    )
