"""The contract of a lakehouse: its gold tables, and the topics of its records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlglot

from lakehouse.layers import tables
from meterlake import columns
from meterlake.contract.promises import Contract, Promise, Rule, Table

if TYPE_CHECKING:
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.fields import Field
    from meterlake.lakehouse.model import Dimension, Fact
    from meterlake.lakehouse.records import Event, Record

_TYPES: Final = {
    "STRING": columns.STRING,
    "INT": columns.INT,
    "BIGINT": columns.BIGINT,
    "TIMESTAMP_NTZ": columns.TIMESTAMP,
    "DATE": columns.DATE,
    "BOOLEAN": columns.BOOLEAN,
}
_DOCS: Final = {
    "valid_from": "from when on the member was so, UTC",
    "valid_to": "until when, not included, UTC",
    "is_current": "whether it is the latest version of the member",
    "is_placeholder": "whether only its key is known",
    "transaction_sk": "identity of the event",
    "date_sk": "local day, yyyyMMdd",
    "time_sk": "second of the local day",
}


def contract(lakehouse: Lakehouse) -> Contract:
    """Return what a lakehouse promises."""
    return Contract(
        name=lakehouse.name,
        title=lakehouse.title,
        purpose="Facts of accepted events with their dimensions.",
        limits=f"Instants are UTC; days and seconds of a day are those of {lakehouse.time_zone}.",
        tables=(
            *(_fact(lakehouse, fact) for fact in lakehouse.facts),
            *(_dimension(lakehouse, dimension) for dimension in lakehouse.dimensions),
            _calendar(lakehouse, tables.DIM_DATE, "a local day that occurs"),
            _calendar(lakehouse, tables.DIM_TIME, "a second of a day"),
            *(_topic(record) for record in lakehouse.records),
        ),
    )


def _place(lakehouse: Lakehouse, name: str) -> str:
    return f"lake.{lakehouse.namespace('gold')}.{name}"


def _fact(lakehouse: Lakehouse, fact: Fact) -> Table:
    event = lakehouse.event(fact.event)
    ways = {lookup.column: (lookup, lakehouse.dimension(lookup.dimension)) for lookup in fact.lookups}
    promises = []
    for name, kind in tables.fact(lakehouse, fact).columns:
        if name in ways:
            lookup, dimension = ways[name]
            doc, refers = f"{dimension.name} of {lookup.field}", f"{dimension.name}.{dimension.key}"
            promises.append(Promise(name=name, type=_TYPES[kind], doc=doc, refers=refers))
        elif name in _DOCS:
            refers = {"date_sk": f"{tables.DATE}.date_sk", "time_sk": f"{tables.TIME}.time_sk"}.get(name, "")
            key = int(name == "transaction_sk")
            promises.append(Promise(name=name, type=_TYPES[kind], doc=_DOCS[name], key=key, refers=refers))
        else:
            promises.append(_promise(event.field(name)))
    return Table(
        name=fact.name,
        place=_place(lakehouse, fact.name),
        kind="table",
        doc=f"Accepted {event.name}.",
        grain=fact.grain,
        columns=tuple(promises),
        rules=_rules(event),
    )


def _rules(event: Event) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            name=check.name,
            sql=sqlglot.transpile(check.sql, read="spark", write="trino")[0],
            doc=f"{check.title[0].upper()}{check.title[1:]}.",
        )
        for check in event.checks
    )


def _dimension(lakehouse: Lakehouse, dimension: Dimension) -> Table:
    reference = lakehouse.reference(dimension.reference)
    promises = []
    for name, kind in tables.dimension(lakehouse, dimension).columns:
        if name == dimension.key:
            promises.append(Promise(name=name, type=_TYPES[kind], doc="identity of a member's version", key=1))
        elif name in _DOCS:
            promises.append(Promise(name=name, type=_TYPES[kind], doc=_DOCS[name]))
        else:
            # The member that stands for what is unknown has no attributes, and a placeholder has just its key.
            promises.append(replace(_promise(reference.field(name)), nullable=True))
    return Table(
        name=dimension.name,
        place=_place(lakehouse, dimension.name),
        kind="table",
        doc=reference.title,
        grain=f"a version of a member of {reference.name}, and one member that stands for what is unknown",
        columns=tuple(promises),
    )


def _calendar(lakehouse: Lakehouse, table: tables.Table, grain: str) -> Table:
    first = table.names[0]
    return Table(
        name=table.name,
        place=_place(lakehouse, table.name),
        kind="table",
        doc="Calendar.",
        grain=grain,
        columns=tuple(
            Promise(name=name, type=_TYPES[kind], doc=name.replace("_", " "), key=int(name == first))
            for name, kind in table.columns
        ),
    )


def _topic(record: Record) -> Table:
    return Table(
        name=record.topic,
        place=record.topic,
        kind="topic",
        doc=record.title,
        grain=f"a record of {record.name}; identified by {', '.join(record.identity)}",
        columns=tuple(_promise(field) for field in record.fields),
    )


def _promise(field: Field) -> Promise:
    low, high = (None if bound is None else float(bound) for bound in field.between)
    return Promise(
        name=field.name,
        type=field.type,
        doc=field.title,
        nullable=field.nullable,
        unit="" if field.unit == "1" else field.unit,
        pattern=field.pattern,
        between=(low, high),
        one_of=field.one_of,
        pii=field.pii,
    )
