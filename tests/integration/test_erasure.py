"""Rows that somebody deletes from the master by SQL: the next run's views are without them, and all else stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from batch_samples import DATASET as SAMPLE
from batch_samples import DAYS, NEW_DAY, expected, fresh, load, readings, run, seen
from pyspark.sql import SparkSession

from engines import trino
from meterlake.reading import Reading
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DATASET = replace(SAMPLE, name="erasure_test")
MASTER = f"iceberg.master.{DATASET.name}"


@pytest.fixture(scope="module")
def session(stack: Instance, settings: Settings) -> Iterator[SparkSession]:
    with fresh(settings, DATASET) as result:
        yield result


def views_hold(settings: Settings, rows: list[Reading]) -> None:
    for grain in ("minute", "hour", "day"):
        assert seen(settings, grain, DATASET) == expected(rows, grain)
    meters = trino.rows(settings, f"SELECT DISTINCT meter_id FROM hive.batch.{DATASET.name}_gaps ORDER BY 1")  # noqa: S608
    assert [meter for (meter,) in meters] == sorted({row.meter_id for row in rows})


def balanced(result: dict[str, Any], read: int) -> None:
    assert (result["result"], result["read"], result["used"]) == ("published", read, read)


def test_a_meter_and_a_day_are_erased_and_come_back(session: SparkSession, settings: Settings) -> None:
    every = [row for day in DAYS for row in readings(day)]
    load(session, settings, every, DATASET)
    balanced(run(settings, DATASET), len(every))
    views_hold(settings, every)

    # Row-level delete files, as Trino writes them, which cannot commit to Iceberg where the metastore is on Derby. Both
    # meters share each data file.
    session.sql(f"ALTER TABLE {MASTER} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    session.sql(f"DELETE FROM {MASTER} WHERE meter_id = 'a'")  # noqa: S608
    left = [row for row in every if row.meter_id == "b"]
    assert run(settings, DATASET)["result"] == "published"
    views_hold(settings, left)
    assert run(settings, DATASET)["result"] == "nothing has changed"
    balanced(run(settings, DATASET, full=True), len(left))
    views_hold(settings, left)

    # Files written again without the rows.
    session.sql(f"ALTER TABLE {MASTER} SET TBLPROPERTIES ('write.delete.mode' = 'copy-on-write')")
    session.sql(f"DELETE FROM {MASTER} WHERE CAST(ts AS DATE) = DATE '{DAYS[0]}'")  # noqa: S608
    left = [row for row in left if row not in readings(DAYS[0])]
    assert run(settings, DATASET)["result"] == "published"
    views_hold(settings, left)

    # New readings, of the erased meter too, in the run after a deletion.
    session.sql(f"ALTER TABLE {MASTER} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    session.sql(f"DELETE FROM {MASTER} WHERE CAST(ts AS DATE) = DATE '{DAYS[2]}'")  # noqa: S608
    load(session, settings, readings(NEW_DAY), DATASET)
    left = [*(row for row in left if row not in readings(DAYS[2])), *readings(NEW_DAY)]
    assert run(settings, DATASET)["result"] == "published"
    views_hold(settings, left)
    balanced(run(settings, DATASET, full=True), len(left))
