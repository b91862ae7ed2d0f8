"""The port of file formats: the bytes of one file in, Arrow tables of its rows out.

A format is declared (``meterlake.text.format``, ``meterlake.fileformats``), a frozen value of the core; its reader runs
wherever such a file is read: in the tasks of `load`, in `verify`, `simulate` and `dataset check`. So all of them decide
alike what is a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from meterlake.counter_ends import Ends, Neighbours
    from meterlake.declaration import MeterSeries
    from meterlake.wallclock import FileClock

PLACE: Final = "line"
REASON: Final = "reason"
PAYLOAD: Final = "payload"
PAYLOAD_BYTES: Final = 4096
"""Of a row that is no reading, quarantine keeps this much; the whole stands in the raw file."""


@dataclass(frozen=True)
class Options:
    """What is known of a file besides its bytes. meter_id: of all its rows; empty where it says it. clock: the file's.

    neighbours: readings of other files, by meter and measure, where the file has counters. ends: takes the ends of its
    own, if they are asked for.
    """

    meter_id: str
    clock: FileClock
    neighbours: Mapping[tuple[str, str], Neighbours] = field(default_factory=dict, compare=False)
    ends: dict[tuple[str, str], Ends] | None = field(default=None, compare=False)


Reader: TypeAlias = Callable[[IO[bytes], Options], Iterator[pa.Table]]
"""Yields the rows of an unpacked file, in order, a bounded number at a time, as ``row_schema`` says."""


def row_schema(dataset: MeterSeries) -> pa.Schema:
    """Return the columns of a row: one reading, or one thing of the file that is none, with its reason.

    line: number of the line or record, counted from 1; rows of one record share it. ts: the start of the interval,
    UTC, without zone. reason: null for a reading; else why it is none, and payload the line or record as text.
    """
    return pa.schema(
        [
            (PLACE, pa.int64()),
            (dataset.key, pa.string()),
            (dataset.event_time, pa.timestamp("us")),
            (dataset.interval, pa.int32()),
            *((measure.name, pa.float64()) for measure in dataset.measures),
            (REASON, pa.string()),
            (PAYLOAD, pa.string()),
        ]
    )
