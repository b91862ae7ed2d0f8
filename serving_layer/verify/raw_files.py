"""The input of a run, another way: the files that were loaded, of any format.

Files of records (Parquet, JSON, workbooks) are decoded by ``records``, which shares nothing with the readers of `load`.
Of others, the readers say which lines and records are readings; what is none is left out, as it is in quarantine.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from engines.readers.port import Options
from engines.readers.registry import reader_of
from meterlake.contents import NotText
from meterlake.counter_ends import Ends, place
from meterlake.fileformats.base import WrongFile
from meterlake.jumps import DAY_S, kept, stretches
from meterlake.packed import DAMAGED, unpacked
from meterlake.text.format import TextFormat
from meterlake.text.head import WrongText, layout
from meterlake.text.lines import CHUNK
from meterlake.wallclock import clock_text
from serving_layer.verify import records
from serving_layer.verify.errors import UnreadableFile
from serving_layer.verify.expected import READINGS, make_readings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pyarrow as pa  # type: ignore[import-untyped]
    from duckdb import DuckDBPyConnection

    from meterlake.contents import Content
    from meterlake.counter_ends import Neighbours
    from meterlake.fileformats import Format
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are bound or quoted.
# ruff: noqa: S608

_ROWS: Final = "rows_of_file"
_READINGS_SQL: Final = f"""
SELECT * EXCLUDE (line, reason, payload), $revision AS revision, $received::TIMESTAMP AS received_at,
  $origin AS origin, 0 AS origin_partition, line AS origin_offset, '' AS load_id
FROM {_ROWS} WHERE reason IS NULL"""


@dataclass(frozen=True)
class RawFile:
    """A file as it was loaded. meter: of all its rows; empty where it says them. revision: above 0, it corrects."""

    path: Path
    form: Format
    meter: str
    clock: FileClock
    revision: int = 0


class RawFiles:
    """Files of one data set, in the order in which they were loaded.

    received_at: aware; the run's own time, since files do not say when they were loaded.
    """

    has_live = False

    def __init__(self, files: Sequence[RawFile], received_at: datetime) -> None:
        self._files, self._received_at = files, received_at.astimezone(UTC).replace(tzinfo=None)
        self._unpacked: list[tuple[Path, Format]] = []
        self._ends: dict[tuple[str, str], list[Ends]] = {}
        self.title = _title(files)
        check_paths([file.path for file in files])

    def fetch(self, folder: Path) -> None:
        """Unpack the files into ``folder``. Raises UnreadableFile."""
        for number, file in enumerate(self._files):
            target, form = folder / f"raw-{id(self)}-{number}", file.form
            takes = () if isinstance(form, TextFormat) else (form.content,)
            unpack(file.path, target, takes)
            if isinstance(form, TextFormat):
                with target.open("rb") as content:
                    head = content.read(CHUNK)
                try:
                    form = layout(form, str(file.path), head)
                except WrongText as error:
                    raise UnreadableFile(str(file.path), error.problem, error.hint) from error
            self._unpacked.append((target, form))

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``. Raises UnreadableFile."""
        for number, (file, (path, form)) in enumerate(zip(self._files, self._unpacked, strict=True)):
            names = ", ".join(make_readings(connection, form.dataset))
            neighbours, replaces = self._neighbours(file, form, path)
            values = {
                "received": self._received_at + timedelta(microseconds=number),
                "origin": file.path.name,
                "revision": max(file.revision, replaces),
            }
            options = Options(file.meter, file.clock, neighbours)
            try:
                for rows in _tables(form, path, options):
                    connection.register(_ROWS, rows)
                    connection.execute(f"INSERT INTO {READINGS} SELECT {names} FROM ({_READINGS_SQL})", values)
                    connection.unregister(_ROWS)
            except WrongFile as error:
                raise UnreadableFile(str(file.path), error.problem, error.hint) from error
            _set_aside(connection, form, values["received"])

    def _neighbours(self, file: RawFile, form: Format, path: Path) -> tuple[dict[tuple[str, str], Neighbours], int]:
        """Return the readings of counters in the files before this one between which its own stand, as a load does."""
        if not form.counter_interval_s:
            return {}, 0
        ends: dict[tuple[str, str], Ends] = {}
        with path.open("rb") as content:
            for _ in reader_of(form)(content, Options(file.meter, file.clock, ends=ends)):
                pass
        places = {key: place(mine, self._ends.get(key, ()), form.counter_interval_s) for key, mine in ends.items()}
        revision = max((placed.revision for placed in places.values()), default=0)
        for key, mine in ends.items():
            stored = Ends(mine.head, mine.tail, str(file.path), revision, is_stored=True)
            self._ends.setdefault(key, []).append(stored)
        return {key: placed.neighbours for key, placed in places.items()}, revision

    def meters(self) -> set[str]:
        """Return the meters of the readings. Raises UnreadableFile."""
        import duckdb

        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            reading = RawFiles(self._files, self._received_at.replace(tzinfo=UTC))
            reading.fetch(Path(folder))
            reading.read(connection)
            key = self._files[0].form.dataset.key
            return {meter for (meter,) in connection.execute(f"SELECT DISTINCT {key} FROM {READINGS}").fetchall()}


def _title(files: Sequence[RawFile]) -> str:
    kinds = ", ".join(dict.fromkeys(_kind(file) for file in files))
    meters, clocks = {file.meter for file in files}, {_clock(file.clock) for file in files}
    meter = f" of meter {next(iter(meters))}" if len(meters) == 1 and "" not in meters else ""
    clock = f" at {next(iter(clocks))}" if len(clocks) == 1 else ""
    return f"{kinds}{meter}{clock}: {', '.join(str(file.path) for file in files)}"


def _clock(clock: FileClock) -> str:
    return clock_text(clock) if isinstance(clock, ZoneInfo) else f"UTC{clock_text(clock)}"


def _kind(file: RawFile) -> str:
    if isinstance(file.form, TextFormat):
        return "raw text"
    how = "decoded apart from load" if records.is_apart(file.form, file.clock) else "decoded as load does"
    return f"{file.form.title} ({how})"


def _tables(form: Format, path: Path, options: Options) -> Iterator[pa.Table]:
    if records.is_apart(form, options.clock):
        yield from records.rows(form, path, options)
        return
    with path.open("rb") as content:
        yield from reader_of(form)(content, options)


def _set_aside(connection: DuckDBPyConnection, form: Format, received: object) -> None:
    """Leave out the readings of a file that lie far from all others, as the loader does."""
    dataset, second = form.dataset, f"CAST(epoch({form.dataset.event_time}) AS BIGINT)"
    mine = f"FROM {READINGS} WHERE received_at = $received"
    bound = {"received": received}
    days = connection.execute(
        f"SELECT {second} // {DAY_S} * {DAY_S}, count(*), max({dataset.interval}) {mine} GROUP BY 1", bound
    ).fetchall()
    if not days:
        return
    result = stretches(dataset, {day: count for day, count, _ in days}, DAY_S)
    longest = max(length for *_, length in days)
    far = [stretch for stretch in result if stretch not in kept(dataset, result, longest)]
    for stretch in far:
        connection.execute(f"DELETE {mine} AND {second} BETWEEN {stretch.begin} AND {stretch.end - 1}", bound)


def check_paths(paths: Sequence[Path]) -> None:
    """Raise UnreadableFile unless all are files."""
    for path in paths:
        if not path.is_file():
            raise UnreadableFile(str(path), "is a directory" if path.is_dir() else "does not exist")


def unpack(path: Path, target: Path, takes: Collection[Content] = ()) -> None:
    """Copy a file, packed or not, unpacked to ``target``. takes: what it may be besides text. Raises UnreadableFile."""
    try:
        with ExitStack() as stack, target.open("wb") as file:
            raw = stack.enter_context(path.open("rb"))
            shutil.copyfileobj(unpacked(raw, stack, takes)[0], file, 1 << 20)
    except NotText as error:
        raise UnreadableFile(str(path), error.problem, error.hint) from error
    except DAMAGED as error:
        raise UnreadableFile(str(path), f"is damaged or cut off ({error})") from error
    except OSError as error:
        raise UnreadableFile(str(path), error.strerror or str(error)) from error
