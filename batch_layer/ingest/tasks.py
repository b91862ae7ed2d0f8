"""What Spark's tasks do in a load: read pieces of raw files from HDFS, and pass on the rows that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from batch_layer.ingest.formats import is_divisible, rows_of
from batch_layer.ingest.lines import SPLIT
from batch_layer.ingest.rows import DAYS, ENDS, Judged, Raw, Tally, schema, total
from engines import hdfs
from engines.readers import text
from engines.readers.held import held
from meterlake.counter_ends import HEAD, TAIL
from meterlake.fileformats.base import WrongFile
from meterlake.schema import master_fields, quarantine_fields
from meterlake.text.format import TextFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.ingest.lines import Start
    from engines.readers.port import Options
    from meterlake.columns import Column
    from meterlake.counter_ends import Ends
    from meterlake.settings import Settings

TALLY: Final = "tally"
"""Column of what ``frame`` returns for readings: NULL in rows of the table, else the tally of a piece, as JSON."""

WHOLE: Final = 0
_ROWS_AT_ONCE: Final = 50_000


class Wanted(Enum):
    """Which rows a job is for."""

    READINGS = "readings"
    REJECTED = "rejected"
    DAYS = "days"
    COUNTERS = "counters"


class Piece(NamedTuple):
    """What one task reads of a file, which is that of some place in the load. begin: byte of the object in HDFS.

    line: number of the first line; WHOLE for all of the file.
    """

    file: int
    begin: int
    length: int
    line: int = WHOLE


@dataclass(frozen=True)
class Job:
    """Files by their place in the load, and what becomes of their times: see ``rows.Judged``."""

    settings: Settings
    files: dict[int, Raw]
    shift: timedelta = timedelta(0)
    now: datetime | None = None


def pieces(file: int, raw: Raw, begin: int, length: int, starts: Sequence[Start]) -> list[Piece]:
    """Return what tasks read of a file, which lies at ``begin`` in its object."""
    if len(starts) < 2 or not is_divisible(raw.form, raw.options.clock):
        return [Piece(file, begin, length)]
    ends = [*(start.byte for start in starts[1:]), length]
    return [
        Piece(file, begin + start.byte, end - start.byte, start.line) for start, end in zip(starts, ends, strict=True)
    ]


def dealt(job: Job, given: Iterable[Piece], size: int = SPLIT) -> list[tuple[Piece, ...]]:
    """Return the pieces of each task: neighbours, of some ``size`` bytes together, or one that is larger.

    Small files lie in bundles as they came, which is not the order in which they were named.
    """
    result: list[list[Piece]] = []
    room = 0
    for piece in sorted(given, key=lambda piece: (job.files[piece.file].location, piece.begin)):
        if not result or piece.length > room:
            result.append([])
            room = size
        result[-1].append(piece)
        room -= piece.length
    return [tuple(one) for one in result]


def frame(spark: SparkSession, job: Job, given: Sequence[Piece], wanted: Wanted) -> DataFrame:
    """Return the rows of some pieces: of the master table, of quarantine, or of ``rows.DAYS``."""
    tasks = dealt(job, given)
    columns = [f"{column.name} {column.type.sql('spark')}" for column in _columns(job, wanted)]
    listed = ", ".join([*columns, *([f"{TALLY} STRING"] if wanted is Wanted.READINGS else [])])
    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(partial(_run, job, tasks, wanted), listed)


def tallies(seen: Iterable[str]) -> dict[int, Tally]:
    """Return the tally of each file, from those of its pieces; one that was read twice counts once."""
    result: dict[int, Tally] = {}
    for text_ in set(seen):
        piece = json.loads(text_)
        file, reasons = piece.pop("file"), {reason: tuple(pair) for reason, pair in piece.pop("reasons").items()}
        del piece["begin"]
        spans = piece.pop("spans")
        spans = spans and {meter: tuple(span) for meter, span in spans.items()}
        result.setdefault(file, Tally()).add(Tally(**piece, reasons=reasons, spans=spans))
    return result


def _columns(job: Job, wanted: Wanted) -> Sequence[Column]:
    if wanted in (Wanted.DAYS, Wanted.COUNTERS):
        return DAYS if wanted is Wanted.DAYS else ENDS
    dataset = next(iter(job.files.values())).dataset
    return master_fields(dataset) if wanted is Wanted.READINGS else quarantine_fields(dataset)


def _run(
    job: Job, tasks: Sequence[Sequence[Piece]], wanted: Wanted, numbers: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in numbers:
        for number in batch.column(0).to_pylist():
            for run in _runs(job, tasks[number]):
                yield from _batches(_read_run(job, run, wanted))


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Yield small tables together."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
            yield from pa.concat_tables(waiting).combine_chunks().to_batches()
            waiting = []
    if waiting:
        yield from pa.concat_tables(waiting).combine_chunks().to_batches()


def _runs(job: Job, given: Sequence[Piece]) -> list[list[Piece]]:
    """Return pieces that lie one after the other in one object together: HDFS is asked for them once."""
    result: list[list[Piece]] = []
    for piece in given:
        last = result[-1][-1] if result else None
        follows = last is not None and last.begin + last.length == piece.begin
        if last is not None and follows and job.files[last.file].location == job.files[piece.file].location:
            result[-1].append(piece)
        else:
            result.append([piece])
    return result


def _read_run(job: Job, run: Sequence[Piece], wanted: Wanted) -> Iterator[pa.Table]:
    location, begin = job.files[run[0].file].location, run[0].begin
    length = run[-1].begin + run[-1].length - begin
    with hdfs.opened_range(job.settings, location, begin, length) as stream:
        for alike in _alike(job, run):
            yield from _read(job, alike, stream, wanted)


def _alike(job: Job, run: Sequence[Piece]) -> list[list[Piece]]:
    """Return whole files of one format and clock together."""
    result: list[list[Piece]] = []
    for piece in run:
        raw = job.files[piece.file]
        last = job.files[result[-1][-1].file] if result else None
        whole = piece.line == WHOLE and is_divisible(raw.form, raw.options.clock)
        # Forms that are equal are one object.
        same = last is not None and last.form is raw.form and last.options.clock == raw.options.clock
        if whole and same and result[-1][-1].line == WHOLE:
            result[-1].append(piece)
        else:
            result.append([piece])
    return result


def _ends(job: Job, file: int, alike: Sequence[Piece], stream: IO[bytes]) -> pa.Table:
    """Return the ends of the counters of a file; none where it turns out to be damaged."""
    result: dict[tuple[str, str], Ends] = {}
    raw = job.files[file]
    asking = replace(job, files={file: replace(raw, options=replace(raw.options, ends=result))})
    with suppress(WrongFile):
        for _ in _rows(asking, alike, stream):
            pass
    rows: list[tuple[Any, ...]] = [
        (file, meter, measure, edge, number, one.at, one.units, one.serial)
        for (meter, measure), ends in result.items()
        for edge, readings in ((HEAD, ends.head), (TAIL, ends.tail))
        for number, one in enumerate(readings)
    ]
    names = schema(ENDS).names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema(ENDS))


def _read(job: Job, alike: Sequence[Piece], stream: IO[bytes], wanted: Wanted) -> Iterator[pa.Table]:
    if wanted is Wanted.COUNTERS:
        yield _ends(job, alike[0].file, alike, stream)
        return
    seen: dict[int, list[Tally]] = {piece.file: [] for piece in alike}
    for piece, rows in _until_wrong(seen, alike, _rows(job, alike, stream)):
        judged = Judged(job.files[piece.file], rows, job.shift, job.now)
        if wanted is Wanted.DAYS:
            yield judged.days(piece.file)
        elif wanted is Wanted.REJECTED:
            yield judged.rejected()
        else:
            seen[piece.file].append(judged.tally())
            readings = judged.readings()
            yield readings.append_column(TALLY, pa.nulls(len(readings), pa.string()))
    if wanted is Wanted.READINGS:
        columns = _columns(job, wanted)
        yield from (_with_tally(columns, piece, total(seen[piece.file])) for piece in alike)


def _until_wrong(
    seen: dict[int, list[Tally]], alike: Sequence[Piece], rows: Iterator[tuple[Piece, pa.Table]]
) -> Iterator[tuple[Piece, pa.Table]]:
    """Pass rows on; where a file turns out to be damaged, its tally says so, and what came of it is not shown."""
    try:
        yield from rows
    except WrongFile as error:
        seen[alike[0].file].append(Tally(problem=error.problem, hint=error.hint))


def _rows(job: Job, alike: Sequence[Piece], stream: IO[bytes]) -> Iterator[tuple[Piece, pa.Table]]:
    first = alike[0]
    raw = job.files[first.file]
    if len(alike) > 1 and isinstance(raw.form, TextFormat):
        for place, rows in text.read_many(raw.form, _parts(job, alike, stream)):
            yield alike[place], rows
        return
    with held(stream.read, first.length) as part:
        if first.line != WHOLE and isinstance(raw.form, TextFormat):
            reader = text.read_part(raw.form, part, raw.options, first.line)
        else:
            reader = rows_of(raw.form, part, raw.options)
        for rows in reader:
            yield first, rows


def _parts(job: Job, alike: Sequence[Piece], stream: IO[bytes]) -> Iterator[tuple[IO[bytes], Options]]:
    for piece in alike:
        with held(stream.read, piece.length) as part:
            yield part, job.files[piece.file].options


def _with_tally(columns: Sequence[Column], piece: Piece, tally: Tally) -> pa.Table:
    """Return one row with a tally, which is no row of the table."""
    said = json.dumps({"file": piece.file, "begin": piece.begin, **asdict(tally)})
    nothing = [pa.nulls(1, kind) for kind in schema(columns).types]
    return pa.table([*nothing, pa.array([said])], [*schema(columns).names, TALLY])
