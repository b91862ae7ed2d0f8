"""The views' rows from judged readings: pure transforms, ``DataFrame`` in, ``DataFrame`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines import columns as shared
from engines.verdicts import REASON, VERDICT
from meterlake import schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain

RECORDED: Final = ("rejected", "conflicting")
"""Verdicts whose readings are kept as rows of the rejects."""


def used_units(judged: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the used readings in units, as the aggregates take them."""
    return shared.in_units(judged.where(F.col(VERDICT) == "used"), dataset)


def finest_rows(judged: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the rows of the finest view, in units."""
    return like_copied(shared.states(used_units(judged, dataset), dataset, dataset.finest.grain))


def like_copied(rows: DataFrame) -> DataFrame:
    """Let the count be NULL in the schema, so that computed and copied rows make files of one; no group is empty."""
    return rows.withColumn("readings", F.expr("nullif(readings, 0)"))


def rejects(judged: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the readings that were rejected, and those that lost a conflict, with where they came from.

    A lost conflict has the reason ``conflict``.
    """
    names = [column.name for column in schema.master_fields(dataset)]
    reason = F.when(F.col(VERDICT) == "conflicting", "conflict").otherwise(F.col(REASON)).alias(REASON)
    return judged.where(F.col(VERDICT).isin(*RECORDED)).select(*names, VERDICT, reason)


def row_dates(days: Iterable[date], grain: Grain) -> set[date]:
    """Return the times of the rows of ``grain``, a day or longer, that hold some local days."""
    return set(days) if grain == "day" else {day.replace(day=1) for day in days}
