"""The input of a run, a third way: the messages that the simulator wrote to a file, decoded by DuckDB.

A line is ``key TAB value``, as `meterlake simulate --to file` writes it; without TAB it is a tombstone. What is no
reading is left out, as the archive puts it into quarantine. The file does not say when its messages arrived, so the
readings' own times must: each is held to have come when the newest one before it was measured. That is enough to decide
between readings, and not to say what was late: the speed layer's rows are not compared.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa  # type: ignore[import-untyped]

from meterlake.contents import NotText
from meterlake.packed import DAMAGED, opened
from meterlake.schema import KEY_PATTERN, LATEST_TS, MAX_REVISION
from serving_layer.verify.expected import READINGS, make_readings
from serving_layer.verify.raw_files import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from meterlake.declaration import MeterSeries

# Names come from the declaration, values are bound.
# ruff: noqa: S608

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
"""What is sooner a meter's id than a header of columns."""

_KEY: Final = re.compile(KEY_PATTERN.strip("^$"))
_LINES: Final = 200_000
_INTEGERS: Final = ("UBIGINT", "BIGINT")
_NUMBERS: Final = (*_INTEGERS, "DOUBLE")


class Messages:
    """Files of messages, in the order in which they were sent.

    now: no reading was from after it, plus the clocks' tolerance; the run's own time. Later ones are from the future.
    """

    def __init__(self, dataset: MeterSeries, paths: Sequence[Path], now: datetime) -> None:
        self._dataset, self._paths = dataset, list(paths)
        self._now = now.astimezone(UTC).replace(tzinfo=None)
        self._unpacked: list[Path] = []
        self.title = f"messages in {', '.join(str(path) for path in paths)}"
        self.has_live = False

    def fetch(self, folder: Path) -> None:
        """Unpack the files into ``folder``. Raises UnreadableFile."""
        for number, path in enumerate(self._paths):
            self._unpacked.append(folder / f"messages-{number}.tsv")
            unpack(path, self._unpacked[-1])

    def read(self, connection: DuckDBPyConnection) -> None:
        """Add the readings to the table ``readings``."""
        names = ", ".join(make_readings(connection, self._dataset))
        connection.execute("CREATE OR REPLACE TABLE lines (line BIGINT, value VARCHAR)")
        numbered = enumerate((line for path in self._unpacked for line in _lines(path)), start=1)
        limit = self._dataset.max_message_bytes
        while some := list(islice(numbered, _LINES)):
            arrays = [[number for number, _ in some], [_text(line, limit) for _, line in some]]
            table = pa.table([pa.array(arrays[0], pa.int64()), pa.array(arrays[1], pa.string())], ["line", "value"])
            connection.register("chunk", table)
            connection.execute("INSERT INTO lines SELECT line, value FROM chunk WHERE value IS NOT NULL")
            connection.unregister("chunk")
        statement = f"INSERT INTO {READINGS} SELECT {names} FROM ({readings_sql(self._dataset)})"
        connection.execute(statement, {"now": self._now, "topic": self._dataset.readings_topic})
        connection.execute("DROP TABLE lines")


def is_messages(path: Path) -> bool:
    """Return whether a file's first line is a message: a meter's id and, behind a TAB, an object; or a plain id alone.

    What cannot be read is none; its reader says why.
    """
    try:
        with ExitStack() as stack:
            first: bytes = opened(path, stack).readline(1 << 16)
    except (OSError, NotText, *DAMAGED):
        return False
    key, _, value = first.rstrip(b"\n").partition(b"\t")
    name = key.decode(errors="replace")
    return bool(_PLAIN.fullmatch(name) or (value.startswith(b"{") and _KEY.fullmatch(name)))


def meters_in(paths: Sequence[Path]) -> set[str]:
    """Return the meters that are named as keys."""
    result: set[bytes] = set()
    for path in paths:
        with ExitStack() as stack:
            result.update(line.partition(b"\t")[0].rstrip(b"\n") for line in opened(path, stack))
    return {key.decode(errors="replace") for key in result if _KEY.fullmatch(key.decode(errors="replace"))}


def readings_sql(dataset: MeterSeries) -> str:
    """Return SQL of the readings among ``lines``, over the values ``now`` and ``topic``."""
    key, at, length = dataset.key, dataset.event_time, dataset.interval
    names = [measure.name for measure in dataset.measures]
    kinds = ",\n    ".join(f"json_type(message, '$.{name}') AS kind_{name}" for name in names)
    values = ",\n    ".join(f"TRY_CAST(json_extract_string(message, '$.{name}') AS DOUBLE) AS {name}" for name in names)
    sound = "\n    AND ".join(
        f"(kind_{name} = 'NULL' OR (kind_{name} IN {_NUMBERS} AND isfinite({name})))" for name in names
    )
    given = " + ".join(f"CAST({name} IS NOT NULL AS INT)" for name in names)
    lengths = ", ".join(map(str, dataset.intervals))
    tolerance = int(dataset.clock_tolerance.total_seconds())
    integers = "\n    AND ".join(
        [
            _integer("v", dataset.wire_version, dataset.wire_version),
            _integer(at, 0, LATEST_TS),
            _integer(length, 0, MAX_REVISION),
            f"(json_type(message, '$.revision') IS NULL OR {_integer('revision', 0, MAX_REVISION)})",
        ]
    )
    return f"""
WITH parsed AS (
  SELECT line, TRY_CAST(value AS JSON) AS message FROM lines
), whole AS (
  SELECT *, {kinds} FROM parsed
  WHERE json_type(message) = 'OBJECT' AND {integers}
    AND json_type(message, '$.{key}') = 'VARCHAR'
    AND regexp_full_match(json_extract_string(message, '$.{key}'), '{KEY_PATTERN.strip("^$")}')
), typed AS (
  SELECT *, json_extract_string(message, '$.{key}') AS {key},
    TRY_CAST(json_extract_string(message, '$.{at}') AS BIGINT) AS second,
    make_timestamp(second * 1000000) AS {at},
    TRY_CAST(json_extract_string(message, '$.{length}') AS INT) AS {length},
    coalesce(TRY_CAST(json_extract_string(message, '$.revision') AS INT), 0) AS revision,
    {values}
  FROM whole
), sound AS (
  SELECT * FROM typed
  WHERE {sound}
    AND {length} IN ({lengths}) AND second % {length} = 0 AND ({given}) IN (0, {len(names)})
)
SELECT *, coalesce(
    max(CASE WHEN {at} <= $now + INTERVAL {tolerance} SECOND THEN {at} END) OVER (ORDER BY line), $now) AS received_at,
  $topic AS origin, 0 AS origin_partition, line AS origin_offset, '' AS load_id
FROM sound"""


def _integer(field: str, low: int, high: int) -> str:
    number = f"TRY_CAST(json_extract_string(message, '$.{field}') AS BIGINT)"
    return f"(json_type(message, '$.{field}') IN {_INTEGERS} AND coalesce({number} BETWEEN {low} AND {high}, false))"


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _text(line: bytes, limit: int) -> str | None:
    """Return a line's value; None where it is none that can be read."""
    _, tab, value = line.partition(b"\t")
    if not tab or len(value) > limit:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
