"""HiveServer2 through PyHive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.settings import Settings

# How HiveServer2 says that the metastore or HDFS behind it does not answer.
_BEHIND = ("SessionHiveMetaStoreClient", "TTransportException", "ConnectException")


@contextmanager
def cursor(settings: Settings, database: str = "default") -> Iterator[Any]:
    """Open a cursor. Raises EngineUnavailable when HiveServer2 does not answer, QueryFailed when it refuses."""
    from pyhive import hive
    from pyhive.exc import Error
    from thrift.Thrift import TException

    host, port = settings.hive
    password = settings.hive_password.get_secret_value() or None
    try:
        connection = hive.connect(
            host=host,
            port=port,
            scheme=settings.hive_scheme,
            username=settings.user("hive"),
            password=password,
            auth="LDAP" if password else "NONE",
            database=database,
        )
    except (TException, OSError, EOFError) as error:
        raise EngineUnavailable("HiveServer2", f"{host}:{port}", error) from error
    except Error as error:  # it cannot open a session: what it needs is not there (yet)
        raise EngineUnavailable("HiveServer2", f"{host}:{port}", _message(error)) from error
    try:
        opened = connection.cursor()
        try:
            yield opened
        except Error as error:
            if any(word in str(error) for word in _BEHIND):
                raise EngineUnavailable("HiveServer2", f"{host}:{port}", _message(error)) from error
            raise QueryFailed("HiveServer2", "", _message(error)) from error
        except (TException, EOFError) as error:
            raise EngineUnavailable("HiveServer2", f"{host}:{port}", error) from error
    finally:
        connection.close()


def rows(settings: Settings, statement: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows; decimals come as ``Decimal``, timestamps naive (UTC wall clock)."""
    with cursor(settings) as opened:
        opened.execute(statement, parameters)
        result: list[tuple[Any, ...]] = opened.fetchall()
    return result


def _message(error: Exception) -> str:
    """Return HiveServer2's own sentence out of the Thrift answer that PyHive wraps."""
    answer = error.args[0] if error.args else error
    status = getattr(answer, "status", None)
    return getattr(status, "errorMessage", None) or str(error)
