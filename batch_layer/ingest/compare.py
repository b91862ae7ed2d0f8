"""What a file says about times of which the master data set has readings already: the same, or something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from meterlake.precedence import key_columns, order_sql
from meterlake.state import unit_columns

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries

_HELD: Final = "held_"


@dataclass(frozen=True)
class Overlap:
    """Readings of a file whose meter, start and length are in the master already.

    same: their values are those that count there. differing: they are others. first, last: of the differing ones.
    """

    same: int = 0
    differing: int = 0
    first: datetime | None = None
    last: datetime | None = None


def overlap(held: DataFrame, mine: DataFrame, dataset: MeterSeries) -> Overlap:
    """Compare readings with those that count among ``held``, in units. Both have the columns of the master."""
    keys, units = key_columns(dataset), [name for name, _ in unit_columns(dataset)]
    there = _counting(held, dataset).select(*keys, *(F.col(name).alias(f"{_HELD}{name}") for name in units))
    both = _counting(mine, dataset).join(there, list(keys))
    equal = F.expr(" AND ".join(f"{name} <=> {_HELD}{name}" for name in units))
    time = F.when(~equal, F.col(dataset.event_time))
    row = both.agg(F.count_if(equal), F.count_if(~equal), F.min(time), F.max(time)).collect()[0]
    return Overlap(*row)


def highest_revision(held: DataFrame) -> int:
    """Return the highest revision among readings; -1 where there are none."""
    highest: int = held.agg(F.coalesce(F.max("revision"), F.lit(-1))).collect()[0][0]
    return highest


def _counting(rows: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return of each key the reading that counts, with its values in units."""
    over = f"OVER (PARTITION BY {', '.join(key_columns(dataset))} ORDER BY {', '.join(order_sql(dataset))})"
    units = [F.expr(sql).alias(name) for name, sql in unit_columns(dataset)]
    first = rows.select("*", F.expr(f"row_number() {over}").alias("place")).where("place = 1")
    return first.select(*key_columns(dataset), *units)
