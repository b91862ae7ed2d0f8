"""One load: the raw file into HDFS, its lines decoded by Spark, and all readings into the master in one commit.

Readings are written first where no reader sees them and counted; the lines of quarantine follow; the commit that
shows the readings is the last step. A load that dies before it has added no reading, and the next try finds out
what is there already: nothing is doubled.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.ingest import summer_time
from batch_layer.ingest.compare import Overlap, highest_revision, overlap
from batch_layer.ingest.errors import NotThisFormat
from batch_layer.ingest.identity import Identity
from batch_layer.ingest.lines import SPLIT
from batch_layer.ingest.parse import (
    Arrival,
    days,
    decoded,
    numbered_lines,
    reading_lines,
    readings,
    rejected,
    with_places,
)
from batch_layer.ingest.request import Counts, Request, Result
from batch_layer.ingest.upload import Raw, upload
from engines import hdfs, master, metastore
from engines import spark as engine
from engines.errors import EngineUnavailable
from engines.spark_failures import translated
from engines.table_format import AlreadyPublished
from meterlake import jumps
from meterlake.errors import OutOfBalance
from meterlake.precedence import gap_sql
from meterlake.rebase import whole_weeks
from meterlake.timegrid import epoch_seconds_sql

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from pyspark.sql import DataFrame, SparkSession

    from engines.table_format import Snapshot, Table
    from meterlake.clock import Clock
    from meterlake.jumps import Stretch
    from meterlake.settings import Settings

MANY: Final = 1000
"""With as many undecodable lines, a file of which they are the greater part is another format (a swapped date, say)."""


@dataclass
class _Phases:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self.last, 2)
        self.last = now

    def total(self) -> dict[str, float]:
        return {**self.seconds, "total": round(time.monotonic() - self.begin, 2)}


def load(settings: Settings, request: Request, clock: Clock, on_bytes: Callable[[int, int], None]) -> Result:
    """Load a file. A repeated load is no error: the result says so.

    Raises what ``upload`` raises; NotThisFormat; OutOfBalance; EngineUnavailable, also in the middle.
    """
    phases = _Phases()
    _servers_answer(settings)
    now = clock()
    # The driver starts while the file is under way.
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload, settings, request.form, request.path, on_bytes)
        _wait_briefly(uploading)
        with engine.session(settings, "load") as spark:
            phases.done("session")
            raw = uploading.result()
            phases.done("upload")
            with translated(settings, request.path), reading_lines(spark, SPLIT):
                return _Load(settings, spark, request, raw, now, phases).run()


def _wait_briefly(uploading: Future[Raw]) -> None:
    """Let a small or wrong file be known before Spark is started for it. Raises what the upload raised."""
    try:
        uploading.result(timeout=1.0)
    except TimeoutError:
        return


def _servers_answer(settings: Settings) -> None:
    try:
        hdfs.client(settings).status("/")
    except hdfs.ERRORS as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error
    with metastore.client(settings) as client:
        client.get_all_databases()


class _Load:
    """The steps of one load."""

    def __init__(
        self, settings: Settings, spark: SparkSession, request: Request, raw: Raw, now: datetime, phases: _Phases
    ) -> None:  # fmt: skip
        self.settings, self.spark, self.request, self.raw, self.phases = settings, spark, request, raw, phases
        self.form, self.dataset = raw.form, raw.form.dataset
        self.now = now
        lines = numbered_lines(spark, raw.location, raw.first_lines, SPLIT)
        self.lines = with_places(lines, self.form, request.offset)
        self.kept: list[Stretch] | None = None
        self.shift = self._shift()
        self._set_revision(0)

    def run(self) -> Result:
        """Stage, check, quarantine, publish."""
        table = master.master(self.spark, self.settings, self.dataset)
        self.phases.done("open")
        if self.request.corrects:
            self._revise(table)
        if self._is_loaded(table):
            return self._result(already_loaded=True)
        staged, counts = self._stage(table)
        if self.kept is None and self._has_jump(counts):
            staged, counts = self._stage(table)
        self.phases.done("parse and write")
        self._check(staged, counts)
        self._check_clock(table, staged, counts)
        quarantined = self._quarantine(counts)
        self.phases.done("quarantine")
        compared = self._compare(table, staged)
        self.phases.done("compare")
        try:
            published = table.publish(staged)
        except AlreadyPublished:
            return self._result(already_loaded=True)
        self.phases.done("commit")
        days, first, last = self._extent(table, published)
        self.phases.done("count days")
        return self._result(
            already_loaded=False,
            readings=staged.added_rows - counts.gaps,
            gaps=counts.gaps,
            quarantined=quarantined,
            not_loaded=counts.future,
            days=days,
            first=first,
            last=last,
            snapshot=published.id,
            overlap=compared,
            revision=self.identity.revision,
            corrected_by=self.request.corrects,
        )

    def _set_revision(self, revision: int) -> None:
        request = self.request
        self.identity = Identity(
            self.dataset.name, self.raw.sha256, request.meter_id, request.offset, self.shift, revision
        )
        self.arrival = Arrival(request.meter_id, self.now, self.raw.name, self.identity.load_id, revision)

    def _revise(self, table: Table) -> None:
        """Give the readings a higher revision than any of their meter has; the same correction is loaded once."""
        highest = highest_revision(self._held(table.read()))
        self._set_revision(max(highest, 0))
        if highest < 1 or not self._is_loaded(table):
            self._set_revision(highest + 1)

    def _compare(self, table: Table, staged: Snapshot) -> Overlap:
        """Compare staged readings with those of the same time that readers see."""
        if staged.parent is None or not staged.added_rows:
            return Overlap()
        mine = table.read(snapshot=staged.id).where(F.col("load_id") == self.identity.load_id)
        time = F.col(self.dataset.event_time)
        first, last = mine.agg(F.min(time), F.max(time)).collect()[0]
        held = self._held(table.read(snapshot=staged.parent)).where(time.between(first, last))
        return overlap(held, mine, self.dataset)

    def _held(self, rows: DataFrame) -> DataFrame:
        """Return readings of the master, of the file's meter where all of it is of one."""
        meter = self.request.meter_id
        return rows.where(F.col(self.dataset.key) == meter) if meter else rows

    def _rows(self) -> tuple[DataFrame, Observation]:
        """Return the decoded lines with ``future`` (not to be loaded), and what will have been seen of them."""
        observed = Observation("lines")
        rows = decoded(self.lines, self.form, self.request.offset, self.shift, self.kept)
        second, none = F.expr(f"CASE WHEN reason IS NULL THEN {self._second} END"), F.lit(0)
        rows = rows.select("*", F.expr(self._future()).alias("future")).observe(
            observed,
            F.count(F.lit(1)).alias("lines"),
            F.coalesce(F.sum("line"), F.lit(0)).alias("line_sum"),
            F.count_if(F.col("reason").isNotNull()).alias("bad"),
            F.count_if("future").alias("future"),
            F.count_if(F.expr(f"reason IS NULL AND NOT future AND {gap_sql(self.dataset)}")).alias("gaps"),
            F.coalesce(F.min(second), none).alias("first"),
            F.coalesce(F.max(second), none).alias("last"),
        )
        return rows, observed

    def _future(self) -> str:
        """Return the condition on a reading that lies in the future of a history that was moved to end now."""
        if not self.request.rebase:
            return "false"
        now = self.now.replace(tzinfo=None).isoformat(sep=" ")
        return f"reason IS NULL AND {self.dataset.event_time} >= TIMESTAMP_NTZ '{now}'"

    def _shift(self) -> timedelta:
        if not self.request.rebase:
            return timedelta(0)
        last = self._keep()
        self.phases.done("find the end")
        if last is None:
            return timedelta(0)
        return whole_weeks(last + timedelta(seconds=self.form.interval_s), self.now.replace(tzinfo=None))

    def _has_jump(self, counts: Counts) -> bool:
        """Return whether readings far from all others are now to be set aside; most files show at once that none is."""
        covered = (counts.lines - counts.bad) * self.form.interval_s
        if not jumps.may_jump(self.dataset, counts.first, counts.last, covered):
            return False
        self._keep()
        return self.kept is not None

    def _keep(self) -> datetime | None:
        """Find out where readings may lie, and return the latest time there."""
        found = days(self.lines, self.form, self.request.offset)
        stretches = jumps.stretches(self.dataset, {day.begin: day.lines for day in found}, jumps.DAY_S)
        kept = jumps.kept(self.dataset, stretches, self.form.interval_s)
        if len(kept) < len(stretches):
            self.kept = kept
        return max((day.latest for day in found if any(s.begin <= day.begin < s.end for s in kept)), default=None)

    @property
    def _second(self) -> str:
        return epoch_seconds_sql(self.dataset.event_time, "spark")

    def _stage(self, table: Table) -> tuple[Snapshot, Counts]:
        rows, observed = self._rows()
        mine = readings(rows.where("NOT future"), self.form, self.arrival)
        staged = table.stage(mine, self.identity.load_id, self._properties())
        return staged, Counts(**{name: int(value) for name, value in observed.get.items()})

    def _check(self, staged: Snapshot, counts: Counts) -> None:
        """Raise unless every line of the file is accounted for once, by its number too."""
        below = self.raw.lines - 1
        place = f"Load of {self.request.path}"
        parts = {"decoded": staged.added_rows, "quarantined": counts.bad, "not loaded": counts.future}
        if below != sum(parts.values()) or below != counts.lines:
            raise OutOfBalance(place, below, parts)
        if counts.line_sum != below * (below + 3) // 2:
            raise OutOfBalance(f"{place}, line numbers", below * (below + 3) // 2, {"sum of numbers": counts.line_sum})
        good = below - counts.bad
        if not good or (counts.bad >= MANY and counts.bad > good):
            self._refuse(counts.bad, below)

    def _check_clock(self, table: Table, staged: Snapshot, counts: Counts) -> None:
        """Raise WallClock where the file was read by a fixed clock, and is not of one."""
        offset = self.request.offset
        if staged.added_rows and isinstance(offset, timedelta):
            mine = table.read(snapshot=staged.id).where(F.col("load_id") == self.identity.load_id)
            span = counts.first, counts.last
            summer_time.check(self.request.path, mine, self.dataset, offset, self.shift - self.form.lead, span)

    def _refuse(self, bad: int, below: int) -> None:
        worst = rejected(self._rows()[0], self.form, self.arrival).groupBy("reason").agg(
            F.count(F.lit(1)).alias("n"), F.min("origin_offset").alias("line")
        )  # fmt: skip
        found = ", ".join(
            f"{row.n} {row.reason} (first in line {row.line})" for row in worst.orderBy(F.desc("n")).head(5)
        )
        raise NotThisFormat(
            f"{self.request.path}: {bad} of {below} lines are no readings of {self.dataset.name}: {found}.",
            hint=f"Nothing was loaded. Expected times as {self.form.pattern!r} and numbers with a point, between"
            f" {self.form.separator!r}.",
        )

    def _quarantine(self, counts: Counts) -> dict[str, int]:
        """Put undecodable lines into quarantine, unless a load that died later has; return them by reason."""
        if not counts.bad:
            return {}
        table = master.quarantine(self.spark, self.settings, self.dataset)
        if not self._is_loaded(table):
            added = table.append(rejected(self._rows()[0], self.form, self.arrival), self._properties())
            if added.added_rows != counts.bad:
                raise OutOfBalance(f"Quarantine of {self.request.path}", counts.bad, {"kept": added.added_rows})
        mine = table.read().where(F.col("load_id") == self.identity.load_id)
        return {row.reason: row["count"] for row in mine.groupBy("reason").count().orderBy("reason").collect()}

    def _is_loaded(self, table: Table) -> bool:
        """Return whether rows of this identity are in a table; its commit may have expired, its rows have not."""
        if table.find({"load-id": self.identity.load_id}):
            return True
        return bool(table.read().where(F.col("load_id") == self.identity.load_id).head(1))

    def _extent(self, table: Table, published: Snapshot) -> tuple[int, datetime | None, datetime | None]:
        mine = table.read(snapshot=published.id).where(F.col("load_id") == self.identity.load_id)
        time = F.col(self.dataset.event_time)
        row = mine.agg(F.count_distinct(time.cast("date")), F.min(time), F.max(time)).collect()[0]
        return int(row[0]), row[1], row[2]

    def _properties(self) -> dict[str, str]:
        return {
            "load-id": self.identity.load_id,
            **self.identity.properties(),
            "load-file": self.raw.name,
            "load-raw": self.raw.location,
            "load-lines": str(self.raw.lines - 1),
            **({"load-corrected-by": self.request.corrects} if self.request.corrects else {}),
        }

    def _result(self, *, already_loaded: bool, **more: Any) -> Result:  # noqa: ANN401 - fields of Result
        return Result(
            dataset=self.dataset.name,
            file=self.request.path,
            meter_id=self.request.meter_id,
            load_id=self.identity.load_id,
            already_loaded=already_loaded,
            lines=self.raw.lines - 1,
            shift_days=self.shift.days,
            bytes=self.raw.bytes,
            seconds=self.phases.total(),
            **more,
        )
