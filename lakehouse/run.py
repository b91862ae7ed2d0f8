"""A run: bronze, silver and gold of what was landed, on a branch of its own; audited, and merged as one commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from engines import lake_spark, lineage, nessie, spark
from engines.spark_failures import translated
from lakehouse import history
from lakehouse.layers import audit, bronze, gold, silver, tables
from lakehouse.layers.tables import Catalog
from lakehouse.parallel import side_by_side
from lakehouse.prediction import score

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pyspark.sql import SparkSession

    from engines.nessie import Ref
    from lakehouse.landing.objects import Manifest
    from lakehouse.layers.silver import Changed
    from lakehouse.layers.tables import Table
    from lakehouse.lease import Lease
    from meterlake.clock import Clock
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.records import Record
    from meterlake.settings import Settings


Rows: TypeAlias = "Mapping[Table, Mapping[str, Collection[str]]]"
"""Rows of tables: those that have one of the values in one of the columns."""


@dataclass(frozen=True)
class Run:
    """What a run works with. report: told of each step before it begins.

    without: rows that leave the tables that no run computes again.
    """

    settings: Settings
    session: SparkSession
    lakehouse: Lakehouse
    lease: Lease
    clock: Clock
    report: Callable[[str], None]
    without: Rows = field(default_factory=dict)

    def execute(self, *, full: bool = False) -> history.Record | None:
        """Compute what is new (full: everything, into empty tables), and let readers see it; None if nothing is.

        Raises AuditFailed or OutOfBalance, which leave the branch; RefMoved, LeaseLost, EngineUnavailable, StorageFull.
        """
        lakehouse = self.lakehouse
        objects = [f"s3://{self.settings.lake_bucket}/landing/{lakehouse.name}"]
        writes = [f"lake.{lakehouse.namespace(table.layer)}.{table.name}" for table in tables.every(lakehouse)]
        with (
            lineage.job(self.settings, f"{lakehouse.name}.batch", self.clock, objects, writes) as job,
            translated(self.settings, f"a run of {lakehouse.name}"),
        ):
            record = self._execute(full=full)
            if record is not None:
                job.of(record.run, {})
            return record

    def _execute(self, *, full: bool) -> history.Record | None:
        begin = self.clock()
        run = f"{begin:%Y%m%dT%H%M%S}-{uuid4().hex[:4]}"
        main = self._prepare()
        branch = nessie.create(self.settings, f"{self.lakehouse.name}_{run}", main)
        name = lake_spark.catalog(self.session, self.settings, f"lake_{uuid4().hex[:8]}", branch.name, alone=True)
        catalog = Catalog(name, self.lakehouse)
        self._make_tables(catalog, full=full)
        self._leave_out(catalog)
        result = bronze.news(self.session, self.settings, catalog)
        if not result and not full:
            nessie.delete(self.settings, branch)
            return None
        with spark.planned_once(self.session):
            read, changed, left = self._compute(catalog, result, run)
            self.report("audit")
            audit.check(self.session, catalog, branch.name, read, changed, left)
        lake_spark.forget(self.session, map(catalog.path, tables.every(self.lakehouse)))
        seconds = (self.clock() - begin).total_seconds()
        counts = {name: asdict(item.counts) for name, item in changed.items()}
        mode = "full" if full else "incremental"
        record = history.Record(
            self.lakehouse.name, run, mode, begin.isoformat(), round(seconds, 1), len(result), counts
        )
        self._merge(branch.name, main, record)
        return record

    def _prepare(self) -> Ref:
        """Make the namespaces, and end what runs that were killed have left; return what readers see."""
        for layer in tables.LAYERS:
            nessie.make_namespace(self.settings, self.lakehouse.namespace(layer))
        main, prefix = nessie.main(self.settings), f"{self.lakehouse.name}_"
        branches = [ref for ref in nessie.refs(self.settings) if ref.type == "BRANCH" and ref.name.startswith(prefix)]
        left = [ref for ref in branches if history.is_run(ref.name.removeprefix(prefix))]
        merged = {message: state for state, message in nessie.commits(self.settings, main).items()} if left else {}
        tagged = {ref.name for ref in nessie.refs(self.settings) if ref.type == "TAG"}
        for ref in left:
            run = ref.name.removeprefix(prefix)
            # Killed after readers saw it, before it had its tag.
            state, name = merged.get(self._message(run)), history.tag(self.lakehouse.name, run)
            if state and name not in tagged:
                nessie.create(self.settings, name, nessie.Ref(main.name, state), "TAG")
            nessie.delete(self.settings, ref)
        return main

    def _message(self, run: str) -> str:
        """Return what the commit says by which readers see a run."""
        return f"run {run} of {self.lakehouse.name}"

    def _make_tables(self, catalog: Catalog, *, full: bool) -> None:
        self.report("tables")
        there = set()
        for layer in tables.LAYERS:
            rows = self.session.sql(f"SHOW TABLES IN {catalog.name}.{self.lakehouse.namespace(layer)}").collect()
            there |= {(layer, row.tableName) for row in rows}

        kept = tables.kept(self.lakehouse)

        def make(table: Table) -> None:
            """Make a table as declared; one that was partitioned otherwise goes on as declared."""
            is_there, again = (table.layer, table.name) in there, full and table not in kept
            if again and is_there:
                self.session.sql(f"DROP TABLE {catalog.path(table)}")
            if again or not is_there:
                statements = [catalog.create(table), *catalog.order(table)]
            elif table.partitioned:
                now = lake_spark.partitioned(self.session, catalog.path(table))
                statements = catalog.partition(table, now)
                statements += catalog.order(table) if statements else []
            else:
                statements = []
            for statement in statements:
                self.session.sql(statement)

        side_by_side(make, tables.every(self.lakehouse))

    def _leave_out(self, catalog: Catalog) -> None:
        """Make tables again without rows: at another place, which has never had them."""
        for table, columns in self.without.items():
            path, left = catalog.path(table), self.session.table(catalog.path(table))
            for name, values in columns.items():
                left = left.where(~left[name].isin(list(values)) | left[name].isNull())
            left = left.localCheckpoint()
            self.session.sql(f"DROP TABLE {path}")
            self.session.sql(catalog.create(table))
            left.writeTo(path).append()

    def _compute(
        self, catalog: Catalog, manifests: Sequence[Manifest], run: str
    ) -> tuple[dict[str, int], dict[str, Changed], set[str]]:
        """Compute all layers; return the records that were read, what has changed, and dimensions that members left."""
        session, lakehouse = self.session, self.lakehouse
        self.report("bronze")
        counts = side_by_side(
            lambda record: bronze.append(session, self.settings, catalog, record, manifests, run), lakehouse.records
        )
        read = {record.name: count for record, count in zip(lakehouse.records, counts, strict=True)}
        bronze.note(session, catalog, manifests, run)
        self.report("silver")
        references = [item for item in lakehouse.references if read[item.name]]

        def refresh(record: Record, news: dict[str, str]) -> Changed:
            return silver.refresh(session, catalog, record, run, read[record.name], news)

        written = side_by_side(lambda record: refresh(record, {}), references)
        news = {item.name: silver.changed_keys(session, catalog, item) for item in references}
        events = [item for item in lakehouse.events if read[item.name] or news]
        written += side_by_side(lambda record: refresh(record, news), events)
        silver.quarantine(session, catalog, written)
        changed = {item.record.name: item for item in written}
        self.report("gold")
        gone = side_by_side(lambda item: gold.dimension(session, catalog, item, changed), lakehouse.dimensions)
        left = {item.name for item, has_left in zip(lakehouse.dimensions, gone, strict=True) if has_left}
        facts = [item for item in lakehouse.facts if item.event in changed]
        side_by_side(lambda item: gold.fact(session, catalog, item, changed[item.event]), facts)
        gold.times(session, catalog)
        gold.dates(session, catalog)
        for item in lakehouse.predictions:
            if problem := score.score(session, self.settings, catalog, item, run):
                self.report(f"{item.name} left out: {problem}")
        return read, changed, left

    def _merge(self, branch: str, main: Ref, record: history.Record) -> None:
        """Let readers see the branch: all tables in one commit, if they still are where the run began."""
        self.report("merge")
        self.lease.check()
        history.write(self.settings, record)
        source = nessie.find(self.settings, branch)
        assert source is not None  # noqa: S101 - nobody else removes it under the lease
        merged = nessie.merge(self.settings, source, main, self._message(record.run))
        nessie.create(self.settings, history.tag(self.lakehouse.name, record.run), merged, "TAG")
        nessie.delete(self.settings, source)


def known(session: SparkSession, settings: Settings, lakehouse: Lakehouse, ref: str = nessie.MAIN) -> Catalog:
    """Know a branch of a lakehouse's tables as a catalog; by default what readers see."""
    return Catalog(lake_spark.catalog(session, settings, f"lake_{uuid4().hex[:8]}", ref), lakehouse)
