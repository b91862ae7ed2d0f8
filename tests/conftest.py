"""What all tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pyspark leave its sockets to the garbage collector, as it does by design; warnings are errors elsewhere."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Collect those sockets within the test that made them."""
    yield
    if "spark" in getattr(item, "fixturenames", ()):
        gc.collect()
