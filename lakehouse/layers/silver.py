"""Silver: one row an identity, typed and judged; what is no record is in quarantine.

A row keeps how many records it stands for, by revision and payload (``versions``). Merging rows adds these up, so it
does not matter how the records were spread over runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.layers import periods, tables, verdict
from meterlake.lakehouse.records import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.layers.periods import Periods
    from lakehouse.layers.tables import Catalog
    from meterlake.lakehouse.records import Record, Reference

LATEST = "struct(revision, arrived_at, source_partition, source_offset)"
"""What decides which of several records of an identity counts: the greatest."""


@dataclass(frozen=True)
class Counts:
    """What became of the records that a run has read. All add up to ``read``."""

    read: int
    accepted: int
    rejected: int
    duplicate: int
    superseded: int
    conflicting: int
    undecodable: int


@dataclass(frozen=True)
class Changed:
    """The rows of silver that a run writes: as they become (``after``), and those of them that were (``before``).

    touched: the periods of both, of an event.
    """

    record: Record
    after: DataFrame
    had_before: bool
    counts: Counts
    touched: Periods | None


def refresh(
    session: SparkSession, catalog: Catalog, record: Record, run: str, read: int, news: dict[str, str]
) -> Changed:
    """Judge what bronze has of a run, and what was judged before and must be again, and write it.

    read: how many records bronze has of the run; those that are in no row are none (the audit counts them in
    quarantine). news: a view of the keys that changed in this run, by reference: ``key``, and ``since`` when.
    """
    name, target = record.name, catalog.path(tables.silver(record))
    fresh = f"SELECT * FROM {catalog.path(tables.bronze(record))} WHERE run_id = '{run}'"
    session.sql(verdict.decoded(f"({fresh})")).createOrReplaceTempView(f"decoded_{name}")
    session.sql(_undecodable(record)).createOrReplaceTempView(f"undecodable_{name}")
    session.sql(
        verdict.judged(
            record, f"({verdict.typed(record, f'(SELECT * FROM decoded_{name} WHERE document IS NOT NULL)')})"
        )
    ).createOrReplaceTempView(f"judged_{name}")
    columns = [column for column in tables.silver(record).names if column not in ("is_rejected", "versions")]
    listed = ", ".join(f"`{column}`" for column in columns)
    one = "array(named_struct('revision', revision, 'payload_md5', payload_md5, 'records', 1L)) AS versions"
    new = session.sql(f"SELECT {listed}, {one} FROM judged_{name}")
    is_first = session.sql(f"SELECT 1 FROM {target}.files LIMIT 1").isEmpty()  # none of them is opened
    # Rows are judged once. All of a first run are, where they are written, and are not kept twice.
    (new if is_first else new.localCheckpoint()).createOrReplaceTempView(f"new_{name}")
    had_before = not is_first and _before(session, catalog, record, news)
    before = f"SELECT {listed}, versions FROM before_{name}"
    merged = _one_row_each(f"(SELECT * FROM new_{name} UNION ALL {before})" if had_before else f"new_{name}")
    session.sql(_known(catalog, record, merged, columns)).createOrReplaceTempView(f"becoming_{name}")
    after = session.table(f"becoming_{name}").select(*tables.silver(record).names).localCheckpoint()
    after.createOrReplaceTempView(f"after_{name}")
    counts = _counts(session, name, had_before, read)
    views = [f"after_{name}", *([f"before_{name}"] if had_before else [])]
    touched = periods.of_rows(session, record, views) if isinstance(record, Event) else None
    if had_before:
        where = f" AND {touched.condition(f't.`{record.time}`')}" if touched else ""
        session.sql(
            f"MERGE INTO {target} t USING after_{name} s ON t.record_id = s.record_id{where}"
            " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
    else:
        session.sql(f"INSERT INTO {target} SELECT * FROM after_{name}")
    return Changed(record, after, had_before, counts, touched)


def changed_keys(session: SparkSession, catalog: Catalog, reference: Reference) -> str:
    """Return the view of the keys of a reference that a run has changed, each with the earliest time of a change.

    Of a member of which only the key was known, all time changes: what led to its placeholder leads to it, or nowhere.
    """
    view, lakehouse = f"news_{reference.name}", catalog.lakehouse
    placeholders = "".join(
        f" UNION ALL SELECT `{reference.key}`, TIMESTAMP_NTZ'{tables.EVER}'"
        f" FROM {catalog.path(tables.dimension(lakehouse, item))} WHERE is_placeholder"
        for item in lakehouse.dimensions
        if item.reference == reference.name
    )
    mine = f"SELECT `{reference.key}` AS key, `{reference.time}` AS since FROM after_{reference.name}"
    session.sql(
        f"SELECT key, min(since) AS since FROM ({mine}{placeholders})"
        f" WHERE key IN (SELECT key FROM ({mine})) GROUP BY key"
    ).localCheckpoint().createOrReplaceTempView(view)
    return view


def quarantine(session: SparkSession, catalog: Catalog, changed: Sequence[Changed]) -> None:
    """Put what is no record into quarantine, in one commit.

    Nessie does not refuse the second of two first commits to a table, but lets it take the place of the first.
    """
    names = [item.record.name for item in changed if item.counts.undecodable]
    if names:
        rows = " UNION ALL ".join(f"SELECT * FROM undecodable_{name}" for name in names)
        session.sql(rows).coalesce(1).writeTo(catalog.path(tables.QUARANTINE)).append()


def _undecodable(record: Record) -> str:
    """Return the query of what is no record."""
    reason = (
        "CASE WHEN coalesce(trim(value), '') = '' THEN 'empty' WHEN ltrim(value) LIKE '[%' THEN 'not_an_object'"
        " ELSE 'not_json' END"
    )
    origin = ", ".join(name for name, _ in tables.ORIGIN)
    return (
        f"SELECT '{record.name}' AS record, {reason} AS reason, value, {origin} FROM decoded_{record.name}"
        " WHERE document IS NULL"
    )


def _before(session: SparkSession, catalog: Catalog, record: Record, news: dict[str, str]) -> bool:
    """Make the view of the rows that are judged again; return whether there are any.

    Those are the rows of the same identities, and those that ask for something that has come or changed since.
    """
    name, target = record.name, catalog.path(tables.silver(record))
    parts = [_same(session, record, target)]
    parts += [
        f"SELECT t.* FROM {target} t LEFT SEMI JOIN {news[known.reference]} news ON news.key = t.`{known.field}`"
        " WHERE t.is_rejected AND exists(t.rejection_reasons, reason -> reason.code ="
        f" '{verdict.UNKNOWN_REASON}')"
        for known in record.known
        if known.reference in news
    ]
    fact = catalog.lakehouse.fact_of(name)
    for lookup in fact.lookups if fact else ():
        reference = catalog.lakehouse.reference(catalog.lakehouse.dimension(lookup.dimension).reference)
        if reference.history == "versions" and reference.name in news:
            parts.append(_since(session, record, target, lookup.field, news[reference.name]))
    every = session.sql(" UNION ALL ".join(parts))
    before = (every.dropDuplicates(["record_id"]) if len(parts) > 1 else every).localCheckpoint()
    before.createOrReplaceTempView(f"before_{name}")
    return not before.isEmpty()  # a checkpoint: what Spark caches is read again when the table is written


def _same(session: SparkSession, record: Record, target: str) -> str:
    """Return the query of the rows that have the identity of a new one.

    Of an event, identities alone are read at first, in those files that may have one of them: whole rows are read in
    the periods alone in which there are any. Where identities name their day, accepted rows lie about it, and rejected
    ones anywhere.
    """
    new = f"ids_{record.name}"
    session.sql(f"SELECT DISTINCT record_id FROM new_{record.name}").localCheckpoint().createOrReplaceTempView(new)
    query = "SELECT {} FROM {} t LEFT SEMI JOIN {} ids ON ids.record_id = t.record_id WHERE {}"
    if not isinstance(record, Event):
        return query.format("t.*", target, new, "true")
    time, there = f"t.`{record.time}`", f"there_{record.name}"
    if record.day_in_id:
        possible = f"({periods.of_days(session, record, new).condition(time)} OR t.is_rejected)"
    else:
        possible = periods.of_files(session, record, target, new).condition(time)
    known = session.sql(query.format(f"t.record_id, {time}", target, new, possible)).localCheckpoint()
    known.createOrReplaceTempView(there)
    return query.format("t.*", target, there, periods.of_rows(session, record, [there]).condition(time))


def _since(session: SparkSession, record: Record, target: str, field: str, news: str) -> str:
    """Return the query of the rows from the time on from which a member of theirs has changed."""
    (first,) = session.sql(f"SELECT CAST(min(since) AS STRING) FROM {news}").first() or (None,)
    return (
        f"SELECT t.* FROM {target} t LEFT SEMI JOIN {news} news ON news.key = t.`{field}`"
        f" AND t.`{record.time}` >= news.since"
        f" WHERE t.`{record.time}` >= TIMESTAMP_NTZ'{first or tables.FOREVER}'"
    )


def _one_row_each(source: str) -> str:
    """Return the query of one row an identity, the latest of the highest revision, with all versions added up."""
    same = "version.revision = one.revision AND version.payload_md5 = one.payload_md5"
    count = f"aggregate(filter(every, version -> {same}), 0L, (total, version) -> total + version.records)"
    ones = "array_distinct(transform(every, v -> named_struct('revision', v.revision, 'payload_md5', v.payload_md5)))"
    struct = f"named_struct('revision', one.revision, 'payload_md5', one.payload_md5, 'records', {count})"
    return f"""
SELECT row.*, CASE WHEN size(every) = 1 THEN every ELSE array_sort(transform({ones}, one -> {struct})) END AS versions
FROM (SELECT max_by(struct(* EXCEPT (versions)), {LATEST}) AS row, flatten(collect_list(versions)) AS every
      FROM {source} GROUP BY record_id)"""


def _known(catalog: Catalog, record: Record, source: str, columns: list[str]) -> str:
    """Return the query that adds whether a row is rejected, with what must be known and is not."""
    joins, reasons = "", []
    for number, known in enumerate(record.known):
        reference = catalog.lakehouse.reference(known.reference)
        keys = (
            f"SELECT DISTINCT `{reference.key}` AS key FROM {catalog.path(tables.silver(reference))}"
            " WHERE NOT is_rejected"
        )
        joins += f" LEFT JOIN ({keys}) known_{number} ON known_{number}.key = source.`{known.field}`"
        reasons.append(verdict.unknown(known.field, f"known_{number}.key"))
    kept = f"filter(rejection_reasons, reason -> reason.code <> '{verdict.UNKNOWN_REASON}')"
    added = f"filter(CAST(array({', '.join(reasons)}) AS {tables.REASONS}), reason -> reason IS NOT NULL)"
    listed = ", ".join(f"`{column}`" for column in columns if column != "rejection_reasons")
    return f"""
SELECT *, size(rejection_reasons) > 0 AS is_rejected
FROM (SELECT {listed}, versions, {f"concat({kept}, {added})" if reasons else kept} AS rejection_reasons
      FROM ({source}) source{joins})"""


def _counts(session: SparkSession, name: str, had_before: bool, read: int) -> Counts:
    """Return what became of what was read: what is there now, less what was there before."""
    now = _account(session, f"after_{name}")
    was = _account(session, f"before_{name}") if had_before else [0] * len(now)
    records, accepted, rejected, duplicate, superseded, conflicting = (a - b for a, b in zip(now, was, strict=True))
    return Counts(read, accepted, rejected, duplicate, superseded, conflicting, read - records)


def _account(session: SparkSession, view: str) -> list[int]:
    total = "aggregate(filter(versions, v -> {}), 0L, (total, v) -> total + v.records)"
    same = "v.revision = revision AND v.payload_md5 = payload_md5"
    row = session.sql(f"""
SELECT sum({total.format("true")}), count_if(NOT is_rejected), count_if(is_rejected),
    sum({total.format(same)} - 1), sum({total.format("v.revision < revision")}),
    sum({total.format("v.revision = revision AND v.payload_md5 <> payload_md5")})
FROM {view}""").first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return [value or 0 for value in row]
