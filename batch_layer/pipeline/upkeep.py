"""Upkeep of all Delta tables of a data set: small files joined and clustered, what no version needs removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_layer import lease
from batch_layer.cost import run as cost
from batch_layer.presentation import run as presenting
from batch_layer.vee import run as validating
from engines import curated, spark
from engines.merge_table import SAFE_RETENTION
from engines.spark_failures import translated

if TYPE_CHECKING:
    from datetime import timedelta

    from pyspark.sql import SparkSession

    from engines.merge_table import Merging
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.presentation import Presentation
    from meterlake.settings import Settings
    from meterlake.vee.declaration import Vee


def maintain_tables(
    settings: Settings,
    made: tuple[MeterSeries, Presentation | None, Vee | None],
    keep: timedelta,
    clock: Clock,
    *,
    costs: bool,
) -> list[dict[str, Any]]:
    """Do the upkeep of all tables that are there; return what was done, a row a table.

    made: the data set, and what makes tables of it. costs: whether it has costs. keep: old versions younger than this
    stay, a day at least. Raises RunUnderWay, and what the engines raise.
    """
    dataset = made[0]
    doing = f"upkeep of the tables of {dataset.name}"
    with (
        lease.held(settings, dataset.name, doing, clock) as held,
        spark.session(settings, "maintain") as session,
        translated(settings, doing),
    ):
        done = []
        for table in _tables(session, made, curated.folder(settings), costs=costs):
            held.check()
            if table.exists():
                done.append(_kept_up(table, max(keep, SAFE_RETENTION)))
        return done


def _tables(
    session: SparkSession, made: tuple[MeterSeries, Presentation | None, Vee | None], base: str, *, costs: bool
) -> list[Merging]:
    dataset, presentation, vee = made
    result = presenting.all_tables(session, dataset, presentation, base) if presentation else []
    result += validating.all_tables(session, dataset, vee, base) if vee else []
    return result + (cost.all_tables(session, dataset, base) if costs else [])


def _kept_up(table: Merging, keep: timedelta) -> dict[str, Any]:
    compacted = table.optimize()
    return {
        "table": table.name,
        "files_before": compacted.files_before,
        "files_after": compacted.files_after,
        "snapshots_expired": 0,
        "removed": table.vacuum(keep),
    }
