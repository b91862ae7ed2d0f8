"""The input of a run, another way: the raw text of a history, decoded by DuckDB.

The text format's declaration says how a line looks; what is done about it here is written by hand. Lines that are no
readings are left out, as the loader puts them into quarantine.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterlake.packed import DAMAGED, NotOneFile, opened
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.textformat import Epoch, MeterColumn, Moment, Value, offset_text
from meterlake.timepattern import FRACTION, has_fraction
from serving_layer.verify.errors import UnreadableFile
from serving_layer.verify.expected import READINGS, make_readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from meterlake.textformat import TextFormat

# Names come from the declaration, values are bound or quoted.
# ruff: noqa: S608

_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


class RawText:
    """Files in the order in which they were loaded.

    meter_id: of all lines; empty where the format has a column for it.
    received_at: aware; the run's own time, since the text does not say when it was loaded.
    """

    has_live = False

    def __init__(
        self, form: TextFormat, paths: Sequence[Path], meter_id: str, offset: timedelta, received_at: datetime
    ) -> None:
        self._form, self._paths, self._meter, self._offset = form, list(paths), meter_id, offset
        self._received_at = received_at.astimezone(UTC).replace(tzinfo=None)
        self._unpacked: list[str] = []
        check_paths(self._paths)
        names = ", ".join(str(path) for path in self._paths)
        meter = f" of meter {meter_id}" if meter_id else ""
        self.title = f"raw text{meter} at UTC{offset_text(offset)}: {names}"

    def fetch(self, folder: Path) -> None:
        """Unpack the files into ``folder``. Raises UnreadableFile."""
        for number, path in enumerate(self._paths):
            target = folder / f"raw-{number}.txt"
            unpack(path, target)
            self._check_header(path, target)
            self._unpacked.append(str(target))

    def read(self, connection: DuckDBPyConnection) -> None:
        """Make the table ``readings``."""
        names = ", ".join(make_readings(connection, self._form.dataset))
        for number, path in enumerate(self._unpacked):
            values = {
                "path": path,
                **({} if self._form.has_meters else {"meter": self._meter}),
                "received": self._received_at + timedelta(microseconds=number),
                "origin": self._paths[number].name,
            }
            connection.execute(
                f"INSERT INTO {READINGS} SELECT {names} FROM ({readings_sql(self._form, self._offset)})", values
            )

    def _check_header(self, path: Path, unpacked: Path) -> None:
        with unpacked.open("rb") as file:
            first = file.readline(1 << 16).decode("utf-8-sig", errors="replace").rstrip("\r\n")
        if first != self._form.header:
            raise UnreadableFile(str(path), f"its first line is {first[:120]!r} instead of {self._form.header!r}")


def meters_in(form: TextFormat, paths: Sequence[Path]) -> set[str]:
    """Return the meters that the lines of files name. Raises UnreadableFile."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        source = RawText(form, paths, "", form.utc_offset, datetime(1970, 1, 1, tzinfo=UTC))
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
    except NotOneFile as error:
        raise UnreadableFile(str(path), str(error)) from error
    except DAMAGED as error:
        raise UnreadableFile(str(path), f"is damaged or cut off ({error})") from error
    except OSError as error:
        raise UnreadableFile(str(path), error.strerror or str(error)) from error


def readings_sql(form: TextFormat, offset: timedelta) -> str:
    """Return SQL of the readings in a text file, over the values ``path``, ``meter``, ``received``, ``origin``."""
    dataset, missing = form.dataset, ", ".join(map(_quoted, form.missing))
    fields = {f"c{number}": "VARCHAR" for number in range(len(form.columns))}
    texts = ", ".join(f"{_quoted(name)}: {_quoted(kind)}" for name, kind in fields.items())
    columns = [f"trim(c{at})" if form.padded else f"c{at}" for at in range(len(form.columns))]
    measures = {column.measure: at for at, column in enumerate(form.columns) if isinstance(column, Value)}
    meters = [columns[at] for at, column in enumerate(form.columns) if isinstance(column, MeterColumn)]
    meter = meters[0] if meters else "$meter"
    point = {name: _with_point(form, columns[at]) for name, at in measures.items()}
    numbers = ",\n    ".join(
        f"CASE WHEN coalesce({columns[at]}, '') NOT IN ({missing}) THEN try_cast({point[name]} AS DOUBLE) END AS {name}"
        for name, at in measures.items()
    )
    odd = " OR ".join(
        f"(coalesce({columns[at]}, '') NOT IN ({missing})"
        f" AND NOT (regexp_full_match({point[name]}, {_quoted(_NUMBER)}) AND coalesce(isfinite({name}), false)))"
        for name, at in measures.items()
    )
    given = " + ".join(f"CAST({name} IS NOT NULL AS INT)" for name in measures)
    return f"""
WITH lines AS (
  SELECT row_number() OVER () + 1 AS line, * FROM read_csv(
    $path, columns = {{{texts}}}, delim = {_quoted(form.separator)},
    header = true, auto_detect = false, quote = '', escape = '', ignore_errors = true,
    null_padding = false, strict_mode = true, parallel = false, max_line_size = {1 << 20})
), decoded AS (
  SELECT *, {_moment(form, columns)} - INTERVAL {round((offset + form.lead).total_seconds())} SECOND
      AS {dataset.event_time},
    {numbers}
  FROM lines
)
SELECT *, {meter} AS {dataset.key}, {form.interval_s} AS {dataset.interval}, 0 AS revision,
  $received::TIMESTAMP AS received_at, $origin AS origin, 0 AS origin_partition, line AS origin_offset, '' AS load_id
FROM decoded
WHERE {dataset.event_time} IS NOT NULL AND epoch({dataset.event_time}) BETWEEN 0 AND {LATEST_TS}
  AND epoch({dataset.event_time}) % {form.interval_s} = 0
  AND ({given}) IN (0, {len(measures)}) AND NOT ({odd})
  AND regexp_matches({meter}, {_quoted(KEY_PATTERN)})"""


def _moment(form: TextFormat, columns: Sequence[str]) -> str:
    """Return SQL of a line's time, as the file's clock says it; NULL for no such time."""
    for at, column in enumerate(form.columns):
        if isinstance(column, Epoch):
            whole = (
                f"CASE WHEN regexp_full_match({columns[at]}, '[0-9]{{1,10}}') THEN CAST({columns[at]} AS BIGINT) END"
            )
            return f"make_timestamp({whole} * 1000000)"
    text = " || ' ' || ".join(columns[at] for at, part in enumerate(form.columns) if isinstance(part, Moment))
    if has_fraction(form.pattern):
        text = f"regexp_replace({text}, '{FRACTION}', '')"
    return f"try_strptime({text}, {_quoted(form.strptime)})"


def _with_point(form: TextFormat, field: str) -> str:
    return field if form.decimal == "." else f"translate({field}, ',.', '.x')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
