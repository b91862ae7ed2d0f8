"""What the folder of a data set holds: its declaration, and the parts that it has.

The folder's ``__init__.py`` has one entry::

    DATASET = DataSet(declaration=LONDON, formats=(LONDON_TEXT,), reports=".reports:REPORTS")

Only the declaration is required. What takes time to import is named instead, as ``"module:NAME"``; a module that begins
with a point counts from the folder. ``meterlake.registry`` finds the folders.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from meterlake.declaration import MeterSeries
from meterlake.errors import DeclarationError, PermanentError
from meterlake.fileformats.base import FileFormat
from meterlake.schedule import DAILY, Schedule
from meterlake.text.format import TextFormat

if TYPE_CHECKING:
    from meterlake.alert_specs import Alert
    from meterlake.dashboard_specs import Board
    from meterlake.generator import Generator
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.simulation import Simulation
    from meterlake.lakehouse.sources import SourceWorld
    from meterlake.live.sources import LiveSource
    from meterlake.presentation import Presentation
    from meterlake.replay import Replay
    from meterlake.report_specs import Report
    from meterlake.tariffs.declaration import Tariffs
    from meterlake.vee.declaration import Vee

ENTRY: Final = "DATASET"
"""Name of the one entry of a folder."""

OURS: Final = "datasets"
"""The package of the data sets that come with this platform."""

_PARTS: Final = (
    "formats", "replay", "reports", "board", "alerts", "bridges", "presentation", "generator", "vee", "tariffs"
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set and its parts.

    formats: of its files. replay: how its history becomes live readings. reports: its catalogue; without one it has the
    plain reports. board: what its dashboards show. alerts: beside those that all have. bridges: sources of live
    messages in other people's formats. presentation: reference tables, and what is made of readings with them.
    generator: of made-up files. vee: validation and estimation. tariffs: name of the file, in the folder, that says
    what products cost. schedule: of its DAG.
    """

    declaration: MeterSeries
    formats: tuple[TextFormat | FileFormat, ...] = ()
    replay: Replay | str | None = None
    reports: tuple[Report, ...] | str | None = None
    board: Board | str | None = None
    alerts: tuple[Alert, ...] | str = ()
    bridges: tuple[LiveSource, ...] | str | None = None
    presentation: Presentation | str | None = None
    generator: Generator | str | None = None
    vee: Vee | str | None = None
    tariffs: str | None = None
    schedule: Schedule = DAILY

    def __post_init__(self) -> None:
        if not isinstance(self.declaration, MeterSeries):
            raise DeclarationError(
                "A DataSet", f"its declaration is {self.declaration!r}", expected="Give what meterlake.declaration has"
            )
        where = f"Data set {self.name!r}"
        if not isinstance(self.formats, tuple):
            raise DeclarationError(where, "its formats are not a tuple", expected="Write (…,)")
        for form in self.formats:
            if not isinstance(form, TextFormat | FileFormat):
                raise DeclarationError(
                    where, f"the format {form!r} is none", expected="Give a TextFormat or one of meterlake.fileformats"
                )
            if form.dataset != self.declaration:
                raise DeclarationError(
                    where, f"a format is that of {form.dataset.name!r}", expected="Give it this declaration"
                )

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.declaration.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The optional parts that it has."""
        return tuple(part for part in _PARTS if getattr(self, part))


class UnusablePart(PermanentError):
    """A part of a data set cannot be imported, or is something else."""

    def __init__(self, name: str, part: str, problem: str, hint: str) -> None:
        super().__init__(f"Data set {name!r}, {part}: {problem}.", hint=hint)


@dataclass(frozen=True)
class LakehouseEntry:
    """A lakehouse and where it lies, as ``Entry`` says it of a data set of meters."""

    declaration: Lakehouse
    package: str
    folder: Path | None
    source: str

    @property
    def name(self) -> str:
        """The name of the lakehouse."""
        return self.declaration.name

    @property
    def is_ours(self) -> bool:
        """Whether it comes with this platform."""
        return self.package.partition(".")[0] == OURS

    def simulation(self) -> Simulation:
        """Return how its records are made. Raises PermanentError where they cannot be."""
        from meterlake.lakehouse.simulation import Simulation

        given = self.declaration.simulation
        if given is None:
            raise PermanentError(
                f"Lakehouse {self.name!r} has no simulation.",
                hint="Declare one (meterlake.lakehouse.simulation) and give it as simulation= to its declaration.",
            )
        return resolved(self.name, "simulation", given, self.package, Simulation)

    def sources(self) -> SourceWorld:
        """Return how the databases of its sources are made. Raises PermanentError where they cannot be."""
        from meterlake.lakehouse.sources import SourceWorld

        given = self.declaration.sources
        if given is None:
            raise PermanentError(
                f"Lakehouse {self.name!r} has no sources to make up.",
                hint="Its records come from topics: see `meterlake simulate`. Or declare sources=.",
            )
        return resolved(self.name, "sources", given, self.package, SourceWorld)

    def verification(self) -> str:
        """Return the SQL that makes its facts once more. Raises PermanentError where there is none."""
        file = self.folder / self.declaration.verification if self.folder and self.declaration.verification else None
        if file is None or not file.is_file():
            raise PermanentError(
                f"Lakehouse {self.name!r} has no SQL to verify it by{f': {file}' if file else ''}.",
                hint="Write it beside the declaration, and give the file's name as verification= to it.",
            )
        return file.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Entry:
    """A data set and where it lies.

    package: the module that holds it, from which its parts count. folder: where its files lie, if anywhere.
    source: who named it.
    """

    data_set: DataSet
    package: str
    folder: Path | None
    source: str

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.data_set.name

    @property
    def declaration(self) -> MeterSeries:
        """Its declaration."""
        return self.data_set.declaration

    @property
    def is_ours(self) -> bool:
        """Whether it comes with this platform."""
        return self.package.partition(".")[0] == OURS

    def text_format(self) -> TextFormat:
        """Return the first format of its text files. Raises PermanentError where it has none."""
        if not self.text_formats:
            raise self._lacks("text format", "formats", "meterlake.text.format")
        return self.text_formats[0]

    @property
    def text_formats(self) -> tuple[TextFormat, ...]:
        """The formats of its text files."""
        return tuple(form for form in self.data_set.formats if isinstance(form, TextFormat))

    def replay(self) -> Replay:
        """Return how its history is replayed. Raises PermanentError where it cannot be."""
        from meterlake.replay import Replay  # numpy takes its time to import

        given = self.data_set.replay
        if given is None:
            raise self._lacks("replay", "replay", "meterlake.replay")
        return resolved(self.name, "replay", given, self.package, Replay)

    def reports(self) -> tuple[Report, ...] | None:
        """Return its catalogue of reports, if it has one."""
        from meterlake.report_specs import Report

        given = self.data_set.reports
        return None if given is None else resolved(self.name, "reports", given, self.package, Report)

    def board(self) -> Board | None:
        """Return what its dashboards show, if it has any."""
        from meterlake.dashboard_specs import Board

        given = self.data_set.board
        return None if given is None else resolved(self.name, "board", given, self.package, Board)

    def alerts(self) -> tuple[Alert, ...]:
        """Return its alerts beside those that all data sets have."""
        from meterlake.alert_specs import Alert

        given = self.data_set.alerts
        result: tuple[Alert, ...] = resolved(self.name, "alerts", given, self.package, Alert) if given else ()
        return result

    def bridges(self) -> tuple[LiveSource, ...]:
        """Return its sources of live messages. Raises PermanentError where it has none."""
        from meterlake.live.sources import LiveSource

        given = self.data_set.bridges
        if not given:
            raise self._lacks("live source", "bridges", "meterlake.live.sources")
        sources: tuple[LiveSource, ...] = resolved(self.name, "bridges", given, self.package, LiveSource)
        topics = set[str]()
        for source in sources:
            if source.dataset != self.declaration:
                raise DeclarationError(source.where, "it is that of another declaration", expected="Give it this one")
            if source.topic in topics:
                problem, expected = "two live sources have its topic", "The first one takes all its messages: keep one"
                raise DeclarationError(source.where, problem, expected=expected)
            topics.add(source.topic)
        return sources

    def presentation(self) -> Presentation:
        """Return its reference tables and what is made with them. Raises PermanentError where it has none."""
        from meterlake.presentation import Presentation

        given = self.data_set.presentation
        if given is None:
            raise self._lacks("presentation", "presentation", "meterlake.presentation")
        return resolved(self.name, "presentation", given, self.package, Presentation)

    def generator(self) -> Generator:
        """Return how files of it are made up. Raises PermanentError where they cannot be."""
        from meterlake.generator import Generator

        given = self.data_set.generator
        if given is None:
            raise self._lacks("generator", "generator", "meterlake.generator")
        return resolved(self.name, "generator", given, self.package, Generator)

    def vee(self) -> Vee:
        """Return what validates and estimates its readings. Raises PermanentError where it has none."""
        from meterlake.vee.declaration import Vee

        given = self.data_set.vee
        if given is None:
            raise self._lacks("validation and estimation", "vee", "meterlake.vee.declaration")
        result: Vee = resolved(self.name, "vee", given, self.package, Vee)
        result.of(self.declaration)
        return result

    def tariffs(self, path: Path | None = None) -> Tariffs:
        """Return what its products cost, by its own file or another. Raises PermanentError where it has none."""
        from meterlake.tariffs.file import read

        name = self.data_set.tariffs
        if path is None and (name is None or self.folder is None):
            raise self._lacks("file of tariffs", "tariffs", "the name of a file in its folder")
        return read(path or Path(self.folder or "", name or ""))

    def _lacks(self, what: str, part: str, module: str) -> PermanentError:
        where = f"{ENTRY} of {self.folder or self.package}"
        return PermanentError(
            f"Data set {self.name!r} has no {what}.", hint=f"Declare one ({module}) and give it as {part}= to {where}."
        )


def resolved(name: str, part: str, given: T | str, package: str, kind: type[Any]) -> T:
    """Return a part of the data set ``name``, imported where it is named as ``module:NAME``.

    package: from which a relative module counts. kind: the type it must have. Raises UnusablePart.
    """
    value: Any = _imported(name, part, given, package) if isinstance(given, str) else given
    items = value if isinstance(value, tuple) else (value,)
    wrong = next((item for item in items if not isinstance(item, kind)), None)
    if wrong is not None:
        raise UnusablePart(name, part, f"{wrong!r} is no {kind.__name__}", f"Give what {kind.__module__} has.")
    return value  # type: ignore[no-any-return]


def _imported(name: str, part: str, path: str, package: str) -> object:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise UnusablePart(name, part, f"{path!r} names nothing", "Write 'module:NAME', such as '.reports:REPORTS'.")
    try:
        return getattr(importlib.import_module(module, package or None), attribute)
    except (ImportError, AttributeError, TypeError) as error:
        hint = f"{path!r} counts from {package or 'the packages that can be imported'}: mend it, or the module."
        raise UnusablePart(name, part, f"{path!r} cannot be imported ({error})", hint) from error
