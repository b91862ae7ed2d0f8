"""The rows that a reader yields, and what all readers but that of text decide alike.

A row is no reading with the first reason that applies: the reader's own, ``bad_meter``, ``bad_time``, ``off_grid``,
``missing_measure``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]

from engines.readers.port import PAYLOAD_BYTES, row_schema
from meterlake.fileformats.values import BAD_TIME
from meterlake.rules import MISSING_MEASURE
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.timegrid import OFF_GRID, on_grid

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

Values: TypeAlias = Sequence[float | None]
BATCH: Final = 20_000
BAD_METER: Final = "bad_meter"
_KEY: Final = re.compile(KEY_PATTERN.removesuffix("$") + r"\Z")


class Rows:
    """Collects rows, and hands them over as tables.

    Values are in the order of the data set's measures.
    """

    def __init__(self, dataset: MeterSeries) -> None:
        self._dataset, self._schema = dataset, row_schema(dataset)
        self._rows: list[tuple[Any, ...]] = []
        self._empty: tuple[None, ...] = (None,) * len(dataset.measures)

    def add(
        self,
        place: int,
        meter: str,
        ts: int,
        interval_s: int,
        values: Sequence[float | None],
        payload: Callable[[], str],
    ) -> None:
        """Add a decoded record: a reading, a gap row where no value is given, or what the rules refuse.

        payload: the record as text, for what is refused.
        """
        problem = self.problem(meter, ts)
        if problem:
            self.refuse(place, problem, payload())
        else:
            reason = self._reason(ts, interval_s, values)
            kept = _cut(payload()) if reason else None
            self._rows.append((place, meter, ts * 1_000_000, interval_s, *values, reason, kept))

    def refuse(self, place: int, reason: str, payload: str) -> None:
        """Add a row that is no reading."""
        self._rows.append((place, None, None, None, *self._empty, reason, _cut(payload)))

    def problem(self, meter: str, ts: int) -> str | None:
        """Return why no reading can have such a meter or time, if so."""
        if not _KEY.match(meter):
            return BAD_METER
        return None if 0 <= ts <= LATEST_TS else BAD_TIME

    def full(self) -> Iterator[pa.Table]:
        """Yield the rows collected so far, if they are many."""
        if len(self._rows) >= BATCH:
            yield from self.rest()

    def rest(self) -> Iterator[pa.Table]:
        """Yield the rows collected so far, if any."""
        if self._rows:
            rows, self._rows = self._rows, []
            yield pa.table([list(column) for column in zip(*rows, strict=True)], schema=self._schema)

    def _reason(self, ts: int, interval_s: int, values: Values) -> str | None:
        if not on_grid(self._dataset, ts, interval_s):
            return OFF_GRID
        missing = values.count(None)
        return MISSING_MEASURE if 0 < missing < len(values) else None


def _cut(payload: str) -> str:
    """Return as much of a text as quarantine keeps; what no text can hold becomes ``?``."""
    return payload[:PAYLOAD_BYTES].encode(errors="replace")[:PAYLOAD_BYTES].decode(errors="ignore")
