"""The simulator: what it tells is the history, to the unit; the same for ever; and every fault is on purpose."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulator import CONTRADICTION, FIRST, GAP, HOUR, TANK_REPLAY, Run, run, told, write_history

from datasets.half_hourly.replay import REPLAY as HALF_HOURLY_REPLAY
from datasets.household.declaration import HOUSEHOLD
from datasets.household.replay import HOUSEHOLD_REPLAY
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.errors import UnknownName, UsageError
from meterlake.precedence import resolve
from meterlake.reading import Reading
from meterlake.rebase import whole_weeks
from meterlake.rules import reject_reason
from meterlake.settings import ROOT, Settings
from meterlake.wire import Undecodable, decode
from producers import faults
from producers.corruption import KINDS
from producers.errors import HistoryUnreadable
from producers.fleet import fleet
from producers.history import MISSING, load
from producers.simulate import Request, script

pytestmark = pytest.mark.unit
ALL = ",".join(f"{name}=0.05" for name in faults.MEANINGS)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
REAL = ROOT / HOUSEHOLD_REPLAY.history


def readings(run: Run) -> list[Reading]:
    result = [
        decode(HOUSEHOLD, value, received_at=LATER, origin_offset=at) for at, (_, value) in enumerate(run.messages)
    ]
    return [reading for reading in result if isinstance(reading, Reading)]


def sums(readings: list[Reading]) -> dict[tuple[str, int], list[int]]:
    """Return for each meter and minute the number of readings, and the sums of their units."""
    result: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0] * 8)
    for reading in readings:
        units = [1, *(unit or 0 for unit in reading.units(HOUSEHOLD))]
        key = (reading.meter_id, reading.ts - reading.ts % 60)
        result[key] = [one + more for one, more in zip(result[key], units, strict=True)]
    return dict(result)


# The history


def test_seconds_of_the_real_history_add_up_to_what_its_file_says() -> None:
    real = Request(
        replay=HOUSEHOLD_REPLAY, history=REAL, offset=HOUR, meter_id="sceaux", meters=1, seed=3, rebase=FIRST,
        shift=timedelta(0),
    )  # fmt: skip
    made = Run(script(real, Settings().cache_dir), {}, datetime(2006, 12, 16, 16, 24, tzinfo=UTC), 4 * HOUR)
    result = sums(readings(made))
    with lzma.open(REAL, "rt") as file:
        assert file.readline().strip() == HOUSEHOLD_TEXT.header
        for _ in range(240):
            day, time, *texts = file.readline().strip().split(";")
            ts = int(datetime.strptime(f"{day} {time} +0100", "%d/%m/%Y %H:%M:%S %z").timestamp())
            power, reactive, voltage, _, *subs = (Decimal(text) for text in texts)
            count, *units = result.pop(("sceaux", ts))
            wh = [1000 * sub for sub in subs]
            watts = max(60 * 1000 * power, 60 * (6 * sum(wh) / 100).to_integral_value("ROUND_CEILING"))
            assert [count, *units[:3], *units[4:]] == [60, watts, 60 * 1000 * reactive, 60 * 100 * voltage, *wh]
    assert result == {}
    assert made.totals.readings == 240 * 60


def test_half_hours_of_the_real_history_are_what_its_minutes_add_up_to(tmp_path: Path) -> None:
    real = Request(
        replay=HALF_HOURLY_REPLAY, history=ROOT / HALF_HOURLY_REPLAY.history, offset=timedelta(0), meter_id="sceaux",
        meters=3, seed=3, rebase=FIRST, shift=timedelta(0),
    )  # fmt: skip
    made = Run(script(real, tmp_path), {}, datetime(2006, 12, 16, 17, tzinfo=UTC), timedelta(days=20))
    sent = [json.loads(value) for _, value in made.messages if value]
    mine = {message["ts"]: message["consumption"] for message in sent if message["meter_id"] == "sceaux"}
    minutes: defaultdict[int, list[Decimal]] = defaultdict(list)
    with lzma.open(REAL, "rt") as file:
        file.readline()
        for _ in range(20 * 1440):
            day, time, power, *_ = file.readline().split(";")
            ts = int(datetime.strptime(f"{day} {time} +0100", "%d/%m/%Y %H:%M:%S %z").timestamp())
            minutes[ts // 1800 * 1800] += [] if power == "?" else [Decimal(power)]
    last = max(minutes)
    kwh = Decimal("0.001")
    wanted = {
        ts: float((sum(values) / 60).quantize(kwh, ROUND_HALF_UP))
        for ts, values in minutes.items()
        if len(values) == 30
    }
    assert {ts: value for ts, value in mine.items() if ts < last} == {
        ts: value for ts, value in wanted.items() if ts >= min(mine)
    }
    assert len(wanted) > 900
    assert {message["interval_s"] for message in sent} == {1800}
    assert Counter(message["meter_id"] for message in sent).keys() == {"sceaux", "sceaux-0002", "sceaux-0003"}


def test_a_history_is_read_once_and_whole(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h.txt")
    packed = tmp_path / "h.txt.xz"
    packed.write_bytes(lzma.compress(path.read_bytes()))
    first = load(tmp_path, HOUSEHOLD_TEXT, path, HOUR)
    assert first.first == int(FIRST.timestamp())
    assert first.units.shape == (240, 7)
    assert (first.units[GAP] == MISSING).all()
    assert first.units[1].tolist() == [400, 20, 24025, 1400, 1000, 1000, 1000]
    kept = list((tmp_path / "histories").glob("*.npy"))
    assert len(kept) == 1
    assert (load(tmp_path, HOUSEHOLD_TEXT, path, HOUR).units == first.units).all()
    assert (load(tmp_path / "other", HOUSEHOLD_TEXT, packed, HOUR).units == first.units).all()
    kept[0].write_bytes(b"damaged")
    assert (load(tmp_path, HOUSEHOLD_TEXT, path, HOUR).units == first.units).all()
    assert load(tmp_path, HOUSEHOLD_TEXT, path, 2 * HOUR).first == first.first - 3600


def test_lines_that_are_no_readings_are_gaps(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h.txt", 5)
    lines = path.read_text().splitlines()
    lines[2] = "40/2/2007;01:01:00;1;1;1;1;1;1;1"
    lines[3] = "nonsense"
    path.write_text("\n".join([*lines, lines[1].replace("0.300", "9.999")]))
    history = load(tmp_path, HOUSEHOLD_TEXT, path, HOUR)
    assert history.skipped == {"bad_time": 1, "missing_column": 1}
    assert load(tmp_path, HOUSEHOLD_TEXT, path, HOUR).skipped == history.skipped
    units = history.units
    assert (units[:, 0] == MISSING).tolist() == [False, True, True, False, False]
    assert units[0, 0] == 300  # the first of two lines counts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"a;b\n1;2\n", "does not begin with the header"),
        (HOUSEHOLD_TEXT.header.encode() + b"\n", "has a header but no reading"),
        (
            HOUSEHOLD_TEXT.header.encode() + b"\n1/2/2007;01:00:00;x;1;1;1;1;1;1\n",
            "holds no reading .1 bad_value",
        ),
        (lzma.compress(HOUSEHOLD_TEXT.header.encode() * 1000)[:-40], "damaged"),
    ],
)
def test_a_wrong_history_is_a_clear_error(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "h.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HistoryUnreadable, match=says):
        load(tmp_path, HOUSEHOLD_TEXT, path, HOUR)


# The script


def test_a_minute_that_contradicts_itself_is_raised_and_counted(tmp_path: Path) -> None:
    made = run(tmp_path, minutes=10, meters=1)
    assert made.totals.raised == 1
    assert all(reject_reason(HOUSEHOLD, reading) is None for reading in readings(made))
    raised = sums(readings(made))["m", int(FIRST.timestamp()) + CONTRADICTION * 60]
    assert raised[1] == 60 * 1620  # 27 Wh in a minute


def test_a_gap_is_silent_or_lived_through(tmp_path: Path) -> None:
    start = FIRST + timedelta(minutes=GAP - 1)
    more: dict[str, Any] = {
        "start": start, "minutes": 3, "meters": 1, "history": write_history(tmp_path / "weeks.txt", 8 * 1440)
    }  # fmt: skip
    silent = run(tmp_path, **more)
    assert (silent.totals.readings, silent.totals.silent) == (120, 60)
    filled = run(tmp_path, **more, fill_gaps=True)
    assert (filled.totals.readings, filled.totals.silent) == (180, 0)
    assert [message for message in filled.messages if message in silent.messages] == silent.messages


def test_history_is_moved_by_whole_weeks_and_its_end_is_lived_again(tmp_path: Path) -> None:
    path = write_history(tmp_path / "weeks.txt", 8 * 1440)
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    more = {"history": path, "meters": 1, "shift": None, "rebase": now}
    moved = told(tmp_path, **more)
    end = FIRST + timedelta(days=8) + moved.shift
    assert moved.shift % timedelta(weeks=1) == timedelta(0)
    assert timedelta(0) <= end - now < timedelta(weeks=1)

    def power(ago: timedelta) -> list[int]:
        return sums(readings(run(tmp_path, minutes=3, start=end - ago, **more)))["m", int((end - ago).timestamp())]

    weeks = [power(-week * timedelta(weeks=1)) for week in (-1, 0, 1, 5)]
    assert [week[:4] for week in weeks] == [weeks[0][:4]] * 4  # a week before the end, the end, one and five after it


def test_the_simulator_goes_on_where_a_rebased_load_ends(tmp_path: Path) -> None:
    """The load moves by ``whole_weeks(end, now)`` and leaves out what begins at now or later."""
    path = write_history(tmp_path / "weeks.txt", 8 * 1440)
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    history = load(tmp_path, HOUSEHOLD_TEXT, path, HOUR)
    shift = whole_weeks(datetime.fromtimestamp(history.end, UTC), now)
    row = int((now - shift - FIRST).total_seconds()) // 60
    made = run(tmp_path, minutes=3, start=now, history=path, meters=1, shift=None, rebase=now)
    result = sums(readings(made))
    for minute in range(3):
        count, *units = result["m", int(now.timestamp()) + 60 * minute]
        recorded = history.units[row + minute].tolist()
        assert [count, *units[:3], *units[4:]] == [60, *(60 * unit for unit in recorded[:3]), *recorded[4:]]


def test_messages_do_not_depend_on_portions_or_on_other_meters(tmp_path: Path) -> None:
    start = int(FIRST.timestamp())
    whole = {step.ts: step for step in told(tmp_path, meters=40).steps(start, start + 600)}
    assert list(whole) == list(range(start, start + 600))
    for step in told(tmp_path, meters=40).steps(start + 95, start + 200):
        assert step.values == whole[step.ts].values
    for step in told(tmp_path, meters=2).steps(start, start + 600):
        assert step.values == whole[step.ts].values[:2]


def test_meters_differ_in_name_time_and_size() -> None:
    made = fleet("m", 500, 1, 1400)
    assert made.ids[:3] == ("m", "m-0002", "m-0003")
    assert (made.phases[0], made.scales[0]) == (0, 1000)
    assert len(set(made.phases.tolist())) > 300
    assert (made.phases % 3600 == 0).all()
    assert made.scales.min() >= 400
    assert made.scales.max() <= 1600
    with pytest.raises(UsageError, match="meter id"):
        fleet("m" * 126, 2, 1, 10)


def test_another_data_set_needs_only_a_declaration(tmp_path: Path) -> None:
    path = tmp_path / "tank.csv"
    path.write_text("when,p,t,q\n2026-01-01 00:00:00,1.5,300,6\n2026-01-01 00:01:00,2.5,301,12\n")
    changes: dict[str, Any] = {"replay": TANK_REPLAY, "history": path, "offset": timedelta(0), "meters": 1}
    made = run(tmp_path, minutes=2, start=datetime(2026, 1, 1, tzinfo=UTC), **changes)
    assert len(made.messages) == 12
    assert json.loads(made.messages[6][1] or b"") == {
        "v": 1, "meter_id": "m", "ts": 1767225660, "interval_s": 10,
        "pressure": 2.5, "temperature": 301.0, "inflow": 2.0,
    }  # fmt: skip


# The same for ever


def test_the_same_request_makes_the_same_bytes_for_ever(tmp_path: Path) -> None:
    first = "late out_of_order duplicate conflict revision corrupt missing future clock_skew"
    shares = ",".join(f"{name}=0.05" for name in first.split())
    one, other = run(tmp_path, shares), run(tmp_path, shares)
    assert one.data == other.data
    assert one.faults == other.faults
    assert hashlib.sha256(one.data).hexdigest()[:16] == "35cd560f2d655431"
    assert run(tmp_path, shares, seed=2).data != one.data


# Faults


def test_every_fault_has_its_share_and_all_messages_are_accounted_for(tmp_path: Path) -> None:
    made = run(tmp_path, ALL, minutes=20, meters=20)
    totals = made.totals
    count = {name: totals.faults[name] for name in faults.MEANINGS}
    assert totals.readings == 20 * 20 * 60
    for name in faults.FAULTS:
        assert abs(count[name] / totals.readings - 0.05) < 0.005, name
    assert count[faults.CLOCK_SKEW] == 20 * 60  # one of twenty meters
    more = count["duplicate"] + count["conflict"] + count["revision"] + count["withdraw"]
    assert totals.sent == totals.acknowledged == len(made.messages) == totals.readings - count["missing"] + more
    told = Counter(fault["fault"] for fault in made.faults)
    assert told == {**count, faults.CLOCK_SKEW: 1}
    assert set(totals.corrupt) == set(KINDS)
    assert sum(totals.corrupt.values()) == count["corrupt"]


def test_the_oracle_knows_what_is_true(tmp_path: Path) -> None:
    """Undo by the oracle what the faults did: the messages of a run without faults remain."""
    good, bad = run(tmp_path, minutes=10), run(tmp_path, ALL.replace(",clock_skew=0.05", ""), minutes=10)
    struck = {(fault["meter_id"], fault["ts"]): fault for fault in bad.faults}
    by_kind: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, fault in struck.items():
        by_kind[fault["fault"]].append(key)
    arrived = readings(bad)
    verdicts = Counter(resolve(HOUSEHOLD, arrived))
    assert verdicts["duplicate"] == len(by_kind["duplicate"])
    assert verdicts["conflicting"] == len(by_kind["conflict"])
    assert verdicts["superseded"] == len(by_kind["revision"]) + len(by_kind["withdraw"])
    assert {reading.key[:2] for reading in arrived if reading.is_gap} == set(by_kind["withdraw"])
    assert verdicts["gap"] == len(by_kind["withdraw"])
    refused = [decode(HOUSEHOLD, value) for _, value in bad.messages]
    reasons = Counter(result.reason for result in refused if isinstance(result, Undecodable))
    assert reasons == Counter(struck[key]["reason"] for key in by_kind["corrupt"])
    lost = {*by_kind["corrupt"], *by_kind["missing"], *by_kind["future"]}
    wanted = {reading.key[:2]: reading.values for reading in readings(good)}
    first = {reading.key[:2]: reading.values for reading in reversed(arrived) if not reading.is_gap}
    assert {key: values for key, values in first.items() if key in wanted} == {
        key: values for key, values in wanted.items() if key not in lost
    }


def test_what_is_late_comes_late_and_what_is_out_of_order_soon(tmp_path: Path) -> None:
    made = run(tmp_path, "late=0.1,out_of_order=0.1,delayed=0.1", minutes=60, meters=2)
    delays = {fault["fault"]: [] for fault in made.faults}  # type: ignore[var-annotated]
    for fault in made.faults:
        delays[fault["fault"]].append(fault["delay_s"])
    lateness = HOUSEHOLD.lateness.total_seconds()
    assert lateness < min(delays["late"]) <= max(delays["late"]) < 3 * lateness
    assert 1 <= min(delays["delayed"]) < 60 < lateness < 3 * lateness - 60 < max(delays["delayed"]) <= 3 * lateness
    assert 1 <= min(delays["out_of_order"]) <= max(delays["out_of_order"]) <= 30
    times = [reading.ts for reading in readings(made)]
    behind = np.maximum.accumulate(times) - times
    # Those whose time comes after the end of the run arrive at its end.
    late, most = (behind > lateness).sum(), len(delays["late"]) + sum(wait > lateness for wait in delays["delayed"])
    assert 0.5 * most < late <= most


def test_a_late_reading_comes_after_the_lateness_whatever_its_place_in_its_cell(tmp_path: Path) -> None:
    made = run(tmp_path, "late=0.2", minutes=3, meters=2)
    ends = [fault["ts"] // HOUSEHOLD.cell_s * HOUSEHOLD.cell_s + HOUSEHOLD.cell_s for fault in made.faults]
    waits = [fault["ts"] + fault["delay_s"] - end for fault, end in zip(made.faults, ends, strict=True)]
    assert min(waits) >= HOUSEHOLD.lateness.total_seconds()


@pytest.mark.parametrize("kind", KINDS)
def test_every_spoilt_message_is_refused_for_what_it_is(kind: str, tmp_path: Path) -> None:
    good = run(tmp_path, minutes=1, meters=1).messages[0][1]
    assert good is not None
    result = decode(HOUSEHOLD, KINDS[kind](HOUSEHOLD, good))
    assert isinstance(result, Undecodable)
    expected = {"missing_key": "missing_field:meter_id", "wrong_type": "wrong_type:global_active_power"}
    assert result.reason.startswith(expected.get(kind, kind))


def test_a_skewed_clock_is_a_day_ahead_all_the_time(tmp_path: Path) -> None:
    made = run(tmp_path, "clock_skew=0.01", meters=5)
    ahead = {reading.meter_id for reading in readings(made) if reading.ts > FIRST.timestamp() + 80_000}
    assert ahead == {made.faults[0]["meter_id"]}
    assert made.faults == [{"fault": "clock_skew", "meter_id": made.faults[0]["meter_id"], "seconds": 86_400}]
    assert made.totals.faults["clock_skew"] == 300


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("lat=0.1", UnknownName, "Did you mean 'late'.*clock_skew, conflict, corrupt, delayed, duplicate, future"),
        ("late", UsageError, "'' of the fault 'late' is not between 0 and 1"),
        ("late=1.5", UsageError, "'1.5'"),
        ("late=-0.1", UsageError, "'-0.1'"),
        ("late=nan", UsageError, "'nan'"),
        ("late=a lot", UsageError, "late=0.01 for one in a hundred"),
        ("late=0.1,late=0.2", UsageError, "twice"),
        ("late=0.6,missing=0.6", UsageError, "make 1.2"),
    ],
)
def test_a_wrong_fault_is_a_clear_error(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        faults.parse(text)


def test_no_fault_is_no_fault(tmp_path: Path) -> None:
    assert faults.parse(" ") == {}
    assert run(tmp_path, "late=0").data == run(tmp_path).data
    assert run(tmp_path, "missing=1").data == b""
