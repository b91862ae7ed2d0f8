"""The data set of ``docs/bridge.md``, and one of plain numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

from docs_commands import page

from meterlake.dataset import DataSet
from meterlake.declaration import Level, MeterSeries, View
from meterlake.live.sources import LiveSource, TopicLevel, Value


@cache
def documented() -> dict[str, Any]:
    """Return what the page's declaration defines."""
    (code,) = page("bridge.md").blocks("python", "Declare")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/bridge.md", "exec"), names)  # noqa: S102 - our own page
    return names


def plugs() -> DataSet:
    """Return the page's data set."""
    data_set: DataSet = documented()["DATASET"]
    return data_set


ROOMS = MeterSeries(
    name="rooms",
    time_zone="UTC",
    intervals=("1 min",),
    measures=(Level("temperature", "°C", "0.01", between=(-90, 90)),),
    views=(View("1 min"),),
)
THERMOMETER = LiveSource(
    dataset=ROOMS,
    topic="rooms/+/temperature",
    meter=TopicLevel(2),
    payload="number",
    interval_s=60,
    values=(Value("", "temperature", "°C"),),
)
