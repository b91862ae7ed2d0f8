"""Which slice and which file of it a row is written to, as Spark's expressions of ``meterlake.slices``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from batch_layer.views.tables import ALL
from meterlake import slices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column, DataFrame

    from batch_layer.views.tables import Table
    from meterlake.slices import Layout, Level

ROWS_A_FILE: Final = 1_500_000
"""Files are cut, at meters, so that they hold about so many rows."""
ROWS_A_TASK: Final = 100_000
"""A slice of at least so many rows is written by two tasks, into two files."""
MISPLACED: Final = "misplaced"
_SAMPLE: Final = 1024
_FILE: Final = "~"
_SECONDS: Final[dict[Level, int]] = {"year": 366 * 86_400, "month": 31 * 86_400, "day": 86_400, "hour": 3600}


@dataclass(frozen=True)
class Fleet:
    """About how many meters there are, and a sample of their names, sorted."""

    meters: int = 0
    sample: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: DataFrame, key: str) -> Fleet:
        """Return the fleet whose rows these are."""
        return cls.of_meters(rows.select(key).distinct(), key)

    @classmethod
    def of_meters(cls, meters: DataFrame, key: str) -> Fleet:
        """Return the fleet of these meters, a row each."""
        counted = Observation()
        seen = meters.select(key).observe(counted, F.count(F.lit(1)).alias("meters"))
        # Those of the smallest hashes are a fair sample, and the same one for the same meters.
        chosen = seen.orderBy(F.xxhash64(key), key).limit(_SAMPLE).collect()
        count = int(counted.get["meters"])
        return cls(count, tuple(sorted(row[0] for row in chosen)) if count > 1 else ())

    def cuts(self, parts: int) -> list[str]:
        """Return the names at which the meters are cut into parts of about the same number."""
        step = len(self.sample) / parts
        return sorted({self.sample[int(step * at)] for at in range(1, parts)} if self.sample else set())


def slice_column(table: Table, layout: Layout, time: str | None = None) -> Column:
    """Return the name of the slice of each row, as ``Layout.slice_of`` gives it.

    time: the column that tells, if it is not the table's own.
    """
    time = time or table.time
    if time is None:
        return F.lit(ALL)
    if layout.smallest == "hour":
        text = F.date_format(F.col(time).cast("timestamp_ntz"), "yyyy-MM-dd'T'HH")
    else:
        text = F.col(time).cast("date").cast("string")

    def name(level: Level) -> Column:
        return F.substring(text, 1, slices.NAME_LENGTH[level])

    cases = [(name(level).isin(_sorted(layout.named[level])), name(level)) for level in layout.levels]
    for level, limit in layout.limits.items():
        old = name("day") < limit.isoformat()
        if level == layout.partition:
            old |= name("day") >= layout.beyond.isoformat()
        cases.append((old & ~name(level).isin(_sorted(layout.split[level])), name(level)))
    return _first_of(cases, name(layout.smallest))


def file_column(table: Table, layout: Layout, fleet: Fleet) -> Column:
    """Return the slice of each row, and the number of the file in it where there are several: ``2026-11~0003``.

    Each file holds a range of meters, which do not overlap.
    """
    name = slice_column(table, layout)
    if table.time is None:
        return F.concat(name, _part(table, fleet.cuts(parts(fleet.meters))))
    counted = {level: parts(fleet.meters * _SECONDS[level] // table.step_s) for level in layout.levels}
    cases = [
        (F.length(name) == slices.NAME_LENGTH[level], F.concat(name, _part(table, fleet.cuts(count))))
        for level, count in counted.items()
        if count > 1
    ]
    return _first_of(cases, name)


def slice_of_file(value: str) -> str:
    """Return the slice in a value of ``file_column``."""
    return value.partition(_FILE)[0]


def parts(rows: int) -> int:
    """Return into how many files a slice of so many rows is written."""
    return max(-(-rows // ROWS_A_FILE), 2 if rows >= ROWS_A_TASK else 1)


def misplaced(table: Table) -> Column:
    """Return, over rows with the ``slice`` that they are in, whether they lie outside it."""
    day = f"CAST({table.time} AS DATE)"
    of_day, hour = f"{day} <=> CAST(left({slices.COLUMN}, 10) AS DATE)", f"hour(CAST({table.time} AS TIMESTAMP_NTZ))"
    within: dict[Level, str] = {
        "hour": f"{of_day} AND {hour} <=> CAST(right({slices.COLUMN}, 2) AS INT)",
        "day": of_day,
        "month": f"trunc({day}, 'MONTH') <=> CAST(concat({slices.COLUMN}, '-01') AS DATE)",
        "year": f"year({day}) <=> CAST({slices.COLUMN} AS INT)",
    }
    cases = " ".join(f"WHEN {slices.NAME_LENGTH[level]} THEN {sql}" for level, sql in within.items())
    return F.expr(f"NOT CASE length({slices.COLUMN}) {cases} ELSE false END").alias(MISPLACED)


def _part(table: Table, cuts: list[str]) -> Column:
    if not cuts:
        return F.lit("")
    number = reduce(add, ((F.col(table.order[0]) >= cut).cast("int") for cut in cuts))
    return F.concat(F.lit(_FILE), F.lpad(number.cast("string"), 4, "0"))


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names)


def _first_of(cases: list[tuple[Column, Column]], otherwise: Column) -> Column:
    result = None
    for condition, value in cases:
        result = F.when(condition, value) if result is None else result.when(condition, value)
    return otherwise if result is None else result.otherwise(otherwise)
