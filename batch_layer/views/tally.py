"""What is counted while readings pass: how many have which verdict, and what the used ones sum up to.

What the views must add up to is known from here, independently of how readings are grouped and written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from engines.verdicts import VERDICT
from meterlake import rules, state
from meterlake.precedence import VERDICTS, Balance
from meterlake.validation import measure_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from meterlake.declaration import MeterSeries


class Tally:
    """Watches judged readings; knows the counts and sums once a query has read all of them."""

    def __init__(self, dataset: MeterSeries) -> None:
        self._dataset, self._seen = dataset, Observation("tally")

    def watch(self, judged: DataFrame) -> DataFrame:
        """Return the readings as they are; to be used once, in one query."""
        dataset, verdict = self._dataset, F.col(VERDICT)
        counts = [F.count_if(verdict == name).alias(name) for name in VERDICTS]
        # The values of others may not even fit into units.
        used = {name: F.when(verdict == "used", F.expr(sql)) for name, sql in _taken(dataset)}
        covered = F.sum(F.when(verdict == "used", F.col(dataset.interval))).alias("covered_s")
        sums = [
            F.expr(sql).alias(name)
            for name, sql in state.state_aggregates(dataset, "spark")
            if name in _summed(dataset)
        ]
        return judged.withColumns(used).observe(self._seen, *counts, covered, *sums).drop(*used)

    def balance(self, read: int) -> Balance:
        """Return the counts by verdict. read: how many readings there are, counted elsewhere."""
        return Balance(read, **{name: int(self._seen.get[name]) for name in VERDICTS})

    def sums(self) -> dict[str, int]:
        """Return what the views' readings, seconds, flags and measures must sum up to."""
        found = self._seen.get
        summed = ["covered_s", *_summed(self._dataset)]
        return {"readings": int(found["used"])} | {name: int(found[name] or 0) for name in summed}


def _summed(dataset: MeterSeries) -> list[str]:
    """Return the state's columns that add up; ``readings`` and ``covered_s`` are counted here."""
    return ["flagged", *(measure_columns(measure)[0] for measure in dataset.measures)]


def _taken(dataset: MeterSeries) -> list[tuple[str, str]]:
    flagged = f"CAST({rules.flagged_sql(dataset, 'spark')} AS BIGINT)"
    return [("flagged", flagged), *state.unit_columns(dataset)]
