"""The runs of a lakehouse that readers have seen: a tag of the catalog each, and its record among the objects."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from engines import lake, nessie
from meterlake.errors import PermanentError, UnknownName

if TYPE_CHECKING:
    from meterlake.settings import Settings

_RUN: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Record:
    """A run: what it read, and what became of it, by record; the objects that it read first; when, and how long."""

    dataset: str
    run: str
    mode: str
    at: str
    seconds: float
    objects: int
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> dict[str, int]:
        """The counts of all records together."""
        total: dict[str, int] = {}
        for counts in self.counts.values():
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
        return total


class NoRun(PermanentError):
    """Readers of a lakehouse see nothing yet."""

    def __init__(self, lakehouse: str) -> None:
        super().__init__(
            f"Readers of {lakehouse} see no run yet.", hint=f"Run it first: `meterlake batch {lakehouse}`."
        )


class SharedCatalog(PermanentError):
    """Going back would take other lakehouses back, too."""

    def __init__(self, run: str, others: list[str]) -> None:
        super().__init__(
            f"Going back to {run} would take {', '.join(others)} back, too: readers see one branch.",
            hint="Their runs came later. Correct the data and run again instead.",
        )


def is_run(name: str) -> bool:
    """Return whether a name is that of a run: another lakehouse's branch may begin with our name."""
    return _RUN.fullmatch(name) is not None


def tag(dataset: str, run: str) -> str:
    """Return the tag of a run."""
    return f"{dataset}-run-{run}"


def write(settings: Settings, record: Record) -> None:
    """Keep the record of a run, before it is merged."""
    lake.put(settings, f"runs/{record.dataset}/{record.run}.json", orjson.dumps(asdict(record)))


def runs(settings: Settings, dataset: str) -> list[tuple[Record, str]]:
    """Return the runs that were merged, oldest first, each with whether it is the ``current`` one, or ``kept``."""
    main, prefix = nessie.main(settings), tag(dataset, "")
    result = []
    for ref in nessie.refs(settings):
        if ref.type == "TAG" and ref.name.startswith(prefix):
            data = lake.get(settings, f"runs/{dataset}/{ref.name.removeprefix(prefix)}.json")
            content: dict[str, Any] = orjson.loads(data or b"{}")
            result.append((Record(**content), ref.hash))
    result.sort(key=lambda item: item[0].run)
    seen = nessie.commits(settings, main)
    reached = [record.run for record, state in result if state in seen]
    current = reached[-1] if reached else ""
    return [(record, "current" if record.run == current else "kept") for record, _ in result]


def current(settings: Settings, dataset: str) -> Record:
    """Return the run that readers see. Raises NoRun."""
    result = [record for record, status in runs(settings, dataset) if status == "current"]
    if not result:
        raise NoRun(dataset)
    return result[0]


def latest(settings: Settings, dataset: str) -> str:
    """Return the tag of the last run, whether readers see it or were taken back. Raises NoRun."""
    prefix = tag(dataset, "")
    tags = [ref.name for ref in nessie.refs(settings) if ref.type == "TAG" and ref.name.startswith(prefix)]
    found = [name for name in tags if is_run(name.removeprefix(prefix))]
    if not found:
        raise NoRun(dataset)
    return max(found)


def roll_back(settings: Settings, dataset: str, run: str) -> Record:
    """Let readers see the state that a run left, an earlier or a later one.

    Raises UnknownName, SharedCatalog; RefMoved where somebody else has changed the catalog meanwhile.
    """
    known = {record.run: record for record, _ in runs(settings, dataset)}
    if run not in known:
        raise UnknownName(f"run of {dataset}", run, known)
    target = nessie.find(settings, tag(dataset, run))
    main = nessie.main(settings)
    assert target is not None  # noqa: S101 - it was listed just now
    others = {
        ref.name.partition("-run-")[0]
        for ref in nessie.refs(settings)
        if ref.type == "TAG" and "-run-" in ref.name and ref.name.rpartition("-run-")[2] > run
    }
    if later := sorted(others - {dataset}):
        raise SharedCatalog(run, later)
    nessie.assign(settings, main, target)
    return known[run]
