"""What Trino answers, sorted: what may pass is tried again, what is the statement's fault is not."""

from __future__ import annotations

import pytest
from trino.exceptions import TrinoQueryError

from engines.trino import may_pass

DRIVER = "com.datastax.oss.driver.api.core"


def internal(*types: str) -> TrinoQueryError:
    """Return an internal error as Trino sends it. types: of the failure, and of what caused it."""
    failure: dict[str, object] | None = None
    for name in reversed(types):
        failure = {"type": name, "cause": failure} if failure else {"type": name}
    return TrinoQueryError(
        {"errorType": "INTERNAL_ERROR", "errorName": "GENERIC_INTERNAL_ERROR", "failureInfo": failure}, "q"
    )


@pytest.mark.parametrize(
    "types",
    [
        (f"{DRIVER}.NoNodeAvailableException",),  # as seen when Cassandra was killed under a query
        ("java.lang.RuntimeException", f"{DRIVER}.servererrors.ReadTimeoutException"),
    ],
)
def test_cassandra_that_went_away_under_a_query_may_come_back(types: tuple[str, ...]) -> None:
    assert may_pass(internal(*types))


@pytest.mark.parametrize(
    "types",
    [(), ("java.lang.NullPointerException",), ("x.Y", f"{DRIVER}.servererrors.InvalidQueryException")],
)
def test_other_internal_errors_do_not_pass_by_themselves(types: tuple[str, ...]) -> None:
    assert not may_pass(internal(*types))


@pytest.mark.parametrize(
    ("kind", "name", "passes"),
    [
        ("EXTERNAL", "HIVE_METASTORE_ERROR", True),
        ("INSUFFICIENT_RESOURCES", "EXCEEDED_TIME_LIMIT", True),
        ("INTERNAL_ERROR", "SERVER_STARTING_UP", True),
        ("USER_ERROR", "TABLE_NOT_FOUND", False),
    ],
)
def test_the_kind_of_an_error_decides(kind: str, name: str, passes: bool) -> None:
    assert may_pass(TrinoQueryError({"errorType": kind, "errorName": name}, "q")) is passes
