"""Trino through its own client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlparse

import requests

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.settings import Settings

CATALOG = "hive"
"""Where names without a catalog are looked for: the views that readers ask."""

# What a starting, restarting or overloaded server answers: worth a retry. All else is the statement's fault.
_NOT_READY = ("SERVER_STARTING_UP", "NO_NODES_AVAILABLE", "SERVER_SHUTTING_DOWN", "REMOTE_HOST_GONE")
# Trino calls it an internal error where Cassandra goes away under a query; its driver's exception says what it is.
_CASSANDRA_AWAY = (
    "NoNodeAvailableException",
    "AllNodesFailedException",
    "DriverTimeoutException",
    "BusyConnectionException",
    "ClosedConnectionException",
    "HeartbeatException",
    "BootstrappingException",
    "OverloadedException",
    "ReadFailureException",
    "ReadTimeoutException",
    "UnavailableException",
)


def rows(
    settings: Settings, statement: str, parameters: list[Any] | None = None, *, seconds: float | None = None
) -> list[list[Any]]:
    """Run one statement and return its rows; see ``select``."""
    return select(settings, statement, parameters, seconds=seconds)[1]


def select(
    settings: Settings, statement: str, parameters: list[Any] | None = None, *, seconds: float | None = None
) -> tuple[list[str], list[list[Any]]]:
    """Run one statement and return the names of its columns and its rows; decimals come as ``Decimal``.

    seconds: after them Trino ends the statement, which then counts as not answered.
    Raises EngineUnavailable when Trino or an engine behind it does not answer, QueryFailed when the statement is wrong.
    """
    with _cursor(settings, statement, seconds) as cursor:
        cursor.execute(statement, parameters)
        result: list[list[Any]] = cursor.fetchall()
        columns = [column[0] for column in cursor.description or ()]
    return columns, result


def batches(settings: Settings, statement: str, parameters: list[Any] | None, size: int) -> Iterator[list[Any]]:
    """Yield the rows of one statement, at most ``size`` at once, as they come. Raises what ``select`` raises."""
    with _cursor(settings, statement) as cursor:
        cursor.execute(statement, parameters)
        while some := cursor.fetchmany(size):
            yield some


@contextmanager
def _cursor(settings: Settings, statement: str, seconds: float | None = None) -> Iterator[Any]:
    from trino import dbapi, exceptions

    address = urlparse(settings.trino)
    connection = dbapi.connect(
        host=address.hostname,
        port=address.port,
        user=settings.user("trino"),
        auth=_authentication(settings),
        http_scheme=address.scheme,
        verify=str(settings.trino_ca) if settings.trino_ca else True,
        source="meterlake",
        catalog=CATALOG,
        request_timeout=60,
        session_properties={} if seconds is None else {"query_max_run_time": f"{max(1.0, seconds):.1f}s"},
        max_attempts=1,
    )
    try:
        yield connection.cursor()
    except exceptions.TrinoQueryError as error:
        if may_pass(error):
            raise EngineUnavailable("Trino", settings.trino, error.message) from error
        raise QueryFailed("Trino", statement, error.message) from error
    except (exceptions.Error, requests.RequestException) as error:
        raise EngineUnavailable("Trino", settings.trino, error) from error
    finally:
        connection.close()


def may_pass(error: Any) -> bool:
    """Return whether the statement may work later: Trino, or an engine behind it, was not able to answer."""
    if error.error_type in ("EXTERNAL", "INSUFFICIENT_RESOURCES") or error.error_name in _NOT_READY:
        return True
    failure = error.failure_info
    while failure:
        if failure.get("type", "").rpartition(".")[2] in _CASSANDRA_AWAY:
            return True
        failure = failure.get("cause")
    return False


def _authentication(settings: Settings) -> Any:
    from trino.auth import BasicAuthentication

    password = settings.trino_password.get_secret_value()
    return BasicAuthentication(settings.user("trino"), password) if password else None


def settle(settings: Settings, timeout: timedelta, pause: Callable[[float], None] = time.sleep) -> int:
    """Wait until the queries that run now have ended; return how many had not within ``timeout``.

    What they were planned on (a view as it was) may then be changed under them.
    """
    running = "SELECT query_id FROM system.runtime.queries WHERE state NOT IN ('FINISHED', 'FAILED')"
    waiting = {row[0] for row in rows(settings, f"{running} AND query NOT LIKE '%system.runtime.queries%'")}
    until = time.monotonic() + timeout.total_seconds()
    while waiting and time.monotonic() < until:
        pause(0.1)
        waiting &= {row[0] for row in rows(settings, running)}
    return len(waiting)
