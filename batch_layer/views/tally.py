"""What is counted while readings pass: how many have which verdict, and what the used ones sum up to.

What the views must add up to is known from here, independently of how readings are grouped and written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.verdicts import VERDICT
from meterlake import rules, state
from meterlake.precedence import VERDICTS, Balance
from meterlake.validation import measure_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from meterlake.declaration import MeterSeries


@dataclass(frozen=True)
class Counted:
    """Readings by verdict, and the sums of the used ones; both are counts that add up."""

    figures: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counted) -> Counted:
        return Counted({name: self._of(name) + other._of(name) for name in {*self.figures, *other.figures}})

    def __sub__(self, other: Counted) -> Counted:
        return Counted({name: self._of(name) - other._of(name) for name in {*self.figures, *other.figures}})

    @property
    def readings(self) -> int:
        """Of whatever verdict."""
        return sum(self._of(name) for name in VERDICTS)

    def balance(self, read: int) -> Balance:
        """Return the counts by verdict. read: how many readings there are, counted elsewhere."""
        return Balance(read, **{name: self._of(name) for name in VERDICTS})

    def sums(self, dataset: MeterSeries) -> dict[str, int]:
        """Return what the views' readings, seconds, flags and measures must sum up to."""
        return {"readings": self._of("used")} | {name: self._of(name) for name in sum_names(dataset)}

    def _of(self, name: str) -> int:
        return self.figures.get(name, 0)


class Tally:
    """Watches judged readings; knows the counts and sums once a query has read all of them."""

    def __init__(self, dataset: MeterSeries) -> None:
        self._dataset, self._seen = dataset, Observation()

    def watch(self, rows: DataFrame) -> DataFrame:
        """Return the rows, which are of ``with_units``, as they are; to be used once, in one query."""
        counts = [F.count_if(F.col(VERDICT) == name).alias(name) for name in VERDICTS]
        covered = F.sum(F.when(F.col(VERDICT) == "used", F.col(self._dataset.interval))).alias("covered_s")
        summed = [
            F.expr(sql).alias(name)
            for name, sql in state.state_aggregates(self._dataset, "spark")
            if name in sum_names(self._dataset) and name != "covered_s"
        ]
        return rows.observe(self._seen, *counts, covered, *summed)

    def counted(self) -> Counted:
        """Return what was seen."""
        return Counted({name: int(value or 0) for name, value in self._seen.get.items()})


def with_units(judged: DataFrame, dataset: MeterSeries) -> DataFrame:
    """Return readings with ``flagged`` and their values in units: of those that are used; of others NULL.

    The values of others may not even fit into units.
    """
    used = F.col(VERDICT) == "used"
    return judged.withColumns({name: F.when(used, value) for name, value in _taken(dataset)})


def sum_names(dataset: MeterSeries) -> list[str]:
    """Return the state's columns that add up, beside the number of readings."""
    return ["covered_s", "flagged", *(measure_columns(measure)[0] for measure in dataset.measures)]


def _taken(dataset: MeterSeries) -> list[tuple[str, Column]]:
    flagged = F.expr(f"CAST({rules.flagged_sql(dataset, 'spark')} AS BIGINT)")
    return [("flagged", flagged), *((name, F.expr(sql)) for name, sql in state.unit_columns(dataset))]
