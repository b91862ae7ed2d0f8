"""Queries as of an earlier time."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlglot

from meterlake.errors import UsageError
from meterlake.time_travel import as_of

pytestmark = pytest.mark.unit

MOMENT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
THEN = "FOR TIMESTAMP AS OF CAST('2026-11-25 09:30:00.000000 UTC' AS TIMESTAMP(6) WITH TIME ZONE)"


def test_every_table_is_read_as_it_was() -> None:
    sql = "WITH a AS (SELECT * FROM delta.presentation.p) SELECT * FROM a JOIN iceberg.master.m AS b ON a.x = b.x"
    assert as_of(sql, MOMENT) == (
        f"WITH a AS (SELECT * FROM delta.presentation.p {THEN}) SELECT * FROM a JOIN iceberg.master.m {THEN} AS b"
        " ON a.x = b.x"
    )
    assert as_of(as_of(sql, MOMENT), MOMENT) == as_of(sql, MOMENT)
    assert sqlglot.parse_one(as_of(sql, MOMENT), read="trino")


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT * FROM hive.batch.household_day", "hive.batch.household_day keeps no versions"),
        ("SELECT * FROM delta.a.b JOIN batch.household_day ON true", "batch.household_day keeps no versions"),
        ("SELECT 1", "reads no table"),
        ("DELETE FROM delta.a.b", "Only a query"),
        ("SELECT FROM WHERE", "cannot be read"),
    ],
)
def test_what_has_no_past_is_refused(sql: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        as_of(sql, MOMENT)
