"""Small slices whose time has become old are merged into large ones; no row changes.

Rows move to another partition here, and nowhere else. A reader first asks which partitions there are and then where
they lie, so a merge takes three runs: one lets the large partition be, without rows; a later one turns it to the merged
files and the small ones to nothing, in the one call that publishes a table; one after that drops the small ones. A
reader that works with the list of any moment sees each row once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views import audit, files, tables
from batch_layer.views.slicing import Fleet
from meterlake import slices
from meterlake.slices import Change, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from batch_layer.views.context import Run
    from batch_layer.views.tables import Table

A_RUN: Final = 256 * 2**20
"""A run merges so many bytes at most; upkeep (``batch_layer.maintain``) merges the rest."""


def merge_all(run: Run) -> dict[str, dict[str, Change]]:
    """Do what a run leaves to upkeep; return what becomes of the partitions."""
    run.newest, run.fleet = run.newest_of(()), run.known_meters() or Fleet()
    merge(run, limit=None)
    return run.changes


def merge(run: Run, limit: int | None) -> None:
    """Write, audit and note what is to be merged; limit: of bytes, None for all there is."""
    left = limit
    for table in tables.all_tables(run.dataset):
        if table.time is None:
            continue
        published, none = run.published(table), tables.empty(run.base)
        _drop(run, table)
        done, after = [], run.after(table)
        for target, parts in _layout(run, table).merges().items():
            name = table.partition_name(target)
            if published.get(name) != none:
                run.change(table, {name: Change(published.get(name), none)})
                continue
            if run.changes.get(table.name, {}).keys() & {table.partition_name(part) for part in parts}:
                continue  # written just now: the next run merges them
            _, size = files.size(run.spark, (after[part] for part in parts))
            if left is not None and size > left:
                continue
            left = left if left is None else left - size
            done.append(target)
            _merge(run, table, target, {part: after[part] for part in parts})
        if done:
            run.figures.setdefault(table.name, {})["slices_merged_into"] = done


def _layout(run: Run, table: Table) -> Layout:
    return Layout(table.partition, table.smallest, run.newest, frozenset(run.after(table)))


def _drop(run: Run, table: Table) -> None:
    """Drop partitions that earlier runs left without rows, but for those into which slices are to be merged."""
    none, existing = tables.empty(run.base), run.after(table)
    for name, folder in run.published(table).items():
        target = tables.slice_name(name)
        is_empty = folder == none and name not in run.changes.get(table.name, {})
        if is_empty and not any(slices.lies_in(part, target) for part in existing):
            run.change(table, {name: Change(folder, None)})


def _merge(run: Run, table: Table, target: str, parts: Mapping[str, str]) -> None:
    run.report(f"merging {len(parts)} slices of {table.name} into {target}")
    rows, none = run.read(table, parts), tables.empty(run.base)
    merged = Layout(table.partition, table.smallest, run.newest, frozenset({target}))
    written = files.write(rows, table, merged, run.base, run.plan.run_id, run.fleet)
    place = f"slice {target} of {table.name}"
    audit.check_equal(run.plan.run_id, place, dict.fromkeys(written.slices, 0), {target: 0})
    audit.check_equal(run.plan.run_id, place, _digest(rows), _digest(run.read(table, written.slices)))
    published = run.published(table)
    files.write_parts(run.spark, written.slices[target], parts)
    name = table.partition_name(target)
    run.change(table, {name: Change(published[name], written.slices[target])})
    for part in parts:
        name = table.partition_name(part)
        run.change(table, {name: Change(published[name], none)})


def _digest(rows: DataFrame) -> dict[str, Any]:
    """Return the number of rows and a sum of their hashes: the same for the same rows in any order and files."""
    digest = F.sum(F.xxhash64(*rows.columns).cast("decimal(38,0)")).alias("digest")
    result = rows.agg(F.count(F.lit(1)).alias("rows"), digest).first()
    return result.asDict() if result else {}
