"""A recorded history in memory: units on a time grid without gaps, kept in the cache so that it is decoded once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np

from engines.readers import text
from engines.readers.held import held
from engines.readers.port import REASON, Options
from meterlake.contents import NotText
from meterlake.jumps import DAY_S, FAR_FROM_OTHERS, kept, stretches
from meterlake.packed import DAMAGED, opened
from meterlake.rules import BEFORE_EARLIEST, earliest_ts
from meterlake.schema import LATEST_TS
from meterlake.text.head import WrongText, fitting, layout
from meterlake.text.lines import CHUNK
from producers.errors import HistoryUnreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from meterlake.randomness import Numbers
    from meterlake.text.format import TextFormat
    from meterlake.wallclock import FileClock

MISSING: Final = np.iinfo(np.int64).min
"""Where the history has no values."""

# Names come from the declaration.
# ruff: noqa: S608

_ROWS: Final = "rows_of_file"
_LAYOUT: Final = "2"
"""Of a cached history; another one is another file."""


@dataclass(frozen=True)
class History:
    """Row i holds the units of all measures from ``first + i · interval_s`` on, or MISSING.

    skipped: lines of the file that are no readings, by reason, as `load` quarantines them.
    """

    first: int
    interval_s: int
    units: Numbers
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The first instant after it."""
        return self.first + len(self.units) * self.interval_s


def load(cache: Path, form: TextFormat, path: Path, offset: FileClock, others: Sequence[TextFormat] = ()) -> History:
    """Return the history in a text file, plain or packed. Lines that are no readings are left out.

    cache: folder for the decoded history. offset: of the file's clock from UTC, or its zone.
    others: further formats of the data set, of which the file may be. Raises HistoryUnreadable.
    """
    try:
        name = f"{form.dataset.name}-{_fingerprint(form, path, offset)}.npy"
    except OSError as error:
        raise HistoryUnreadable(str(path), f"cannot be read: {error.strerror}") from error
    file = cache / "histories" / name
    with suppress(OSError, ValueError):  # none yet, or one that was damaged
        return _history(form, np.load(file, mmap_mode="r"), json.loads(_reasons_path(file).read_text()))
    rows, skipped = _rows(list(dict.fromkeys([form, *others])), path, offset)
    with suppress(OSError):  # no room for a cache is no reason to fail
        _keep(file, rows, skipped)
    return _history(form, rows, skipped)


def _history(form: TextFormat, rows: Numbers, skipped: dict[str, int]) -> History:
    return History(int(rows[0, 0]), form.interval_s, rows[:, 1:], skipped)


def _keep(path: Path, rows: Numbers, skipped: dict[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _reasons_path(path).write_text(json.dumps(skipped))
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)


def _reasons_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _fingerprint(form: TextFormat, path: Path, offset: FileClock) -> str:
    """Return what a decoded history depends on: the file's bytes, and how they are read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    read_as = (_LAYOUT, form.columns, form.missing, form.interval_s, str(offset), form.dataset)
    digest.update(repr(read_as).encode())
    return digest.hexdigest()[:32]


def _rows(forms: Sequence[TextFormat], path: Path, offset: FileClock) -> tuple[Numbers, dict[str, int]]:
    """Return the start of each interval and its units, of the last stretch without a jump; and what was skipped."""
    parts: list[tuple[Numbers, Numbers, NDArray[np.bool_]]] = []
    skipped = Counter[str]()
    try:
        with ExitStack() as stack, duckdb.connect() as connection:
            file = stack.enter_context(held(opened(path, stack).read))
            head = file.read(CHUNK)
            form = layout(fitting(forms, str(path), head), str(path), head)
            file.seek(0)
            for rows in text.read(form, file, Options(form.meter_id, offset)):
                connection.register(_ROWS, rows)
                parts.append(_decoded(connection, form))
                connection.unregister(_ROWS)
                skipped.update(rows[REASON].drop_null().to_pylist())
    except WrongText as error:
        raise HistoryUnreadable(str(path), error.problem, error.hint) from error
    except NotText as error:
        raise HistoryUnreadable(str(path), error.problem, error.hint) from error
    except DAMAGED as error:
        raise HistoryUnreadable(str(path), f"is damaged or cut off ({error})") from error
    except OSError as error:
        raise HistoryUnreadable(str(path), f"cannot be read: {error.strerror or error}") from error
    times, units, read = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not read.any():
        worst = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common(3))
        raise HistoryUnreadable(str(path), f"holds no reading ({worst})")
    lived = _last_stretch(form, times)
    if not (lived & read).any():
        raise HistoryUnreadable(str(path), "holds no reading after its last jump in time")
    for reason, count in _set_aside(form, times[read & ~lived]).items():
        skipped[reason] += count
    span = int(times[lived].min()), int(times[lived].max())
    return _gridded(times[lived & read], units[lived & read], form.interval_s, span), dict(skipped)


def _last_stretch(form: TextFormat, times: Numbers) -> NDArray[np.bool_]:
    """Return which times belong to the last stretch without a jump: what the simulator's meters live."""
    days, counts = np.unique(times // DAY_S * DAY_S, return_counts=True)
    result = stretches(form.dataset, dict(zip(days.tolist(), counts.tolist(), strict=True)), DAY_S)
    last = kept(form.dataset, result, form.interval_s)[-1]
    return (times >= max(last.begin, earliest_ts(form.dataset))) & (times < last.end)


def _set_aside(form: TextFormat, times: Numbers) -> dict[str, int]:
    early = int((times < earliest_ts(form.dataset)).sum())
    counts = {BEFORE_EARLIEST: early, FAR_FROM_OTHERS: len(times) - early}
    return {reason: count for reason, count in counts.items() if count}


def _decoded(connection: duckdb.DuckDBPyConnection, form: TextFormat) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Return times in seconds, units of all measures, and whether it is a reading or gap row, of lines with a time."""
    at = form.dataset.event_time
    names = [measure.name for measure in form.dataset.measures]
    listed = ", ".join(names)
    columns = connection.execute(
        f"SELECT CAST(epoch({at}) AS BIGINT) AS second, reason IS NULL AS read, {listed} FROM {_ROWS}"
        f" WHERE reason IS NULL OR (second BETWEEN 0 AND {LATEST_TS} AND second % {form.interval_s} = 0) ORDER BY line"
    ).fetchnumpy()
    values = [np.ma.filled(np.ma.asarray(columns[name], np.float64), np.nan) for name in names]
    scales = np.array([10.0**measure.scale for measure in form.dataset.measures])
    counted = np.floor(np.column_stack(values) * scales + 0.5)
    whole = np.isfinite(counted).all(axis=1, keepdims=True)
    times = np.ma.getdata(columns["second"]).astype(np.int64)
    units = np.where(whole, np.where(whole, counted, 0).astype(np.int64), MISSING)
    return times, units, np.ma.getdata(columns["read"]).astype(bool)


def _gridded(times: Numbers, units: Numbers, interval_s: int, span: tuple[int, int]) -> Numbers:
    """Put each reading where its time belongs, from the first to the last; of several of one time, the first counts."""
    first, last = span
    rows = np.full(((last - first) // interval_s + 1, 1 + units.shape[1]), MISSING)
    rows[:, 0] = np.arange(first, last + 1, interval_s)
    rows[((times - first) // interval_s)[::-1], 1:] = units[::-1]
    return rows
