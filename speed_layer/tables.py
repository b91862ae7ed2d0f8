"""The speed tables in Cassandra: created from the declaration, and carried forward without harm to what is there.

A missing column is added, a changed life is set; a column that a newer version has added is left alone, so an older
program still works beside it. What would lose or reinterpret data is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engines import cassandra
from meterlake import ddl
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from meterlake.columns import Column
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

_TIMEOUT_S: Final = 60


class ColumnDiffers(PermanentError):
    """A table is there with a column of another type than the declaration gives it."""

    def __init__(self, table: str, column: str, wanted: str, result: str) -> None:
        self.table, self.column = table, column
        super().__init__(
            f"Cassandra table {table}: column {column} is {result}; the declaration wants {wanted}.",
            hint="Cassandra cannot change a column's type. Speed rows are disposable: DROP the table, and start the"
            " stream with a new checkpoint (docs/live.md), or give the measure another name.",
        )


def apply(settings: Settings, dataset: MeterSeries) -> list[str]:
    """Create the keyspace and the tables, or bring them up to the declaration; return the statements that did it.

    Raises EngineUnavailable; ColumnDiffers, with nothing changed.
    """
    with cassandra.session(settings) as session:
        before = _columns(session)
        for name, columns in ddl.speed_tables(dataset).items():
            _check(name, columns, before.get(name, {}))
        done = [text for text in _creates(settings, dataset) if _is_missing(session, before, text)]
        done += _alters(dataset, before, settings.speed_ttl, _lives(session))
        for statement in done:
            session.execute(statement, timeout=_TIMEOUT_S)
    return done


def _creates(settings: Settings, dataset: MeterSeries) -> list[str]:
    replication = ddl.replication(settings.cassandra_datacenter, settings.cassandra_replication)
    text = ddl.cassandra_ddl(dataset, replication=replication, speed_ttl=settings.speed_ttl)
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _is_missing(session: Any, before: Mapping[str, Any], statement: str) -> bool:  # noqa: ANN401 - the driver's own
    name = statement.split("IF NOT EXISTS ")[1].split(maxsplit=1)[0]
    if "." not in name:
        return name not in session.cluster.metadata.keyspaces
    return name.partition(".")[2] not in before


def _alters(
    dataset: MeterSeries,
    before: Mapping[str, Mapping[str, str]],
    speed_ttl: timedelta,
    lives: Mapping[str, Mapping[str, int]],
) -> list[str]:
    """Return what brings tables that are there up to the declaration."""
    result = []
    for name, columns in ddl.speed_tables(dataset).items():
        if name not in before:
            continue
        added = [column for column in columns if column.name not in before[name]]
        if added:
            words = ", ".join(f"{column.name} {column.type.sql('cassandra')}" for column in added)
            result.append(f"ALTER TABLE {ddl.CASSANDRA_KEYSPACE}.{name} ADD ({words})")
        options = ddl.speed_options(dataset, name, speed_ttl)
        if options.items() - lives.get(name, {}).items():
            words = " AND ".join(f"{option} = {value}" for option, value in options.items())
            result.append(f"ALTER TABLE {ddl.CASSANDRA_KEYSPACE}.{name} WITH {words}")
    return result


def _check(name: str, columns: list[Column], result: Mapping[str, str]) -> None:
    for column in columns:
        wanted = column.type.sql("cassandra").lower()
        if result.get(column.name, wanted) != wanted:
            raise ColumnDiffers(f"{ddl.CASSANDRA_KEYSPACE}.{name}", column.name, wanted, result[column.name])


def _columns(session: Any) -> dict[str, dict[str, str]]:  # noqa: ANN401
    rows = session.execute(
        "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = %s",
        [ddl.CASSANDRA_KEYSPACE],
    )
    tables: dict[str, dict[str, str]] = {}
    for row in rows:
        tables.setdefault(row.table_name, {})[row.column_name] = row.type
    return tables


def _lives(session: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401
    rows = session.execute(
        "SELECT table_name, default_time_to_live, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = %s",
        [ddl.CASSANDRA_KEYSPACE],
    )
    return {row.table_name: {ddl.LIFE: row.default_time_to_live, ddl.GRACE: row.gc_grace_seconds} for row in rows}
