"""A small history and short runs, for the tests of the simulator."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from core_samples import TANK

from datasets.household.replay import HOUSEHOLD_REPLAY
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.randomness import Numbers, RandomValues
from meterlake.replay import ITSELF, Marks, Replay
from meterlake.text.format import Moment, TextFormat, Value
from producers import faults
from producers.injection import Oracle
from producers.pace import FASTEST, Pace, schedule
from producers.script import Script
from producers.simulate import Request, begun, script, simulate
from producers.sinks import LineSink
from producers.totals import Totals

FIRST = datetime(2007, 2, 1, 0, 0, tzinfo=UTC)
"""Of the small history; 01:00 on its own clock."""
HOUR = timedelta(hours=1)
GAP = 100
"""The minute of the small history that has no values."""
CONTRADICTION = 7
"""The minute whose sub-meters count more than its power."""


def line(minute: int) -> str:
    local = FIRST + HOUR + timedelta(minutes=minute)
    values = f"{0.3 + minute % 17 / 10:.3f};{minute % 5 / 50:.3f};{240 + minute % 7 / 4:.3f};1.400"
    subs = f"{minute % 3}.000;{minute % 2}.000;{minute % 4}.000"
    if minute == CONTRADICTION:
        subs = "9.000;9.000;9.000"
    if minute == GAP:
        values, subs = "?;?;?;?", "?;?;"
    return f"{local.day}/{local.month}/{local.year};{local:%H:%M:%S};{values};{subs}"


def write_history(path: Path, minutes: int = 240) -> Path:
    path.write_text("\r\n".join([HOUSEHOLD_TEXT.header, *map(line, range(minutes))]) + "\r\n")
    return path


def request(folder: Path, **changes: Any) -> Request:
    small = folder / "small.txt"
    made = Request(
        replay=HOUSEHOLD_REPLAY,
        history=small if small.exists() else write_history(small),
        offset=HOUR,
        meter_id="m",
        meters=3,
        seed=1,
        rebase=FIRST,
        shift=timedelta(0),
    )
    return replace(made, **changes)


def told(folder: Path, **changes: Any) -> Script:
    return script(request(folder, **changes), folder)


class Run:
    """A run as fast as possible into memory."""

    def __init__(self, told: Script, shares: Mapping[str, float], start: datetime, duration: timedelta) -> None:
        plan = schedule(start, told.replay.interval_s, FASTEST, duration, start)
        self.totals: Totals = begun(told, plan)
        out, truth = io.BytesIO(), io.BytesIO()
        sink = LineSink(out, "memory", self.totals)
        pace = Pace(plan, lambda: start, Event())
        simulate(told, plan, shares, pace, sink, self.totals, Oracle(truth, "memory"))
        self.data = out.getvalue()
        self.faults: list[dict[str, Any]] = [json.loads(line) for line in truth.getvalue().splitlines()]

    @property
    def messages(self) -> list[tuple[str, bytes | None]]:
        return [
            (key.decode(), value if tab else None)
            for key, tab, value in (line.partition(b"\t") for line in self.data.removesuffix(b"\n").split(b"\n"))
        ]


def run(folder: Path, share: str = "", minutes: int = 5, start: datetime = FIRST, **changes: Any) -> Run:
    shares = faults.parse(share)
    return Run(told(folder, shares=shares, **changes), shares, start, timedelta(minutes=minutes))


def _sixths(minutes: Numbers, _: RandomValues) -> tuple[Numbers, Marks]:
    here = minutes[:, ITSELF : ITSELF + 1].repeat(6, axis=1)
    here[:, :, 2] //= 6
    return here, here[:, 0, 0] < 0


TANK_REPLAY = Replay(
    form=TextFormat(
        dataset=TANK,
        columns=(
            Moment("when", "yyyy-MM-dd HH:mm:ss"),
            Value("p", "pressure"),
            Value("t", "temperature"),
            Value("q", "inflow"),
        ),
        interval_s=60,
        meter_id="tank",
    ),
    history="tank.csv",
    interval_s=10,
    scaled=("inflow",),
    split=_sixths,
)
