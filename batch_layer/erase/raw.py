"""Lines of one meter in raw files: removed from text that has other meters, too; all other files are removed whole."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import pyarrow.compute as pc  # type: ignore[import-untyped]

from batch_layer.ingest.formats import format_of, rows_of
from batch_layer.ingest.raw_store import RawStore
from engines import hdfs
from engines.readers.held import held
from engines.readers.port import PAYLOAD, PLACE, REASON, Options
from meterlake import wallclock
from meterlake.erasure import Remains
from meterlake.text.blank import blanked
from meterlake.text.format import TextFormat, parse_offset
from meterlake.text.head import WrongText
from meterlake.text.lines import CHUNK, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch_layer.erase.loads import Loads
    from batch_layer.ingest.raw_notes import Note
    from batch_layer.ingest.raw_store import RawFile
    from meterlake.erasure import Erasure
    from meterlake.fileformats import Format
    from meterlake.settings import Settings
    from meterlake.wallclock import FileClock

_SEPARATORS: Final = re.compile(r"[,;\t|]")


@dataclass(frozen=True)
class RawPlan:
    """What is to be removed. whole: files. lines: of others, by number. remains: what stays, and why."""

    whole: tuple[RawFile, ...] = ()
    lines: tuple[tuple[RawFile, frozenset[int]], ...] = ()
    remains: tuple[Remains, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many files and lines are to be removed."""
        return {"raw files": len(self.whole), "lines in raw files": sum(len(numbers) for _, numbers in self.lines)}


def plan(settings: Settings, forms: Sequence[Format], erasure: Erasure, loads: Loads) -> RawPlan:
    """Find out what raw files have of a meter. loads: those that brought what is to be erased."""
    whole: list[RawFile] = []
    lines: list[tuple[RawFile, frozenset[int]]] = []
    remains = [
        Remains(f"raw files in {RawStore(settings, erasure.dataset).folder}", f"{name}: an earlier version loaded it")
        for _, name in loads.unknown
    ]
    shared = {note.sha256: note.meter_id for note in loads.others}
    notes = {note.sha256: note for note in (*loads.alone, *loads.mixed)}
    is_alone = {note.sha256 for note in loads.alone}
    for file in RawStore(settings, erasure.dataset).files():
        note = notes.get(file.came_as)
        if note is None:
            continue
        if file.came_as not in is_alone:
            numbers = _lines_of(settings, forms, file, note, erasure.meter)
            if numbers is None:
                whole.append(file)
            elif numbers:
                lines.append((file, numbers))
        elif file.came_as in shared:
            what = f"{note.name}: it was loaded for meter {shared[file.came_as]}, too, whose it is now"
            remains.append(Remains(file.location, what))
        else:
            whole.append(file)
    return RawPlan(tuple(whole), tuple(lines), tuple(remains))


def erase(settings: Settings, dataset: str, planned: RawPlan) -> None:
    """Write the objects again that have what is to be removed, without it. Doing it again changes nothing."""
    store, gone = RawStore(settings, dataset), set(planned.whole)
    numbers = dict(planned.lines)
    touched = {file.location for file in (*gone, *numbers)}
    every = [file for file in store.files() if file.location in touched]
    for location in sorted(touched):
        kept = [file for file in every if file.location == location and file not in gone]
        try:
            store.rewrite(location, ((file, _contents(settings, file, numbers.get(file))) for file in kept))
        except hdfs.ERRORS as error:
            raise hdfs.failure(settings, f"write {location} again", error) from error


def _contents(settings: Settings, file: RawFile, numbers: frozenset[int] | None) -> Iterator[bytes]:
    with hdfs.opened_range(settings, file.location, file.begin, file.length) as stream:
        if numbers is not None:
            yield from blanked(stream.read, numbers)
            return
        while chunk := stream.read(CHUNK):
            yield chunk


@contextmanager
def _opened(settings: Settings, file: RawFile) -> Iterator[IO[bytes]]:
    with (
        hdfs.opened_range(settings, file.location, file.begin, file.length) as stream,
        held(stream.read, file.length) as content,
    ):
        yield content


def _lines_of(
    settings: Settings, forms: Sequence[Format], file: RawFile, note: Note, meter: str
) -> frozenset[int] | None:
    """Return which lines of a text are a meter's; None where all are, or where a file has no lines to take out."""
    with _opened(settings, file) as content:
        return lines_in(content, forms, note, meter)


def lines_in(content: IO[bytes], forms: Sequence[Format], note: Note, meter: str) -> frozenset[int] | None:
    """Return which lines of a text are a meter's; None where all are, or where a file has no lines to take out."""
    try:
        form = format_of(forms, note.name, content.read(CHUNK))
    except WrongText:
        return None
    content.seek(0)
    if not isinstance(form, TextFormat) or form.encoding.startswith("utf-16"):
        return None
    # Of counters, a line may be part of what another one's row says.
    if form.is_long or form.counts:
        return _lines_with_field(content, form, meter)
    return _lines_by_reader(content, form, note, meter)


def _lines_with_field(content: IO[bytes], form: TextFormat, meter: str) -> frozenset[int]:
    return frozenset(
        block.first + at
        for block in blocks(content.read, 1, form.encoding)
        for at, text in enumerate(block.texts)
        if has_field(text, meter)
    )


def _lines_by_reader(content: IO[bytes], form: TextFormat, note: Note, meter: str) -> frozenset[int] | None:
    numbers: set[int] = set()
    others = False
    for rows in rows_of(form, content, Options(note.meter_id, _clock(note.clock))):
        good = rows.filter(pc.is_null(rows[REASON]))
        mine = pc.equal(good[form.dataset.key], meter)
        others = others or not pc.all(mine, min_count=0).as_py()
        numbers.update(good.filter(mine)[PLACE].to_pylist())
        bad = rows.filter(pc.is_valid(rows[REASON]))
        for place, text in zip(bad[PLACE].to_pylist(), bad[PAYLOAD].to_pylist(), strict=True):
            if has_field(text or "", meter):
                numbers.add(place)
    return frozenset(numbers) if others else None


def has_field(text: str, meter: str) -> bool:
    """Return whether a line has a field that is the meter, whatever its separator; also one that was no text."""
    fields = {field.strip(' "') for each in (text, _decoded(text)) for field in _SEPARATORS.split(each)}
    return meter in fields


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def _clock(text: str) -> FileClock:
    return parse_offset(text) if re.fullmatch(r"[+-]\d\d:\d\d", text) else wallclock.zone(text)
