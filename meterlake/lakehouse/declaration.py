"""A lakehouse's declaration: its records and its model, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meterlake.errors import DeclarationError
from meterlake.lakehouse.fields import check_word
from meterlake.lakehouse.live import Live
from meterlake.lakehouse.live import check as check_live
from meterlake.lakehouse.persons import check as check_persons
from meterlake.lakehouse.sources import FOR_EVER, check_retention
from meterlake.names import check_unique
from meterlake.schedule import HOURLY, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from meterlake.lakehouse.model import Dimension, Fact, Filters, Kpi, Mart, Page, View
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.lakehouse.records import Event, Record, Reference
    from meterlake.lakehouse.simulation import Simulation
    from meterlake.lakehouse.sources import SourceWorld

Named = TypeVar("Named", "Event", "Reference", "Record", "Dimension", "Fact", "View", "Kpi", "Mart")


@dataclass(frozen=True, kw_only=True)
class Lakehouse:
    """A data set of events and references, and the tables that are made of them.

    time_zone: IANA name; ``dim_date`` and ``dim_time`` follow it. live: what is seen of events before a run has read
    them. most_rejected: a run that would reject a greater share of an event fails. simulation: makes its records, as
    ``"module:NAME"``; sources: makes the databases that they come from. verification: a text file of SQL beside the
    declaration that makes the facts of the landed records once more. schedule: of its DAGs. pages: tabs of its
    dashboard; without any, one has all figures. filters: what the dashboard is filtered by. retention: how long landed
    objects are kept when bronze has their records; None: for ever. A record may say otherwise.
    """

    name: str
    title: str
    time_zone: str
    events: tuple[Event, ...]
    references: tuple[Reference, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    facts: tuple[Fact, ...] = ()
    views: tuple[View, ...] = ()
    kpis: tuple[Kpi, ...] = ()
    marts: tuple[Mart, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    live: Live | None = None
    most_rejected: float = 0.2
    simulation: Simulation | str | None = None
    sources: SourceWorld | str | None = None
    verification: str = ""
    schedule: Schedule = HOURLY
    pages: tuple[Page, ...] = ()
    filters: Filters | None = None
    retention: timedelta | None = None

    def __post_init__(self) -> None:
        check_word(self.name, self.where)
        check_retention(self.retention, self.where)
        rows = [item.name for items in (self.facts, self.views, self.predictions) for item in items]
        for kind, items in (
            ("record", self.records),
            ("dimension", self.dimensions),
            ("figure", self.kpis),
            ("mart", self.marts),
        ):
            check_unique((item.name for item in items), self.where, kind)
        check_unique(rows, self.where, "fact")
        check_unique((record.topic for record in self.records), self.where, "topic")
        if not 0 < self.most_rejected <= 1:
            raise DeclarationError(
                self.where, f"most_rejected={self.most_rejected} is no share", expected="Write one from 0 to 1"
            )
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise DeclarationError(
                self.where, f"there is no time zone {self.time_zone!r}", expected="Write an IANA name, such as UTC"
            ) from None
        self._check_records()
        self._check_dimensions()
        self._check_facts()
        self._check_figures()
        self._check_dashboard()
        check_persons(self)
        if self.live:
            check_live(self, self.live)

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"Lakehouse {self.name!r}"

    @property
    def records(self) -> tuple[Record, ...]:
        """All records: references before the events that ask for them."""
        return (*self.references, *self.events)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of all records."""
        return tuple(record.topic for record in self.records)

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases that records come from."""
        return tuple(sorted({record.extract.database for record in self.records if record.extract}))

    @property
    def retentions(self) -> dict[str, timedelta]:
        """How long landed objects are kept, by topic; a topic whose objects are kept for ever is not in it."""
        declared = {record.topic: record.retention or self.retention or FOR_EVER for record in self.records}
        return {topic: retention for topic, retention in declared.items() if retention != FOR_EVER}

    def event(self, name: str) -> Event:
        """Return an event by name."""
        return _named(self.events, name)

    def reference(self, name: str) -> Reference:
        """Return a reference by name."""
        return _named(self.references, name)

    def dimension(self, name: str) -> Dimension:
        """Return a dimension by name."""
        return _named(self.dimensions, name)

    def fact_of(self, event: str) -> Fact | None:
        """Return the fact of an event, if it has one."""
        return next((fact for fact in self.facts if fact.event == event), None)

    def view(self, name: str) -> View | None:
        """Return a view by name, if there is one."""
        return next((view for view in self.views if view.name == name), None)

    def namespace(self, layer: str) -> str:
        """Return the name of a layer's tables in the catalog: ``telecom_gold``."""
        return f"{self.name}_{layer}"

    def _check_records(self) -> None:
        for reference in self.references:
            if reference.known:
                problem = f"the reference {reference.name!r} asks for another one"
                raise DeclarationError(
                    self.where, problem, expected="References are judged side by side: ask in events"
                )
        for record in self.records:
            for known in record.known:
                self._require(known.reference, self.references, f"{record.where} asks for the reference")

    def _check_dimensions(self) -> None:
        for dimension in self.dimensions:
            where = f"the dimension {dimension.name!r} is of the reference"
            self._require(dimension.reference, self.references, where)
            reference = self.reference(dimension.reference)
            names = [field.name for field in reference.fields]
            for attribute in dimension.attributes:
                if attribute not in names:
                    self._refuse(f"the dimension {dimension.name!r} has the attribute {attribute!r}", names)
            for level in dimension.levels:
                if level not in dimension.attributes:
                    self._refuse(f"the dimension {dimension.name!r} has the level {level!r}", dimension.attributes)
            if not dimension.attributes or dimension.attributes[0] != reference.key:
                self._refuse(f"the dimension {dimension.name!r} does not begin with its key", [reference.key])

    def _check_facts(self) -> None:
        for fact in self.facts:
            self._require(fact.event, self.events, f"the fact {fact.name!r} is of the event")
            names = [field.name for field in self.event(fact.event).fields]
            check_unique([*names, *(lookup.column for lookup in fact.lookups)], f"Fact {fact.name!r}", "column")
            for lookup in fact.lookups:
                self._require(lookup.dimension, self.dimensions, f"the fact {fact.name!r} looks into the dimension")
                if lookup.field not in names:
                    self._refuse(f"the fact {fact.name!r} looks up by {lookup.field!r}", names)
            for measure in fact.measures:
                if measure.field not in names:
                    self._refuse(f"the fact {fact.name!r} measures {measure.field!r}", names)

    def _check_figures(self) -> None:
        for mart in self.marts:
            self._require(mart.fact, self.facts, f"the mart {mart.name!r} is of the fact")
        for kpi in self.kpis:
            self._require(kpi.fact, (*self.facts, *self.views), f"the figure {kpi.name!r} is of the fact")
            if view := self.view(kpi.fact):
                for column in kpi.grain:
                    if column not in view.dimensions:
                        self._refuse(f"the figure {kpi.name!r} is by {column!r}", view.dimensions)
        for prediction in self.predictions:
            self._require(prediction.view, self.views, f"the prediction {prediction.name!r} is of the view")

    def _check_dashboard(self) -> None:
        names = [kpi.name for kpi in self.kpis]
        for page in self.pages:
            for name in page.kpis:
                if name not in names:
                    self._refuse(f"the page {page.title!r} shows the figure {name!r}", names)
        if self.filters:
            self._require(self.filters.view, self.views, "the filters are of the view")
            view = _named(self.views, self.filters.view)
            for column in self.filters.columns:
                if column not in view.dimensions:
                    self._refuse(f"a filter is {column!r}", view.dimensions)

    def _require(self, name: str, items: Iterable[Record | Dimension | Fact | View], what: str) -> None:
        known = [item.name for item in items]
        if name not in known:
            self._refuse(f"{what} {name!r}", known)

    def _refuse(self, problem: str, known: Sequence[str]) -> None:
        raise DeclarationError(self.where, problem, expected=f"There are {', '.join(known) or 'none'}")


def _named(items: Iterable[Named], name: str) -> Named:
    return next(item for item in items if item.name == name)
