"""Made-up files, databases as sources, and what a run of the presentation computes again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from batch_layer.presentation import changes, references
from batch_layer.presentation.changes import Inputs
from datasets.half_hourly.verification import Truth, good_files
from engines import relational
from engines.relational import BadSource
from meterlake import registry
from meterlake.assignments import EVER, NEVER
from meterlake.columns import BOOLEAN, DATE, INT, STRING, TIMESTAMP, Column, decimal
from meterlake.generator import Made

pytestmark = pytest.mark.unit

LONDON = "Europe/London"
GENERATOR = registry.entry("half_hourly").generator()


def digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*.json"))
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def test_the_same_seed_makes_the_same_files_and_says_what_they_hold(tmp_path: Path) -> None:
    made = [
        GENERATOR.write(Made(tmp_path / name, 60, date(2021, 10, 30), 2, seed)) for name, seed in (("a", 4), ("b", 4))
    ]
    assert made[0] == made[1]
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    GENERATOR.write(Made(tmp_path / "c", 60, date(2021, 10, 30), 2, 5))
    assert digest(tmp_path / "c") != digest(tmp_path / "a")
    counted = made[0]
    truth = Truth(good_files(tmp_path / "a" / "readings"), tmp_path / "a" / "reference.db")
    rows = truth.base.execute("SELECT count(*), count(DISTINCT (meter, start, kwh)) FROM readings").fetchone()
    assert rows == (counted["readings"] + counted["duplicates"], counted["readings"])
    assert counted["missing"] == 6 * (20 + 1)
    assert counted["readings"] == 60 * (48 + 50) - counted["missing"]  # clocks go back on the second day
    meter, kwh = truth.base.execute(
        "SELECT meter, sum(kwh) FROM readings GROUP BY 1 HAVING count(*) = 78 LIMIT 1"
    ).fetchall()[0]
    with closing(sqlite3.connect(tmp_path / "a" / "reference.db")) as base:
        shown = base.execute(
            "SELECT read_at, reading_kwh FROM register_read WHERE meterpoint_id = ? ORDER BY 1", [meter]
        ).fetchall()
    assert isinstance(kwh, Decimal)
    assert [at for at, _ in shown] == ["2021-10-29 23:00:00", "2021-10-30 23:00:00", "2021-11-01 00:00:00"]
    assert Decimal(shown[-1][1]) - Decimal(shown[0][1]) > kwh  # the register has counted what is missing
    tables = truth.tables(date(2021, 10, 31))
    listed = tables["readings_to_look_at"]
    assert len({row[1] for row in listed if row[3]}) == counted["without_agreement"] == 3
    assert len({row[1] for row in listed if row[4]}) == counted["overlapping"] == 2
    assert len({row[1] for row in listed if row[5]}) == counted["unknown"] == 2
    assert {row[2] for row in tables["gold_aggregate_per_half_hour"]} == set(range(1, 51))


def test_clean_files_have_no_traps(tmp_path: Path) -> None:
    counted = GENERATOR.write(Made(tmp_path, 2, date(2021, 1, 1), 1, 1, clean=True))
    traps = ("missing", "duplicates", "without_agreement", "overlapping", "unknown", "handovers", "bad_files")
    assert [counted[name] for name in traps] == [0] * len(traps)
    (first, _) = good_files(tmp_path / "readings")
    rows = json.loads(first.read_text())["data"]
    assert len(rows) == 48
    assert all(0 < kwh <= 20 and round(kwh, 3) == kwh for _, kwh, _ in rows)


COLUMNS = (
    Column("number", INT),
    Column("label", STRING, nullable=True),
    Column("day", DATE, nullable=True),
    Column("price", decimal(4), nullable=True),
    Column("since", TIMESTAMP, nullable=True),
    Column("is_open", BOOLEAN, nullable=True),
)


def a_database(path: Path, *rows: tuple[object, ...]) -> str:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE tariff (number, label, day DATE, price, since, is_open)")
        base.executemany("INSERT INTO tariff VALUES (?, ?, ?, ?, ?, ?)", rows)
    base.close()
    return str(path)


def read(source: str) -> list[tuple[object, ...]]:
    with relational.opened(source) as connection:
        return relational.rows(connection, "tariff", COLUMNS, source)


def test_values_are_those_of_the_declared_types(tmp_path: Path) -> None:
    source = a_database(
        tmp_path / "a b.db", (1, "é", "2021-01-02", "0.1234", "2021-01-02 03:04:05", 1), (2, *[None] * 5)
    )
    wanted = (1, "é", date(2021, 1, 2), Decimal("0.1234"), datetime.fromisoformat("2021-01-02T03:04:05"), True)
    assert read(source) == [wanted, (2, *[None] * 5)]
    assert read(f"sqlite:///{source}") == read(source)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ((1.5, None, None, None, None, None), "row 1: number is 1.5, which is no int"),
        ((1, None, "2/1/2021", None, None, None), "row 1: day is '2/1/2021', which is no date"),
        ((1, None, None, "a lot", None, None), "row 1: price is 'a lot', which is no decimal"),
        ((1, None, None, None, None, 2), "row 1: is_open is 2, which is no boolean"),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path: Path, row: tuple[object, ...], says: str) -> None:
    with pytest.raises(BadSource, match=says):
        read(a_database(tmp_path / "x.db", row))


def test_sources_that_are_none_are_named_without_their_password(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(BadSource, match="no such table: tariff"):
        read(str(tmp_path / "empty.db"))
    with pytest.raises(BadSource, match="is no file"):
        read(str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(BadSource, match="cannot be opened") as error:
        read("nothing://me:secret@host/base")
    assert "secret" not in str(error.value)
    assert relational.shown("postgresql://me:secret@host/base") == "postgresql://me:***@host/base"


def test_a_slice_that_lies_elsewhere_is_computed_again() -> None:
    before = {"month=2021-03/slice=2021-03-27": "a", "month=2021-03/slice=2021-03-28": "b"}
    after = {
        "month=2021-03/slice=2021-03-27": "a",
        "month=2021-03/slice=2021-03-28": "c",
        "month=2021-04/slice=2021-04": "d",
    }
    assert changed(before, after) == ["2021-03-28", "2021-04"]
    assert changed(after, {}) == ["2021-03-27", "2021-03-28", "2021-04"]


def changed(before: dict[str, str], after: dict[str, str], **parts: dict[str, str]) -> list[str]:
    return changes.changed_slices(before, after, lambda folder: parts.get(folder, {}))


def test_a_merge_of_slices_changes_nothing() -> None:
    days = {f"month=2021-03/slice=2021-03-{day}": f"d{day}" for day in (27, 28)}
    month, gone = "month=2021-03/slice=2021-03", dict.fromkeys(days, "views/empty")
    made_of = {"2021-03-27": "d27", "2021-03-28": "d28"}
    new = {"month=2021-04/slice=2021-04-08": "d8"}
    announced = days | {month: "views/empty"} | new
    assert changed(days, announced) == ["2021-04-08"]
    merged = gone | {month: "m"} | new
    assert changed(announced, merged, m=made_of) == []
    assert changed(merged, {month: "m"} | new, m=made_of) == []  # the small ones are dropped
    # Between two runs of ours: a day was written again, the month announced, merged, and its small ones dropped.
    assert changed(days, {month: "m"} | new, m=made_of | {"2021-03-28": "again"}) == ["2021-03-28", "2021-04-08"]
    assert changed({month: "m"}, {month: "later"}, m=made_of) == ["2021-03"]
    assert changed(days, {"month=2021-03/slice=2021-03": "m"}) == ["2021-03", "2021-03-27", "2021-03-28"]
    year, hours = "year=2021/slice=2021", {f"year=2021/slice=2021-03-27T{hour:02}": f"h{hour}" for hour in range(24)}
    inner = {f"2021-03-27T{hour:02}": f"h{hour}" for hour in range(24)}
    assert changed(hours, {year: "y"}, y={"2021-03-27": "d"}, d=inner) == []


def test_slices_of_utc_touch_local_days() -> None:
    assert changes.local_days(["2021-03-27"], LONDON) == (date(2021, 3, 27),)
    assert changes.local_days(["2021-03-28"], LONDON) == (date(2021, 3, 28), date(2021, 3, 29))
    assert changes.local_days(["2021-06-01T22", "2021-06-01T23"], LONDON) == (date(2021, 6, 1), date(2021, 6, 2))
    assert len(changes.local_days(["2021-04"], LONDON)) == 31
    assert len(changes.local_days(["2021"], LONDON)) == 365
    assert changes.local_days([], LONDON) == ()


def test_folders_are_read_where_days_or_corrections_may_lie() -> None:
    folders = {f"month=2021-06/slice=2021-06-0{day}": f"f{day}" for day in range(1, 6)}
    assert changes.folders_with(folders, None, (), LONDON) == ["f1", "f2", "f3", "f4", "f5"]
    assert changes.folders_with(folders, [date(2021, 6, 3)], (), LONDON) == ["f2", "f3"]
    touched = (("m", datetime(2021, 6, 4, 23), NEVER),)  # noqa: DTZ001 - tables hold UTC without zone
    assert changes.folders_with(folders, [], touched, LONDON) == ["f4", "f5"]
    assert changes.folders_with(folders, [], (("m", EVER, datetime(2021, 6, 1)),), LONDON) == []  # noqa: DTZ001


def test_inputs_are_recorded_whole() -> None:
    inputs = Inputs({"month=2021-06/slice=2021-06-01": "f"}, {"product": datetime(2021, 6, 1, 2, 3, 4, 5)})  # noqa: DTZ001
    assert Inputs.of(json.loads(json.dumps(inputs.as_json()))) == inputs
    assert changes.bounds("2021-06-01T23") == (
        datetime(2021, 6, 1, 23, tzinfo=UTC),
        datetime(2021, 6, 2, tzinfo=UTC),
    )


def test_one_look_at_a_reference_table_tells_what_was_in_the_source_at_any_time_since() -> None:
    first, second, third = (datetime(2021, 6, day) for day in (1, 2, 3))  # noqa: DTZ001 - as tables have it
    rows = [
        {"id": 1, "recorded_from": first, "recorded_to": None},
        {"id": 2, "recorded_from": first, "recorded_to": second},
        {"id": 3, "recorded_from": second, "recorded_to": None},
    ]
    known = references.Known(rows, None)
    assert [[row["id"] for row in known.at(time)] for time in (first, second, third)] == [[1, 2], [1, 3], [1, 3]]
    assert known.until == second
    assert references.Known([], third).until == third
    assert references.Known([], None).until is None
