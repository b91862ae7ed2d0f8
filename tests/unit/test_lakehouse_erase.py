"""What `erase` says of a lakehouse: what it refuses before it asks any server, and its receipt."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from cli import lakehouse_erase
from cli.app import app
from cli.output import Output
from datasets.telecom import DATASET as TELECOM
from datasets.utility import DATASET as UTILITY
from lakehouse import history
from lakehouse.erase.erase import ERASED, NOTHING, Receipt
from lakehouse.erase.landed import Landed
from lakehouse.erase.record import Record
from meterlake.erasure import Remains
from meterlake.errors import UsageError
from meterlake.lakehouse.persons import Belongings, person
from meterlake.settings import load_settings

pytestmark = pytest.mark.unit

SOMEBODY = person(UTILITY, "C00000123")
RECORD = Record(
    "utility", "0123456789ab", "ab" * 12, "customers", "2026-11-27T10:00:00.5+00:00", "A. Martin", "a letter",
    run="20261127T100001-ab12", removed={"landed customers": 2}, done_at="2026-11-27T10:01:00+00:00",
)  # fmt: skip
REMAINS = (Remains("Kafka topic t", "its messages", datetime(2026, 12, 4, tzinfo=UTC)), Remains("database crm", "rows"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["utility", "C00000123"], "--why is missing"),
        (["utility", "C00000123", "--why", " "], "--why is missing"),
        (["utility", " ", "--why", "a letter"], "names nobody"),
        (["utility", "C1", "--why", "a letter", "--of", "feeders"], "utility has no people 'feeders'"),
        (["utility", "C1", "--why", "a letter", "--before", "2026-01-01"], "--before is for readings"),
        (["telecom", "0201", "--why", "a letter"], "'0201' can be nobody of telecom"),
        (["household", "house2", "--why", "a letter", "--of", "users"], "--of is for people in lakehouses"),
    ],
)
def test_what_is_wrong_is_said_before_any_server_is_asked(words: list[str], problem: str) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["erase", *words])
    assert isinstance(result.exception, UsageError)
    assert problem in str(result.exception)


def test_the_receipt_is_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    receipt = Receipt(SOMEBODY, ERASED, RECORD.removed, REMAINS, RECORD)
    lakehouse_erase.show_receipt("utility", receipt, Output.TEXT)
    said = capsys.readouterr().out
    for words in ("C00000123", "landed customers", "A. Martin", "2026-11-27 10:00:00", "What remains", "2026-12-04"):
        assert words in said
    lakehouse_erase.show_receipt("utility", receipt, Output.JSON)
    (content,) = json.loads(capsys.readouterr().out)
    assert content["removed"] == {"landed customers": 2}
    assert [part["where"] for part in content["remains"]] == ["Kafka topic t", "database crm"]
    assert (content["run"], content["pseudonym"], content["id"]) == (RECORD.run, RECORD.person, RECORD.id)


def test_nothing_to_erase_has_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    lakehouse_erase.show_receipt("utility", Receipt(SOMEBODY, NOTHING, {}), Output.JSON)
    (content,) = json.loads(capsys.readouterr().out)
    assert (content["result"], content["id"], content["run"], content["removed"]) == (NOTHING, None, None, {})


def test_runs_list_what_is_unfinished() -> None:
    begun = replace(RECORD, done_at="")
    assert lakehouse_erase.words(RECORD)["done"] == "2026-11-27 10:01:00"
    assert lakehouse_erase.words(begun)["done"] == "unfinished: run it again"
    assert lakehouse_erase.row(begun)["status"] == "unfinished"
    assert lakehouse_erase.row(RECORD)["status"] == "done"
    assert "C00000123" not in str([lakehouse_erase.row(RECORD), lakehouse_erase.words(RECORD)])


def test_rows_of_objects_are_found_by_what_json_writes_as_it_is() -> None:
    landed = Landed(load_settings(), Belongings(TELECOM, person(TELECOM, "+201000000001")))
    values = [
        (None, b'{"customer": "+201000000001"}'),
        (b"+201000000001", None),
        (None, b'{"customer": "+2010000000012"}'),
        (b"x", b'{"customer": "+20", "note": "call +201000000001"}'),
        (None, b'{"customer": "\\u002b201000000001"}'),
    ]
    columns = {name: pa.array([value[at] for value in values], pa.binary()) for at, name in enumerate(("key", "value"))}
    records = pa.table(columns)
    assert landed.rows(TELECOM.event("recharges"), records) == ([0, 1, 4], [3])
    assert landed.rows(TELECOM.event("recharges"), records.slice(0, 0)) == ([], [])
    assert landed.rows(None, records) == ([0, 1, 3], [])


@pytest.mark.parametrize(
    ("name", "ours"), [("20261127T181500-0a1f", True), ("north_20261127T181500-0a1f", False), ("", False)]
)
def test_branches_of_a_lakehouse_whose_name_begins_alike_are_not_ours(name: str, ours: bool) -> None:
    assert history.is_run(name) is ours
