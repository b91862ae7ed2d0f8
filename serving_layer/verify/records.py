"""Files of records, decoded a second time: nothing here is what the readers of `load` use.

Parquet is read by DuckDB, JSON by Python's own parser, workbooks by pandas (over openpyxl, which the reader uses, too).
Values are fractions until they are doubles. What is no reading by the documented rules is left out; a difference to
what was loaded shows when the views are compared.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from engines.readers.port import row_schema
from meterlake.fileformats.records import JsonLines, JsonList, JsonTable, Parquet, RecordFormat, Workbook
from meterlake.fileformats.values import EPOCH_MS, EPOCH_S, EXCEL_DAYS, ISO
from meterlake.schema import KEY_PATTERN, LATEST_TS
from meterlake.timepattern import has_fraction, has_offset, strptime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engines.readers.port import Options
    from meterlake.fileformats import Format
    from meterlake.wallclock import FileClock

_AT_ONCE: Final = 50_000
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of the file's clock


class _NoReadingError(Exception):
    """A record is no reading."""


def is_apart(form: Format, clock: FileClock) -> bool:
    """Return whether files of a format are decoded here: of records of intervals, by a clock without summer time."""
    if not isinstance(form, Parquet | JsonLines | JsonList | JsonTable | Workbook):
        return False
    pattern = form.time.pattern
    plain = pattern in (ISO, EPOCH_S, EPOCH_MS) or (
        pattern != EXCEL_DAYS and not has_offset(pattern) and not has_fraction(pattern)
    )
    return plain and form.register is None and isinstance(clock, timedelta)


def rows(form: Format, path: Path, options: Options) -> Iterator[pa.Table]:
    """Yield the readings of an unpacked file, as ``port.row_schema``."""
    if not isinstance(form, RecordFormat) or not isinstance(options.clock, timedelta):
        raise TypeError(type(form))
    schema, made = row_schema(form.dataset), list[tuple[Any, ...]]()
    for place, record in enumerate(_records(form, path), start=1):
        try:
            made.append((place, *_reading(form, record, options.meter_id, options.clock), None, None))
        except _NoReadingError:
            continue
        if len(made) == _AT_ONCE:
            yield _table(made, schema)
            made = []
    if made:
        yield _table(made, schema)


def _table(made: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    return pa.table([list(column) for column in zip(*made, strict=True)], schema=schema)


def _records(form: RecordFormat, path: Path) -> Iterator[object]:
    if isinstance(form, Parquet):
        return _parquet(path)
    if isinstance(form, Workbook):
        return _workbook(form, path)
    return _json(form, path)


def _parquet(path: Path) -> Iterator[object]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for batch in connection.read_parquet(str(path)).to_arrow_reader(_AT_ONCE):
            yield from batch.to_pylist()


def _workbook(form: Workbook, path: Path) -> Iterator[object]:
    import pandas as pd

    sheet = pd.read_excel(path, sheet_name=form.sheet or 0, dtype=object, keep_default_na=False, engine="openpyxl")
    sheet.columns = [str(name).strip() for name in sheet.columns]
    for record in sheet.to_dict("records"):
        yield {name: None if pd.isna(cell) or cell == "" else cell for name, cell in record.items()}


def _json(form: RecordFormat, path: Path) -> Iterator[object]:
    if isinstance(form, JsonLines):
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            for line in lines:
                try:
                    yield json.loads(line, parse_float=Decimal)
                except ValueError:
                    yield None
        return
    result = json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    if isinstance(form, JsonList):
        yield from _child(result, form.at) if form.at else result
    elif isinstance(form, JsonTable):
        names = _child(result, form.columns)
        for values in _child(result, form.data):
            yield dict(zip(names, values, strict=True)) if len(values) == len(names) else None


def _child(content: Any, path: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    for name in path.split("."):
        content = content[name]
    return content


def _field(record: object, path: str) -> object:
    """Return a field by its name or path."""
    if isinstance(record, dict):
        if path in record:
            return record[path]
        try:
            return _child(record, path)
        except (KeyError, TypeError):
            pass
    raise _NoReadingError


def _reading(form: RecordFormat, record: object, meter_id: str, clock: timedelta) -> tuple[Any, ...]:
    """Return meter, start, interval and values of a record."""
    meter = str(_field(record, form.meter)).strip() if form.meter else meter_id
    second = _second(form, _field(record, form.time.field), clock)
    if form.marks == "end":
        second -= form.interval_s
    given = {value.measure: _value(form, value.measure, _field(record, value.field)) for value in form.values}
    values = [given[measure.name] for measure in form.dataset.measures]
    on_grid = second % form.interval_s == 0 and 0 <= second <= LATEST_TS
    if not on_grid or not re.fullmatch(KEY_PATTERN, meter) or 0 < values.count(None) < len(values):
        raise _NoReadingError
    return meter, second * 1_000_000, form.interval_s, *values


def _second(form: RecordFormat, given: object, clock: timedelta) -> int:
    pattern = form.time.pattern
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)  # noqa: DTZ001 - of the file's clock
    if isinstance(given, datetime) and isinstance(form, Workbook):
        given = (given + timedelta(milliseconds=5)).replace(microsecond=0)  # Excel has a fraction of a day
    if not isinstance(given, datetime):
        if pattern in (EPOCH_S, EPOCH_MS):
            seconds = _fraction(given, ()) if isinstance(given, (int, float, str, Decimal)) else None
            seconds = seconds / (1 if pattern == EPOCH_S else 1000) if seconds is not None else None
            if seconds is None or seconds.denominator != 1:
                raise _NoReadingError
            return int(seconds)
        given = _parsed(str(given).strip(), pattern)
    if given.microsecond:
        raise _NoReadingError
    if given.tzinfo is not None:
        return round(given.astimezone(UTC).timestamp())
    return round((given - _EPOCH - clock).total_seconds())


def _parsed(text: str, pattern: str) -> datetime:
    try:
        return datetime.fromisoformat(text) if pattern == ISO else datetime.strptime(text, strptime(pattern))  # noqa: DTZ007
    except ValueError:
        raise _NoReadingError from None


def _value(form: RecordFormat, measure: str, given: object) -> float | None:
    number = _fraction(given, form.missing)
    return None if number is None else float(number * form.factors[measure])


def _fraction(given: object, missing: tuple[str, ...]) -> Fraction | None:
    if given is None or (isinstance(given, str) and given.strip() in missing):
        return None
    text = given.strip() if isinstance(given, str) else repr(given) if isinstance(given, float) else str(given)
    if isinstance(given, bool) or not _NUMBER.fullmatch(text):
        raise _NoReadingError
    return Fraction(text)
