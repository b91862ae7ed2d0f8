"""Timelines of validity, what meters are assigned, and the checks of declarations."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from meterlake.assignments import EVER, NEVER, assignments, empty_periods
from meterlake.columns import DATE, INT, STRING, Column, decimal
from meterlake.declaration import Amount, MeterSeries, View, per_hour
from meterlake.errors import DeclarationError, UnknownName
from meterlake.presentation import Assignment, Lookup, Presentation, PresentationTable, ReferenceTable, staging_columns
from meterlake.validity import FOREVER, Period, Piece, timeline

pytestmark = pytest.mark.unit

SERIES = MeterSeries(
    name="half",
    time_zone="Europe/London",
    intervals=("30 min",),
    measures=(Amount("consumption", "kWh", "0.001", between=per_hour(0, 100)),),
    views=(View("30 min"), View("day")),
)
CONTRACT = ReferenceTable(
    name="contract",
    key=("contract_id",),
    columns=(
        Column("contract_id", INT),
        Column("begins", DATE),
        Column("ends", DATE, nullable=True),
        Column("tariff_id", STRING),
        Column("point", STRING),
    ),
)
TARIFF = ReferenceTable(
    name="tariff", key=("tariff_id",), columns=(Column("tariff_id", STRING), Column("label", STRING))
)
POINT = ReferenceTable(name="point", key=("point",), columns=(Column("point", STRING), Column("region", STRING)))
PER_DAY = PresentationTable(
    name="per_day",
    grain="a tariff and local day",
    keys=("day", "tariff_id"),
    columns=(Column("day", DATE), Column("tariff_id", STRING), Column("kwh", decimal(3))),
    sql="SELECT day, tariff_id, sum(consumption_sum) AS kwh FROM staging GROUP BY day, tariff_id",
)
PRESENTATION = Presentation(
    references=(CONTRACT, TARIFF, POINT),
    assignment=Assignment(
        reference="contract",
        meter="point",
        begin="begins",
        end="ends",
        id="contract_id",
        columns=("contract_id", "tariff_id"),
    ),
    lookups=(
        Lookup(reference="tariff", on="tariff_id", columns=("label",)),
        Lookup(reference="point", on="meter_id", columns=("region",)),
    ),
    tables=(PER_DAY,),
)


def day(number: int) -> date:
    return date(2021, 1, number)


def period(begin: int, end: int | None, row: int) -> Period:
    return Period(day(begin), None if end is None else day(end), row)


def pieces(*periods: Period) -> list[tuple[date, date, int, bool]]:
    return [(one.begin, one.end, one.period.id, one.overlapping) for one in timeline(periods)]


def test_a_period_ends_before_its_end_and_a_handover_has_one_owner() -> None:
    assert pieces(period(1, 3, 1), period(3, None, 2)) == [(day(1), day(3), 1, False), (day(3), FOREVER, 2, False)]


def test_the_one_that_began_last_counts_then_the_highest_id() -> None:
    assert pieces(period(1, 9, 5), period(4, 6, 1)) == [
        (day(1), day(4), 5, False),
        (day(4), day(6), 1, True),
        (day(6), day(9), 5, False),
    ]
    assert pieces(period(1, 5, 2), period(1, 5, 10), period(1, 4, 9)) == [(day(1), day(5), 10, True)]


def test_what_ends_when_it_begins_never_counts_and_gaps_stay() -> None:
    assert pieces(period(2, 2, 9), period(3, 2, 8)) == []
    assert pieces(period(2, 2, 9), period(1, 3, 1), period(5, 6, 2)) == [
        (day(1), day(3), 1, False),
        (day(5), day(6), 2, False),
    ]
    assert timeline([]) == []


def test_pieces_that_only_touch_others_are_joined() -> None:
    assert timeline([period(1, 9, 5), period(3, 3, 7)]) == [Piece(day(1), day(9), period(1, 9, 5), False)]


def rows(*contracts: tuple[int, date, date | None, str, str]) -> dict[str, list[dict[str, Any]]]:
    names = [column.name for column in CONTRACT.columns]
    return {
        "contract": [dict(zip(names, contract, strict=True)) for contract in contracts],
        "tariff": [{"tariff_id": "t1", "label": "Flat"}, {"tariff_id": "t2", "label": "Night"}],
        "point": [{"point": "m1", "region": "North"}, {"point": "m9", "region": "South"}],
    }


FIRST = rows((1, date(2021, 1, 1), date(2021, 3, 28), "t1", "m1"), (2, date(2021, 3, 28), None, "t9", "m1"))
HANDOVER = datetime(2021, 3, 28)  # noqa: DTZ001 - midnight in London is that of UTC until one o'clock of this day


def test_each_known_meter_has_a_whole_timeline_with_flags() -> None:
    result = assignments(SERIES, PRESENTATION, FIRST)
    assert result.columns == (
        "contract_id", "tariff_id", "label", "region",
        "no_contract", "overlapping_contract", "unknown_tariff", "unknown_point",
    )  # fmt: skip
    began = datetime(2021, 1, 1)  # noqa: DTZ001
    assert result.rows() == [
        ("m1", EVER, began, None, None, None, "North", True, False, False, False),
        ("m1", began, HANDOVER, 1, "t1", "Flat", "North", False, False, False, False),
        ("m1", HANDOVER, NEVER, 2, "t9", None, "North", False, False, True, False),
        ("m9", EVER, NEVER, None, None, None, "South", True, False, False, False),
    ]


def test_local_midnight_of_summer_is_an_hour_earlier() -> None:
    some = rows((1, date(2021, 6, 1), None, "t1", "m7"))
    result = assignments(SERIES, PRESENTATION, some).stretches["m7"]
    assert [one.begin for one in result] == [EVER, datetime(2021, 5, 31, 23)]  # noqa: DTZ001
    assert result[1].what == (1, "t1", "Flat", None, False, False, False, True)


def test_a_correction_touches_its_own_time_only() -> None:
    before = assignments(SERIES, PRESENTATION, FIRST)
    moved = rows((1, date(2021, 1, 1), date(2021, 3, 27), "t1", "m1"), (2, date(2021, 3, 27), None, "t9", "m1"))
    after = assignments(SERIES, PRESENTATION, moved)
    assert after.differing(before) == [("m1", datetime(2021, 3, 27), HANDOVER)]  # noqa: DTZ001
    assert before.differing(before) == []
    gone = assignments(SERIES, PRESENTATION, {**FIRST, "point": FIRST["point"][:1]})
    assert gone.differing(before) == [("m9", EVER, NEVER)]


def test_rows_that_are_valid_at_no_time_are_counted() -> None:
    some = rows((1, day(2), day(2), "t1", "m1"), (2, day(3), day(2), "t1", "m1"), (3, day(3), None, "t1", "m1"))
    assert empty_periods(PRESENTATION, some) == 2


def test_staging_has_the_readings_and_all_that_was_joined() -> None:
    names = [column.name for column in staging_columns(SERIES, PRESENTATION)]
    assert names[:9] == [
        "meter_id", "interval_start", "interval_end", "local_start", "local_end", "day", "settlement_period",
        "covered_s", "flagged",
    ]  # fmt: skip
    assert names[9] == "consumption_sum"


def test_sql_is_written_once_and_its_columns_are_declared() -> None:
    assert PER_DAY.reads == ("staging",)
    assert PER_DAY.select("duckdb").startswith("SELECT day, tariff_id, SUM(consumption_sum) AS kwh FROM staging")
    with pytest.raises(DeclarationError, match="its SQL yields day, tariff_id, kwh; its columns are day, kwh"):
        replace(PER_DAY, columns=(Column("day", DATE), Column("kwh", decimal(3))))
    with pytest.raises(DeclarationError, match="its SQL is no SELECT"):
        replace(PER_DAY, sql="DROP TABLE staging")
    with pytest.raises(DeclarationError, match="lack 'day'"):
        replace(PER_DAY, keys=("tariff_id",))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tables": (replace(PER_DAY, sql=PER_DAY.sql.replace("staging", "contract")),)}, "relation 'contract'"),
        ({"lookups": (Lookup(reference="tariff", on="tariff_id", columns=("price",)),)}, "column 'price'"),
        ({"assignment": replace(PRESENTATION.assignment, begin="tariff_id")}, "'tariff_id' is no date"),
        ({"assignment": replace(PRESENTATION.assignment, columns=("tariff_id",))}, "lacks its id 'contract_id'"),
        ({"tables": (PER_DAY, PER_DAY)}, "'per_day' occurs 2 times"),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        replace(PRESENTATION, **change)


def test_unknown_references_are_listed() -> None:
    with pytest.raises(UnknownName, match="Known: contract, point, tariff"):
        PRESENTATION.reference("contracts")
