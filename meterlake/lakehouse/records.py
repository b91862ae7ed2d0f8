"""The two kinds of record of a lakehouse: events, which happen, and references, which are."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Literal

from meterlake.errors import DeclarationError
from meterlake.lakehouse.fields import Check, Field, Known, check_word
from meterlake.lakehouse.sources import DELETED, Extract, check_retention
from meterlake.names import check_unique

History = Literal["overwrite", "versions"]
Period = Literal["month", "day"]


@dataclass(frozen=True, kw_only=True)
class Record(ABC):
    """What events and references share.

    topic: where they arrive. time: the field of the instant that a record is about. tolerance: how far that may lie
    after its arrival; a later one is rejected (``in_future``). extract: the table that they come from, where it is no
    topic of Kafka; ``topic`` is then the name of what is landed. retention: how long landed objects are kept when
    bronze has their records; None: as the lakehouse says; ``sources.FOR_EVER``: for ever.
    """

    kind: ClassVar[str]

    name: str
    title: str
    topic: str
    fields: tuple[Field, ...]
    time: str
    checks: tuple[Check, ...] = ()
    known: tuple[Known, ...] = ()
    tolerance: timedelta = timedelta(minutes=5)
    extract: Extract | None = None
    retention: timedelta | None = None

    def __post_init__(self) -> None:
        check_word(self.name, self.where)
        check_retention(self.retention, self.where)
        check_unique((field.name for field in self.fields), self.where, "field")
        check_unique((check.name for check in self.checks), self.where, "check")
        self._require(self.time, "its time")
        if self.field(self.time).type.kind != "timestamp":
            raise DeclarationError(self.where, f"its time {self.time!r} is no timestamp", expected="Name one that is")
        for check in self.checks:
            for column in sorted(check.columns()):
                self._require(column, f"its check {check.name!r}")
        for item in self.known:
            self._require(item.field, f"what must be known of {item.reference!r}")
        if self.extract is not None:
            self._check_extract(self.extract)

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"{self.kind.capitalize()} {self.name!r}"

    @property
    @abstractmethod
    def identity(self) -> tuple[str, ...]:
        """The fields that identify a record: of several with the same values in them, one counts."""

    @property
    def can_be_deleted(self) -> bool:
        """Whether a record may say that it is gone."""
        return DELETED in self._by_name

    def _check_extract(self, extract: Extract) -> None:
        for name in extract.columns:
            self._require(name, f"the table {extract.table!r}")
        if (extract.deletions != "none") != self.can_be_deleted:
            problem = f"deletions={extract.deletions!r}, and {'a' if self.can_be_deleted else 'no'} field {DELETED!r}"
            raise DeclarationError(
                self.where, problem, expected=f"Declare a nullable boolean {DELETED!r} with deletions"
            )

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    def field(self, name: str) -> Field:
        """Return a field by its name."""
        return self._by_name[name]

    def _require(self, name: str, what: str) -> None:
        if name not in self._by_name:
            known = ", ".join(field.name for field in self.fields)
            raise DeclarationError(self.where, f"{what} names the field {name!r}", expected=f"Its fields are {known}")


@dataclass(frozen=True, kw_only=True)
class Event(Record):
    """Something that happens, once. id: the field that identifies it.

    partition: the period that files of its tables hold, by its time. Days are for millions of rows each. day_in_id: a
    regular expression of a whole id, where ids name the day of the event's time: its group ``day`` has the date
    (2026-11-27), or ``days`` how many there were since 1970-01-01. What is held of an id is then looked for about its
    day alone, and a record of another day is rejected (``not_its_day``). Not for ids that outlive a correction of the
    time to another day.
    """

    kind = "event"
    id: str
    partition: Period = "month"
    day_in_id: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.id, "its id")
        if self.day_in_id:
            self._check_day_in_id()

    @property
    def identity(self) -> tuple[str, ...]:
        """Its id."""
        return (self.id,)

    def _check_day_in_id(self) -> None:
        expected = "Write an expression of the whole id with one group (?P<day>…), a date, or (?P<days>…), a number"
        try:
            groups = re.compile(self.day_in_id).groupindex
        except re.error as error:
            problem = f"day_in_id={self.day_in_id!r} is no regular expression: {error}"
            raise DeclarationError(self.where, problem, expected=expected) from None
        if len(groups) != 1 or not groups.keys() <= {"day", "days"}:
            named = ", ".join(groups) or "nothing"
            problem = f"day_in_id={self.day_in_id!r} names {named}, not the day that {self.time!r} is made of"
            raise DeclarationError(self.where, problem, expected=expected)


@dataclass(frozen=True, kw_only=True)
class Reference(Record):
    """Something that is, and changes. key: the field that identifies it.

    history: ``overwrite`` keeps the latest record of a key (type 1); ``versions`` keeps each, valid from its time on
    (type 2). owner: the field that says whose it is: of an account, its customer. What has its key is that person's.
    """

    kind = "reference"
    key: str
    history: History = "overwrite"
    owner: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.key, "its key")
        if self.owner:
            self._require(self.owner, "its owner")

    @property
    def identity(self) -> tuple[str, ...]:
        """Its key, and the time of a version."""
        return (self.key, self.time)
