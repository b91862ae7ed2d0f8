"""The second engine on live data: messages from a file, speed rows and why they differ, merged rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cli import output, verify_command
from cli.output import Output
from datasets.household.declaration import HOUSEHOLD
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake import wire
from meterlake.judgement import judge, state_of
from meterlake.reading import Reading
from meterlake.state import State
from meterlake.units import to_decimal
from meterlake.views import derived_values
from serving_layer.merged.layers import state_names
from serving_layer.merged.readings import master_row
from serving_layer.publish.history import Record
from serving_layer.verify import actual, expected, live
from serving_layer.verify.compare import Comparison, Difference, Explained
from serving_layer.verify.live import Live
from serving_layer.verify.merged import compare_merged
from serving_layer.verify.messages import Messages, is_messages, meters_in
from serving_layer.verify.scope import Scope
from serving_layer.verify.speed import compare_speed
from serving_layer.verify.verify import Report

pytestmark = pytest.mark.unit

DATASET = HOUSEHOLD
HOUR = datetime(2026, 6, 1, 9, tzinfo=UTC)
START = int(HOUR.timestamp()) + 50 * 60
"""Ten to ten: the minutes below lie on both sides of a full hour."""
CUTOVER = HOUR + timedelta(minutes=65)
SOON, LATE = 1, 900
"""Seconds after a reading's minute at which it arrives."""


def reading(
    second: int, kilowatts: float = 1.0, after: float = SOON, offset: int | None = None, **given: Any
) -> Reading:
    ts = START + second
    at = datetime.fromtimestamp(ts // 60 * 60 + 60, UTC) + timedelta(seconds=after)
    values = (kilowatts, 0.1, 230.0, 4.0, 0.0, 0.1, 0.2)
    known = {"meter_id": "a", "interval_s": 1, "values": values, "received_at": at, "origin": DATASET.readings_topic}
    return Reading(ts=ts, origin_offset=second if offset is None else offset, **(known | given))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connected = duckdb.connect()
    yield connected
    connected.close()


def minute_states(readings: Iterable[Reading]) -> dict[tuple[str, int], State]:
    cells: dict[tuple[str, int], list[Reading]] = {}
    for each in readings:
        cells.setdefault((each.meter_id, each.ts // 60 * 60), []).append(each)
    states = {cell: state_of(DATASET, judge(DATASET, inside)) for cell, inside in cells.items()}
    return {cell: state for cell, state in states.items() if state is not None}


def speed_rows(readings: Iterable[Reading]) -> list[tuple[Any, ...]]:
    """Return what the speed layer makes of readings, as Cassandra gives it."""
    return [
        (meter, naive(start), *(state.row()[name] for name in state_names(DATASET)))
        for (meter, start), state in minute_states(readings).items()
    ]


def naive(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def fill(connection: duckdb.DuckDBPyConnection, readings: Iterable[Reading]) -> None:
    fields = expected.make_readings(connection, DATASET)
    for each in readings:
        row: dict[str, Any] = dict(zip((m.name for m in DATASET.measures), each.values, strict=True))
        row |= {"meter_id": each.meter_id, "ts": naive(each.ts), "interval_s": each.interval_s}
        row |= {"revision": each.revision, "received_at": each.received_at.replace(tzinfo=None), "origin": each.origin}
        row |= {"origin_partition": 0, "origin_offset": each.origin_offset, "load_id": "x"}
        connection.execute(f"INSERT INTO readings VALUES ({', '.join('?' * len(fields))})", [row[n] for n in fields])  # noqa: S608
    expected.build(connection, DATASET)


def answers(before: list[tuple[Any, ...]], **given: Any) -> Live:
    known: dict[str, Any] = {
        "cutover": CUTOVER,
        "since": HOUR,
        "before": before,
        "after": before,
        "sums": [],
        "rows": {},
    }
    return Live(**(known | given))


def speed(connection: duckdb.DuckDBPyConnection, readings: list[Reading], seen: list[Reading]) -> Comparison:
    """Compare when batch has all readings, and the speed layer has seen some."""
    fill(connection, readings)
    fetched = answers(speed_rows(seen))
    live.load(connection, Scope(DATASET), fetched)
    return compare_speed(connection, Scope(DATASET), fetched)


PLAIN = [reading(second, 1 + second % 7 / 1000) for second in range(0, 300, 7)]


def test_on_time_readings_make_equal_rows(connection: duckdb.DuckDBPyConnection) -> None:
    result = speed(connection, PLAIN, PLAIN)
    assert (result.rows, result.equal, result.wrong, result.explained) == (5, 5, 0, 0)


@pytest.mark.parametrize(
    ("further", "reason"),
    [
        ([reading(3, after=LATE, offset=1000)], "late"),
        ([reading(3, after=LATE, offset=1000), reading(4, after=LATE + 5, offset=1001)], "late"),
        ([reading(7, 8.0, after=LATE, offset=1000, revision=1)], "revised"),
        ([reading(7, after=LATE, offset=1000, revision=1, values=(None,) * 7)], "withdrawn"),
        (
            [
                reading(7, after=LATE, offset=1000, revision=1, values=(None,) * 7),
                reading(14, 8.0, after=LATE, offset=1001, revision=1),
            ],
            "revised",
        ),
        ([reading(7, -5.0, after=LATE, offset=1000, revision=2), reading(3, after=LATE, offset=1001)], "late"),
        ([reading(0, 3.0, interval_s=60, origin="a.txt", revision=0), reading(3, origin="a.txt")], "loaded"),
    ],
)
def test_what_comes_late_or_by_file_explains_a_row(
    connection: duckdb.DuckDBPyConnection, further: list[Reading], reason: str
) -> None:
    result = speed(connection, [*PLAIN, *further], PLAIN)
    assert (result.rows, result.equal, result.wrong, result.explained) == (4, 4, 0, 1)
    assert [row.reason for row in result.listed] == [reason]
    assert result.listed[0].time == "2026-06-01 09:50:00"
    assert result.listed[0].speed == 9


def test_a_late_reading_that_the_speed_layer_has_is_no_difference(connection: duckdb.DuckDBPyConnection) -> None:
    readings = [*PLAIN, reading(3, after=LATE, offset=1000)]
    assert speed(connection, readings, readings).equal == 5


def test_a_late_reading_in_a_row_that_lacks_another_is_wrong(connection: duckdb.DuckDBPyConnection) -> None:
    first, second = reading(3, after=LATE, offset=1000), reading(4, 2.0, after=LATE, offset=1001)
    for seen in (first, second):
        result = speed(connection, [*PLAIN, first, second], [*PLAIN, seen])
        assert (result.different, result.explained) == (1, 0)
        connection.execute("DELETE FROM readings")


@pytest.mark.parametrize(("after", "reason"), [(599.999, None), (600, "late")])
def test_the_lateness_is_the_limit_to_the_millisecond(
    connection: duckdb.DuckDBPyConnection, after: float, reason: str | None
) -> None:
    result = speed(connection, [*PLAIN, reading(3, after=after, offset=1000)], PLAIN)
    assert [row.reason for row in result.listed] == ([reason] if reason else [])
    assert result.different == (reason is None)


def test_what_the_master_has_got_since_the_run_explains_a_row(connection: duckdb.DuckDBPyConnection) -> None:
    more = [reading(3, offset=1000), reading(4, 2.0, offset=1001), reading(5, after=LATE, offset=1002)]
    asked: list[Any] = []

    def newer(rows: list[Any]) -> list[Any]:
        asked.extend(rows)
        return [master_row(each) for each in [*PLAIN, *more] if each.ts < START + 60]

    fill(connection, PLAIN)
    for seen, listed in ((more[:1], 1), (more[:2], 1), (more[1:2], 0), (more, 0)):
        fetched = answers(speed_rows([*PLAIN, *seen]))
        live.load(connection, Scope(DATASET), fetched)
        result = compare_speed(connection, Scope(DATASET), fetched, newer)
        assert [row.reason for row in result.listed] == ["arrived_since"] * listed
        assert (result.explained, result.different) == (listed, 1 - listed)
    assert asked == [("a", naive(START))] * 4


def test_a_whole_minute_may_be_late(connection: duckdb.DuckDBPyConnection) -> None:
    result = speed(connection, [*PLAIN, reading(400, after=LATE)], PLAIN)
    assert [(row.reason, row.speed) for row in result.listed] == [("late", 0)]


def test_a_minute_that_a_late_revision_withdraws_is_known_to_speed_alone(connection: duckdb.DuckDBPyConnection) -> None:
    only, gone = reading(400), reading(400, after=LATE, offset=1000, revision=1, values=(None,) * 7)
    result = speed(connection, [*PLAIN, only, gone], [*PLAIN, only])
    assert [(row.reason, row.batch, row.speed) for row in result.listed] == [("withdrawn", 0, 1)]


@pytest.mark.parametrize(
    ("seen", "figures"),
    [
        (PLAIN[1:], (0, 0, 1)),  # a reading in time is not in its row
        ([each for each in PLAIN if each.ts >= START + 60], (1, 0, 0)),
        ([*PLAIN, reading(400)], (0, 1, 0)),
        ([replace(PLAIN[0], values=(5.0, *PLAIN[0].values[1:])), *PLAIN[1:]], (0, 0, 1)),
    ],
)
def test_whatever_else_differs_is_wrong(
    connection: duckdb.DuckDBPyConnection, seen: list[Reading], figures: tuple[int, int, int]
) -> None:
    result = speed(connection, PLAIN, seen)
    assert (result.missing, result.extra, result.different) == figures
    assert result.examples[0].view == "speed"


def test_what_has_expired_or_lies_behind_the_line_is_not_compared(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, PLAIN)
    fetched = answers([], cutover=HOUR + timedelta(minutes=53), since=HOUR + timedelta(minutes=50))
    live.load(connection, Scope(DATASET), fetched)
    result = compare_speed(connection, Scope(DATASET), fetched)
    assert (result.rows, result.missing) == (2, 2)  # 9:51 and 9:52


def served(
    readings: list[Reading], cutover: datetime, grain: str, seen: list[Reading] | None = None
) -> list[list[Any]]:
    """Return the merged view's rows as the core makes them. seen: by the speed layer."""
    states: dict[tuple[str, datetime | date], list[tuple[State, str]]] = {}
    for source, some in (("batch", readings), ("speed", readings if seen is None else seen)):
        for (meter, start), state in minute_states(some).items():
            at = datetime.fromtimestamp(start, UTC)
            if (at < cutover) == (source == "batch"):
                time = {"minute": at, "hour": at.replace(minute=0), "day": at}[grain].replace(tzinfo=None)
                key = (meter, time.date() if grain == "day" else time)
                states.setdefault(key, []).append((state, source))
    rows = []
    for (meter, time), parts in states.items():
        whole = parts[0][0]
        for state, _ in parts[1:]:
            whole = whole.merge(state)
        sources = {source for _, source in parts}
        row: dict[str, Any] = dict(whole.row()) | derived_values(DATASET, whole)
        for measure in DATASET.measures:
            for part in ("sum", "min", "max"):
                row[f"{measure.name}_{part}"] = to_decimal(row[f"{measure.name}_{part}"], measure.scale)
        row |= {"meter_id": meter, grain: time, "source": "both" if len(sources) > 1 else next(iter(sources))}
        rows.append([row[column.name] for column in live.columns_of(DATASET, grain)])  # type: ignore[arg-type]
    return rows


def merged(connection: duckdb.DuckDBPyConnection, readings: list[Reading], **given: Any) -> list[Comparison]:
    cutover = HOUR + timedelta(minutes=62)
    fill(connection, [each for each in readings if each.ts < cutover.timestamp()])
    rows = {grain: served(readings, cutover, grain) for grain in ("minute", "hour", "day")}
    known = {"cutover": cutover, "rows": rows, "before": speed_rows(readings)}
    fetched = answers(**(known | {"after": speed_rows(readings)} | given))
    live.load(connection, Scope(DATASET), fetched)
    return compare_merged(connection, Scope(DATASET), fetched)


LONG = [reading(second, 1 + second % 7 / 1000) for second in range(0, 1500, 7)]


def test_merged_rows_are_batch_before_the_line_and_speed_after(connection: duckdb.DuckDBPyConnection) -> None:
    results = merged(connection, LONG)
    assert [(result.view, result.rows, result.equal) for result in results] == [
        ("merged minute", 0, 0), ("merged minute", 25, 25), ("merged hour", 2, 2), ("merged day", 1, 1),
    ]  # fmt: skip
    assert not any(result.wrong for result in results)


def test_a_wrong_value_source_or_row_of_a_merged_view_is_found(connection: duckdb.DuckDBPyConnection) -> None:
    rows = {grain: served(LONG, HOUR + timedelta(minutes=62), grain) for grain in ("minute", "hour", "day")}
    rows["minute"][3][-1] = "speed"
    rows["hour"].pop()
    rows["day"][0][2] += 1
    results = {result.view: result for result in merged(connection, LONG, rows=rows) if result.rows}
    assert [(r.missing, r.different) for r in results.values()] == [(0, 1), (1, 0), (0, 1)]
    assert results["merged minute"].examples[0].column == "source"
    assert results["merged day"].examples[0].column == "readings"


def test_rows_written_while_they_are_read_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    more = [*LONG, reading(1499, 2.0)]
    cutover = HOUR + timedelta(minutes=62)
    rows = {grain: served(LONG, cutover, grain, seen=more) for grain in ("minute", "hour", "day")}
    results = merged(connection, LONG, after=speed_rows(more), rows=rows)
    assert [(result.rows, result.wrong) for result in results] == [(0, 0), (24, 0), (1, 0), (0, 0)]


def test_without_a_speed_layer_merged_is_batch_by_sums(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, LONG)
    fetched = answers([], cutover=None)
    live.load(connection, Scope(DATASET), fetched)
    table = f"({expected.published_sql(DATASET, 'want_minute')}) AS rows"
    sums = connection.execute(actual.checksum_sql(DATASET, "minute", table, "1 = 1", derived=True)).fetchall()
    assert [r.wrong for r in compare_merged(connection, Scope(DATASET), replace(fetched, sums=sums))] == [0]
    connection.execute("DROP TABLE want_merged_minute")
    assert [r.missing for r in compare_merged(connection, Scope(DATASET), fetched)] == [1]


ODD_METERS: Any = ("a/b +c", 7, "", "b\n", "ä 'x'", "x" * 65, " a", "x" * 129, "\ud800")


def test_messages_of_a_file_are_decoded_as_the_core_does(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    good = json.loads(wire.encode(DATASET, reading(0)))
    name = DATASET.measures[0].name
    odd: list[Any] = [
        *({**good, name: value} for value in (None, "1", True, 1, 1e400, [1], {})),
        *({**good, **dict.fromkeys((m.name for m in DATASET.measures), None)} for _ in range(2)),
        *({**good, "v": value} for value in (2, "1", 1.0, True, None)),
        *({**good, "ts": value} for value in (START + 0.5, -1, START * 1000, "1", 2**70)),
        *({**good, "interval_s": value} for value in (7, 60, 0, 1.0)),
        *({**good, "revision": value} for value in (-1, 0, 3, 2**31, None, "1")),
        *({**good, "meter_id": value} for value in ODD_METERS),
        *({field: value for field, value in good.items() if field != left} for left in good),
        [1, 2], "text", 7, None,
    ]  # fmt: skip
    values = [json.dumps(each).encode() for each in odd]
    values += [b"", b"not json", b"\xff\xfe", b"{" * 900, b" " * (DATASET.max_message_bytes + 1), None]
    lines = [b"a" if value is None else b"a\t" + value for value in values]
    path = tmp_path / "m.tsv"
    path.write_bytes(b"\n".join([*lines, b""]))
    source = Messages(DATASET, [path], HOUR)
    source.fetch(tmp_path)
    source.read(connection)
    names = ", ".join(measure.name for measure in DATASET.measures)
    read = connection.execute(
        f"SELECT origin_offset, meter_id, epoch(ts)::BIGINT, interval_s, revision, {names} FROM readings ORDER BY 1"  # noqa: S608
    ).fetchall()
    wanted = [(n, wire.decode(DATASET, value)) for n, value in enumerate(values, start=1)]
    assert read == [
        (n, each.meter_id, each.ts, each.interval_s, each.revision, *each.values)
        for n, each in wanted
        if isinstance(each, Reading)
    ]
    assert len(read) == 9
    assert (is_messages(path), meters_in([path])) == (True, {"a"})


def test_a_message_has_come_when_the_newest_one_before_it_was_measured(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    ahead, seconds = 86_400, (0, 1, 86_402, 3, 2, 4)
    path = tmp_path / "m.tsv"
    path.write_bytes(b"".join(b"a\t" + wire.encode(DATASET, reading(second)) + b"\n" for second in seconds))
    source = Messages(DATASET, [path], datetime.fromtimestamp(START + ahead // 2, UTC))
    source.fetch(tmp_path)
    source.read(connection)
    times = connection.execute("SELECT epoch(received_at)::BIGINT - ? FROM readings ORDER BY origin_offset", [START])
    assert [row[0] for row in times.fetchall()] == [0, 1, 1, 3, 3, 4]
    expected.build(connection, DATASET)
    assert connection.execute("SELECT sum(readings) FROM want_minute").fetchall() == [(5,)]


def test_a_raw_history_is_no_file_of_messages(tmp_path: Path) -> None:
    for number, head in enumerate((b"Date;Time;Global_active_power\n", b"", b'{"v": 1}\n')):
        path = tmp_path / str(number)
        path.write_bytes(head)
        assert not is_messages(path)
    assert not is_messages(tmp_path / "none")


def test_files_of_both_kinds_limit_what_is_compared(tmp_path: Path) -> None:
    text, messages = tmp_path / "history.txt", tmp_path / "live.tsv"
    text.write_bytes(f"{HOUSEHOLD_TEXT.header}\n16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0;1;17\n".encode())
    messages.write_bytes(b"".join(f"m{n % 3}\t{{}}\n".encode() for n in range(9)))
    record = Record(DATASET.name, 1, "r", "published", CUTOVER, CUTOVER, None, {}, {})
    source, scope = verify_command.from_files(Scope(DATASET), [text, messages], None, record)
    assert (scope.meters, scope.end, source.has_live) == (("m0", "m1", "m2", "sceaux"), CUTOVER, False)
    assert [str(path) in source.title for path in (text, messages)] == [True, True]
    source, scope = verify_command.from_files(Scope(DATASET, ("m1",)), [text], "+02:00", record)
    assert (scope.meters, scope.end, source.has_live) == (("m1",), None, False)
    assert "of meter m1 at UTC+02:00" in source.title
    messages.write_bytes(b"".join(f"m{n}\t{{}}\n".encode() for n in range(201)))
    assert verify_command.from_files(Scope(DATASET), [messages], None, record)[1].meters == ()


def test_the_command_shows_counts_differences_and_what_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "width", 200)
    wrong = Difference("speed", "Cassandra", "a 09:50", "readings", 60, 59)
    listed = tuple(Explained("a", f"09:{n}", "late", 60, 59) for n in range(10, 35))
    speed = Comparison("speed", "Cassandra", 30, 29, 0, 0, 1, (wrong,), len(listed), listed)
    report = Report("household", "run-1", "files", "at all", (speed,), {"total": 1.0})
    verify_command.show_report(report, Output.TEXT)
    told = capsys.readouterr()
    assert "25 rows of speed differ for a reason; the first 20 are shown." in told.err
    assert "a 09:50" in told.out
    assert "09:29" in told.out
    assert "09:30" not in told.out
    verify_command.show_report(report, Output.JSON)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["view"], row["different"], row["explained"]) == ("run-1", "speed", 1, 25)
    assert row["listed"][-1] == {"meter": "a", "time": "09:34", "reason": "late", "batch": 60, "speed": 59}
