"""Extracts of tables, CSV, Parquet and XML: their rows become the documents that the tables themselves give."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import utility_twin as twin

from cli import lakehouse_commands, lakehouse_sources
from cli.lakehouse_sources import Days
from cli.output import Output
from datasets.utility import DATASET
from engines import relational
from lakehouse.landing import documents, from_extracts
from lakehouse.landing.from_extracts import BadExtract
from lakehouse.landing.idocs import BadIdoc
from meterlake import registry
from meterlake.errors import UnknownName, UsageError
from meterlake.lakehouse.records import Record
from meterlake.lakehouse.sources import ExtractKind, Play
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 27)  # noqa: DTZ001 - UTC without zone
OUTAGES = DATASET.event("outages")
COLUMNS = [documents.extract_of(OUTAGES).column(f.name) for f in OUTAGES.fields if f.name != "is_deleted"]


def of_table(folder: Path, record: Record) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and the rows of a table."""
    extract = documents.extract_of(record)
    with relational.opened(twin.urls(folder)[extract.database]) as connection:
        columns = relational.columns(connection, extract.table, "")
        window = relational.Window(extract.table, extract.watermark)
        parts = relational.within(connection, window, columns, [extract.key], 1000)
        return columns, [row for part in parts for row in part]


def documents_of(record: Record, columns: list[str], rows: list[tuple[Any, ...]]) -> list[tuple[str, bytes, bytes]]:
    """Return watermark, key and document of each row, as they are landed from the table."""
    names, extract = documents.names_of(record, columns), documents.extract_of(record)
    kinds, at, key = documents.kinds_of(record, names), columns.index(extract.watermark), columns.index(extract.key)
    marks = [datetime.fromisoformat(row[at]) for row in rows]
    return [
        (mark.isoformat(), str(row[key]).encode(), documents.document(names, kinds, row, mark))
        for mark, row in zip(marks, rows, strict=True)
    ]


def texts(found: list[tuple[str, bytes, bytes]]) -> list[dict[str, Any]]:
    """Return documents with all values as the text that silver reads."""
    return [
        {name: value if isinstance(value, bool) or value is None else str(value) for name, value in one.items()}
        for one in (orjson.loads(document) for _, _, document in found)
    ]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    return twin.made(folder, Play(twin.urls(folder), 12, date(2026, 3, 1), 200, 3))


def test_rows_become_the_documents_that_the_tables_give(sources: Path, tmp_path: Path) -> None:
    seen = 0
    for record in DATASET.records:
        columns, rows = of_table(sources, record)
        theirs, extract = documents_of(record, columns, rows), documents.extract_of(record)
        text = tmp_path / f"{extract.table}.csv"
        with text.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        found = list(from_extracts.rows(text, record))
        assert [one[:2] for one in found] == [one[:2] for one in theirs], record.name
        assert texts(found) == texts(theirs), record.name
        table = tmp_path / f"{extract.table}.parquet"
        pq.write_table(pa.table({name: [row[n] for row in rows] for n, name in enumerate(columns)}), table)
        assert list(from_extracts.rows(table, record)) == theirs, record.name
        seen += len(rows)
    assert seen > 3_000


@pytest.mark.parametrize("kind", list(ExtractKind))
def test_extracts_of_days_make_the_tables_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: ExtractKind
) -> None:
    """Of each row the latest revision counts; what is gone says so."""
    folder, out, entry = tmp_path / "sources", tmp_path / "extracts", registry.required_lakehouse("utility")
    monkeypatch.setenv(
        "METERLAKE_SOURCES", " ".join(f"utility.{name}={url}" for name, url in twin.urls(folder).items())
    )
    wanted = []
    for days in (Days(28, date(2026, 3, 1), 200, 3, out=out, kind=kind), Days(17, out=out, kind=kind)):
        lakehouse_sources.play(entry, days, Output.JSON)
        wanted.append({row["table"]: row["extract"] for row in json.loads(capsys.readouterr().out)})
    gone = 0
    for record in DATASET.records:
        files = sorted(out.glob(f"{documents.extract_of(record).table}.*.{kind}"))
        days_of = {file.name.split(".")[1]: file for file in files}
        assert kind is ExtractKind.XML or list(days_of) == ["2026-03-29", "2026-04-15"]
        latest: dict[bytes, tuple[str, bytes, bytes]] = {}
        for day, counts in zip(("2026-03-29", "2026-04-15"), wanted, strict=True):
            rows = list(from_extracts.rows(days_of[day], record)) if day in days_of else []
            assert len(rows) == counts[record.name], record.name
            for row in rows:
                assert row[1] not in latest or row[0] > latest[row[1]][0]
                latest[row[1]] = row
        there = [one for one in latest.values() if not orjson.loads(one[2]).get("is_deleted")]
        gone += len(latest) - len(there)
        result = [{name: value for name, value in one.items() if name != "is_deleted"} for one in texts(there)]
        assert by_revision(result) == by_revision(texts(documents_of(record, *of_table(folder, record)))), record.name
    assert gone > 0


def by_revision(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["revision"], str(row)))


def outage(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), "outage_id": "O1", "changed_at": "2026-03-01 10:00:00", **values}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_types_that_files_have_are_those_of_documents(tmp_path: Path) -> None:
    local = datetime.fromisoformat("2026-03-01T15:00:00+05:00")
    row = outage(changed_at=local, is_planned=True, customers_affected=Decimal("12.50"), note=date(2026, 3, 1))
    path = tmp_path / "outages.parquet"
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), path)
    ((mark, key, document),) = from_extracts.rows(path, OUTAGES)
    result = orjson.loads(document)
    assert (mark, key) == ("2026-03-01T10:00:00", b"O1")
    assert result["revision"] == int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()) * 10**6
    assert (result["is_planned"], result["customers_affected"], result["note"]) == (True, "12.50", "2026-03-01")
    file = written(tmp_path / "outages.csv", outage(is_planned="FALSE", is_deleted="1", note='a "quoted", word'))
    ((_, _, document),) = from_extracts.rows(file, OUTAGES)
    result = orjson.loads(document)
    assert (result["is_planned"], result["is_deleted"], result["note"]) == (False, True, 'a "quoted", word')
    assert result["feeder_id"] is None


def test_an_extract_without_rows_has_none(tmp_path: Path) -> None:
    (tmp_path / "outages.csv").write_text(",".join([*COLUMNS, "changed_at"]) + "\n")
    assert list(from_extracts.rows(tmp_path / "outages.csv", OUTAGES)) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "lacks outage_id, "),
        (b"outage_id,changed_at\n", "lacks feeder_id, .*; it has outage_id, changed_at"),
        ("é".encode("latin-1"), "is no CSV in UTF-8"),
    ],
)
def test_what_is_no_extract_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "outages.csv").write_bytes(content)
    with pytest.raises(BadExtract, match=problem):
        list(from_extracts.rows(tmp_path / "outages.csv", OUTAGES))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (outage(changed_at="yesterday"), "row 2: changed_at is 'yesterday'"),
        (outage(changed_at=""), "row 2: changed_at is None"),
        (outage(outage_id=""), "row 2: outage_id is None"),
    ],
)
def test_a_row_that_nobody_knows_is_named_and_nothing_is_landed(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    """There is no object store here: it is not asked."""
    written(tmp_path / "outages.2026-03-01.csv", outage(), row)
    with pytest.raises(BadExtract, match=problem):
        from_extracts.land(Settings(home=tmp_path), "utility", DATASET.records, [tmp_path], NOW)


def test_an_extract_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "outages.csv", outage(), outage())
    file.write_text(file.read_text().rstrip().rpartition(",")[0])
    with pytest.raises(BadExtract, match=r"row 2 has \d+ values for \d+ columns"):
        list(from_extracts.rows(file, OUTAGES))
    table = tmp_path / "outages.parquet"
    pq.write_table(pa.table({"outage_id": ["O1"]}), table)
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(BadExtract, match="is no Parquet file"):
        list(from_extracts.rows(table, OUTAGES))


def idoc(folder: Path, *segments: str) -> Path:
    control = "<EDI_DC40 SEGMENT='1'><TABNAM>EDI_DC40</TABNAM></EDI_DC40>"
    path = folder / "outages.xml"
    path.write_text(f"<ZOUT01><IDOC BEGIN='1'>{control}{''.join(segments)}</IDOC></ZOUT01>", encoding="utf-8")
    return path


def segment(fields: dict[str, Any], name: str = "Z1OUT") -> str:
    listed = "".join(f"<{field}>{value or ''}</{field}>" for field, value in fields.items())
    return f"<{name} SEGMENT='1'>{listed}</{name}>"


def test_a_segment_may_leave_out_what_another_has(tmp_path: Path) -> None:
    whole, short = (
        outage(note="à &amp; b", is_planned="0"),
        {"outage_id": "O2", "changed_at": "2026-03-01T12:00:00+01:00"},
    )
    first, second = from_extracts.rows(idoc(tmp_path, segment(whole), segment(short)), OUTAGES)
    assert (first[0], first[1], second[0], second[1]) == ("2026-03-01T10:00:00", b"O1", "2026-03-01T11:00:00", b"O2")
    assert (orjson.loads(first[2])["note"], orjson.loads(first[2])["is_planned"]) == ("à & b", False)
    assert orjson.loads(second[2])["is_planned"] is None


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        ((), "has no segment with a row"),
        (("<Z1OUT SEGMENT='1'>",), "is no XML"),
        ((segment({"outage_id": "O1"}), segment({"outage_id": "O2"}, "Z1FEED")), "has segments Z1OUT and Z1FEED"),
        ((f"<Z1OUT SEGMENT='1'>{segment({'a': 1}, 'Z1POS')}</Z1OUT>",), "has segments Z1POS and Z1OUT"),
        (("<Z1OUT SEGMENT='1'><a><b>1</b></a></Z1OUT>",), "has a within Z1OUT"),
        (("<Z1OUT SEGMENT='1'><a>1</a><a>2</a></Z1OUT>",), "has a twice in one Z1OUT"),
        ((segment({"outage_id": "O1", "changed_at": "2026-03-01"}),), "lacks feeder_id, "),
    ],
)
def test_an_idoc_that_is_no_table_is_refused(tmp_path: Path, segments: tuple[str, ...], problem: str) -> None:
    with pytest.raises((BadExtract, BadIdoc), match=problem):
        list(from_extracts.rows(idoc(tmp_path, *segments), OUTAGES))


def test_a_segment_without_an_idoc_around_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "outages.xml"
    path.write_text(segment(outage()), encoding="utf-8")
    assert [key for _, key, _ in from_extracts.rows(path, OUTAGES)] == [b"O1"]


def test_a_document_type_with_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outages.xml"
    path.write_text("<!DOCTYPE a [<!ENTITY b 'c'>]><a SEGMENT='1'><d>&b;</d></a>")
    with pytest.raises(BadIdoc, match="is no XML"):
        list(from_extracts.rows(path, OUTAGES))


def test_files_that_are_called_after_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "blackouts.csv").write_text("a\n")
    with pytest.raises(UnknownName, match=r"table of utility, which .*blackouts\.csv is called after"):
        from_extracts.land(Settings(home=tmp_path), "utility", DATASET.records, [tmp_path], NOW)
    with pytest.raises(UsageError, match="is no file"):
        from_extracts.land(Settings(home=tmp_path), "utility", DATASET.records, [tmp_path / "outages.xlsx"], NOW)


@pytest.mark.parametrize(("every", "full"), [("1m", False), ("", True)])
def test_extracts_are_landed_whole_and_once(tmp_path: Path, every: str, full: bool) -> None:
    written(tmp_path / "outages.csv", outage())
    with pytest.raises(UsageError, match="--every and --full are for databases"):
        lakehouse_commands.land("utility", [tmp_path], every, full)


def test_names_are_of_records_and_paths_of_extracts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"later\.csv is no file"):
        lakehouse_commands.land("utility", [tmp_path / "later.csv"])
    with pytest.raises(UnknownName, match="record of utility"):
        lakehouse_commands.land("utility", [Path("blackouts")])
