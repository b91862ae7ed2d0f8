"""What a sample of a text file looks like, guessed from its beginning: the basis of ``meterlake.scaffold``.

A guess is only a beginning: what a person has to decide is listed (``Sample.decide``), and what the text format cannot
read yet is said (``Sample.unread``).
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal

from meterlake import sample_times
from meterlake.errors import UsageError
from meterlake.packed import DAMAGED, NotText, opened
from meterlake.sample_values import NUMBER, NUMBER_COMMA, Measured, measured
from meterlake.schema import KEY_PATTERN
from meterlake.textlines import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meterlake.sample_times import Times

SAMPLE_BYTES: Final = 4 << 20
"""So much of a file is looked at."""

_SEPARATORS: Final = ";,\t|"
_METER: Final = re.compile(
    r"(^|[^a-z])(meter|customer|device|sensor|plug|house|household|serial|nmi|mpan|zähler|compteur|contador)([^a-z]|$)|id$",
    re.IGNORECASE,
)
_UNSEEN: Final = frozenset({"", "?", "-", "--", "na", "n/a", "nan", "null", "none", "nil"})
"""Texts that stand for no value wherever they occur, in lower case."""

Kind = Literal["time", "epoch", "meter", "value", "skipped"]


@dataclass(frozen=True)
class Column:
    """A column: its header as it stands, what it holds, and of a time its pattern, of a value what was measured."""

    header: str
    kind: Kind
    pattern: str = ""
    measured: Measured | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was seen. decide: what a person has to. unread: what the text format cannot read yet."""

    file: str
    lines: int
    separator: str
    decimal: Literal[".", ","]
    padded: bool
    missing: tuple[str, ...]
    columns: tuple[Column, ...]
    interval_s: int
    offset: str
    meters: int
    first: str
    last: str
    decide: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def has_meters(self) -> bool:
        """Whether a column says the meter."""
        return any(column.kind == "meter" for column in self.columns)


class NotASample(UsageError):
    """A declaration cannot be guessed from a file."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem}.", hint=hint)


@dataclass
class _Notes:
    decide: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def look(path: Path) -> Sample:
    """Return what the beginning of a file looks like. Raises NotASample."""
    notes = _Notes()
    lines = _lines(path, notes)
    separator = _separator(path, lines)
    headers, *rows = [[_unquoted(cell) for cell in line.split(separator)] for line in lines]
    _check_header(path, headers)
    whole = [row for row in rows if len(row) == len(headers)]
    if len(whole) < 2:
        raise NotASample(path, "fewer than two lines have as many columns as the header", "Give a longer sample.")
    if len(whole) < len(rows):
        notes.decide.append(f"{len(rows) - len(whole)} of {len(rows)} lines have more or fewer columns: quarantined")
    fields = [[row[at].strip() for row in whole] for at in range(len(headers))]
    times = sample_times.times(headers, fields)
    if times is None:
        raise NotASample(
            path, "no column holds a time", "Expected dates such as 2012-10-12 00:30:00, or epoch seconds."
        )
    meter = _meter_column(headers, fields, times)
    columns, missing, decimal = _columns(headers, fields, times, meter, separator, notes)
    meters = fields[meter] if meter is not None else [""] * len(whole)
    interval = sample_times.interval(times.seconds, meters)
    if interval is None:
        raise NotASample(path, "no meter has two different times", "Give a sample with several readings of a meter.")
    _note_values(columns, notes)
    notes.decide += times.decide
    notes.unread += times.unread
    if any(not re.match(KEY_PATTERN, name) for name in meters if meter is not None):
        notes.unread.append("some meter ids have characters that cannot be used (bad_meter)")
    seen = sorted(second for second in times.seconds if second is not None)
    return Sample(
        file=path.name,
        lines=len(rows),
        separator=separator,
        decimal=decimal,
        padded=any(cell != cell.strip() for row in whole for cell in row),
        missing=missing,
        columns=columns,
        interval_s=interval,
        offset=times.offset,
        meters=len(set(meters)),
        first=sample_times.text(seen[0]),
        last=sample_times.text(seen[-1]),
        decide=tuple(notes.decide),
        unread=tuple(notes.unread),
    )


def _lines(path: Path, notes: _Notes) -> list[str]:
    """Return the whole lines at the beginning of a file."""
    try:
        with ExitStack() as stack:
            head: bytes = opened(path, stack).read(SAMPLE_BYTES + 1)
    except (*DAMAGED, NotText, OSError) as error:
        raise NotASample(path, f"cannot be read ({error})", "Give a text file, as it is or xz, gzip or zip.") from error
    if len(head) > SAMPLE_BYTES:
        head = head[: head.rfind(b"\n", 0, SAMPLE_BYTES)]
    wide = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if head.startswith(wide) or b"\0" in head:
        raise NotASample(path, "is no UTF-8 text", "If it is UTF-16: iconv -f UTF-16 -t UTF-8 FILE.")
    stream = BytesIO(head)
    try:
        head.decode()
    except UnicodeDecodeError as error:
        stream = BytesIO(head.decode("latin-1").encode())
        notes.unread.append(f"it is no UTF-8 (byte {error.start}): iconv -f LATIN1 -t UTF-8 FILE")
    lines = [line for block in blocks(stream.read) for line in block.texts]
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < 3:
        raise NotASample(path, f"has {len(lines)} lines", "Give a header and at least two lines of readings.")
    return lines


def _separator(path: Path, lines: Sequence[str]) -> str:
    def weight(separator: str) -> tuple[float, int]:
        count = lines[0].count(separator)
        return (sum(line.count(separator) == count for line in lines) if count else 0, count)

    best = max(_SEPARATORS, key=weight)
    if not lines[0].count(best):
        raise NotASample(
            path, f"its first line has one column: {lines[0][:80]!r}", "Expected columns between , ; | or tab."
        )
    return best


def _unquoted(cell: str) -> str:
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _check_header(path: Path, headers: Sequence[str]) -> None:
    numbers = [name for name in headers if NUMBER.fullmatch(name.strip())]
    if numbers:
        problem = f"its first line is no header: it has the number {numbers[0]!r}"
        raise NotASample(path, problem, "Put a line with the columns' names first.")


def _meter_column(headers: Sequence[str], fields: Sequence[Sequence[str]], times: Times) -> int | None:
    """Return the column with the meter: its name says so, and its values are names or whole numbers."""
    for at, header in enumerate(headers):
        names = set(fields[at])
        plain = all(re.fullmatch(r"[^.,]*", name) for name in names)
        if at not in times.columns and _METER.search(header.strip()) and plain and len(names) <= len(fields[at]) // 2:
            return at
    return None


def _columns(
    headers: Sequence[str],
    fields: Sequence[Sequence[str]],
    times: Times,
    meter: int | None,
    separator: str,
    notes: _Notes,
) -> tuple[tuple[Column, ...], tuple[str, ...], Literal[".", ","]]:
    """Return the columns, the texts that stand for no value, and the decimal sign."""
    decimal: Literal[".", ","] = "."
    others = [at for at in range(len(headers)) if at not in times.columns and at != meter]
    if separator != "," and any(NUMBER_COMMA.fullmatch(cell) for at in others for cell in fields[at]):
        decimal = ","
    columns, missing, names = [], {"": 0}, set[str]()
    for at, header in enumerate(headers):
        if at in times.columns:
            columns.append(Column(header, "epoch" if times.is_epoch else "time", times.columns[at]))
        elif at == meter:
            columns.append(Column(header, "meter"))
        else:
            tokens = Counter(fields[at])
            texts = [token for token in tokens if not _is_number(token, decimal)]
            numbers = [token for token in fields[at] if _is_number(token, decimal)]
            if not numbers or not _are_missing(texts, tokens, len(numbers)):
                columns.append(Column(header, "skipped"))
                continue
            missing |= dict.fromkeys(texts, 0)
            columns.append(Column(header, "value", measured=measured(header, numbers, decimal, names)))
    if not any(column.kind == "value" for column in columns):
        notes.unread.append("no column holds numbers")
    return tuple(columns), tuple(missing), decimal


def _is_number(text: str, decimal: str) -> bool:
    return bool(NUMBER.fullmatch(text) or (decimal == "," and NUMBER_COMMA.fullmatch(text)))


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
