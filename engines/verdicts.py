"""What becomes of each reading: used, gap, duplicate, superseded, conflicting or rejected.

The same decisions as ``meterlake.rules`` and ``meterlake.precedence``, as pure transforms for both layers. Almost
every cell (a meter's row of the finest view) is plain: one interval length, no key twice. Only the others pay for
windows.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.catalyst import Bits
from engines.columns import columns
from meterlake import precedence, rules, state, timegrid

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries

REASON: Final = "reason"
VERDICT: Final = "verdict"
_BITS: Final = 63
CELL: Final = "cell"


def with_reason(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the readings with ``reason``: why the views reject one, or NULL.

    What may not even enter the master data set is tried first, should it be there after all.
    """
    seconds = "epoch_s"
    quarantined = rules.quarantine_reason_sql(dataset, "spark", seconds)
    reason = F.expr(f"COALESCE({quarantined}, {rules.reject_reason_sql(dataset, 'spark')})")
    timed = readings.withColumn(seconds, Bits(readings).seconds(dataset.event_time))
    return timed.withColumn(REASON, reason).drop(seconds)


def cell_aggregates(dataset: MeterSeries, epoch_seconds: str | None = None) -> list[Column]:
    """Return the aggregates over a cell's accepted readings by which ``is_contended`` tells whether they compete.

    epoch_seconds: SQL of the start in whole seconds, if it is at hand.
    """
    return [
        F.count("*").alias("n"),
        F.min(dataset.interval).alias("finest"),
        F.max(dataset.interval).alias("longest"),
        *(word.alias(f"slots_{index}") for index, word in enumerate(_slot_words(dataset, epoch_seconds))),
    ]


def cell_aggregate_names(dataset: MeterSeries) -> list[str]:
    """Return the names of the ``cell_aggregates``."""
    return ["n", "finest", "longest", *(f"slots_{index}" for index in range(len(_slot_words(dataset))))]


def merged_cell_aggregates(dataset: MeterSeries) -> list[Column]:
    """Return the aggregates that join the ``cell_aggregates`` of parts of a cell's readings to those of all."""
    first = [F.sum("n").alias("n"), F.min("finest").alias("finest"), F.max("longest").alias("longest")]
    return [*first, *(F.bit_or(name).alias(name) for name in cell_aggregate_names(dataset)[len(first) :])]


def is_contended(dataset: MeterSeries) -> Column:
    """Return whether a cell, grouped with ``cell_aggregates``, has a key twice or readings of several lengths."""
    slots = reduce(add, (F.bit_count(f"slots_{index}") for index in range(len(_slot_words(dataset)))))
    return (slots != F.col("n")) | (F.col("finest") != F.col("longest"))


def uncontended(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return the readings with the ``verdict`` that each has where none competes with it. readings: with ``reason``."""
    gap = F.expr(precedence.gap_sql(dataset))
    plain = F.when(F.col(REASON).isNotNull(), "rejected").when(gap, "gap").otherwise("used")
    return readings.withColumn(VERDICT, plain)


def contended(readings: DataFrame, dataset: MeterSeries, cells: DataFrame) -> DataFrame:
    """Return the accepted readings of some cells, with the ``verdict`` of each.

    readings: with ``reason``. cells: (key, cell) of those where precedence or the choice of an interval length has to
    decide.
    """
    accepted = readings.where(F.col(REASON).isNull()).withColumn(CELL, cell(dataset))
    return decided(accepted.join(cells, [dataset.key, CELL], "left_semi"), dataset).drop(CELL)


def decided(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return accepted readings, with their ``cell``, with the ``verdict`` of those that compete in it."""
    return _choose_length(_resolve(readings, dataset), dataset)


def _resolve(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Decide between readings of one key, as ``precedence.resolve``."""
    units = F.struct(*columns(state.unit_columns(dataset)))
    order = [_sort_order(term) for term in precedence.order_sql(dataset)]
    keyed = Window.partitionBy(*precedence.key_columns(dataset)).orderBy(*order)
    gap = F.expr(precedence.gap_sql(dataset))
    ranked = readings.select(
        "*",
        F.row_number().over(keyed).alias("rank"),
        F.first("revision").over(keyed).alias("won_revision"),
        units.alias("units"),
        F.first(units).over(keyed).alias("won_units"),
    )
    verdict = (
        F.when((F.col("rank") == 1) & gap, "gap")
        .when(F.col("rank") == 1, "used")
        .when(F.col("revision") < F.col("won_revision"), "superseded")
        .when(F.col("units").eqNullSafe(F.col("won_units")), "duplicate")
        .when(gap, "superseded")
        .otherwise("conflicting")
    )
    return ranked.withColumn(VERDICT, verdict).drop("rank", "won_revision", "units", "won_units")


def _sort_order(term: str) -> Column:
    """Return an ORDER BY term, which ends with its direction, as a column."""
    expression, _, direction = term.rpartition(" ")
    return F.expr(expression).asc() if direction == "ASC" else F.expr(expression).desc()


def _choose_length(readings: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Let one interval length count in each cell, as ``timegrid.choose_interval``; the others are superseded."""
    whole = Window.partitionBy(dataset.key, CELL)
    used = F.col(VERDICT) == "used"
    covered = F.sum(F.when(used, F.col(dataset.interval)).otherwise(0)).over(
        Window.partitionBy(dataset.key, CELL, dataset.interval)
    )
    order = [_sort_order(term) for term in timegrid.choice_order_sql(dataset).split(", ")]
    chosen = F.first(dataset.interval).over(whole.orderBy(*order))
    return (
        readings.withColumn("covered_s", covered)
        .withColumn("chosen", chosen)
        .withColumn(
            VERDICT,
            F.when(used & (F.col(dataset.interval) != F.col("chosen")), "superseded").otherwise(F.col(VERDICT)),
        )
        .drop("covered_s", "chosen")
    )


def cell(dataset: MeterSeries) -> Column:
    """Return the start of the cell in which one interval length is chosen, in seconds since 1970."""
    seconds = timegrid.epoch_seconds_sql(dataset.event_time, "spark")
    return F.expr(f"{seconds} - pmod({seconds}, {dataset.cell_s})")


def _slot_words(dataset: MeterSeries, epoch_seconds: str | None = None) -> list[Column]:
    """Return aggregates that set one bit a reading: its place among all possible keys of its cell, 63 bits a word."""
    seconds = epoch_seconds or timegrid.epoch_seconds_sql(dataset.event_time, "spark")
    second = f"pmod({seconds}, {dataset.cell_s})"
    branches, first = [], 0
    for length in sorted(dataset.intervals):
        branches.append(f"WHEN {length} THEN {first} + {second} div {length}")
        first += dataset.cell_s // length
    slot = f"CASE {dataset.interval} {' '.join(branches)} END"
    bit = f"shiftleft(CAST(1 AS BIGINT), CAST(({slot}) % {_BITS} AS INT))"
    if first <= _BITS:
        return [F.expr(f"bit_or({bit})")]
    return [
        F.expr(f"bit_or(CASE WHEN ({slot}) div {_BITS} = {word} THEN {bit} ELSE CAST(0 AS BIGINT) END)")
        for word in range(-(-first // _BITS))
    ]
