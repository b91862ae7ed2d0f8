"""What a run reads: the tables as they are, and what is read of them and of the views for some stretches of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.presentation import changes, references
from batch_layer.vee import estimated, observed, stretches, validated
from batch_layer.vee.observed import START
from batch_layer.vee.stretches import SINCE, UNTIL, seconds
from batch_layer.views import files, tables
from meterlake import timegrid
from meterlake.vee.declaration import DAY, OF_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from pyspark.sql import Column, DataFrame, SparkSession

    from batch_layer.presentation.changes import Inputs
    from batch_layer.views.tables import Table
    from engines.merge_table import Merging
    from meterlake.declaration import MeterSeries
    from meterlake.vee.declaration import Vee


@dataclass(frozen=True)
class Work:
    """What a run works with. base: folder of Delta tables. folders: table of the batch layer -> partition -> folder,
    as readers see them now.

    still_ours: raises LeaseLost where somebody else is at work; asked before each table.
    """

    spark: SparkSession
    series: MeterSeries
    vee: Vee
    base: str
    folders: Mapping[str, Mapping[str, str]]
    batch_run: str
    run_id: str
    now: datetime
    report: Callable[[str], None]
    still_ours: Callable[[], None] = lambda: None

    def between(self, table: Table, since: int, until: int) -> DataFrame:
        """Return rows of the partitions in which some time may lie."""
        begin, end = (datetime.fromtimestamp(max(ts, 0), UTC).replace(tzinfo=None) for ts in (since, until))
        folders = self.folders.get(table.name, {})
        wanted = changes.folders_with(folders, (), [("", begin, end)], self.series.time_zone)
        return files.read(self.spark, table, wanted)


class Scope:
    """The tables as they are, and what is read of them and of the views for some stretches of time."""

    def __init__(
        self,
        work: Work,
        findings: Merging,
        estimates: Merging,
        days: Merging,
        registers: Merging | None,
        *,
        first: bool,
    ) -> None:
        """first: nothing has been validated, or all of it is to be again."""
        self.work, self.findings, self.estimates, self.days = work, findings, estimates, days
        self.registers, self.first = registers, first
        self.series, self.vee, self.measure = work.series, work.vee, work.vee.of(work.series)
        self.view = tables.view_table(self.series, self.series.finest.grain)

    def known_days(self, dates: list[date] | None) -> DataFrame:
        """Return the days as they were validated; none where all of them are to be again."""
        known = self.days.read()
        return known.limit(0) if self.first else of_dates(known, dates)

    def days_now(self, dates: list[date] | None) -> DataFrame:
        """Return what readings make of some local days (None: of all)."""
        work, series = self.work, self.series
        names = [table.name for table in (self.view, tables.rejects_table(series))]
        listed = {name: work.folders.get(name, {}) for name in names}
        read = []
        for table in (self.view, tables.rejects_table(series)):
            folders = listed[table.name]
            some = changes.folders_with(folders, dates, (), series.time_zone)
            read.append(files.read(work.spark, table, some))
        rows, rejects = read
        held = observed.days(
            observed.timed(rows, series, self.measure),
            observed.rejected(rejects, series, self.measure),
            series,
            self.measure,
        )
        return of_dates(held, dates)

    def stretches(self, changed: DataFrame, before: Inputs | None, after: Inputs) -> DataFrame | None:
        """Return which stretch of each meter's time is done again; None where there is none."""
        series, vee, key = self.series, self.vee, self.series.key
        around = _whole_days(max(vee.runs_reach, timedelta(0)))
        later = max(around, _whole_days(vee.looks_back), timedelta(days=vee.usual_days))
        grown = stretches.around(changed, series, around, later)
        periods = self.periods()
        if periods is not None and before is not None and not self.first:
            name = self._register_name
            then = before.recorded.get(name)
            if then != after.recorded.get(name):
                grown = stretches.joined(grown, self._new_periods(then), key)
        method = estimated.wants_group(vee)
        if method is not None and not self.first:
            grown = stretches.joined(grown, self._touched_by_group(grown, method.beside), key)
        grown = grown.localCheckpoint()
        if grown.isEmpty():
            return None
        others = self._gaps(grown)
        if not self.first:
            gaps = self.estimates.read().select(key, "gap_begins", "gap_ends").distinct()
            known = self.findings.read().where(f"rule = '{validated.MISSING}'").select(key, "begins", "ends")
            for stored, names in ((gaps, ("gap_begins", "gap_ends")), (known, ("begins", "ends"))):
                begin, end = names
                others = others.unionByName(stored.select(key, seconds(begin).alias(SINCE), seconds(end).alias(UNTIL)))
        if periods is not None:
            others = others.unionByName(periods.select(key, SINCE, UNTIL))
        return stretches.extended(grown, others.localCheckpoint(), key)

    def findings_now(self, grown: DataFrame, now: DataFrame, dates: list[date] | None) -> tuple[DataFrame, DataFrame]:
        """Return what is found within stretches, and what stays found outside of them."""
        work, series, vee, key = self.work, self.series, self.vee, self.series.key
        low, high = _ends(grown)
        margin = int(max(_whole_days(vee.runs_reach), DAY).total_seconds())
        rows = observed.timed(work.between(self.view, low - margin, high + margin), series, self.measure)
        rows = stretches.within(rows, grown, key, F.col(START), margin=margin)
        usual = observed.usual(self._days_around(now, dates, grown, low, high), series, vee, self.measure)
        result = validated.by_rules(rows, usual, series, vee, grown.count())
        more = [
            validated.missing(self._gaps(grown), series),
            validated.refused(
                observed.rejected(work.between(tables.rejects_table(series), low, high), series, self.measure),
                series,
            ),
        ]
        if (of_days := validated.of_days(usual, series, vee)) is not None:
            more.append(of_days)
        for one in more:
            result = result.unionByName(one)
        result = stretches.within(result, grown, key, F.col("begins_s")).localCheckpoint()
        return result, stretches.outside(self.findings.read(), grown, key, seconds("begins"))

    def estimates_now(self, grown: DataFrame, findings: DataFrame, kept: DataFrame) -> DataFrame:
        """Return estimates of the gaps within stretches, and periods that do not add up."""
        work, series, vee, key = self.work, self.series, self.vee, self.series.key
        wanted = findings.where(f"action = '{validated.REPLACE}'").select(
            key,
            F.lit(estimated.GAP).alias("kind"),
            F.col("begins_s").alias(SINCE),
            F.col("ends_s").alias(UNTIL),
            F.lit(None).cast("bigint").alias("advance"),
        )
        periods = self.periods()
        if periods is not None:
            touching = stretches.within(periods, grown, key, F.col(SINCE)).select(
                key, F.lit(estimated.PERIOD).alias("kind"), SINCE, UNTIL, "advance"
            )
            wanted = wanted.unionByName(touching)
        wanted = wanted.localCheckpoint()
        if wanted.isEmpty():
            return work.spark.createDataFrame([], f"{key} STRING, {estimated.SCHEMA}")
        back = int(_whole_days(vee.looks_back).total_seconds())
        reach = wanted.groupBy(key).agg(
            (F.min(SINCE) - back).alias(SINCE), (F.max(UNTIL) + int(DAY.total_seconds())).alias(UNTIL)
        )
        low, high = _ends(reach)
        work.report("estimating what is missing")
        read = observed.timed(work.between(self.view, low, high), series, self.measure)
        untrusted = self._untrusted(findings, kept)
        profile = None
        if (method := estimated.wants_group(vee)) is not None:
            beside = int(method.beside.total_seconds())
            since, until = _ends(wanted)
            near = read.where((F.col(START) >= since - beside) & (F.col(START) < until + beside))
            profile = estimated.profile_of(_not_in(near, untrusted, key))
        rows = stretches.within(read, reach, key, F.col(START))
        trusted = _not_in(rows, untrusted, key).withColumn("trusted", F.lit(True))
        others = _in(rows, untrusted, key).withColumn("trusted", F.lit(False))
        both = trusted.unionByName(others)
        return estimated.estimates(both, wanted, series, vee, profile)

    def periods(self) -> DataFrame | None:
        """Return (key, since_s, until_s, advance) of all register periods; None where no registers are declared."""
        declared = self.vee.registers
        if declared is None or self.registers is None:
            return None
        key, scale = self.series.key, self.measure.scale
        units = f"CAST({declared.value} * CAST('{10**scale}' AS DECIMAL(10, 0)) AS BIGINT)"
        at = timegrid.epoch_seconds_sql(declared.at, "spark")
        after = f"OVER (PARTITION BY {declared.meter} ORDER BY {declared.at})"
        return (
            references.current(self.registers)
            .select(
                F.col(declared.meter).alias(key),
                seconds(declared.at).alias(SINCE),
                F.expr(f"lead({at}) {after}").alias(UNTIL),
                F.expr(f"lead({units}) {after} - {units}").alias("advance"),
            )
            .where("advance >= 0")
        )

    @property
    def _register_name(self) -> str:
        return "" if self.registers is None else self.registers.shape.name

    def _new_periods(self, then: datetime | None) -> DataFrame:
        """Return the stretches about reads that have come or gone since ``then``."""
        declared, registers = self.vee.registers, self.registers
        if declared is None or registers is None:
            raise ValueError("No registers are declared.")
        at = F.lit(then).cast("timestamp_ntz")
        changed = registers.read()
        if then is not None:
            changed = changed.where((F.col("recorded_from") > at) | (F.col("recorded_to") > at))
        return changed.select(
            F.col(declared.meter).alias(self.series.key),
            (seconds(declared.at) - 1).alias(SINCE),
            (seconds(declared.at) + 1).alias(UNTIL),
        )

    def _touched_by_group(self, grown: DataFrame, beside: timedelta) -> DataFrame:
        """Return gaps for which it counts what other meters have, where some of that may have changed.

        They are those that were filled by it, and those that nothing could fill.
        """
        key, far = self.series.key, int(beside.total_seconds())
        low, high = _ends(grown)
        by_group = " OR ".join(f"method LIKE '{name}%'" for name in OF_GROUP)
        estimates = self.estimates.read()
        filled = estimates.where(by_group).select(key, "gap_begins", "gap_ends").distinct()
        gaps = self.findings.read().where(f"rule = '{validated.MISSING}'")
        open_gaps = gaps.select(key, F.col("begins").alias("gap_begins"), F.col("ends").alias("gap_ends")).join(
            estimates.select(key, "gap_begins").distinct(), [key, "gap_begins"], "left_anti"
        )
        both = filled.unionByName(open_gaps)
        timed = both.select(key, seconds("gap_begins").alias(SINCE), seconds("gap_ends").alias(UNTIL))
        return timed.where((F.col(SINCE) - far < high) & (F.col(UNTIL) + far > low))

    def _gaps(self, grown: DataFrame) -> DataFrame:
        """Return (key, since_s, until_s) of the gaps that touch stretches; parts in two partitions are one."""
        low, high = _ends(grown)
        series, key = self.series, self.series.key
        far = int(_longest(self.vee).total_seconds())
        gaps = self.work.between(tables.gaps_table(series), low - far, high + far)
        rows = gaps.select(key, seconds("gap_start").alias(SINCE), seconds("gap_end").alias(UNTIL))
        window = f"OVER (PARTITION BY {key} ORDER BY {SINCE})"
        numbered = rows.withColumn("is_new", F.expr(f"IF({SINCE} = lag({UNTIL}) {window}, 0, 1)"))
        grouped = numbered.withColumn("part", F.expr(f"sum(is_new) {window}")).groupBy(key, "part")
        whole = grouped.agg(F.min(SINCE).alias(SINCE), F.max(UNTIL).alias(UNTIL))
        named = grown.select(F.col(key).alias("near_meter"), F.col(SINCE).alias("a"), F.col(UNTIL).alias("b"))
        touches = (F.col(key) == F.col("near_meter")) & (F.col(SINCE) <= F.col("b")) & (F.col(UNTIL) >= F.col("a"))
        return whole.join(F.broadcast(named), touches, "left_semi").select(key, SINCE, UNTIL)

    def _days_around(
        self, now: DataFrame, dates: list[date] | None, grown: DataFrame, low: int, high: int
    ) -> DataFrame:
        """Return days of the stretches' meters, with those before that say what is usual."""
        known = self.days.read().select(*now.columns)
        both = now if dates is None else known.where(~F.col("day").isin(dates)).unionByName(now)
        first, last = (datetime.fromtimestamp(max(ts, 0), UTC).date() for ts in (low, high))
        span = F.col("day").between(first - timedelta(days=self.vee.usual_days + 2), last + timedelta(days=2))
        return both.where(span).join(F.broadcast(grown.select(self.series.key)), self.series.key, "left_semi")

    def _untrusted(self, findings: DataFrame, kept: DataFrame) -> DataFrame:
        """Return (meter, from, to) of the readings that estimates take the place of."""
        wanted = f"action = '{validated.REPLACE}' AND rule <> '{validated.MISSING}'"
        key = self.series.key
        new = findings.where(wanted).select(
            F.col(key).alias("bad_meter"), F.col("begins_s").alias("bad_from"), "ends_s"
        )
        old = kept.where(wanted).select(
            F.col(key).alias("bad_meter"), seconds("begins").alias("bad_from"), seconds("ends").alias("ends_s")
        )
        return new.unionByName(old)


def _in(rows: DataFrame, bad: DataFrame, key: str) -> DataFrame:
    return rows.join(F.broadcast(bad), _bad(key), "left_semi")


def _not_in(rows: DataFrame, bad: DataFrame, key: str) -> DataFrame:
    return rows.join(F.broadcast(bad), _bad(key), "left_anti")


def _bad(key: str) -> Column:
    return (F.col(key) == F.col("bad_meter")) & (F.col(START) >= F.col("bad_from")) & (F.col(START) < F.col("ends_s"))


def of_dates(rows: DataFrame, dates: list[date] | None) -> DataFrame:
    """Return the rows of some local days; None: all."""
    return rows if dates is None else rows.where(F.col("day").isin(dates))


def _ends(some: DataFrame) -> tuple[int, int]:
    row = some.agg(F.min(SINCE), F.max(UNTIL)).first()
    return (row[0], row[1]) if row and row[0] is not None else (0, 0)


def _whole_days(length: timedelta) -> timedelta:
    return timedelta(days=-(-length // DAY))


def _longest(vee: Vee) -> timedelta:
    return max((method.longest for method in vee.methods), default=DAY)
