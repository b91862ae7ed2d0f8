"""A recorded history in memory: units on a time grid without holes, kept in the cache so that it is decoded once."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import csv

from meterlake.packed import DAMAGED, NotOneFile, opened
from meterlake.schema import LATEST_TS
from meterlake.textformat import Moment
from producers.errors import HistoryUnreadable

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from meterlake.dice import Numbers
    from meterlake.textformat import TextFormat

MISSING: Final = np.iinfo(np.int64).min
"""Where the history has no values."""

_BLOCK: Final = 8 << 20
_LAYOUT: Final = "1"
"""Of a cached history; another one is another file."""


@dataclass(frozen=True)
class History:
    """Row i holds the units of all measures from ``first + i · interval_s`` on, or MISSING."""

    first: int
    interval_s: int
    units: Numbers

    @property
    def end(self) -> int:
        """The first instant after it."""
        return self.first + len(self.units) * self.interval_s


def load(cache: Path, form: TextFormat, path: Path, offset: timedelta) -> History:
    """Return the history in a text file, plain or packed. Lines that are no readings are left out.

    cache: folder for the decoded history. offset: of the file's clock from UTC. Raises HistoryUnreadable.
    """
    try:
        name = f"{form.dataset.name}-{_fingerprint(form, path, offset)}.npy"
    except OSError as error:
        raise HistoryUnreadable(str(path), f"cannot be read: {error.strerror}") from error
    kept = cache / "histories" / name
    with suppress(OSError, ValueError):  # none yet, or one that was damaged
        return _history(form, np.load(kept, mmap_mode="r"))
    rows = _rows(form, path, offset)
    with suppress(OSError):  # no room for a cache is no reason to fail
        _keep(kept, rows)
    return _history(form, rows)


def _history(form: TextFormat, rows: Numbers) -> History:
    return History(int(rows[0, 0]), form.interval_s, rows[:, 1:])


def _keep(path: Path, rows: Numbers) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)


def _fingerprint(form: TextFormat, path: Path, offset: timedelta) -> str:
    """Return what a decoded history depends on: the file's bytes, and how they are read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    read_as = (_LAYOUT, form.columns, form.missing, form.interval_s, offset, form.dataset.measures)
    digest.update(repr(read_as).encode())
    return digest.hexdigest()[:32]


def _rows(form: TextFormat, path: Path, offset: timedelta) -> Numbers:
    """Return the start of each interval and its units, from the first to the last of the file."""
    try:
        with ExitStack() as stack:
            parts = [_decoded(form, batch) for batch in _reader(form, path, stack)]
    except NotOneFile as error:
        raise HistoryUnreadable(str(path), str(error)) from error
    except (*DAMAGED, pa.ArrowInvalid) as error:
        raise HistoryUnreadable(str(path), f"is damaged or of another format ({error})") from error
    except OSError as error:
        raise HistoryUnreadable(str(path), f"cannot be read: {error.strerror or error}") from error
    times = np.concatenate([[], *(times for times, _ in parts)]).astype(np.int64) - int(offset.total_seconds())
    usable = (times >= 0) & (times <= LATEST_TS) & (times % form.interval_s == 0)
    if not usable.any():
        raise HistoryUnreadable(str(path), "holds no reading")
    units = np.concatenate([units for _, units in parts])
    return _gridded(times[usable], units[usable], form.interval_s)


def _reader(form: TextFormat, path: Path, stack: ExitStack) -> csv.CSVStreamingReader:
    headers = [column.header for column in form.columns]
    texts = {column.header: pa.string() for column in form.columns if isinstance(column, Moment)}
    reader = csv.open_csv(
        opened(path, stack),
        csv.ReadOptions(block_size=_BLOCK),
        csv.ParseOptions(delimiter=form.separator, quote_char=False, invalid_row_handler=lambda _: "skip"),
        csv.ConvertOptions(
            column_types={header: pa.float64() for header in headers} | texts, null_values=list(form.missing)
        ),
    )
    stack.callback(reader.close)
    if reader.schema.names != headers:
        raise HistoryUnreadable(str(path), f"does not begin with the header {form.header!r}")
    return reader


def _decoded(form: TextFormat, batch: pa.RecordBatch) -> tuple[Numbers, Numbers]:
    """Return the file's times in seconds, and the units of all measures, of the lines that have a time."""
    columns: list[Any] = [batch.column(column.header) for column in form.columns if isinstance(column, Moment)]
    moments = pc.strptime(
        pc.binary_join_element_wise(*columns, " "), format=form.strptime, unit="s", error_is_null=True
    )
    has_time = pc.is_valid(moments)
    times = pc.filter(moments, has_time).cast(pa.int64()).to_numpy(zero_copy_only=False)
    headers = {column.measure: column.header for column in form.values}
    values = [
        pc.filter(batch.column(headers[measure.name]), has_time).to_numpy(zero_copy_only=False)
        for measure in form.dataset.measures
    ]
    scales = np.array([10.0**measure.scale for measure in form.dataset.measures])
    counted = np.floor(np.column_stack(values) * scales + 0.5)
    whole = np.isfinite(counted).all(axis=1, keepdims=True)
    return times, np.where(whole, np.where(whole, counted, 0).astype(np.int64), MISSING)


def _gridded(times: Numbers, units: Numbers, interval_s: int) -> Numbers:
    """Put each reading where its time belongs; of several of one time, the first counts."""
    first, last = int(times.min()), int(times.max())
    rows = np.full(((last - first) // interval_s + 1, 1 + units.shape[1]), MISSING)
    rows[:, 0] = np.arange(first, last + 1, interval_s)
    rows[((times - first) // interval_s)[::-1], 1:] = units[::-1]
    return rows
