"""The rows of a raw file, judged: each is a reading, a gap row, not to be loaded, or goes to quarantine.

All that is decided about a row is decided here and by the file's reader: what lies far from all others of its meter
in the file is set aside, and of a history that was moved to end now, what lies ahead is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from engines.readers.port import PAYLOAD, PLACE, REASON, Options
from meterlake.columns import BIGINT, INT, STRING, TIMESTAMP, Column
from meterlake.jumps import DAY_S, FAR_FROM_OTHERS, Stretch
from meterlake.schema import LATEST_TS, master_fields, quarantine_fields
from meterlake.text.rows import SKIPPED_LINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from meterlake.columns import Kind
    from meterlake.declaration import MeterSeries
    from meterlake.fileformats import Format

DAYS: Final = (
    Column("file", INT, doc="place of the file in the load"),
    Column("meter_id", STRING, doc="meter; NULL where a row does not say"),
    Column("day", BIGINT, doc="first second of a UTC day, before the shift"),
    Column("rows", BIGINT, doc="rows whose time lies on it, whatever their values are worth"),
    Column("latest", TIMESTAMP, doc="latest of their times"),
    Column("interval_s", INT, doc="longest of their intervals, seconds"),
)
ENDS: Final = (
    Column("file", INT, doc="place of the file in the load"),
    Column("meter_id", STRING, doc="meter"),
    Column("measure", STRING, doc="measure whose counter it is"),
    Column("edge", STRING, doc="head or tail"),
    Column("place", INT, doc="of the reading in its edge"),
    Column("at", BIGINT, doc="when it was read, seconds"),
    Column("units", BIGINT, doc="what the counter showed"),
    Column("serial", STRING, doc="number of the meter itself"),
)
SPANS: Final = 1000
"""A tally tells the spans of so many meters; of a part with more, it does not."""
_SECOND: Final = 1_000_000
_TYPES: Final[dict[Kind, pa.DataType]] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Raw:
    """A file of a load, as what reads it needs it.

    location: path in HDFS of the object that holds it. origin: its name in the tables. received_at: UTC without zone.
    kept: where readings of a meter may lie, before they are shifted; anywhere for those that are not in it.
    """

    form: Format
    options: Options
    location: str
    origin: str
    load_id: str
    received_at: datetime
    revision: int = 0
    kept: Mapping[str, Sequence[Stretch]] = field(default_factory=dict)

    @property
    def dataset(self) -> MeterSeries:
        """Its data set."""
        return self.form.dataset


@dataclass
class Tally:
    """What rows of a file are. ahead: readings that are not loaded.

    skipped: lines that the format declares to be none, besides the rows. line_sum: of the places of rows and these.
    first, last: seconds of the times of readings and gap rows; None without any. spans: meter -> the same of it, and
    the seconds that its rows cover; None for too many meters. reasons: why rows are no readings -> how many, and the
    first place. problem: why the file cannot be read at all; hint: how to go on.
    """

    rows: int = 0
    skipped: int = 0
    line_sum: int = 0
    readings: int = 0
    gaps: int = 0
    ahead: int = 0
    first: int | None = None
    last: int | None = None
    spans: dict[str, tuple[int, int, int]] | None = field(default_factory=dict)
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict)
    problem: str = ""
    hint: str = ""

    @property
    def rejected(self) -> int:
        """Rows that are no readings."""
        return sum(count for count, _ in self.reasons.values())

    def add(self, other: Tally) -> None:
        """Add the rows of another part."""
        for name in ("rows", "skipped", "line_sum", "readings", "gaps", "ahead"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if not self.problem:
            self.problem, self.hint = other.problem, other.hint
        self.first = min((at for at in (self.first, other.first) if at is not None), default=None)
        self.last = max((at for at in (self.last, other.last) if at is not None), default=None)
        self.spans = _together(self.spans, other.spans)
        for reason, (count, place) in other.reasons.items():
            before, first = self.reasons.get(reason, (0, place))
            self.reasons[reason] = (before + count, min(first, place))


def _together(
    one: dict[str, tuple[int, int, int]] | None, other: dict[str, tuple[int, int, int]] | None
) -> dict[str, tuple[int, int, int]] | None:
    """Return the spans of two parts of a file."""
    if one is None or other is None:
        return None
    result = dict(one)
    for meter, (first, last, covered) in other.items():
        low, high, before = result.get(meter, (first, last, 0))
        result[meter] = (min(low, first), max(high, last), before + covered)
    return result if len(result) <= SPANS else None


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    result = Tally()
    for tally in tallies:
        result.add(tally)
    return result


class Judged:
    """Rows of one file, as its reader yields them, with what becomes of each.

    shift: added to the times. now: readings from then on are not loaded; None to load all. UTC without zone.
    """

    def __init__(self, raw: Raw, rows: pa.Table, shift: timedelta, now: datetime | None) -> None:
        dataset = raw.dataset
        self._line_sum, self._all = pc.sum(rows[PLACE]).as_py() or 0, len(rows)
        if rows[REASON].null_count < len(rows):
            rows = rows.filter(pc.fill_null(pc.not_equal(rows[REASON], SKIPPED_LINE), True))
        self._raw, self._rows = raw, rows
        times = rows[dataset.event_time]
        micros = pc.fill_null(times.cast(pa.int64()), -1).to_numpy()
        self._seconds: NDArray[np.int64] = micros // _SECOND
        good = pc.is_null(rows[REASON]).to_numpy()
        far = good & self._far()
        self._reason = pc.if_else(pa.array(far), FAR_FROM_OTHERS, rows[REASON]) if far.any() else rows[REASON]
        self._good: NDArray[np.bool_] = good & ~far
        self._ahead: NDArray[np.bool_] = np.zeros(len(rows), bool)
        if now is not None:
            self._ahead = self._good & (micros + _micros(shift) >= _micros(now - datetime(1970, 1, 1)))  # noqa: DTZ001
        self._shift = shift

    def readings(self) -> pa.Table:
        """Return readings and gap rows as rows of the master table."""
        rows = self._picked(self._good & ~self._ahead)
        dataset = self._raw.dataset
        times = rows[dataset.event_time]
        given = self._arrived(rows) | {
            "revision": self._raw.revision,
            dataset.event_time: pc.add(times, pa.scalar(self._shift, pa.duration("us"))) if self._shift else times,
        }
        return _table(rows, given, master_fields(dataset))

    def rejected(self) -> pa.Table:
        """Return the others as rows of the quarantine."""
        bad = ~self._good
        rows = self._picked(bad)
        given = self._arrived(rows) | {
            "payload": rows[PAYLOAD],
            "reason": self._reason.filter(pa.array(bad)),
        }
        return _table(rows, given, quarantine_fields(self._raw.dataset))

    def days(self, file: int) -> pa.Table:
        """Return the UTC days on which times of rows lie, whatever the rows' values are worth."""
        likely = (self._seconds >= 0) & (self._seconds <= LATEST_TS)
        rows = self._picked(likely)
        key = self._raw.dataset.key
        days = pa.table(
            {
                "meter_id": rows[key],
                "day": self._seconds[likely] // DAY_S * DAY_S,
                "time": rows[self._raw.dataset.event_time],
                "interval_s": rows[self._raw.dataset.interval],
            }
        )
        result = days.group_by(["meter_id", "day"]).aggregate(
            [([], "count_all"), ("time", "max"), ("interval_s", "max")]
        )
        given = {
            "file": file,
            "meter_id": result["meter_id"],
            "day": result["day"],
            "rows": result["count_all"],
            "latest": result["time_max"],
            "interval_s": result["interval_s_max"],
        }
        return _table(result, given, DAYS)

    def tally(self) -> Tally:
        """Count the rows."""
        dataset = self._raw.dataset
        empty = reduce(np.logical_and, (pc.is_null(self._rows[m.name]).to_numpy() for m in dataset.measures))
        loaded = self._good & ~self._ahead
        seconds = self._seconds[self._good] + round(self._shift.total_seconds())
        return Tally(
            rows=len(self._rows),
            skipped=self._all - len(self._rows),
            line_sum=self._line_sum,
            readings=int((loaded & ~empty).sum()),
            gaps=int((loaded & empty).sum()),
            ahead=int(self._ahead.sum()),
            first=int(seconds.min()) if len(seconds) else None,
            last=int(seconds.max()) if len(seconds) else None,
            spans=self._spans(seconds),
            reasons=self._reasons(),
        )

    def _spans(self, seconds: NDArray[np.int64]) -> dict[str, tuple[int, int, int]] | None:
        """Return the span of each meter. seconds: of the good rows' times."""
        dataset = self._raw.dataset
        rows = self._picked(self._good)
        table = pa.table([rows[dataset.key], pa.array(seconds), rows[dataset.interval]], ["meter", "at", "length"])
        result = table.group_by("meter").aggregate([("at", "min"), ("at", "max"), ("length", "sum")])
        if len(result) > SPANS:
            return None
        names = ("meter", "at_min", "at_max", "length_sum")
        return {
            meter: (first, last, covered)
            for meter, first, last, covered in zip(*(result[name].to_pylist() for name in names), strict=True)
        }

    def _far(self) -> NDArray[np.bool_]:
        """Return which rows lie far from all others of their meter."""
        result = np.zeros(len(self._rows), bool)
        for meter, stretches in self._raw.kept.items():
            own = pc.fill_null(pc.equal(self._rows[self._raw.dataset.key], meter), False).to_numpy()
            result |= own & ~_inside(self._seconds, stretches)
        return result

    def _reasons(self) -> dict[str, tuple[int, int]]:
        bad = ~self._good
        if not bad.any():
            return {}
        rows = pa.table([self._reason.filter(pa.array(bad)), self._picked(bad)[PLACE]], ["reason", "place"])
        result = rows.group_by("reason").aggregate([([], "count_all"), ("place", "min")])
        names = ("reason", "count_all", "place_min")
        return {
            reason: (count, place)
            for reason, count, place in zip(*(result[name].to_pylist() for name in names), strict=True)
        }

    def _picked(self, mask: NDArray[np.bool_]) -> pa.Table:
        return self._rows if mask.all() else self._rows.filter(pa.array(mask))

    def _arrived(self, rows: pa.Table) -> dict[str, Any]:
        return {
            "received_at": self._raw.received_at,
            "origin": self._raw.origin,
            "origin_partition": 0,
            "origin_offset": rows[PLACE],
            "load_id": self._raw.load_id,
        }


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return columns of a table as Arrow has them."""
    return pa.schema([(column.name, _TYPES[column.type.kind]) for column in columns])


def _table(rows: pa.Table, given: dict[str, Any], columns: Sequence[Column]) -> pa.Table:
    """Return columns of a table, from ``given`` (arrays, or one value for all rows) or ``rows``."""
    arrays = []
    for column in columns:
        kind = _TYPES[column.type.kind]
        value = given[column.name] if column.name in given else rows[column.name]
        is_array = isinstance(value, pa.Array | pa.ChunkedArray)
        arrays.append(value.cast(kind) if is_array else pa.repeat(pa.scalar(value, kind), len(rows)))
    return pa.table(arrays, schema(columns))


def _inside(seconds: NDArray[np.int64], kept: Sequence[Stretch]) -> NDArray[np.bool_]:
    result = np.zeros(len(seconds), bool)
    for stretch in kept:
        result |= (seconds >= stretch.begin) & (seconds < stretch.end)
    return result


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
