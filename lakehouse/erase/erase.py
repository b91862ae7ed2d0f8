"""An erasure from a lakehouse, from end to end: landed objects, all tables, earlier runs, their files, ClickHouse.

It is recorded before anything is removed, and each step may be done again: an erasure that was interrupted is completed
by the same call. Readers see the tables of before until those without the person are whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from engines import spark, topics
from engines.errors import EngineUnavailable
from lakehouse import history, lease
from lakehouse.erase import record as kept
from lakehouse.erase import tables as stored
from lakehouse.erase.landed import Landed
from lakehouse.erase.record import Record
from lakehouse.landing import objects
from lakehouse.landing.objects import Source
from lakehouse.run import Run
from meterlake.erasure import FOR_EVER, Remains
from meterlake.errors import TransientError
from meterlake.lakehouse.persons import Belongings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.erase.landed import Found
    from lakehouse.lease import Lease
    from lakehouse.run import Rows
    from meterlake.clock import Clock
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.persons import Person
    from meterlake.settings import Settings

ERASED: Final = "erased"
NOTHING: Final = "nothing to erase"
WOULD_BE: Final = "would be erased"


class RecordsArrived(TransientError):
    """Records of the person have been landed while they were erased."""

    def __init__(self, dataset: str, count: int) -> None:
        super().__init__(
            f"{count} records of the person have been landed in {dataset} while it was erased.",
            hint="Stop what sends or lands them, then run the same command again: it goes on where this one was.",
        )


@dataclass(frozen=True)
class Receipt:
    """What an erasure did. removed: place -> how many of the person's records or rows were there.

    result: ERASED, NOTHING or WOULD_BE. record: who, when and why; None where nothing is recorded.
    """

    person: Person
    result: str
    removed: Mapping[str, int]
    remains: tuple[Remains, ...] = ()
    record: Record | None = None


@dataclass(frozen=True)
class Work:
    """What an erasure works with. report: told of each step before it begins."""

    settings: Settings
    lakehouse: Lakehouse
    clock: Clock
    report: Callable[[str], None]


def look(work: Work, person: Person) -> Receipt:
    """Return what ``erase`` would remove; nothing is changed."""
    belongings = Belongings(work.lakehouse, person)
    found = Landed(work.settings, belongings).find()
    counts = _counts(work, belongings, found)
    return Receipt(person, WOULD_BE if counts else NOTHING, counts, _mentioned(found))


def erase(work: Work, person: Person, by: str, why: str) -> Receipt:
    """Remove a person; return what was removed, and what remains.

    Raises RunUnderWay, RecordsArrived, BrokenObject, what a run raises, and what the engines raise.
    """
    settings, name = work.settings, work.lakehouse.name
    with lease.held(settings, name, f"erasure from {name}", work.clock) as held:
        work.report("looking for the person's records")
        pseudonym = kept.person_of(settings, person)
        begun = kept.unfinished(settings, name, pseudonym, person.reference.name)
        belongings = Belongings(work.lakehouse, person)
        belongings.add(begun.owned if begun else {})
        landed = Landed(settings, belongings)
        found = landed.find()
        counts = _counts(work, belongings, found)
        if begun is None and not counts:
            return Receipt(person, NOTHING, counts, _mentioned(found))
        record = begun or Record(
            name, uuid4().hex[:12], pseudonym, person.reference.name, work.clock().isoformat(), by, why
        )
        record = replace(_more(record, counts, found), owned=belongings.things)
        kept.write(settings, record)
        work.report("landed objects")
        landed.take_out(found)
        held.check()
        record = _publish(work, held, record, stored.answers(belongings), again=bool(counts))
        remains = _forget(work, landed, record)
        _check_arrivals(work, landed, found)
        remains = (*remains, *_mentioned(found), *_sources(work, record))
        done = replace(record, remains=[each.packed() for each in remains], done_at=work.clock().isoformat())
        kept.write(settings, replace(done, replaced={}, owned={}))
    return Receipt(person, ERASED, record.removed, remains, done)


def _counts(work: Work, belongings: Belongings, found: Found) -> dict[str, int]:
    has_tables = bool(history.runs(work.settings, work.lakehouse.name))
    return {**found.records, **(stored.count(work.settings, belongings) if has_tables else {})}


def _more(record: Record, counts: Mapping[str, int], found: Found) -> Record:
    """Return a record with what was found now: of one that was interrupted, less than the first time."""
    removed = {name: max(counts.get(name, 0), record.removed.get(name, 0)) for name in {**record.removed, **counts}}
    last = {topic: max(moment.isoformat(), record.last.get(topic, "")) for topic, moment in found.last.items()}
    return replace(
        record, removed=removed, replaced={**record.replaced, **found.replaced}, last={**record.last, **last}
    )


def _publish(work: Work, held: Lease, record: Record, answers: Rows, *, again: bool) -> Record:
    """Let readers see tables without the person, unless they do.

    answers: predictions about the person. again: something was found in the tables, or among landed objects.
    """
    runs = history.runs(work.settings, work.lakehouse.name)
    current = next((run.run for run, status in runs if status == "current"), "")
    if not runs or (record.run and not again and current >= record.run):
        return record
    with spark.session(work.settings, "lakehouse") as session:
        run = Run(work.settings, session, work.lakehouse, held, work.clock, work.report, answers).execute(full=True)
    assert run is not None  # noqa: S101 - a full run always computes
    published = replace(record, run=run.run)
    kept.write(work.settings, published)
    return published


def _forget(work: Work, landed: Landed, record: Record) -> tuple[Remains, ...]:
    """Remove what no reader sees any more: objects, earlier runs, their files, what ClickHouse has of them."""
    settings, lakehouse = work.settings, work.lakehouse
    work.report("earlier runs")
    stored.forget_runs(settings, lakehouse, record.run)
    work.report("files of earlier runs")
    remains = stored.remove_files(settings, lakehouse) if record.run else []
    landed.remove(record.replaced)
    work.report("ClickHouse")
    return (*remains, *(stored.reload_clickhouse(settings, lakehouse) if record.run else ()))


def _check_arrivals(work: Work, landed: Landed, found: Found) -> None:
    """Raise RecordsArrived where records of the person were landed since they were looked for."""
    if count := landed.find(found.manifests).records.total():
        raise RecordsArrived(work.lakehouse.name, count)


def _mentioned(found: Found) -> tuple[Remains, ...]:
    return tuple(
        Remains(f"records of {name}", f"{count} of others have the key in another field, and stay")
        for name, count in sorted(found.mentions.items())
    )


def _sources(work: Work, record: Record) -> list[Remains]:
    """Return what the person's records came from, which has them still."""
    remains = [part for item in work.lakehouse.records if not item.extract for part in _topic(work, record, item.topic)]
    remains += [
        Remains(f"database {name}", f"its rows, {FOR_EVER}. Delete them there: those that change are landed again")
        for name in work.lakehouse.databases
    ]
    return [*remains, Remains("exports, caches of dashboards, copies", f"what was taken from here, {FOR_EVER}")]


def _topic(work: Work, record: Record, name: str) -> list[Remains]:
    """Return what Kafka has of the person: what was landed, and what may come with what was not."""
    settings, last = work.settings, record.last.get(name)
    where = f"Kafka topic {name}"
    try:
        topic = topics.find(settings, name)
        if topic is None:
            return []
        sources = {part: Source(record.dataset, name, f"{part:05}") for part in topic.partitions}
        spans = topics.spans(settings, topic)
        behind = sum(
            span.end - max(span.first, objects.next_offset(settings, sources[part]) or 0)
            for part, span in spans.items()
        )
        kept_for, segment = topics.retention(settings, name), topics.segment_time(settings, name)
    except EngineUnavailable as error:
        return [Remains(where, f"its messages, until its retention ends ({error.what})")] if last else []
    remains = []
    if behind > 0:
        what = f"{behind} messages that are not landed yet: those of the person come with the next landing"
        remains.append(Remains(where, f"{what}; then erase again"))
    if last:
        landed_last = datetime.fromisoformat(last).replace(tzinfo=UTC)
        until = None if kept_for is None else landed_last + kept_for + segment
        if until is None or until > work.clock():
            remains.append(Remains(where, "its messages" if until else f"its messages, {FOR_EVER}", until))
    return remains
