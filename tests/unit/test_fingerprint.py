"""A fingerprint changes with what makes a view's rows, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from datasets.household.declaration import HOUSEHOLD
from meterlake.declaration import Flag, Level, Reject
from meterlake.fingerprint import fingerprint

FIRST, *REST = HOUSEHOLD.measures
RULE, *OTHERS = HOUSEHOLD.rules


@pytest.mark.parametrize(
    "change",
    [
        {"rules": (*HOUSEHOLD.rules, Reject("too_high", "voltage > 260"))},
        {"rules": (Flag(RULE.name, RULE.sql), *OTHERS)},
        {"rules": tuple(OTHERS)},
        {"measures": (replace(FIRST, between=(0, 50)), *REST)},
        {"measures": (replace(FIRST, resolution="0.01"), *REST)},
        {"measures": (*HOUSEHOLD.measures, Level("frequency", "Hz", "0.01"))},
        {"intervals": (1, 10, 60)},
        {"time_zone": "Europe/Berlin"},
        {"clock_tolerance": timedelta(minutes=2)},
    ],
)
def test_what_makes_a_row_changes_it(change: dict[str, Any]) -> None:
    assert fingerprint(replace(HOUSEHOLD, **change)) != fingerprint(HOUSEHOLD)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other words"},
        {"derived": HOUSEHOLD.derived[:1]},
        {"rules": (replace(RULE, doc="Explained better."), *OTHERS)},
        {"measures": (replace(FIRST, title="Power"), *REST)},
        {"quality": ()},
    ],
)
def test_words_and_what_is_computed_by_the_reader_do_not(change: dict[str, Any]) -> None:
    assert fingerprint(replace(HOUSEHOLD, **change)) == fingerprint(HOUSEHOLD)
