"""``meterlake erase`` of a lakehouse: a person, removed from wherever it keeps records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.output import Output, report_progress, show
from cli.remains import show_remains
from meterlake.clock import system_clock
from meterlake.lakehouse.persons import person
from meterlake.log import get_logger
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from lakehouse.erase.erase import Receipt
    from lakehouse.erase.record import Record
    from meterlake.dataset import LakehouseEntry
    from meterlake.settings import Settings


def erase(entry: LakehouseEntry, identity: str, of: str, reason: tuple[str, str] | None, output: Output) -> None:
    """Remove a person, or show what there is. reason: who and why; None where nothing is changed."""
    asked = person(entry.declaration, identity, of)
    from lakehouse.erase.erase import Work, look  # Spark takes half a second to import
    from lakehouse.erase.erase import erase as run

    work = Work(load_settings(), entry.declaration, system_clock, report_progress)
    receipt = look(work, asked) if reason is None else run(work, asked, *reason)
    content = _packed(entry.name, receipt)
    get_logger().debug("erasure", **{name: value for name, value in content.items() if name != "person"})
    show_receipt(entry.name, receipt, output)


def show_receipt(dataset: str, receipt: Receipt, output: Output) -> None:
    """Show what an erasure did, and what remains."""
    if output is Output.JSON:
        show([_packed(dataset, receipt)], output)
    else:
        _report(receipt)


def rows(settings: Settings, dataset: str, output: Output) -> list[dict[str, Any]]:
    """Return the erasures of a lakehouse, as `runs` lists them: a person by a pseudonym."""
    from lakehouse.erase import record

    result = record.every(settings, dataset)
    return [row(item) if output is Output.JSON else words(item) for item in result]


def row(record: Record) -> dict[str, Any]:
    """Return an erasure for programs."""
    return {
        "event": "erasure",
        "id": record.id,
        "at": record.at,
        "status": "done" if record.done_at else "unfinished",
        "done_at": record.done_at or None,
        "by": record.by,
        "why": record.why,
        "person": record.person,
        "of": record.of,
        "run": record.run or None,
        "removed": record.removed,
        "remains": record.remains,
    }


def words(record: Record) -> dict[str, Any]:
    """Return an erasure as people read it."""
    return {
        "event": "erasure",
        "at": _moment(record.at),
        "done": _moment(record.done_at) if record.done_at else "unfinished: run it again",
        "of": record.of,
        "person": record.person,
        "by": record.by,
        "why": record.why,
        "id": record.id,
    }


def _packed(dataset: str, receipt: Receipt) -> dict[str, Any]:
    record = receipt.record
    return {
        "dataset": dataset,
        "person": receipt.person.identity,
        "of": receipt.person.reference.name,
        "result": receipt.result,
        "removed": dict(receipt.removed),
        "remains": [each.packed() for each in receipt.remains],
        "id": record.id if record else None,
        "at": record.at if record else None,
        "by": record.by if record else None,
        "why": record.why if record else None,
        "run": (record.run if record else "") or None,
        "pseudonym": record.person if record else None,
    }


def _report(receipt: Receipt) -> None:
    record = receipt.record
    facts: dict[str, object] = {
        "result": receipt.result,
        "person": receipt.person.identity,
        "of": receipt.person.reference.name,
        **{name: count for name, count in receipt.removed.items() if count},
    }
    if record is not None:
        facts |= {
            "run": record.run,
            "erasure": record.id,
            "at (UTC)": _moment(record.at),
            "by": record.by,
            "why": record.why,
            "known as": record.person,
        }
    show([{"what": name, "value": value} for name, value in facts.items() if value != ""], Output.TEXT)
    show_remains(receipt.remains, erased=record is not None)


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")
