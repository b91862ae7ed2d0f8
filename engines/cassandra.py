"""Cassandra sessions."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.settings import Settings

CONNECT_TIMEOUT_S = 5
# The driver logs every failed attempt; the errors that matter reach the caller as exceptions.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)


@contextmanager
def session(settings: Settings, keyspace: str | None = None) -> Iterator[Any]:
    """Open a session, and close it with its cluster.

    It reconnects each second after an outage (the driver's default backs off to minutes).
    Raises EngineUnavailable when no node answers, QueryFailed when a statement is wrong.
    """
    cluster = _cluster(settings)
    try:
        with translated(settings):
            yield cluster.connect(keyspace)
    finally:
        cluster.shutdown()


@cache
def lasting_session(settings: Settings) -> Any:
    """Return the session of this process: opened by the first call that a node answers, and ended with the process.

    For Python workers of Spark, whose tasks are too short for a session each. Raises what ``session`` raises.
    """
    cluster = _cluster(settings)
    try:
        with translated(settings):
            return cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


def _cluster(settings: Settings) -> Any:
    from cassandra import ConsistencyLevel
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy

    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.cassandra_datacenter)),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
    )
    return Cluster(
        settings.cassandra,
        port=settings.cassandra[0][1],
        auth_provider=_authentication(settings),
        ssl_context=_tls(settings),
        protocol_version=5,
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )


def _authentication(settings: Settings) -> Any:
    from cassandra.auth import PlainTextAuthProvider

    if not settings.cassandra_user:
        return None
    return PlainTextAuthProvider(settings.cassandra_user, settings.cassandra_password.get_secret_value())


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the nodes' certificates are checked with; nodes are known by address, so names are not compared."""
    if not settings.cassandra_tls:
        return None
    context = ssl.create_default_context(cafile=settings.cassandra_ca)
    context.check_hostname = False
    return context


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn the driver's failures, raised in the body, into errors of ours."""
    from cassandra import DriverException, RequestValidationException, UnresolvableContactPoints
    from cassandra.cluster import NoHostAvailable
    from cassandra.protocol import ErrorMessage, IsBootstrappingErrorMessage, OverloadedErrorMessage

    where = ", ".join(f"{host}:{port}" for host, port in settings.cassandra)
    try:
        yield
    except RequestValidationException as error:  # a DriverException, too, but one that a retry cannot mend
        raise QueryFailed("Cassandra", "", error) from error
    except (OverloadedErrorMessage, IsBootstrappingErrorMessage) as error:
        raise EngineUnavailable("Cassandra", where, error.message) from error
    except ErrorMessage as error:
        raise QueryFailed("Cassandra", "", error.message) from error
    except (NoHostAvailable, UnresolvableContactPoints, DriverException) as error:
        raise EngineUnavailable("Cassandra", where, error) from error
