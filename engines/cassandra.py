"""Cassandra sessions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
    from cassandra import ConsistencyLevel
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy

    points = settings.cassandra
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1")),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
    )
    cluster = Cluster(
        [host for host, _ in points],
        port=points[0][1],
        protocol_version=5,
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        with translated(settings):
            yield cluster.connect(keyspace)
    finally:
        cluster.shutdown()


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
