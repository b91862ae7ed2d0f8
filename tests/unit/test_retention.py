"""Which landed objects may go, by their manifests; and what is asked of bronze when they are gone."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from cli.app import app
from cli.lakehouse_maintain import maintain, row, show_rows
from cli.output import Output
from datasets.telecom import DATASET as TELECOM
from engines.lake import Listed
from lakehouse.landing import objects, removed, retention
from lakehouse.landing.objects import Manifest
from lakehouse.landing.retention import Fate
from lakehouse.upkeep import Ended
from meterlake import registry
from meterlake.errors import DeclarationError, UsageError
from meterlake.lakehouse.sources import FOR_EVER

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
OBJECT = f"landing/telecom/telecom.calls/00000/{0:020}-{10:020}-0a1b2c3d.parquet"
MANIFEST = Manifest(
    "telecom", "telecom.calls", "00000", 0, 10, OBJECT, 10, 999, "ab" * 32, "2026-01-01T00:00:00", "2026-01-01T00:05:00"
)
TABLE = replace(MANIFEST, partition="table", watermark_to="2026-11-01T10:00:00")
READ = {OBJECT: MANIFEST.sha256}


def listed(key: str = OBJECT, *, age: timedelta = timedelta(days=400)) -> Listed:
    return Listed(key, 999, NOW - age)


def fate(
    manifest: Manifest | None, item: Listed | None = None, read: dict[str, str] | None = None, begin: str = ""
) -> Fate:
    return retention.fate(item or listed(), manifest, READ if read is None else read, begin, NOW)


def test_an_object_that_the_last_run_has_read_is_compared_with_bronze() -> None:
    assert fate(MANIFEST) is Fate.COMPARED
    assert fate(MANIFEST, read={}) is Fate.NOT_READ
    assert fate(replace(MANIFEST, sha256="cd" * 32)) is Fate.NOT_READ


def test_what_a_manifest_says_is_removed_goes_also_when_it_has_another_object_since() -> None:
    ended = replace(MANIFEST, removed={OBJECT: "2026-11-26T00:00:00+00:00"})
    assert fate(ended, read={}) is Fate.GOES
    assert fate(replace(ended, object="landing/other"), read={}) is Fate.GOES


def test_an_object_that_no_manifest_names_goes_when_nobody_can_be_writing_it() -> None:
    other = replace(MANIFEST, object="landing/other")
    for manifest in (None, other):
        assert fate(manifest) is Fate.LEFT
        assert fate(manifest, listed(age=timedelta(hours=23))) is Fate.WRITTEN


def test_where_the_next_extract_begins_the_object_stays() -> None:
    latest = replace(TABLE, watermark_to="2026-11-01T10:30:00")
    begin = retention.begin_of_extract(latest, timedelta(hours=1))
    assert begin == "2026-11-01T09:30:00"
    assert fate(TABLE, begin=begin) is Fate.NEEDED
    assert fate(replace(TABLE, watermark_to=begin), begin=begin) is Fate.NEEDED
    assert fate(replace(TABLE, watermark_to="2026-11-01T09:29:59"), begin=begin) is Fate.COMPARED
    assert fate(replace(TABLE, partition="file-ab"), begin=begin) is Fate.COMPARED


def test_its_time_is_over_when_it_was_written_longer_ago() -> None:
    week = timedelta(days=7)
    assert not retention.is_over(listed(age=week), week, NOW)
    assert retention.is_over(listed(age=week + timedelta(seconds=1)), week, NOW)


@pytest.mark.parametrize("key", ["landing/telecom/telecom.calls/00000/half.parquet", "manifest/a", f"x{OBJECT}"])
def test_what_is_no_landed_object_has_no_manifest(key: str) -> None:
    assert retention.manifest_of(key) is None
    assert retention.manifest_of(OBJECT) == MANIFEST.key


def test_bronze_is_asked_for_many_objects_at_once_but_not_for_too_many() -> None:
    def manifest(part: str, first: int, end: int, rows: int) -> Manifest:
        return replace(MANIFEST, partition=part, first=first, end=end, rows=rows)

    one, two, three = manifest("0", 0, 10, 10), manifest("0", 10, 30, 15), manifest("0", 30, 31, 199_999)
    gap, other = manifest("0", 40, 50, 1), manifest("1", 50, 60, 1)
    given = [other, gap, three, two, one]
    assert removed.windows(given) == [[one, two], [three], [gap], [other]]
    assert removed.spans(given) == [("0", 0, 31), ("0", 40, 50), ("1", 50, 60)]
    assert removed.counted(given) == {"0": 10 + 15 + 199_999 + 1, "1": 1}
    rows = pa.table({"source_offset": [0, 3, 10, 12, 29]})
    parts = removed.parted(rows, [one, replace(two, end=12), replace(two, first=12)])
    assert [part["source_offset"].to_pylist() for part in parts] == [[0, 3], [10], [12, 29]]


def test_the_sum_of_records_is_that_of_what_they_are_wherever_they_were_read() -> None:
    def records(*rows: tuple[int, bytes | None, bytes | None]) -> pa.Table:
        columns = [
            [at for at, _, _ in rows],
            [NOW.replace(tzinfo=None)] * len(rows),
            *zip(*(r[1:] for r in rows), strict=True),
        ]
        return pa.table(dict(zip(objects.SCHEMA.names, columns, strict=True))).cast(objects.SCHEMA)

    rows = [(0, None, b"{}"), (1, b"", None), (2, b"a", b"bc")]
    whole = records(*rows)
    parts = pa.concat_tables([records(*rows[:1]), records(*rows[1:])])
    assert objects.sum_of(whole) == objects.sum_of(parts) == objects.sum_of(records((9, None, b""), *rows).slice(1))
    others = [
        [(0, b"", b"{}"), *rows[1:]],
        [rows[0], (1, b"", b""), rows[2]],
        [*rows[:2], (2, b"ab", b"c")],
        [*rows[:2], (3, b"a", b"bc")],
        rows[:2],
    ]
    assert len({objects.sum_of(records(*other)) for other in others} | {objects.sum_of(whole)}) == 6


def test_manifests_of_before_say_nothing_of_removal() -> None:
    known = asdict(MANIFEST)
    for name in ("removed", "bronze", "records_sha256"):
        del known[name]
    assert replace(Manifest(**orjson.loads(orjson.dumps(known))), erased=()) == MANIFEST
    assert not MANIFEST.is_removed


def test_a_record_may_be_kept_longer_than_its_lakehouse_says_or_for_ever() -> None:
    month, week = timedelta(days=30), timedelta(days=7)
    assert replace(TELECOM, retention=None).retentions == {}
    first, second, *others = (replace(event, retention=None) for event in TELECOM.events)
    declared = replace(
        TELECOM, retention=month, events=(replace(first, retention=week), replace(second, retention=FOR_EVER), *others)
    )
    assert declared.retentions[first.topic] == week
    assert second.topic not in declared.retentions
    assert {declared.retentions[event.topic] for event in others} == {month}
    with pytest.raises(DeclarationError, match="retention=0:00:00 is none"):
        replace(TELECOM, retention=timedelta(0))
    with pytest.raises(DeclarationError, match="is none"):
        replace(first, retention=-week)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["telecom", "--keep", "2d"], "--keep is for data sets of meters"),
        (["household", "--dry-run"], "--dry-run is for lakehouses"),
    ],
)
def test_options_of_the_other_kind_are_refused(words: list[str], problem: str) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["maintain", *words])
    assert isinstance(result.exception, UsageError)
    assert problem in str(result.exception)


def test_without_a_retention_nothing_is_asked_of_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    telecom = registry.required_lakehouse("telecom")
    kept = replace(telecom, declaration=replace(telecom.declaration, retention=None))
    maintain(kept, Output.JSON, only_show=False)
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert "landed objects are kept for ever" in " ".join(said.err.split())


def test_what_was_removed_is_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    some, none = Ended("calls", timedelta(days=400), objects=2, records=30, bytes=4000), Ended("sms", timedelta(days=1))
    some.stay[Fate.NEEDED] += 3
    assert row(some, only_show=True) == {
        "record": "calls", "retention": "400 d", "result": "would be removed", "objects": 2, "records": 30,
        "bytes": 4000, "without_manifest": 0, "stay": {"the next extract begins in it": 3},
    }  # fmt: skip
    show_rows([row(item, only_show=True) for item in (some, none)], Output.TEXT, only_show=True)
    said = capsys.readouterr().out
    assert "would be removed" in said
    assert "3 the next extract begins in it" in " ".join(said.split())
    assert "1 records" in said
