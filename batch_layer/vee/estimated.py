"""Estimation in the engine: the meters with gaps, one after the other in parallel, each with what it needs alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.vee.observed import START, UNITS
from batch_layer.vee.stretches import SINCE, UNTIL
from meterlake.vee.declaration import GroupProfile, SumCheck
from meterlake.vee.estimation import Group
from meterlake.vee.grid import cells
from meterlake.vee.meter import Of, validate_and_estimate
from meterlake.vee.registers import Period

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import Measure, MeterSeries
    from meterlake.vee.declaration import Vee
    from meterlake.vee.grid import Cells, Integers

UNEQUAL: Final = "unequal"
ESTIMATE: Final = "estimate"
GAP, PERIOD = "gap", "period"
SCHEMA: Final = (
    "kind STRING, begins_s BIGINT, ends_s BIGINT, units BIGINT, expected BIGINT, intervals BIGINT, reason STRING,"
    " method STRING, inputs STRING, gap_begins_s BIGINT, gap_ends_s BIGINT"
)


@dataclass(frozen=True, eq=False)
class Profile:
    """What all meters have at some times, sorted: (start, sum, meters)."""

    starts: Integers
    total: Integers
    meters: Integers

    def at(self, own: Cells) -> Group:
        """Return it at a meter's cells; 0 meters where nothing is known."""
        wanted = own.begin + own.step * np.arange(own.count, dtype=np.int64)
        place = np.searchsorted(self.starts, wanted)
        place[place == len(self.starts)] = 0
        there = self.starts[place] == wanted if len(self.starts) else np.zeros(own.count, np.bool_)
        total, meters = (
            np.where(there, values[place], 0) if len(self.starts) else np.zeros(own.count, np.int64)
            for values in (self.total, self.meters)
        )
        return Group(total, meters)


def estimates(rows: DataFrame, tasks: DataFrame, series: MeterSeries, vee: Vee, profile: Profile | None) -> DataFrame:
    """Return estimates and unequal periods. rows: (key, start_s, units, trusted).

    tasks: (key, kind, since_s, until_s, advance): gaps that are wanted, and periods of registers.
    """
    make = partial(_estimate, series=series, vee=vee, profile=profile)
    given = rows.select(series.key, START, UNITS, "trusted").groupBy(series.key)
    return given.cogroup(tasks.groupBy(series.key)).applyInArrow(make, f"{series.key} STRING, {SCHEMA}")


def _estimate(rows: pa.Table, tasks: pa.Table, series: MeterSeries, vee: Vee, profile: Profile | None) -> pa.Table:
    listed = tasks.to_pylist()
    if not rows.num_rows or not listed:
        return _table([], "", series.key)
    own = cells(
        rows[START].to_numpy(),
        rows[UNITS].to_numpy(),
        rows["trusted"].to_numpy(zero_copy_only=False),
        series.cell_s,
        series.time_zone,
    )
    wanted = [(task[SINCE], task[UNTIL]) for task in listed]
    periods = [Period(task[SINCE], task[UNTIL], task["advance"]) for task in listed if task["kind"] == PERIOD]
    periods.sort(key=lambda period: period.begin)
    of = Of(None if profile is None else profile.at(own), periods)
    made, unequal = validate_and_estimate(own, vee, vee.of(series), wanted, of)
    result: list[tuple[Any, ...]] = [
        (
            *(ESTIMATE, one.start, one.start + series.cell_s, one.value, None, 1),
            *(one.reason, one.method, one.inputs, one.gap_begins, one.gap_ends),
        )
        for one in made
    ]
    result += [
        (
            *(UNEQUAL, one.period.begin, one.period.end, one.measured, one.period.advance, one.intervals),
            *(None, None, None, None, None),
        )
        for one in unequal
    ]
    return _table(result, listed[0][series.key], series.key)


def _table(rows: list[tuple[Any, ...]], meter: str, key: str) -> pa.Table:
    types = {"STRING": pa.string(), "BIGINT": pa.int64()}
    columns = [part.split() for part in SCHEMA.split(", ")]
    arrays = {name: pa.array([row[at] for row in rows], types[kind]) for at, (name, kind) in enumerate(columns)}
    return pa.table({key: pa.array([meter] * len(rows), pa.string()), **arrays})


def profile_of(rows: DataFrame) -> Profile:
    """Return what all meters have at each time of rows (start_s, units): a row a time, few enough for the driver."""
    grouped = rows.groupBy(START).agg(F.sum(UNITS).alias("total"), F.count(F.lit(1)).alias("meters")).orderBy(START)
    table = grouped.toArrow()
    starts, total, meters = (table[name].to_numpy().astype(np.int64) for name in (START, "total", "meters"))
    return Profile(starts, total, meters)


def wants_group(vee: Vee) -> GroupProfile | None:
    """Return the method that needs what other meters have, if it is declared."""
    return next((method for method in vee.parts if isinstance(method, GroupProfile)), None)


def as_findings(gaps: DataFrame, series: MeterSeries, vee: Vee) -> DataFrame | None:
    """Return unequal periods as findings; None without such a rule."""
    rule = vee.rule(SumCheck)
    if rule is None:
        return None
    return gaps.where(f"kind = '{UNEQUAL}'").select(
        series.key,
        F.lit(rule.name).alias("rule"),
        "begins_s",
        "ends_s",
        "intervals",
        F.lit(rule.action).alias("action"),
        F.col("units").alias("value"),
        "expected",
    )


def measure_type(measure: Measure) -> str:
    """Return the type of the measure's values in tables."""
    return f"DECIMAL(18, {measure.scale})"
