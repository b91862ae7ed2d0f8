"""Reconciliation in pieces, within a budget; what is left is said, and resumed as far as speed rows live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlglot
from sqlglot import expressions as exp

from datasets.household.declaration import HOUSEHOLD
from meterlake.settings import Settings
from meterlake.validation import STATE_COLUMNS, measure_columns
from serving_layer.reconcile.compare import Piece, compare_sql
from serving_layer.reconcile.reconcile import Pending, reconcile

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)
END = BEGIN + timedelta(hours=8)
LEFT = Pending(BEGIN, END, "b").recorded("Trino is away.")


def test_without_time_nothing_is_asked_and_all_is_pending() -> None:
    result = reconcile(Settings(reconcile_budget=timedelta(0), port_offset=20_000), HOUSEHOLD, (BEGIN, END), 1)
    assert result["pending"] == {
        "since": BEGIN.isoformat(),
        "until": (BEGIN + timedelta(hours=6)).isoformat(),
        "meter": "",
        "reason": "There was more to compare than can be done in 0 s.",
    }
    assert {count for count in result.values() if isinstance(count, int)} == {0}


def test_a_server_that_is_away_leaves_it_pending_and_raises_nothing() -> None:
    result = reconcile(Settings(port_offset=20_000), HOUSEHOLD, (BEGIN, END), 1, Pending(BEGIN, END, "b"))
    assert result["pending"] | {"reason": ""} == LEFT | {"reason": ""}
    assert "Trino at http://127.0.0.1:28080 does not answer" in result["pending"]["reason"]


@pytest.mark.parametrize(
    ("living", "cutover", "left"),
    [
        (BEGIN - timedelta(days=1), END, Pending(BEGIN, END, "b")),
        (BEGIN + timedelta(hours=1), END, Pending(BEGIN + timedelta(hours=1), END, "b")),
        (BEGIN, BEGIN + timedelta(hours=2), Pending(BEGIN, BEGIN + timedelta(hours=2), "b")),  # a roll-back
        (END, END, None),  # the speed rows have expired
        (BEGIN, BEGIN, None),
    ],
)
def test_what_is_left_is_resumed_as_far_as_both_layers_have_it(
    living: datetime, cutover: datetime, left: Pending | None
) -> None:
    assert Pending.of({"pending": LEFT}, living, cutover) == left
    assert Pending.of({}, living, cutover) is None


def test_a_piece_is_one_statement_that_asks_both_layers_by_key() -> None:
    sql = compare_sql(HOUSEHOLD, Piece(["a", "b"], BEGIN, END), 5000)
    tree = sqlglot.parse_one(sql, dialect="trino")
    assert len(list(tree.find_all(exp.Placeholder))) == 4
    assert "day IN ('2026-11-26', '2026-11-27')" in sql
    assert "month BETWEEN '2026-11' AND '2026-11'" in sql
    assert "minute >= TIMESTAMP '2026-11-26 23:30:00 UTC'" in sql
    compared = [result.this.name for result in tree.find_all(exp.NullSafeEQ)]
    measures = [name for measure in HOUSEHOLD.measures for name in measure_columns(measure)]
    assert sorted(compared) == sorted([*STATE_COLUMNS, *measures])
