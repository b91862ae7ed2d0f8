"""Text formats as people have them, and what their files say: for the tests of single options and for mutations."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from batch_layer.ingest.lines import Lines
from engines.readers import text
from engines.readers.port import Options
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.text.format import MeasureColumn, MeterColumn, Moment, TextFormat, UnitColumn, Value
from meterlake.text.head import layout

ENERGY: Final = MeterSeries(
    name="energy",
    title="Half-hourly energy",
    intervals=("30 min",),
    time_zone="Europe/Paris",
    measures=(Amount("energy", "Wh", "0.001", between=(0, None)),),
    views=(View("30 min"), View("day")),
)

POWER: Final = MeterSeries(
    name="power",
    title="Power and voltage each minute",
    intervals=("1 min",),
    time_zone="Europe/Paris",
    measures=(
        Level("power", "kW", "0.001", between=(0, None)),
        Level("voltage", "V", "0.01", between=(0, None)),
        Amount("energy", "Wh", "0.001", between=(0, None)),
    ),
    views=(View("minute"), View("day")),
)

PLAIN: Final = TextFormat(
    dataset=ENERGY,
    columns=(MeterColumn("meter"), Moment("time", "yyyy-MM-dd HH:mm"), Value("wh", "energy")),
    interval_s=1800,
)

LONG: Final = TextFormat(
    dataset=POWER,
    columns=(
        MeterColumn("meter"),
        Moment("time", "yyyy-MM-dd HH:mm"),
        MeasureColumn("register", names=(("P", "power"), ("U", "voltage"), ("A+", "energy")), ignored=("f",)),
        Value("value"),
        UnitColumn("unit"),
    ),
    interval_s=60,
)
LONG_HEAD: Final = "meter,time,register,value,unit\n"

Row = tuple[Any, ...]


def at(text_: str) -> datetime:
    """Return a time in UTC without zone."""
    return datetime.fromisoformat(text_)


def with_time(*columns: Any, **options: Any) -> TextFormat:
    """Return ``PLAIN`` of one meter with such columns of the time."""
    return replace(PLAIN, columns=(*columns, Value("wh", "energy")), **{"meter_id": "a", "separator": ";", **options})


def rows(form: TextFormat, content: str | bytes) -> list[Row]:
    """Return (line, meter, start in UTC, values …) of each reading of a file, (line, reason) of what is none."""
    data = content.encode() if isinstance(content, str) else content
    laid, options = layout(form, "file.csv", data), Options(form.meter_id, form.clock)
    tables = list(text.read(laid, io.BytesIO(data), options))
    if text.is_divisible(laid, form.clock):
        _same_in_parts(laid, data, options, tables)
    result = []
    for table in tables:
        for row in table.to_pylist():
            measures = [row[measure.name] for measure in form.dataset.measures]
            start = row[form.dataset.event_time]
            reason = row["reason"]
            result.append((row["line"], reason) if reason else (row["line"], row["meter_id"], start, *measures))
    return result


def _same_in_parts(form: TextFormat, data: bytes, options: Options, whole: list[pa.Table]) -> None:
    """See that a file gives the same rows in two parts."""
    lines = Lines(len(data) // 2 + 1)
    lines.take(data)
    lines.end()
    ends = [*(start.byte for start in lines.starts[1:]), len(data)]
    result = [
        row
        for start, end in zip(lines.starts, ends, strict=True)
        for table in text.read_part(form, io.BytesIO(data[start.byte : end]), options, start.line)
        for row in table.to_pylist()
    ]
    assert result == [row for table in whole for row in table.to_pylist()]


def values(form: TextFormat, content: str | bytes) -> list[Any]:
    """Return of each row its last value, or why it is no reading."""
    return [row[-1] for row in rows(form, content)]


def times(form: TextFormat, content: str | bytes) -> list[Any]:
    """Return of each row its start, or why it is no reading."""
    return [row[2] if len(row) > 2 else row[1] for row in rows(form, content)]
