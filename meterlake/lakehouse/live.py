"""What is seen of events before a run has read them: counts and exact amounts by minute and place; with gold as one.

The boundary is that of meters (``meterlake.boundary``): before it gold answers, from it on the live rows do. An event
that arrives later than ``lateness`` after it happened is left to the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meterlake.boundary import BEGINNING
from meterlake.columns import BIGINT, STRING, TIMESTAMP, Column
from meterlake.ddl import CASSANDRA_KEYSPACE
from meterlake.errors import DeclarationError
from meterlake.timegrid import floor_minute

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Dimension, Lookup

UNKNOWN: Final = "unknown"
"""Place of an event whose member is not known."""
NONE: Final = "none"
"""Currency of an event that costs nothing."""
BOUNDARIES: Final = "lakehouse_boundary"
"""Table of the boundary of each lakehouse."""
COLUMNS: Final = (
    Column("event", STRING, doc="kind of event"),
    Column("day", STRING, doc="UTC day, such as 2026-11-21"),
    Column("minute", TIMESTAMP, doc="in which it began"),
    Column("place", STRING, doc="where, as the declaration says"),
    Column("currency", STRING, doc="ISO 4217"),
    Column("events", BIGINT, doc="how many are accepted; 0: none any more"),
    Column("amount", BIGINT, doc="sum, in units of the amount's last digit"),
)
KEY: Final = ("event", "day", "minute", "place", "currency")


@dataclass(frozen=True)
class LiveEvent:
    """An event that is shown live.

    member: column of its fact that says whose attribute ``place`` is. amount: a decimal field, and ``currency`` the one
    that says of what; both empty where there is none.
    """

    event: str
    member: str
    place: str
    amount: str = ""
    currency: str = ""


@dataclass(frozen=True)
class Live:
    """The events of a lakehouse that are shown live, all amounts with the same number of decimals."""

    lateness: timedelta
    events: tuple[LiveEvent, ...]
    scale: int = 2


def check(lakehouse: Lakehouse, live: Live) -> None:
    """Raise DeclarationError where something is shown that is not declared."""
    names = {event.name for event in lakehouse.events}
    for item in live.events:
        fact = lakehouse.fact_of(item.event)
        if item.event not in names or fact is None:
            _refuse(lakehouse, f"{item.event!r} is no event with a fact", sorted(names))
            continue
        lookups = {lookup.column: lookup for lookup in fact.lookups}
        if item.member not in lookups:
            _refuse(lakehouse, f"{fact.name} has no member {item.member!r}", sorted(lookups))
        places = lakehouse.dimension(lookups[item.member].dimension).attributes
        if item.place not in places:
            _refuse(lakehouse, f"a member {item.member!r} has no {item.place!r}", places)
        fields = {field.name: field.type for field in lakehouse.event(item.event).fields}
        if bool(item.amount) != bool(item.currency):
            _refuse(lakehouse, f"{item.event!r} has one of amount and currency", ("both", "none"))
        for name in filter(None, (item.amount, item.currency)):
            if name not in fields:
                _refuse(lakehouse, f"{item.event!r} has no field {name!r}", sorted(fields))
        if item.amount and (fields[item.amount].kind, fields[item.amount].scale) != ("decimal", live.scale):
            _refuse(lakehouse, f"{item.amount!r} has not {live.scale} decimals", ("a field that has",))


def _refuse(lakehouse: Lakehouse, problem: str, known: tuple[str, ...] | list[str]) -> None:
    raise DeclarationError(f"{lakehouse.where}, live", problem, expected=f"There are {', '.join(known)}")


def table(lakehouse: Lakehouse) -> str:
    """Return the table of the live rows, without its keyspace."""
    return f"{lakehouse.name}_live"


def looked_up(lakehouse: Lakehouse, item: LiveEvent) -> tuple[Lookup, Dimension]:
    """Return how an event finds the member that says where it is."""
    fact = lakehouse.fact_of(item.event)
    assert fact is not None  # noqa: S101 - checked when it was declared
    (lookup,) = (lookup for lookup in fact.lookups if lookup.column == item.member)
    return lookup, lakehouse.dimension(lookup.dimension)


def boundary(lakehouse: Lakehouse, reached: Iterable[datetime]) -> datetime:
    """Return the minute from which on live rows answer.

    reached: of each partition of the live events, before which time of arrival a run has read all of it.
    """
    assert lakehouse.live is not None  # noqa: S101 - nothing asks for the boundary of what is not shown
    return max(floor_minute(min(reached) - lakehouse.live.lateness), BEGINNING)


def cassandra_ddl(lakehouse: Lakehouse, ttl: timedelta) -> tuple[str, str]:
    """Return the statements that create the tables of the live rows and of boundaries where they are missing."""
    columns = ", ".join(f"{column.name} {column.type.sql('cassandra')}" for column in COLUMNS)
    key = f"PRIMARY KEY (({', '.join(KEY[:2])}), {', '.join(KEY[2:])})"
    return (
        f"CREATE TABLE IF NOT EXISTS {CASSANDRA_KEYSPACE}.{table(lakehouse)} ({columns}, {key})"
        f" WITH default_time_to_live = {int(ttl.total_seconds())}",
        f"CREATE TABLE IF NOT EXISTS {CASSANDRA_KEYSPACE}.{BOUNDARIES} (dataset TEXT PRIMARY KEY, boundary TIMESTAMP)",
    )


def merged_sql(lakehouse: Lakehouse, live: Live, where: str = "true") -> str:
    """Return Trino's SQL of minutes: gold before the boundary, live rows from it on.

    where: a condition on ``minute``, which is asked of both.
    """
    batch = "\nUNION ALL\n".join(_gold(lakehouse, live, item) for item in live.events)
    rows = (
        f"SELECT 'live', CAST(minute AT TIME ZONE 'UTC' AS TIMESTAMP(6)), event, place, currency, events,"
        f" CAST(amount AS DECIMAL(36, 0)) * DECIMAL '{1 / 10**live.scale:.{live.scale}f}'\n"
        f"FROM cassandra.{CASSANDRA_KEYSPACE}.{table(lakehouse)} WHERE events > 0"
    )
    return f"""SELECT layer, minute, event, place, currency, events, amount
FROM (
{batch}
UNION ALL
{rows}
) AS minutes (layer, minute, event, place, currency, events, amount)
CROSS JOIN (
SELECT coalesce(max(CAST(boundary AT TIME ZONE 'UTC' AS TIMESTAMP(6))), TIMESTAMP '1970-01-01') AS boundary
FROM cassandra.{CASSANDRA_KEYSPACE}.{BOUNDARIES} WHERE dataset = '{lakehouse.name}'
) AS known
WHERE (layer = 'batch') = (minute < boundary) AND {where}"""  # noqa: S608


def _gold(lakehouse: Lakehouse, live: Live, item: LiveEvent) -> str:
    fact, event = lakehouse.fact_of(item.event), lakehouse.event(item.event)
    assert fact is not None  # noqa: S101 - checked when it was declared
    _, dimension = looked_up(lakehouse, item)
    gold = f"lake.{lakehouse.namespace('gold')}"
    currency = f"coalesce(f.{item.currency}, '{NONE}')" if item.currency else f"'{NONE}'"
    amount = f"sum(f.{item.amount})" if item.amount else "0"
    return (
        f"SELECT 'batch', date_trunc('minute', f.\"{event.time}\"), '{event.name}',"
        f" coalesce(d.{item.place}, '{UNKNOWN}'), {currency}, count(*), CAST({amount} AS DECIMAL(38, {live.scale}))\n"
        f"FROM {gold}.{fact.name} f JOIN {gold}.{dimension.name} d ON d.{dimension.key} = f.{item.member}\n"
        "GROUP BY 2, 4, 5"
    )
