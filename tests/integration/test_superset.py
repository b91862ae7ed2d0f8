"""Superset itself: its administrator asks Trino, of the same stack, through its REST API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meterlake.settings import Settings
from stack import extra
from stack.instance import Instance
from stack.services.superset import SUPERSET, login

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def superset(stack: Instance) -> Iterator[Instance]:
    """Superset, up."""
    extra.up(SUPERSET, stack)
    try:
        yield stack
    finally:
        extra.down(SUPERSET, stack)


def test_the_administrator_asks_trino(superset: Instance) -> None:
    url = SUPERSET.url(superset)
    with login(superset) as session:
        result = session.get(f"{url}/api/v1/database/", timeout=60).json()["result"]
        assert [(one["database_name"], one["backend"]) for one in result] == [("Trino", "trino")]
        question = {
            "database_id": result[0]["id"],
            "sql": "SELECT catalog_name FROM system.metadata.catalogs"
            " WHERE catalog_name IN ('hive', 'lake') ORDER BY 1",
            "client_id": "meterlake",
            "runAsync": False,
        }
        answer = session.post(f"{url}/api/v1/sqllab/execute/", json=question, timeout=120)
    assert answer.status_code == 200, answer.text
    assert [list(row.values()) for row in answer.json()["data"]] == [["hive"], ["lake"]]


def test_a_second_start_keeps_what_is_there_and_takes_another_password(superset: Instance) -> None:
    wrapper = extra.running(SUPERSET, superset)
    assert extra.up(SUPERSET, superset) == SUPERSET.url(superset)
    assert extra.running(SUPERSET, superset) == wrapper
    assert extra.down(SUPERSET, superset)
    assert not extra.healthy(SUPERSET, superset)
    changed = Settings(**{**superset.settings.model_dump(), "superset_password": "another one"})
    again = Instance(changed)
    extra.up(SUPERSET, again)
    assert not extra.healthy(SUPERSET, superset)  # the password of before is not right any more
    with login(again) as session:
        result = session.get(f"{SUPERSET.url(again)}/api/v1/database/", timeout=60).json()
    assert [one["database_name"] for one in result["result"]] == ["Trino"]
