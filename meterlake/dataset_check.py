"""Whether the folder of a data set holds together: its parts can be used, and name what its declaration has."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final, NamedTuple

from meterlake import generated
from meterlake.alert_specs import check_alerts
from meterlake.dashboard_specs import check_board
from meterlake.errors import MeterlakeError
from meterlake.report_specs import Report
from meterlake.validation import measure_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meterlake.dataset import Entry
    from meterlake.declaration import MeterSeries

_NAMING: Final = ("value", "level", "energy", "total", "rest", "parts", "movable")
"""Fields of a report that name measures or derived values."""


class Finding(NamedTuple):
    """One part of a data set, whether it is as it must be, and if not, what to do."""

    state: str
    what: str
    problem: str = ""
    to_do: str = ""


def check(entry: Entry) -> list[Finding]:
    """Return a finding of each part; ``state`` is ok, wrong, or old for generated files to be written again."""
    where = entry.folder or entry.package or entry.source
    findings = [Finding("ok", f"declaration in {where}")]
    findings += [Finding("ok", f"format {number}") for number, _ in enumerate(entry.data_set.formats, start=1)]
    checks: dict[str, Callable[[Entry], Iterable[str]]] = {"replay": _replay, "reports": _reports, "board": _board}
    checks |= {"bridges": _bridges, "alerts": _alerts}
    for part in entry.data_set.parts:
        if part in checks:
            findings += _checked(part, entry, checks[part])
    return [*findings, *_generated(entry)]


def _checked(part: str, entry: Entry, problems: Callable[[Entry], Iterable[str]]) -> list[Finding]:
    try:
        wrong = list(problems(entry))
    except MeterlakeError as error:
        return [Finding("wrong", part, error.what, error.hint)]
    known = f"Name one of {', '.join(_names(entry.declaration))}."
    return [Finding("wrong", part, problem, known) for problem in wrong] or [Finding("ok", part)]


def _replay(entry: Entry) -> Iterator[str]:
    if entry.replay().dataset != entry.declaration:
        yield f"it is that of {entry.replay().dataset.name!r}"


def _reports(entry: Entry) -> Iterator[str]:
    known, names = _names(entry.declaration), set[str]()
    for report in entry.reports() or ():
        if report.name in names:
            yield f"two reports are called {report.name!r}"
        names.add(report.name)
        for name in _named(report):
            if name not in known:
                yield f"the report {report.name!r} shows {name!r}, which is not declared"


def _alerts(entry: Entry) -> Iterable[str]:
    check_alerts(entry.declaration, entry.alerts())  # says itself what is wrong
    return ()


def _board(entry: Entry) -> Iterable[str]:
    board = entry.board()
    if board:
        check_board(entry.declaration, board)  # says itself what is wrong
    return ()


def _bridges(entry: Entry) -> Iterable[str]:
    entry.bridges()  # says itself what is wrong
    return ()


def _named(report: Report) -> list[str]:
    return _texts(getattr(report, field.name) for field in fields(report) if field.name in _NAMING)


def _texts(values: Iterable[object]) -> list[str]:
    """Return the texts among values and in their tuples."""
    return [
        name
        for value in values
        for name in (value if isinstance(value, tuple) else (value,))
        if isinstance(name, str) and name
    ]


def _names(dataset: MeterSeries) -> list[str]:
    """Return what can be shown: measures, the columns of their states, and derived values."""
    columns = [column for measure in dataset.measures for column in measure_columns(measure)]
    return [*(measure.name for measure in dataset.measures), *(value.name for value in dataset.derived), *columns]


def _generated(entry: Entry) -> list[Finding]:
    old = generated.drift(generated.files_of(entry))
    if not old:
        return [Finding("ok", "generated files")]
    listed = ", ".join(path.name for path in old)
    problem = f"{listed}: not written, or of another declaration"
    return [Finding("old", "generated files", problem, f"Run `meterlake ddl {entry.name}`.")]
