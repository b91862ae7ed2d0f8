"""Gold: dimensions of references, and facts of accepted events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.layers import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from lakehouse.layers.silver import Changed
    from lakehouse.layers.tables import Catalog
    from meterlake.lakehouse.model import Dimension, Fact


def dimension(session: SparkSession, catalog: Catalog, item: Dimension, changed: Mapping[str, Changed]) -> bool:
    """Write a dimension again, where a member has changed or somebody asks for one that is not there.

    Whom no record of the reference describes has a placeholder, which the record replaces when it arrives.
    Returns whether members have left it: ``left_…`` is the view of their keys.
    """
    lakehouse, path = catalog.lakehouse, catalog.path(tables.dimension(catalog.lakehouse, item))
    reference = lakehouse.reference(item.reference)
    silver = catalog.path(tables.silver(reference))
    asked = _asked(session, catalog, item, changed)
    vain = session.sql(
        f"SELECT DISTINCT key FROM ({asked})"
        f" WHERE key NOT IN (SELECT `{reference.key}` FROM {silver} WHERE NOT is_rejected)"
    ).localCheckpoint()
    vain.createOrReplaceTempView(f"vain_{item.name}")
    there = session.sql(f"SELECT `{reference.key}` AS key FROM {path} WHERE is_placeholder")
    may_stay = reference.name not in changed and not session.table(path).isEmpty()
    if may_stay and vain.exceptAll(there).unionAll(there.exceptAll(vain)).isEmpty():
        return False
    names = ", ".join(f"`{name}`" for name in item.attributes)
    nothing = ", ".join("NULL" for _ in item.attributes)
    rest = ", ".join("NULL" for _ in item.attributes[1:])
    ever, forever = (f"TIMESTAMP_NTZ'{moment}'" for moment in (tables.EVER, tables.FOREVER))
    versions = reference.history == "versions"
    key = f"md5(concat(`{reference.key}`, '|', `{reference.time}`))" if versions else f"md5(`{reference.key}`)"
    lead = f"lead(`{reference.time}`) OVER (PARTITION BY `{reference.key}` ORDER BY `{reference.time}`)"
    begin = f"`{reference.time}`" if versions else ever
    end = f"coalesce({lead}, {forever})" if versions else forever
    current = f"{lead} IS NULL" if versions else "true"
    comma = f", {rest}" if rest else ""
    members = session.sql(f"""
SELECT '{tables.UNKNOWN}' AS {item.key}, {nothing}, {ever}, {forever}, true, false
UNION ALL SELECT {key}, {names}, {begin}, {end}, {current}, false FROM {silver} WHERE NOT is_rejected
UNION ALL SELECT md5(key), key{comma}, {ever}, {forever}, true, true FROM vain_{item.name}""")
    members.toDF(*tables.dimension(lakehouse, item).names).coalesce(1).createOrReplaceTempView(f"members_{item.name}")
    keys = f"SELECT {item.key} AS key FROM"
    left = session.sql(f"{keys} {path} EXCEPT {keys} members_{item.name}").localCheckpoint()
    left.createOrReplaceTempView(f"left_{item.name}")
    session.sql(f"INSERT OVERWRITE {path} SELECT * FROM members_{item.name}")
    return not left.isEmpty()


def _asked(session: SparkSession, catalog: Catalog, item: Dimension, changed: Mapping[str, Changed]) -> str:
    """Return the query of keys that accepted events have: those that a run writes, and all that had a placeholder.

    Where a run has changed rows that led to a placeholder, all rows are asked whether they still have its key.
    """
    lakehouse = catalog.lakehouse
    key = lakehouse.reference(item.reference).key
    ways = [
        (lakehouse.event(fact.event), lookup.field)
        for fact in lakehouse.facts
        for lookup in fact.lookups
        if lookup.dimension == item.name
    ]

    def keys(prefix: str, *, had_before: bool = False) -> list[str]:
        """Return the queries of keys in views of changed events."""
        return [
            f"SELECT `{field}` AS key FROM {prefix}_{event.name} WHERE NOT is_rejected AND `{field}` IS NOT NULL"
            for event, field in ways
            if event.name in changed and (changed[event.name].had_before or not had_before)
        ]

    now, placeholders = keys("after"), f"{catalog.path(tables.dimension(lakehouse, item))} WHERE is_placeholder"
    kept = f"SELECT `{key}` AS key FROM {placeholders}"
    if before := keys("before", had_before=True):
        doubtful = f"{kept} INTERSECT ({' UNION ALL '.join(before)})"
        doubted = session.sql(f"{doubtful} EXCEPT ({' UNION ALL '.join(now)})").localCheckpoint()
        doubted.createOrReplaceTempView(f"doubted_{item.name}")
        if not doubted.isEmpty():
            still = " UNION ALL ".join(
                f"SELECT `{field}` AS key FROM {catalog.path(tables.silver(event))} WHERE NOT is_rejected"
                f" AND `{field}` IN (TABLE doubted_{item.name})"
                for event, field in ways
            )
            kept = f"{kept} AND `{key}` NOT IN (TABLE doubted_{item.name}) UNION ALL {still}"
    return " UNION ALL ".join([*now, kept])


def fact(session: SparkSession, catalog: Catalog, item: Fact, changed: Changed) -> None:
    """Write the rows of a fact that a run has changed; what is rejected by now is taken out."""
    lakehouse, path = catalog.lakehouse, catalog.path(tables.fact(catalog.lakehouse, item))
    event = lakehouse.event(item.event)
    local = f"from_utc_timestamp(CAST(source.`{event.time}` AS TIMESTAMP_LTZ), '{lakehouse.time_zone}')"
    local = f"CAST({local} AS TIMESTAMP_NTZ)"
    joins, keys = "", []
    for number, lookup in enumerate(item.lookups):
        dimension = lakehouse.dimension(lookup.dimension)
        member = f"member_{number}"
        natural = dimension.attributes[0]
        joins += (
            f" LEFT JOIN {catalog.path(tables.dimension(lakehouse, dimension))} {member}"
            f" ON {member}.`{natural}` = source.`{lookup.field}`"
            f" AND source.`{event.time}` >= {member}.valid_from AND source.`{event.time}` < {member}.valid_to"
        )
        keys.append(f"coalesce({member}.{dimension.key}, '{tables.UNKNOWN}') AS {lookup.column}")
    fields = ", ".join(f"source.`{field.name}`" for field in event.fields)
    looked_up = "".join(f", {key}" for key in keys)
    gone = " OR coalesce(source.is_deleted, false)" if event.can_be_deleted else ""
    session.sql(f"""
SELECT source.is_rejected{gone} AS is_rejected, md5(source.record_id) AS transaction_sk,
    date_format({local}, 'yyyyMMdd') AS date_sk,
    hour({local}) * 3600 + minute({local}) * 60 + second({local}) AS time_sk{looked_up}, {fields}
FROM after_{event.name} source{joins}""").createOrReplaceTempView(f"rows_{item.name}")
    names = [f"`{name}`" for name in tables.fact(lakehouse, item).names]
    if not changed.had_before:
        session.sql(f"INSERT INTO {path} SELECT {', '.join(names)} FROM rows_{item.name} WHERE NOT is_rejected")
        return
    sets = ", ".join(f"t.{name} = s.{name}" for name in names)
    values = ", ".join(f"s.{name}" for name in names)
    assert changed.touched is not None  # noqa: S101 - of an event
    where = changed.touched.condition(f"t.`{event.time}`")
    session.sql(
        f"MERGE INTO {path} t USING rows_{item.name} s ON t.transaction_sk = s.transaction_sk AND {where}"
        f" WHEN MATCHED AND s.is_rejected THEN DELETE WHEN MATCHED THEN UPDATE SET {sets}"
        f" WHEN NOT MATCHED AND NOT s.is_rejected THEN INSERT ({', '.join(names)}) VALUES ({values})"
    )


def dates(session: SparkSession, catalog: Catalog) -> None:
    """Write a row for every day from the first to the last that a fact has, if they are not there.

    The facts' metadata says which days each file has: none is opened.
    """
    lakehouse, path = catalog.lakehouse, catalog.path(tables.DIM_DATE)
    parts = [
        "SELECT min(readable_metrics.date_sk.lower_bound) AS first, max(readable_metrics.date_sk.upper_bound) AS last"
        f" FROM {catalog.path(tables.fact(lakehouse, item))}.files"
        for item in lakehouse.facts
    ]
    session.sql(f"""
SELECT date_format(day, 'yyyyMMdd') AS date_sk, day AS date_value, year(day) AS year, month(day) AS month,
    day(day) AS day, date_format(day, 'EEEE') AS day_of_week, dayofweek(day) IN (6, 7) AS is_weekend
FROM (SELECT explode(sequence(to_date(first, 'yyyyMMdd'), to_date(last, 'yyyyMMdd'))) AS day
      FROM (SELECT min(first) AS first, max(last) AS last FROM ({" UNION ALL ".join(parts)})) WHERE first IS NOT NULL)
""").coalesce(1).createOrReplaceTempView("days")
    there, wanted = (f"SELECT date_sk FROM {source}" for source in (path, "days"))
    if session.sql(f"({wanted} EXCEPT {there}) UNION ALL ({there} EXCEPT {wanted})").first():
        session.sql(f"INSERT OVERWRITE {path} SELECT * FROM days")


def times(session: SparkSession, catalog: Catalog) -> None:
    """Write the seconds of a day, once."""
    path = catalog.path(tables.DIM_TIME)
    if session.table(path).isEmpty():
        session.sql(f"""
INSERT INTO {path} SELECT CAST(id AS INT), CAST(id DIV 3600 AS INT), CAST(id DIV 60 % 60 AS INT), CAST(id % 60 AS INT),
    CASE WHEN id < 21600 THEN 'night' WHEN id < 43200 THEN 'morning' WHEN id < 64800 THEN 'afternoon' ELSE 'evening' END
FROM range(0, 86400, 1, 1)""")
