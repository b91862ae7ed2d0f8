"""What a sample of a text file looks like, guessed from its beginning: the basis of ``meterlake.scaffold``.

A guess is only a beginning: what a person has to decide is listed (``Sample.decide``), and what the text format cannot
read yet is said (``Sample.unread``).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from meterlake import sample_times
from meterlake.physical_units import known_units, unit_texts
from meterlake.sample_days import Day, day_columns
from meterlake.sample_lines import NotASample, is_data, lines_of, separator_of, split
from meterlake.sample_registers import Registers, register_column, registers
from meterlake.sample_values import NUMBER, Measured, measured
from meterlake.schema import KEY_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meterlake.sample_times import Times
    from meterlake.text.encoding import Encoding

__all__ = ["Column", "NotASample", "Sample", "look"]

_METER: Final = re.compile(
    r"(^|[^a-z])(meter|customer|device|sensor|plug|house|household|serial|nmi|mpan|zähler|compteur|contador)([^a-z]|$)|id$",
    re.IGNORECASE,
)
_UNIT: Final = re.compile(r"unit|einheit|uom", re.IGNORECASE)
_OFFSET: Final = re.compile(r"Z|[+-]?\d{1,2}(:?\d{2})?")
_QUANTITIES: Final = tuple(dict.fromkeys(unit.quantity for unit in known_units()))
_FEW: Final = 1000
"""So many lines tell how numbers are written."""

_UNSEEN: Final = frozenset({"", "?", "-", "--", "na", "n/a", "nan", "null", "none", "nil"})
"""Texts that stand for no value wherever they occur, in lower case."""

Kind = Literal["time", "epoch", "excel", "offset", "meter", "value", "days", "unit", "measure", "skipped"]


@dataclass(frozen=True)
class Column:
    """A column: its header as it stands, what it holds, and of a time its pattern, of a value what was measured."""

    header: str
    kind: Kind
    pattern: str = ""
    measured: Measured | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was seen. skip_lines: above the header. day, registers: of a file whose lines hold a day each, or a measure.

    snap_s: how far times lie beside the grid.
    first, last: UTC where has_offset, else by the file's clock.
    decide: what a person has to. unread: what the text format cannot read yet.
    """

    file: str
    lines: int
    encoding: Encoding
    separator: str
    has_header: bool
    skip_lines: int
    decimal: Literal[".", ","]
    thousands: str
    padded: bool
    missing: tuple[str, ...]
    columns: tuple[Column, ...]
    day: Day | None
    registers: Registers | None
    interval_s: int
    snap_s: int
    has_offset: bool
    meters: int
    first: str
    last: str
    decide: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def has_meters(self) -> bool:
        """Whether a column says the meter."""
        return any(column.kind == "meter" for column in self.columns)


@dataclass
class _Notes:
    decide: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def look(path: Path) -> Sample:
    """Return what the beginning of a file looks like. Raises NotASample."""
    lines, encoding, decide = lines_of(path)
    notes = _Notes(decide)
    separator, width = separator_of(path, lines)
    cells = [split(line, separator) for line in lines]
    begin = next(at for at, row in enumerate(cells) if len(row) == width)
    has_header = not is_data(cells[begin])
    headers = cells[begin] if has_header else [f"column {at}" for at in range(1, width + 1)]
    rows = cells[begin + has_header :]
    whole = [row for row in rows if len(row) == width]
    if len(whole) < 2:
        raise NotASample(path, "fewer than two lines have as many columns as the header", "Give a longer sample.")
    if len(whole) < len(rows):
        notes.decide.append(f"{len(rows) - len(whole)} of {len(rows)} lines have more or fewer columns: quarantined")
    fields = [[row[at].strip() for row in whole] for at in range(width)]
    times = sample_times.times(headers, fields)
    if times is None:
        raise NotASample(
            path, "no column holds a time", "Expected dates such as 2012-10-12 00:30:00, or epoch seconds."
        )
    meter = _meter_column(headers, fields, times, has_header=has_header)
    columns, missing, numbers = _columns(headers, fields, times, meter, separator, notes)
    meters = fields[meter] if meter is not None else [""] * len(whole)
    held = [one.kind == "value" or not any(cells) for one, cells in zip(columns, fields, strict=True)]
    day = day_columns([one.header if is_held else "" for one, is_held in zip(columns, held, strict=True)])
    day = day if times.is_day else None
    grid = sample_times.Grid(86_400 // day.intervals, 0) if day else sample_times.grid(times, meters)
    if grid is None:
        raise NotASample(path, "no meter has two different times", "Give a sample with several readings of a meter.")
    result = None if day else _registers(columns, fields, list(zip(meters, times.seconds, strict=True)), numbers)
    if result:
        columns = _of_registers(columns, result, notes)
    else:
        columns = _one_of_the_day(columns, day, notes) if day else _in_their_units(columns, fields)
    if grid.snap_s:
        notes.decide.append(
            f"times lie up to {grid.snap_s} s beside the grid of {grid.interval_s} s: they are moved to it"
        )
    _note_values(columns, notes)
    notes.decide += times.decide
    notes.unread += times.unread
    if any(not re.fullmatch(KEY_PATTERN.strip("^$"), name) for name in meters if meter is not None):
        notes.unread.append("some meter ids have control characters or more than 128 characters (bad_meter)")
    seen = sorted(second for second in times.seconds if second is not None)
    return Sample(
        file=path.name,
        lines=len(rows),
        encoding=encoding,
        separator=separator,
        has_header=has_header,
        skip_lines=begin,
        decimal=numbers.decimal,
        thousands=numbers.thousands,
        padded=any(cell != cell.strip() for row in whole for cell in row),
        missing=missing,
        columns=columns,
        day=day,
        registers=result,
        interval_s=grid.interval_s,
        snap_s=grid.snap_s,
        has_offset=times.has_offset or any(column.kind == "offset" for column in columns),
        meters=len(set(meters)),
        first=sample_times.text(seen[0]),
        last=sample_times.text(seen[-1]),
        decide=tuple(notes.decide),
        unread=tuple(notes.unread),
    )


def _meter_column(
    headers: Sequence[str], fields: Sequence[Sequence[str]], times: Times, *, has_header: bool
) -> int | None:
    """Return the column with the meter: its name says so, and its values are names or whole numbers."""
    for at, header in enumerate(headers):
        names = set(fields[at])
        plain = not any(re.fullmatch(r"[+-]?\d*[.,]\d+", name) for name in names)
        named = _METER.search(header.strip()) if has_header else not any(NUMBER.fullmatch(name) for name in names)
        if at not in times.columns and named and plain and len(names) <= len(fields[at]) // 2:
            return at
    return None


class _Numbers(NamedTuple):
    """How numbers are written."""

    decimal: Literal[".", ","]
    thousands: str

    def plain(self, text: str) -> str | None:
        """Return a number with a point; None where it is none."""
        mark = re.escape(self.thousands) if self.thousands != " " else r"[ \u00a0\u202f]"
        if self.thousands and re.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({re.escape(self.decimal)}\d*)?", text):
            text = re.sub(mark, "", text)
        result = text.replace(",", ".") if self.decimal == "," and "." not in text else text
        return result if NUMBER.fullmatch(result) else None


_WRITTEN: Final = (
    _Numbers(".", ""),
    _Numbers(",", ""),
    _Numbers(",", "."),
    _Numbers(".", ","),
    _Numbers(",", " "),
    _Numbers(".", " "),
    _Numbers(".", "'"),
)


def _columns(
    headers: Sequence[str],
    fields: Sequence[Sequence[str]],
    times: Times,
    meter: int | None,
    separator: str,
    notes: _Notes,
) -> tuple[tuple[Column, ...], tuple[str, ...], _Numbers]:
    """Return the columns, the texts that stand for no value, and how numbers are written."""
    others = [at for at in range(len(headers)) if at not in times.columns and at != meter]
    counted = [*others, *(times.columns if times.kind == "excel" else ())]
    numbers = max(
        (kind for kind in _WRITTEN if kind.decimal != separator),
        key=lambda kind: sum(kind.plain(cell) is not None for at in counted for cell in fields[at][:_FEW]),
    )
    columns, missing, names = [], {"": 0}, set[str]()
    for at, header in enumerate(headers):
        if at in times.columns:
            columns.append(Column(header, times.kind, times.columns[at]))
        elif at == meter:
            columns.append(Column(header, "meter"))
        elif kind := _of_lines(header, fields[at], times):
            columns.append(Column(header, kind))
        else:
            tokens = Counter(fields[at])
            texts = [token for token in tokens if numbers.plain(token) is None]
            read = [plain for token in fields[at] if (plain := numbers.plain(token)) is not None]
            if not read or not _are_missing(texts, tokens, len(read)):
                columns.append(Column(header, "skipped"))
                continue
            missing |= dict.fromkeys(texts, 0)
            columns.append(Column(header, "value", measured=measured(header, read, ".", names)))
    if not any(column.kind == "value" for column in columns):
        notes.unread.append("no column holds numbers")
    return tuple(columns), tuple(missing), numbers


def _of_lines(header: str, cells: Sequence[str], times: Times) -> Kind | None:
    """Return what a column says of each line: the offset of its time, or the unit of its values."""
    if not times.has_offset and times.kind == "time" and re.search(r"offset|utc|tz", header, re.IGNORECASE):
        return "offset" if all(_OFFSET.fullmatch(cell) for cell in cells) else None
    if _UNIT.search(header) and set(cells) <= {text for quantity in _QUANTITIES for text in unit_texts(quantity)}:
        return "unit"
    return None


def _in_their_units(columns: tuple[Column, ...], fields: Sequence[Sequence[str]]) -> tuple[Column, ...]:
    """Return the columns with the unit that the first line says, where a column says one."""
    said = next((fields[at][0] for at, column in enumerate(columns) if column.kind == "unit"), None)
    if said is None:
        return columns
    unit = next(texts[said] for texts in map(unit_texts, _QUANTITIES) if said in texts)
    return tuple(
        replace(column, measured=replace(column.measured, unit=unit, is_guessed=True)) if column.measured else column
        for column in columns
    )


def _registers(
    columns: Sequence[Column], fields: Sequence[Sequence[str]], whose: Sequence[object], numbers: _Numbers
) -> Registers | None:
    """Return the measures of lines that name theirs, beside one column of values."""
    values = [at for at, column in enumerate(columns) if column.kind == "value"]
    texts = [at for at, column in enumerate(columns) if column.kind in ("skipped", "unit")]
    at = register_column(texts, fields, whose) if len(values) == 1 else None
    if at is None:
        return None
    units = next((fields[unit] for unit, column in enumerate(columns) if column.kind == "unit" and unit != at), None)
    return registers(at, fields[at], fields[values[0]], units or [""] * len(whose), numbers.plain)


def _of_registers(columns: Sequence[Column], registers: Registers, notes: _Notes) -> tuple[Column, ...]:
    """Return the columns, with the one that names the measures."""
    notes.decide.append("each line names its measure: what is not wanted, move from names to ignored")
    return tuple(
        Column(column.header, "measure") if at == registers.column else replace(column, measured=None)
        for at, column in enumerate(columns)
    )


def _one_of_the_day(columns: tuple[Column, ...], day: Day, notes: _Notes) -> tuple[Column, ...]:
    """Return the columns, with those of a day's values as one."""
    first, last = day.places.start, day.places.stop - 1
    every = [column.measured for column in columns[first : last + 1] if column.measured]
    shown = replace(
        every[0],
        name="energy",
        title="Energy",
        unit=every[0].unit if every[0].is_guessed else "kWh",
        resolution=min((one.resolution for one in every), key=float),
        lowest=min(one.lowest for one in every),
        highest=max(one.highest for one in every),
        grows=False,
    )
    taken = "real ones, one after the other" if day.is_real else "nominal ones, each at its time"
    notes.decide.append(f"on days of clock change, the {len(day.places)} values of a line are taken as {taken}")
    return (*columns[:first], Column(day.header, "days", measured=shown), *columns[last + 1 :])


def _are_missing(texts: Sequence[str], tokens: Counter[str], numbers: int) -> bool:
    """Return whether a column's texts stand for no value: they are known for it, or few and rare."""
    odd = [text for text in texts if text.lower() not in _UNSEEN]
    return len(odd) <= 2 and sum(tokens[text] for text in odd) * 2 <= numbers


def _note_values(columns: Sequence[Column], notes: _Notes) -> None:
    for column in columns:
        if column.measured and column.measured.grows:
            notes.unread.append(
                f"{column.header.strip()!r} only grows, as a counter does: totals are not turned into amounts"
            )
