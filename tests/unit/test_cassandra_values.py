"""Rows bound by the column are, byte by byte, what the driver makes of each row."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from cassandra import cqltypes
from cassandra.protocol import ColumnMetadata
from cassandra.query import PreparedStatement
from hypothesis import given
from hypothesis import strategies as st

from engines import cassandra_values

pytestmark = pytest.mark.unit

LONG = st.integers(-(2**63), 2**63 - 1)
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    cqltypes.UTF8Type: st.text(max_size=5),
    cqltypes.DoubleType: st.floats() | st.sampled_from([0.0, -0.0]),
    cqltypes.LongType: LONG,
    cqltypes.TimestampType: st.integers(-(10**14), 10**14),
    cqltypes.Int32Type: st.integers(-(2**31), 2**31 - 1),
}
NAMES = [f"c{number}" for number in range(2 * len(KINDS))]
COLUMNS = [ColumnMetadata("speed", "t", name, kind) for name, kind in zip(NAMES, [*KINDS, *KINDS], strict=True)]
STATEMENT = PreparedStatement(COLUMNS, b"id", [0], "INSERT", "speed", 5, None, None)
# The second column of each type may be empty.
ROWS = st.lists(st.tuples(*KINDS.values(), *(values | st.none() for values in KINDS.values())), max_size=20)


@given(ROWS)
def test_rows_bound_by_the_column_are_what_the_driver_makes_of_each(rows: list[tuple[Any, ...]]) -> None:
    result = cassandra_values.bound(STATEMENT, rows)
    assert [list(one.values) for one in result] == [STATEMENT.bind(row).values for row in rows]
    assert [one.routing_key for one in result] == [STATEMENT.bind(row).routing_key for row in rows]


def test_what_does_not_fit_a_column_is_refused_and_not_rounded() -> None:
    row = ("m", 1.5, 1, 2, 3)
    for at, wrong in ((2, 1.5), (2, 2**63), (4, 2**31)):
        odd = (*row[:at], wrong, *row[at + 1 :], *(None,) * len(KINDS))
        with pytest.raises((TypeError, OverflowError, struct.error)):
            cassandra_values.bound(STATEMENT, [odd])
