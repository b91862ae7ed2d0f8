"""Tables of any database that SQLAlchemy knows, and of SQLite files by their path. They are only read."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import exc

from engines.errors import EngineUnavailable
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from meterlake.columns import Column

    Rows = list[tuple[Any, ...]]

ENGINE = "Database"


class BadSource(PermanentError):
    """A database has not what was asked for."""


@contextmanager
def opened(source: str) -> Iterator[sqlalchemy.Connection]:
    """Connect to a database. source: a SQLAlchemy URL, or the path of a SQLite file.

    Raises BadSource where it is neither or its driver is missing, EngineUnavailable where the database does not answer.
    """
    engine = _engine(source)
    try:
        with engine.connect() as connection:
            yield connection
    except (exc.NoSuchTableError, exc.ProgrammingError) as error:
        raise BadSource(
            f"{shown(source)}: {_cause(error)}.", hint="Check the names of its tables and columns."
        ) from error
    except exc.DatabaseError as error:
        if engine.dialect.name == "sqlite":
            hint = "Expected a SQLite file with the tables of the declaration."
            raise BadSource(f"{shown(source)}: {_cause(error)}.", hint=hint) from error
        raise EngineUnavailable(ENGINE, shown(source), _cause(error)) from error
    finally:
        engine.dispose()


def shown(source: str) -> str:
    """Return a source as it may be shown: without its password."""
    if "://" not in source:
        return source
    try:
        return sqlalchemy.make_url(source).render_as_string(hide_password=True)
    except exc.ArgumentError:
        return source.partition("://")[0] + "://…"


def has_table(connection: sqlalchemy.Connection, table: str) -> bool:
    """Return whether the database has a table of this name. Raises BadSource where that cannot be asked."""
    try:
        return sqlalchemy.inspect(connection).has_table(table)
    except exc.DBAPIError as error:
        raise BadSource(f"The database cannot be read: {_cause(error)}.", hint="Is it one?") from error


def rows(connection: sqlalchemy.Connection, table: str, columns: Sequence[Column], source: str) -> Rows:
    """Return all rows of a table, as values of the columns' types. Raises BadSource, naming a value that is none."""
    named = sqlalchemy.table(table, *(sqlalchemy.column(column.name) for column in columns))
    fetched = connection.execute(sqlalchemy.select(named)).fetchall()
    readers = [_READERS[column.type.kind] for column in columns]
    result: Rows = []
    for number, row in enumerate(fetched, start=1):
        try:
            result.append(
                tuple(None if value is None else read(value) for read, value in zip(readers, row, strict=True))
            )
        except (ValueError, InvalidOperation):
            wrong = next(c for c, read, value in zip(columns, readers, row, strict=True) if not _reads(read, value))
            value = row[[c.name for c in columns].index(wrong.name)]
            where = f"{shown(source)}, table {table}, row {number}"
            raise BadSource(
                f"{where}: {wrong.name} is {value!r}, which is no {wrong.type.kind}.",
                hint="Mend it there; nothing of the table was loaded.",
            ) from None
    return result


@dataclass(frozen=True)
class Window:
    """The rows of a table whose watermark lies from ``low`` on up to ``high`` (open: not with it); None: no bound."""

    table: str
    watermark: str
    low: datetime | None = None
    high: datetime | None = None
    is_open: bool = False


def columns(connection: sqlalchemy.Connection, table: str, source: str) -> list[str]:
    """Return the names of a table's columns. Raises BadSource where there is no such table."""
    try:
        return [column["name"] for column in sqlalchemy.inspect(connection).get_columns(table)]
    except exc.NoSuchTableError as error:
        raise BadSource(
            f"{shown(source)} has no table {table}.", hint="Check the URL, and the names of the declaration."
        ) from error


def span(connection: sqlalchemy.Connection, window: Window) -> tuple[datetime | None, datetime | None, int, int]:
    """Return the earliest and the latest watermark of a window, its rows, and the rows of the table without one."""
    mark: sqlalchemy.ColumnClause[Any] = sqlalchemy.column(window.watermark)
    table = sqlalchemy.table(window.table, mark)
    result = sqlalchemy.select(sqlalchemy.func.min(mark), sqlalchemy.func.max(mark), sqlalchemy.func.count())
    first, last, count = connection.execute(result.select_from(table).where(*_within(connection, window))).one()
    without = connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(mark.is_(None)))
    return *(None if value is None else _timestamp(value) for value in (first, last)), count, without.scalar_one()


def within(
    connection: sqlalchemy.Connection, window: Window, names: Sequence[str], order: Sequence[str], size: int
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a window as the driver gives them, in order, at most ``size`` at once."""
    wanted: list[sqlalchemy.ColumnClause[Any]] = [sqlalchemy.column(name) for name in names]
    table = sqlalchemy.table(window.table, *wanted)
    query = sqlalchemy.select(*wanted).select_from(table).where(*_within(connection, window))
    result = connection.execution_options(yield_per=size).execute(query.order_by(*map(sqlalchemy.column, order)))
    for part in result.partitions():
        yield [tuple(row) for row in part]


def keys(connection: sqlalchemy.Connection, table: str, key: str) -> set[str]:
    """Return the keys of all rows of a table, as text."""
    column: sqlalchemy.ColumnClause[Any] = sqlalchemy.column(key)
    result = connection.execute(sqlalchemy.select(column).select_from(sqlalchemy.table(table, column)))
    return {str(row[0]) for row in result}


def _within(connection: sqlalchemy.Connection, window: Window) -> list[sqlalchemy.ColumnElement[bool]]:
    mark: sqlalchemy.ColumnClause[Any] = sqlalchemy.column(window.watermark)

    def bound(moment: datetime) -> Any:
        # SQLite has no type for it: instants are text, and compare as such.
        return moment.isoformat(" ") if connection.dialect.name == "sqlite" else moment

    conditions: list[sqlalchemy.ColumnElement[bool]] = []
    if window.low is not None:
        conditions.append(mark >= bound(window.low))
    if window.high is not None:
        conditions.append(mark < bound(window.high) if window.is_open else mark <= bound(window.high))
    return conditions


def _engine(source: str) -> sqlalchemy.Engine:
    if source.startswith("sqlite:///") and "?" not in source:
        source = source.removeprefix("sqlite:///")  # one that is not there would be made
    if "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise BadSource(
                f"{source} is no file.", hint="Give a SQLite file, or a URL such as postgresql://host/base."
            )
        source = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"
    try:
        return sqlalchemy.create_engine(source)
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadSource(
            f"{shown(source)} cannot be opened: {_cause(error)}.", hint="Install its driver, or mend the URL."
        ) from error


def _cause(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    return str(origin).splitlines()[0].rstrip(".")[:300]


def _reads(read: Callable[[Any], Any], value: object) -> bool:
    try:
        read(value) if value is not None else None
    except (ValueError, InvalidOperation):
        return False
    return True


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        if value.time() != datetime.min.time():
            raise ValueError(value)
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(str(value).strip())


def _timestamp(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())


def _int(value: Any) -> int:
    number = Decimal(str(value))
    if number != number.to_integral_value():
        raise ValueError(value)
    return int(number)


def _boolean(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": str,
    "int": _int,
    "bigint": _int,
    "double": float,
    "decimal": lambda value: Decimal(str(value)),
    "timestamp": _timestamp,
    "date": _date,
    "boolean": _boolean,
}
