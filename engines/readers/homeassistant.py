"""Home Assistant's statistics, from its database or from CSV.

Reasons beside those of ``rows`` and ``registers``: ``bad_unit:<unit>`` · ``missing_value`` · ``bad_value:<measure>``.
The place of a row is the id of the row in the database, or the line.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from engines.readers import csv_lines
from engines.readers.counters import Counters
from engines.readers.joined import Item, Joined
from engines.readers.rows import Rows
from engines.readers.streams import as_file, seekable
from meterlake import wallclock
from meterlake.fileformats.base import WrongFile
from meterlake.fileformats.homeassistant import COUNTERS, TABLES
from meterlake.fileformats.records import counter_units
from meterlake.fileformats.values import (
    EPOCH_S,
    ISO,
    RefusedValue,
    Stamp,
    instant,
    is_doubtful,
    number,
    physical,
    stamp,
)
from meterlake.physical_units import UnitsDiffer, exact_factor
from meterlake.registers import CounterReading
from meterlake.wallclock import Doubtful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Options
    from engines.readers.records import Record
    from meterlake.fileformats.homeassistant import HomeAssistantDatabase, HomeAssistantText, Statistic
    from meterlake.registers import Rule

_SAME: Final = Fraction(1)
_SEPARATORS: Final = ",;\t"
_ALIASES: Final = {"unit_of_measurement": "unit"}


class _Row(NamedTuple):
    """A row of a statistic that is read."""

    place: int
    statistic: Statistic
    start: Stamp
    unit: str
    value: Any
    payload: Callable[[], str]


def read_database(form: HomeAssistantDatabase, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a database."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "statistics.db"
        as_file(stream, path)
        collected = _Collected(form, options, {})
        try:
            connection = stack.enter_context(closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)))
            for row in _database_rows(form, connection):
                collected.take(row)
                yield from collected.rows.full()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise WrongFile(
                f"is damaged, or no database of Home Assistant ({error})",
                "Copy home-assistant_v2.db while Home Assistant is stopped, or take it from a backup.",
            ) from error
        yield from collected.end()


def read_text(form: HomeAssistantText, stream: IO[bytes], options: Options) -> Iterator[pa.Table]:
    """Yield the rows of a CSV export."""
    with ExitStack() as stack:
        places: dict[int, int] = {}
        if isinstance(options.clock, ZoneInfo):
            stream = seekable(stream, stack)
            scan, clock = _Collected(form, options, {}), options.clock
            doubtful = [
                Doubtful(row.place, row.statistic.id, row.start.seconds)
                for row in _text_rows(form, stream, scan.rows)
                if is_doubtful(row.start, clock)
            ]
            places = wallclock.places(doubtful, clock)
            stream.seek(0)
        collected = _Collected(form, options, places)
        for row in _text_rows(form, stream, collected.rows):
            collected.take(row)
            yield from collected.rows.full()
        yield from collected.end()


class _Collected:
    """The values of all statistics that are read; they make readings at the end of the file."""

    def __init__(
        self, form: HomeAssistantDatabase | HomeAssistantText, options: Options, places: Mapping[int, int]
    ) -> None:
        self._form, self._options, self._places = form, options, places
        self.rows = Rows(form.dataset)
        self._counters, self._levels = Counters(options), dict[str, list[Item]]()

    def take(self, row: _Row) -> None:
        """Add the value of a row."""
        try:
            self._add(row)
        except RefusedValue as refused:
            self.rows.refuse(row.place, refused.of(row.statistic.measure).reason, row.payload())

    def _add(self, row: _Row) -> None:
        statistic, measure = row.statistic, self._form.dataset.measure(row.statistic.measure)
        meter = statistic.meter_id or self._options.meter_id
        begins = instant(row.start, self._options.clock, self._places.get(row.place))
        problem = self.rows.problem(meter, begins)
        value = None if problem else number(row.value)
        if value is None:
            self.rows.refuse(row.place, problem or "missing_value", row.payload())
            return
        try:
            factor = exact_factor(row.unit or measure.unit, measure.unit)
        except UnitsDiffer:
            self.rows.refuse(row.place, f"bad_unit:{row.unit[:20]}", row.payload())
            return
        if statistic.column in COUNTERS:
            reading = CounterReading(
                begins + self._form.interval_s, counter_units(value, factor, measure), place=row.place
            )
            self._counters.add(meter, measure.name, reading)
        else:
            item = Item(row.place, begins, self._form.interval_s, measure.name, physical(value, factor))
            self._levels.setdefault(meter, []).append(item)

    def end(self) -> Iterator[pa.Table]:
        """Yield what the values make."""
        for meter in dict.fromkeys((*self._counters.meters, *self._levels)):
            joined = Joined(self._form)
            for item in self._levels.pop(meter, []):
                joined.put(item)
            for _ in self._counters.move(self.rows, joined, self._rules(meter), meter):
                yield from self.rows.full()
            for _ in joined.move(self.rows, meter):
                yield from self.rows.full()
        yield from self.rows.rest()

    def _rules(self, meter: str) -> dict[str, Rule]:
        form = self._form
        measures = {one.measure: form.dataset.measure(one.measure) for one in form.statistics}
        return {
            name: form.register.rule(
                form.dataset, measure, exact_factor(measure.unit, measure.unit), form.interval_s, meter
            )
            for name, measure in measures.items()
        }


def _database_rows(form: HomeAssistantDatabase, connection: sqlite3.Connection) -> Iterator[_Row]:
    """Yield the rows of the statistics that are read, each in order of time. Raises sqlite3.Error or WrongFile."""
    table = TABLES[form.interval_s]
    meta = connection.execute("SELECT id, statistic_id, unit_of_measurement FROM statistics_meta")
    known = {str(name): (number_, str(unit or "")) for number_, name, unit in meta}
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    # Before 2023, times were text.
    time = "start_ts" if "start_ts" in columns else "start"
    _check_known(form, known)
    for statistic in form.statistics:
        number_, unit = known[statistic.id]
        sql = f"SELECT id, {time}, {statistic.column} FROM {table} WHERE metadata_id = ? ORDER BY {time}, id"  # noqa: S608
        for place, start, value in connection.execute(sql, (number_,)):
            payload = partial("{} {} {} {}".format, statistic.id, start, value, unit)
            yield _Row(place, statistic, _start(start), unit, value, payload)


def _start(given: object) -> Stamp:
    """Return a row's start in UTC; one that is none is far away, and so refused."""
    try:
        result = stamp(given, ISO if isinstance(given, str) else EPOCH_S)
    except RefusedValue:
        return Stamp(-1, is_utc=True)
    return result._replace(is_utc=True)


def _check_known(form: HomeAssistantDatabase, known: Mapping[str, tuple[int, str]]) -> None:
    missing = [statistic.id for statistic in form.statistics if statistic.id not in known]
    if missing:
        raise WrongFile(
            f"has no statistic {', '.join(missing)}; it has {', '.join(sorted(known))[:500] or 'none'}",
            f"Mend the names in the {form.where}.",
        )


def _text_rows(form: HomeAssistantText, stream: IO[bytes], rows: Rows) -> Iterator[_Row]:
    """Yield the rows of the statistics that are read; what is no row goes to ``rows``."""
    by_id = {statistic.id: statistic for statistic in form.statistics}
    expected = "statistic_id, unit, start and " + ", ".join(dict.fromkeys(one.column for one in form.statistics))
    for record in csv_lines.records(stream, partial(header, form), expected):
        statistic = by_id.get(record.fields.get("statistic_id", ""))
        if record.reason:
            rows.refuse(record.place, record.reason, record.payload())
        elif statistic:
            try:
                yield _text_row(form, statistic, record)
            except RefusedValue as refused:
                rows.refuse(record.place, refused.reason, record.payload())


def _text_row(form: HomeAssistantText, statistic: Statistic, record: Record) -> _Row:
    fields = record.fields
    start = stamp(fields["start_ts"], EPOCH_S) if "start_ts" in fields else stamp(fields["start"], form.time.pattern)
    value = fields[statistic.column].replace(form.decimal, ".")
    return _Row(record.place, statistic, start, fields["unit"], value, record.payload)


def header(form: HomeAssistantText, text: str) -> csv_lines.Header | None:
    """Return what a line is as a header of a format, or None."""
    for separator in _SEPARATORS:
        names = [_ALIASES.get(name, name) for name in csv_lines.split(text, separator) or []]
        columns = {name: column for column, name in enumerate(names)}
        wanted = {"statistic_id", "unit", *(one.column for one in form.statistics)}
        if wanted <= columns.keys() and {"start", "start_ts"} & columns.keys():
            return csv_lines.Header(separator, columns, len(names))
    return None
