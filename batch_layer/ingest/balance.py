"""Whether every line of every file is accounted for, and whether a file is of its format at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch_layer.ingest.errors import NotThisFormat
from batch_layer.ingest.formats import expected_rows
from meterlake.errors import NOTHING_LOADED, OutOfBalance
from meterlake.fileformats.base import WrongFile
from meterlake.text.format import TextFormat
from meterlake.wallclock import AMBIGUOUS_TIME

if TYPE_CHECKING:
    from batch_layer.ingest.rows import Tally
    from batch_layer.ingest.stored import Seen
    from meterlake.fileformats import Format

MANY: Final = 1000
"""With as many undecodable lines, a file of which they are the greater part is another format (a swapped date, say)."""

SHOWN_BY: Final = "`meterlake load --dry-run` shows the first of them."

_WORST: Final = 5
_SIGNS: Final = {".": "point", ",": "comma"}


def check_lines(file: Seen, tally: Tally) -> None:
    """Raise OutOfBalance unless every line of a file is accounted for once, by its number too."""
    place = f"Load of {file.path}"
    parts = {
        "decoded": tally.readings + tally.gaps,
        "quarantined": tally.rejected,
        "not loaded": tally.ahead,
        "skipped": tally.skipped,
    }
    expected = expected_rows(file.form, file.lines)
    seen = tally.rows + tally.skipped
    read = seen if expected is None else expected.rows
    if read != sum(parts.values()) or read != seen:
        raise OutOfBalance(place, read, parts)
    if expected is not None and tally.line_sum != expected.line_sum:
        raise OutOfBalance(f"{place}, line numbers", expected.line_sum, {"sum of numbers": tally.line_sum})


def check_written(title: str, tallies: dict[int, Tally], rows: int) -> None:
    """Raise OutOfBalance unless the table has as many new rows as were decoded."""
    decoded = sum(tally.readings + tally.gaps for tally in tallies.values())
    if decoded != rows:
        raise OutOfBalance(f"Load of {title}, master data set", decoded, {"written": rows})


def not_of_format(path: str, form: Format, tally: Tally) -> NotThisFormat | WrongFile | None:
    """Return why a file is none of its format, if it is not: it is damaged, or no line, or few of very
    many, can be decoded."""
    if tally.problem:
        return WrongFile(tally.problem, tally.hint, path)
    bad, good = tally.rejected, tally.rows - tally.rejected
    if good and (bad < MANY or bad <= good):
        return None
    worst = sorted(tally.reasons.items(), key=lambda item: -item[1][0])[:_WORST]
    result = ", ".join(f"{count} {reason} (first in line {line})" for reason, (count, line) in worst)
    hint = f"{NOTHING_LOADED} {SHOWN_BY}"
    if worst[0][0] == AMBIGUOUS_TIME:
        hint += " The order of the lines does not say which of two equal times is which: an offset, or a column, must."
    elif isinstance(form, TextFormat):
        hint += f" Expected times as {form.pattern!r} and numbers with a {_SIGNS[form.decimal]}, between"
        hint += f" {form.separator!r}."
    return NotThisFormat(
        f"{path}: {bad} of {tally.rows} lines are no readings of {form.dataset.name}: {result}.", hint=hint
    )
