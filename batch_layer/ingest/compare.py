"""What files say about times of which there are readings already, in the master data set or in another file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake.precedence import gap_sql, key_columns, order_sql
from meterlake.state import unit_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries

_HELD: Final = "held_"


@dataclass(frozen=True)
class Overlap:
    """Readings of a file whose meter, start and length are in the master already.

    same: their values are those that count there. differing: they are others. first, last: of the differing ones.
    meter, file, held: of the first of them: the file of the load, and the file or topic of the reading that was there.
    """

    same: int = 0
    differing: int = 0
    first: datetime | None = None
    last: datetime | None = None
    meter: str = ""
    file: str = ""
    held: str = ""


@dataclass(frozen=True)
class Conflicts:
    """Readings of a load that lose against others of the same meter, start and length in another of its files.

    meter, time, counting, losing: of the first of them, by time; the last two are names of files.
    """

    readings: int = 0
    meter: str = ""
    time: datetime | None = None
    counting: str = ""
    losing: str = ""


def conflicts(mine: DataFrame, dataset: MeterSeries, paths: Mapping[str, str]) -> Conflicts:
    """Return where the files of a load contradict each other. paths: load id -> file."""
    if len(paths) < 2 or not _cross(mine, dataset):
        return Conflicts()
    units = [name for name, _ in unit_columns(dataset)]
    rows = mine.select("*", *(F.expr(sql).alias(name) for name, sql in unit_columns(dataset)))
    first = f"first_value(struct(load_id, {', '.join(units)})) {_over(dataset)}"
    differ = " OR ".join(f"NOT ({name} <=> counting.{name})" for name in units)
    lost = rows.select("*", F.expr(first).alias("counting")).where(
        f"load_id <> counting.load_id AND ({differ}) AND NOT ({gap_sql(dataset)})"
    )
    time = dataset.event_time
    example = f"min_by(struct({dataset.key} AS meter, counting.load_id AS counting, load_id AS losing), {time})"
    row = lost.agg(F.count(F.lit(1)), F.min(time), F.expr(example)).collect()[0]
    if not row[0]:
        return Conflicts()
    one = row[2]
    return Conflicts(row[0], one.meter, row[1], paths[one.counting], paths[one.losing])


def _cross(mine: DataFrame, dataset: MeterSeries) -> bool:
    """Return whether two files have readings of one meter whose times can be the same."""
    time = F.col(dataset.event_time)
    spans = mine.groupBy(dataset.key, "load_id").agg(F.min(time).alias("first"), F.max(time).alias("last"))
    before = (
        f"max(last) OVER (PARTITION BY {dataset.key} ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    return bool(spans.select("first", F.expr(before).alias("before")).where("first <= before").head(1))


def overlap(
    held: DataFrame, mine: DataFrame, dataset: MeterSeries, paths: Mapping[str, str]
) -> tuple[Overlap, dict[str, int]]:
    """Compare readings with those that count among ``held``, in units. Both have the columns of the master.

    paths: load id -> file. Returns also of each load id how many are the same.
    """
    keys, units = key_columns(dataset), [name for name, _ in unit_columns(dataset)]
    compared = [F.col(name).alias(f"{_HELD}{name}") for name in (*units, "origin")]
    there = _counting(held, dataset).select(*keys, *compared)
    both = _counting(mine, dataset).join(there, list(keys))
    equal = F.expr(" AND ".join(f"{name} <=> {_HELD}{name}" for name in units))
    time = F.when(~equal, F.col(dataset.event_time))
    example = F.min_by(F.struct(F.col(dataset.key).alias("meter"), F.col(f"{_HELD}origin").alias("origin")), time)
    rows = (
        both.groupBy("load_id")
        .agg(
            F.count_if(equal).alias("same"),
            F.count_if(~equal).alias("differing"),
            F.min(time).alias("first"),
            F.max(time).alias("last"),
            example.alias("example"),
        )
        .collect()
    )
    result, differing = Overlap(sum(row.same for row in rows)), [row for row in rows if row.differing]
    if differing:
        one = min(differing, key=lambda row: (row["first"], paths[row.load_id]))
        result = Overlap(
            result.same,
            sum(row.differing for row in differing),
            one["first"],
            max(row["last"] for row in differing),
            one.example.meter,
            paths[one.load_id],
            unquote(one.example.origin),
        )
    return result, {row.load_id: row.same for row in rows}


def highest_revision(held: DataFrame) -> int:
    """Return the highest revision among readings; -1 where there are none."""
    highest: int = held.agg(F.coalesce(F.max("revision"), F.lit(-1))).collect()[0][0]
    return highest


def _counting(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return of each key the reading that counts, with its values in units."""
    units = [F.expr(sql).alias(name) for name, sql in unit_columns(dataset)]
    first = rows.select("*", F.expr(f"row_number() {_over(dataset)}").alias("place")).where("place = 1")
    return first.select(*key_columns(dataset), "load_id", "origin", *units)


def _over(dataset: MeterSeries) -> str:
    return f"OVER (PARTITION BY {', '.join(key_columns(dataset))} ORDER BY {', '.join(order_sql(dataset))})"
