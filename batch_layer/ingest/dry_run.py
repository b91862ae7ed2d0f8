"""What a load would read of each file, found out here and now: no server is asked but the one where the file lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from batch_layer.ingest import balance
from batch_layer.ingest.formats import format_of, rows_of, taken, title
from batch_layer.ingest.outlook import Outlook
from batch_layer.ingest.places import find
from batch_layer.ingest.rows import Judged, Raw, Tally, total
from batch_layer.ingest.sources import sources
from batch_layer.ingest.upload import BAD_FILE, check_clock, meter_of
from engines.readers.held import held
from engines.readers.port import REASON, Options
from meterlake import jumps
from meterlake.errors import NOTHING_LOADED
from meterlake.fileformats.base import WrongFile
from meterlake.text.format import TextFormat
from meterlake.text.lines import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch_layer.ingest.places import Entry
    from batch_layer.ingest.request import Request
    from batch_layer.ingest.sources import Source
    from meterlake.errors import MeterlakeError
    from meterlake.settings import Settings

FIRST: Final = 3
"""Readings of each file that are shown."""
SHOWN: Final = 200
"""So much of a line that is none is shown."""


@dataclass(frozen=True)
class BadRow:
    """A row of a file that is no reading. line: number of the line or record. text: what it says, cut."""

    reason: str
    line: int
    text: str


@dataclass(frozen=True)
class Preview:
    """What a load would read of a file; problem: why it would not be loaded at all.

    form: name of its format, or its header. quarantined: reason -> rows. first_quarantined: of each reason, the first
    row. rejected: reason -> readings that are loaded, and that the views will reject by today's rules. first, last: UTC
    without zone. interval_s: as its format says. seen_interval_s: the most frequent distance between readings of a
    meter; None where there is none.
    """

    path: str
    form: str = ""
    lines: int = 0
    readings: int = 0
    gaps: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    first_quarantined: tuple[BadRow, ...] = ()
    rejected: dict[str, int] = field(default_factory=dict)
    meters: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    interval_s: int = 0
    seen_interval_s: int | None = None
    first_readings: tuple[dict[str, Any], ...] = ()
    problem: str = ""


def dry_run(settings: Settings, request: Request, now: datetime) -> Iterator[Preview]:
    """Yield what would be read of each file, in order. now: aware. Raises what finding the files raises."""
    for entry in find(settings, request.paths):
        yield from _previews(settings, request, entry, now)


def _previews(settings: Settings, request: Request, entry: Entry, now: datetime) -> Iterator[Preview]:
    try:
        for source in sources(settings, entry, request.password, taken(request.forms), lambda _: None):
            if isinstance(source, Exception):
                yield _bad(source.path, source)
                continue
            try:
                yield _preview(request, source, now)
            except BAD_FILE as error:
                yield _bad(source.path, error)
            except WrongFile as error:
                yield _bad(source.path, error.of(source.path))
    except BAD_FILE as error:
        yield _bad(entry.path, error)


def _bad(path: str, error: MeterlakeError) -> Preview:
    return Preview(path, problem=_said(error))


def _said(error: MeterlakeError) -> str:
    """Return what is wrong, and what to do: that nothing was loaded is no news here, nor what a dry run shows."""
    hint = error.hint.removeprefix(NOTHING_LOADED).strip().removeprefix(balance.SHOWN_BY).strip()
    return f"{error.what} {hint}".strip()


def _preview(request: Request, source: Source, now: datetime) -> Preview:
    with held(lambda _: source.read()) as file:
        form = format_of(request.forms, source.path, file.read(CHUNK))
        check_clock(request, form, source)
        clock = form.clock if request.offset is None else request.offset
        meter = meter_of(request, form, source)
        arrived = now.astimezone(UTC).replace(tzinfo=None)
        raw = Raw(form, Options(meter, clock), "", source.origin, "", arrived)
        file.seek(0)
        seen = _Seen(raw)
        for rows in rows_of(form, file, raw.options):
            seen.add(rows)
        if kept := seen.find_kept():
            file.seek(0)
            again = _Seen(replace(raw, kept=kept))
            for rows in rows_of(form, file, raw.options):
                again.add(rows)
            seen = again
    wrong = balance.not_of_format(source.path, form, seen.tally) or seen.outlook.wall_clock(source.path, seen.tally)
    return seen.preview(source.path, _said(wrong) if wrong else "")


class _Seen:
    """What has been seen of a file's rows."""

    def __init__(self, raw: Raw) -> None:
        self._raw, self._dataset = raw, raw.dataset
        self._tallies: list[Tally] = []
        self._meters: set[str] = set()
        self._days: dict[str, Counter[int]] = {}
        self._interval_s = 0
        self._steps: Counter[int] = Counter()
        self._readings: list[dict[str, Any]] = []
        self._bad: dict[str, BadRow] = {}
        self.outlook = Outlook(raw.dataset, raw.options.clock, raw.form.lead)

    @property
    def tally(self) -> Tally:
        return total(self._tallies)

    def add(self, rows: pa.Table) -> None:
        judged = Judged(self._raw, rows, timedelta(0), None)
        self._tallies.append(judged.tally())
        for day in judged.days(0).to_pylist():
            if day["meter_id"] is not None:
                self._days.setdefault(day["meter_id"], Counter())[day["day"]] += day["rows"]
            self._interval_s = max(self._interval_s, day["interval_s"] or 0)
        good = judged.readings()
        self.outlook.add(good)
        self._keep_bad(judged.rejected())
        self._meters.update(good[self._dataset.key].unique().to_pylist())
        self._steps.update(_steps(good, self._dataset.key, self._dataset.event_time))
        if len(self._readings) < FIRST:
            shown = rows.filter(pc.is_null(rows[REASON])).slice(0, FIRST - len(self._readings))
            names = [self._dataset.key, self._dataset.event_time, *(each.name for each in self._dataset.measures)]
            self._readings += shown.select(names).to_pylist()

    def _keep_bad(self, rejected: pa.Table) -> None:
        """Keep the first row of each reason."""
        firsts = rejected.select(["reason", "origin_offset", "payload"]).group_by("reason", use_threads=False)
        for row in firsts.aggregate([("origin_offset", "first"), ("payload", "first")]).to_pylist():
            reason, text = row["reason"], row["payload_first"] or ""
            self._bad.setdefault(reason, BadRow(reason, row["origin_offset_first"], text[:SHOWN]))

    def find_kept(self) -> dict[str, list[jumps.Stretch]]:
        """Return where readings of the meters may lie of which some are set aside."""
        kept = {}
        for meter, days in self._days.items():
            result = jumps.stretches(self._dataset, days, jumps.DAY_S)
            inside = jumps.kept(self._dataset, result, self._interval_s or jumps.DAY_S)
            if len(inside) < len(result):
                kept[meter] = inside
        return kept

    def preview(self, path: str, problem: str) -> Preview:
        tally, form = self.tally, self._raw.form
        return Preview(
            path=path,
            form=title(form),
            lines=tally.rows,
            readings=tally.readings,
            gaps=tally.gaps,
            quarantined={reason: count for reason, (count, _) in sorted(tally.reasons.items())},
            first_quarantined=tuple(self._bad[reason] for reason in sorted(self._bad)),
            rejected=self.outlook.rejected,
            meters=tuple(sorted(self._meters)),
            first=_moment(tally.first),
            last=_moment(tally.last),
            interval_s=form.interval_s if isinstance(form, TextFormat) else self._interval_s,
            seen_interval_s=self._steps.most_common(1)[0][0] if self._steps else None,
            first_readings=tuple(self._readings),
            problem=problem,
        )


def _moment(second: int | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).replace(tzinfo=None)


def _steps(rows: pa.Table, key: str, time: str) -> dict[int, int]:
    """Return how often readings of a meter are so many seconds apart, as they follow each other in time."""
    ordered = rows.select([key, time]).sort_by([(key, "ascending"), (time, "ascending")])
    meters = ordered[key].combine_chunks().dictionary_encode().indices.to_numpy()
    seconds = ordered[time].cast(pa.int64()).to_numpy() // 1_000_000
    steps, counts = np.unique(np.diff(seconds)[np.diff(meters) == 0], return_counts=True)
    return {int(step): int(count) for step, count in zip(steps, counts, strict=True) if step > 0}
