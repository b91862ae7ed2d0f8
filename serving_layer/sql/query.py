"""Ad-hoc queries: one statement on one engine, with the names of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engines import cassandra, clickhouse, hive, trino
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from meterlake.settings import Settings

Engine = Literal["trino", "hive", "cassandra", "clickhouse"]


@dataclass(frozen=True)
class Answer:
    """Columns and rows of a statement; neither for one that returns nothing."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as mappings."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def run(settings: Settings, engine: Engine, statement: str) -> Answer:
    """Run one statement. Raises EngineUnavailable, QueryFailed, or UsageError for an empty one."""
    text = statement.strip().rstrip(";").strip()
    if not text:
        raise UsageError("The statement is empty.", hint="Give SQL, such as 'SELECT 1'.")
    return _ENGINES[engine](settings, text)


def _trino(settings: Settings, statement: str) -> Answer:
    return _answer(*trino.select(settings, statement))


def _hive(settings: Settings, statement: str) -> Answer:
    with hive.cursor(settings) as cursor:
        cursor.execute(statement)
        if not cursor.description:
            return Answer((), [])
        return _answer((column[0].rpartition(".")[2] for column in cursor.description), cursor.fetchall())


def _cassandra(settings: Settings, statement: str) -> Answer:
    with cassandra.session(settings) as session:
        result = session.execute(statement)
        return _answer(result.column_names or (), [tuple(row) for row in result])


def _clickhouse(settings: Settings, statement: str) -> Answer:
    with clickhouse.session(settings) as session:
        return _answer(*session.select(statement))


def _answer(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> Answer:
    """Give columns of one name numbers, so that none hides another."""
    seen: Counter[str] = Counter()
    names = []
    for column in columns:
        seen[column] += 1
        names.append(column if seen[column] == 1 else f"{column}_{seen[column]}")
    return Answer(tuple(names), [tuple(row) for row in rows])


_ENGINES: Final[dict[Engine, Callable[[Settings, str], Answer]]] = {
    "trino": _trino,
    "hive": _hive,
    "cassandra": _cassandra,
    "clickhouse": _clickhouse,
}
