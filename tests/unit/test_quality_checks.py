"""Quality checks as they are declared: names, thresholds, and that each is there once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from datasets.household.declaration import HOUSEHOLD
from meterlake.errors import DeclarationError
from meterlake.quality import Check, Jump, LongGap, Stuck, finding_columns, quality_table

pytestmark = pytest.mark.unit
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ((Stuck("volts", HOUR),), "there is no measure 'volts'"),
        ((Jump("voltage", 0),), "its threshold is 0"),
        ((LongGap(-HOUR),), "its threshold is -3600"),
        ((Stuck("voltage", HOUR), Stuck("voltage", 2 * HOUR)), "declared twice"),
    ],
)
def test_a_wrong_check_is_refused(checks: tuple[Check, ...], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        replace(HOUSEHOLD, quality=checks)


def test_the_table_is_named_after_the_data_set_and_its_key() -> None:
    assert quality_table(HOUSEHOLD) == "household_quality"
    assert [column.name for column in finding_columns(HOUSEHOLD)][:2] == ["meter_id", "finding"]
