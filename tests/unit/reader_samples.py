"""A data set of half-hourly energy, and rows of readers as a test compares them."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engines.readers.port import Options
from engines.readers.registry import Format, reader_of
from meterlake.declaration import Amount, Measure, MeterSeries, View, per_hour
from meterlake.fileformats.base import FileFormat


def series(*measures: Measure, intervals: tuple[str, ...] = ("30 min",)) -> MeterSeries:
    views = (View("hour"),) if "1 h" in intervals else (View("30 min"), View("hour"))
    return MeterSeries(name="homes", intervals=intervals, measures=measures, views=views)  # type: ignore[arg-type]


ENERGY: Final = Amount("energy", "Wh", "0.1", between=per_hour(0, 100_000))
EXPORT: Final = Amount("feed_in", "Wh", "0.1", between=per_hour(0, 100_000))
ESTIMATED: Final = Amount("estimated", "1", "1", between=(0, 1))
HOMES: Final = series(ENERGY)
BOTH: Final = series(ENERGY, EXPORT)
COUNTED: Final = series(ENERGY, ESTIMATED)


class Unseekable(io.RawIOBase):
    """Bytes as they come out of an archive: read once, from the beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._data.read(min(len(buffer), 1000))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def tables(form: Format, data: bytes, **said: Any) -> list[dict[str, Any]]:
    """Return the rows of a file, read once from a stream that cannot be read again."""
    options = Options(**{"meter_id": form.meter_id, "clock": form.clock, **said})
    stream = io.BufferedReader(Unseekable(data))
    return [row for table in reader_of(form)(stream, options) for row in table.to_pylist()]


def rows(form: FileFormat, data: bytes, **said: Any) -> list[tuple[Any, ...]]:
    """Return (place, meter, start, values…) of readings and gap rows, and (place, reason) of others."""
    names = [measure.name for measure in form.dataset.measures]
    return [
        (row["line"], row["reason"])
        if row["reason"]
        else (row["line"], row["meter_id"], f"{row['ts']:%Y-%m-%d %H:%M}", *(row[name] for name in names))
        for row in tables(form, data, **said)
    ]


def payloads(form: FileFormat, data: bytes, **said: Any) -> dict[int, str]:
    """Return place -> payload of what is no reading."""
    return {row["line"]: row["payload"] for row in tables(form, data, **said) if row["reason"]}


def epoch(text: str) -> int:
    """Return the seconds of a time in UTC."""
    return int(
        (datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    )
