"""The input of a run, another way: the raw text of a history, decoded by DuckDB.

What is a line, and which lines are readings, is decided by the reader of `meterlake load`: the
others are left out, as the loader puts them into quarantine.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from engines.readers import text
from engines.readers.port import Options
from meterlake.jumps import DAY_S, kept, stretches
from meterlake.packed import DAMAGED, NotText, opened
from meterlake.texthead import WrongText, layout
from meterlake.textlines import CHUNK
from meterlake.wallclock import clock_text
from serving_layer.verify.errors import UnreadableFile
from serving_layer.verify.expected import READINGS, make_readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from meterlake.textformat import TextFormat
    from meterlake.wallclock import FileClock

# Names come from the declaration, values are bound or quoted.
# ruff: noqa: S608


_ROWS: Final = "rows_of_file"
_READINGS_SQL: Final = f"""
SELECT * EXCLUDE (line, reason, payload), $revision AS revision, $received::TIMESTAMP AS received_at,
  $origin AS origin, 0 AS origin_partition, line AS origin_offset, '' AS load_id
FROM {_ROWS} WHERE reason IS NULL"""


class RawText:
    """Files in the order in which they were loaded.

    meter_id: of all lines; empty where the format has a column for it.
    received_at: aware; the run's own time, since the text does not say when it was loaded.
    corrections: further files, each of which replaces what those before it say.
    """

    has_live = False

    def __init__(
        self,
        form: TextFormat,
        paths: Sequence[Path],
        meter_id: str,
        offset: FileClock,
        received_at: datetime,
        corrections: Sequence[Path] = (),
    ) -> None:
        self._form, self._paths, self._meter, self._offset = form, [*paths, *corrections], meter_id, offset
        self._revisions = [0] * len(paths) + list(range(1, len(corrections) + 1))
        self._received_at = received_at.astimezone(UTC).replace(tzinfo=None)
        self._unpacked: list[Path] = []
        self._forms: list[TextFormat] = []
        check_paths(self._paths)
        names = ", ".join(str(path) for path in self._paths)
        clock_name = clock_text(offset) if isinstance(offset, ZoneInfo) else f"UTC{clock_text(offset)}"
        meter = f" of meter {meter_id}" if meter_id else ""
        self.title = f"raw text{meter} at {clock_name}: {names}"

    def fetch(self, folder: Path) -> None:
        """Unpack the files into ``folder``. Raises UnreadableFile."""
        for number, path in enumerate(self._paths):
            target = folder / f"raw-{number}.txt"
            unpack(path, target)
            with target.open("rb") as file:
                head = file.read(CHUNK)
            try:
                self._forms.append(layout(self._form, str(path), head))
            except WrongText as error:
                raise UnreadableFile(str(path), error.problem, error.hint) from error
            self._unpacked.append(target)

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``."""
        names = ", ".join(make_readings(connection, self._form.dataset))
        for number, path in enumerate(self._unpacked):
            values = {
                "received": self._received_at + timedelta(microseconds=number),
                "origin": self._paths[number].name,
                "revision": self._revisions[number],
            }
            with path.open("rb") as file:
                for rows in text.read(self._forms[number], file, Options(self._meter, self._offset)):
                    connection.register(_ROWS, rows)
                    connection.execute(f"INSERT INTO {READINGS} SELECT {names} FROM ({_READINGS_SQL})", values)
                    connection.unregister(_ROWS)
            self._set_aside(connection, values["received"])

    def _set_aside(self, connection: DuckDBPyConnection, received: object) -> None:
        """Leave out the readings of a file that lie far from all others, as the loader does."""
        dataset, second = self._form.dataset, f"CAST(epoch({self._form.dataset.event_time}) AS BIGINT)"
        mine = f"FROM {READINGS} WHERE received_at = $received"
        bound = {"received": received}
        counts = dict(
            connection.execute(f"SELECT {second} // {DAY_S} * {DAY_S}, count(*) {mine} GROUP BY 1", bound).fetchall()
        )
        result = stretches(dataset, counts, DAY_S)
        far = [stretch for stretch in result if stretch not in kept(dataset, result, self._form.interval_s)]
        for stretch in far:
            connection.execute(f"DELETE {mine} AND {second} BETWEEN {stretch.begin} AND {stretch.end - 1}", bound)


def meters_in(form: TextFormat, paths: Sequence[Path]) -> set[str]:
    """Return the meters that the lines of files name. Raises UnreadableFile."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        source = RawText(form, paths, "", form.clock, datetime(1970, 1, 1, tzinfo=UTC))
        source.fetch(Path(folder))
        source.read(connection)
        rows = connection.execute(f"SELECT DISTINCT {form.dataset.key} FROM {READINGS}").fetchall()
    return {meter for (meter,) in rows}


def check_paths(paths: Sequence[Path]) -> None:
    """Raise UnreadableFile unless all are files."""
    for path in paths:
        if not path.is_file():
            raise UnreadableFile(str(path), "is a directory" if path.is_dir() else "does not exist")


def unpack(path: Path, target: Path) -> None:
    """Copy a file, packed or not, unpacked to ``target``. Raises UnreadableFile."""
    try:
        with ExitStack() as stack, target.open("wb") as file:
            shutil.copyfileobj(opened(path, stack), file, 1 << 20)
    except NotText as error:
        raise UnreadableFile(str(path), error.problem, error.hint) from error
    except DAMAGED as error:
        raise UnreadableFile(str(path), f"is damaged or cut off ({error})") from error
    except OSError as error:
        raise UnreadableFile(str(path), error.strerror or str(error)) from error
