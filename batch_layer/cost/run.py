"""One run of the costs: the months of meters whose half hours or estimates have changed since the run before.

A month of a meter is computed as a whole: blocks count what it used from the first day on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer import run_records
from batch_layer.cost import lines, shapes
from batch_layer.presentation import references, staging
from batch_layer.presentation.run import open_references
from batch_layer.presentation.shapes import staging as staging_shape
from batch_layer.vee import shapes as vee_shapes
from engines import curated
from meterlake import assignments as core
from meterlake import timegrid
from meterlake.errors import DeclarationError, PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from engines.merge_table import Merged, Merging, Shape
    from meterlake.declaration import Measure, MeterSeries
    from meterlake.presentation import Presentation
    from meterlake.tariffs.declaration import Tariffs
    from meterlake.vee.declaration import Vee

_MONTH: Final = "month"


class PastPrices(PermanentError):
    """Tariffs say something else about days that have costs."""

    def __init__(self, dataset: str, since: date, newest: date) -> None:
        super().__init__(
            f"The tariffs say something else about days from {since} on, and {dataset} has costs up to {newest}.",
            hint="A new price is a new tariff with a later valid_from. To compute past days again, give --reprice.",
        )


@dataclass(frozen=True)
class Work:
    """What a run works with. base: folder of Delta tables. vee: None where nothing is estimated.

    still_ours: raises LeaseLost where somebody else is at work.
    """

    spark: SparkSession
    series: MeterSeries
    presentation: Presentation
    vee: Vee | None
    tariffs: Tariffs
    base: str
    run_id: str
    now: datetime
    report: Callable[[str], None]
    still_ours: Callable[[], None] = lambda: None

    @property
    def measure(self) -> Measure:
        """The measure that costs: kWh to the watt-hour. Raises DeclarationError where it is another."""
        result = self.vee.of(self.series) if self.vee is not None else self.series.measures[0]
        if (result.kind, result.unit, result.scale) != ("amount", "kWh", 3):
            problem = f"{result.name!r} is a {result.kind} in {result.unit} with {result.scale} digits"
            raise DeclarationError(
                f"Costs of {self.series.name!r}", problem, expected="Use an amount in kWh with three"
            )
        return result

    def open(self, shape: Shape) -> Merging:
        """Open a table, made where it is not there."""
        self.still_ours()
        table = curated.open_table(self.spark, self.base, shape)
        table.create()
        return table


@dataclass(frozen=True)
class Done:
    """What a run did. meter_months: how many it computed. merged: what changed; None where there was nothing to do."""

    run_id: str
    meter_months: int
    merged: Merged | None


def all_tables(spark: SparkSession, series: MeterSeries, base: str) -> list[Merging]:
    """Return the tables of costs."""
    return [curated.open_table(spark, base, make(series)) for make in (shapes.costs, shapes.runs)]


def run(work: Work, *, reprice: bool = False) -> Done:
    """Bring the costs up to date. reprice: days in the past, too, whose prices the tariffs say otherwise now.

    Raises PastPrices without it, NoTariff, NoPrice.
    """
    with curated.noted(work.spark, work.run_id):
        return _run(work, reprice=reprice)


def _run(work: Work, *, reprice: bool) -> Done:
    series, runs = work.series, work.open(shapes.runs(work.series))
    table = work.open(shapes.costs(series))
    sources = {"staging": work.open(staging_shape(series, work.presentation))}
    if work.vee is not None:
        sources["estimates"] = work.open(vee_shapes.estimates(series, work.vee))
    versions = {name: source.version() for name, source in sources.items()}
    last = run_records.last(runs)
    touched = None
    if last is not None:
        since = differ_since(json.loads(last["tariffs"]), work.tariffs, last["newest_day"])
        newest = last["newest_day"]
        if since is not None and newest is not None and since <= newest:
            if not reprice:
                raise PastPrices(series.name, since, newest)
            touched = None
        else:
            touched = _touched(work, sources, json.loads(last["inputs"]), versions)
    meters = None
    if touched is not None:
        touched = touched.persist()
        meters = touched.count()
        if not meters:
            return Done(work.run_id, 0, None)
    usage = _usage(work, sources, touched).persist()
    try:
        count = usage.select(series.key, _month().alias(_MONTH)).distinct().count()
        work.report(f"computing what {count} months of meters cost")
        result = lines.costs(usage, series, work.tariffs, usage.select(series.key).distinct().count())
        merged = table.merge(result, None if touched is None else lambda known: _of(known, touched, series.key))
        newest = table.read().agg(F.max("day")).first()
        _record(work, runs, versions, newest[0] if newest else None, count)
        return Done(work.run_id, count, merged)
    finally:
        usage.unpersist()


def _touched(work: Work, sources: dict[str, Merging], before: dict[str, int], now: dict[str, int]) -> DataFrame | None:
    """Return (key, month) of the rows that have changed; None where that is no longer known, or some are new."""
    result = []
    for name, source in sources.items():
        if name not in before:
            return None
        if before[name] != now[name]:
            try:
                changed = source.changes(before[name], now[name]).select(work.series.key, _month().alias(_MONTH))
                result.append(changed.distinct().persist())
                result[-1].count()
            except PySparkException:  # upkeep has removed what those versions changed
                return None
    if not result:
        return work.spark.createDataFrame([], f"{work.series.key} STRING, {_MONTH} DATE")
    return reduce(lambda one, other: one.unionByName(other), result).distinct()


def _usage(work: Work, sources: dict[str, Merging], touched: DataFrame | None) -> DataFrame:
    """Return the half hours of touched months that have a product: measured, or estimated where none is trusted."""
    series, measure = work.series, work.measure
    key = series.key
    units = f"CAST({{}} * CAST('{10**measure.scale}' AS DECIMAL(10, 0)) AS BIGINT)"
    read = _of(sources["staging"].read(), touched, key)
    rows = read.select(
        key, "interval_start", "product_id", "display_name", F.expr(units.format(f"{measure.name}_sum")).alias("units")
    ).withColumn("estimated", F.lit(False))
    if work.vee is not None:
        estimates = _of(sources["estimates"].read(), touched, key)
        value = F.expr(units.format(f"{measure.name}_estimate")).alias("estimate")
        replaced = estimates.where("reason = 'replaced'").select(key, "interval_start", value)
        joined = rows.join(F.broadcast(replaced), [key, "interval_start"], "left")
        rows = joined.select(
            key,
            "interval_start",
            "product_id",
            "display_name",
            F.coalesce("estimate", "units").alias("units"),
            F.col("estimate").isNotNull().alias("estimated"),
        )
        missing = _with_products(work, estimates.where("reason = 'missing'"), measure)
        more = missing.join(read.select(key, "interval_start"), [key, "interval_start"], "left_anti").select(
            key,
            "interval_start",
            "product_id",
            "display_name",
            F.expr(units.format(f"{measure.name}_sum")).alias("units"),
            F.lit(True).alias("estimated"),
        )
        rows = rows.unionByName(more)
    day = F.expr(timegrid.local_day_sql("interval_start", series.time_zone, "spark"))
    start = F.expr(timegrid.epoch_seconds_sql("interval_start", "spark"))
    return rows.where("product_id IS NOT NULL").withColumns({"day": day, "start_s": start}).drop("interval_start")


def _with_products(work: Work, estimates: DataFrame, measure: Measure) -> DataFrame:
    """Return estimates as staging would have readings: each with the product that its meter had then."""
    series = work.series
    known = open_references(work.spark, series, work.presentation, work.base)
    rows = {name: [row.asDict() for row in references.current(table).collect()] for name, table in known.items()}
    assigned = core.assignments(series, work.presentation, rows)
    sums = {f"{one.name}_sum": F.lit(0).cast(f"DECIMAL(18, {one.scale})") for one in series.measures}
    sums[f"{measure.name}_sum"] = F.col(f"{measure.name}_estimate")
    zero = F.lit(0).cast("bigint")
    cells = estimates.select(
        series.key,
        F.col("interval_start").alias(series.finest.grain),
        zero.alias("covered_s"),
        zero.alias("flagged"),
        *(value.alias(name) for name, value in sums.items()),
    )
    return staging.staged(staging.timed(cells, series), series, work.presentation, assigned)


def _of(rows: DataFrame, touched: DataFrame | None, key: str) -> DataFrame:
    if touched is None:
        return rows
    named = touched.select(F.col(key).alias("touched_meter"), F.col(_MONTH).alias("touched_month"))
    matches = (F.col(key) == F.col("touched_meter")) & (_month() == F.col("touched_month"))
    return rows.join(F.broadcast(named), matches, "left_semi")


def _month() -> Any:  # noqa: ANN401 - a column
    return F.trunc("day", "MONTH")


def differ_since(before: list[list[str]], now: Tariffs, newest: date | None) -> date | None:
    """Return the first day about which tariffs say something else; None where they are as they were."""
    old = {(since, text) for since, text in before}
    new = {(since, text) for since, text in as_texts(now, newest)}
    return min((date.fromisoformat(since) for since, _ in old ^ new), default=None)


def as_texts(tariffs: Tariffs, newest: date | None) -> list[list[str]]:
    """Return each tariff, tax and series of prices as text, with the first day about which it says something.

    newest: prices a half hour count up to this day, as far as costs have been made of them.
    """
    result = [[one.valid_from.isoformat(), repr(one)] for one in tariffs.tariffs]
    result += [[one.since.isoformat(), repr(one)] for one in tariffs.taxes]
    until = None if newest is None else timegrid.day_start(newest + timedelta(days=1), "UTC")
    for name, prices in tariffs.prices.items():
        past = sorted((start, str(price)) for start, price in prices.items() if until is not None and start < until)
        if past:
            first = datetime.fromtimestamp(past[0][0], UTC).date()
            result.append([first.isoformat(), f"{name} {hashlib.sha256(repr(past).encode()).hexdigest()}"])
    return sorted(result)


def _record(work: Work, table: Merging, versions: dict[str, int], newest: date | None, count: int) -> None:
    tariffs = json.dumps(as_texts(work.tariffs, newest))
    run_records.add(table, work.run_id, work.now, json.dumps(versions, sort_keys=True), tariffs, newest, count)
