"""All services of the stack, and the names by which users ask for them.

Each imports the client of its server when that is to prove that it works: the others' are not needed then.
"""

from __future__ import annotations

from meterlake.errors import UnknownName
from stack.extra import Extra
from stack.service import Service
from stack.services.airflow import AIRFLOW
from stack.services.cassandra import CASSANDRA
from stack.services.grafana import GRAFANA
from stack.services.hdfs import DATANODE, NAMENODE
from stack.services.hive import HIVESERVER2, METASTORE
from stack.services.kafka import KAFKA
from stack.services.lakehouse import NESSIE, S3
from stack.services.nifi import NIFI
from stack.services.prometheus import PROMETHEUS
from stack.services.superset import SUPERSET
from stack.services.trino import TRINO

SERVICES = {s.name: s for s in [NAMENODE, DATANODE, KAFKA, CASSANDRA, METASTORE, HIVESERVER2, TRINO]}
"""The servers of the core."""
ON_REQUEST = {s.name: s for s in [S3, NESSIE, NIFI]}
"""Servers of ours that are started when they, or a group with them, are named."""
ALL = SERVICES | ON_REQUEST
EXTRAS: dict[str, Extra] = {extra.name: extra for extra in (PROMETHEUS, GRAFANA, AIRFLOW, SUPERSET)}
"""Started when they are named: programs that this machine has, or that have a Python environment of their own."""
GROUPS = {
    "core": tuple(SERVICES),
    "hdfs": ("namenode", "datanode"),
    "lakehouse": ("kafka", "trino", "s3", "nessie"),
    "hive": ("metastore", "hiveserver2"),
}


def split_extras(names: list[str]) -> tuple[list[str], list[Extra]]:
    """Return the names of services and groups, among them what the extras need, and the extras."""
    extras = [EXTRAS[name] for name in EXTRAS if name in names]
    needed = [name for extra in extras for name in extra.needs]
    return [name for name in names if name not in EXTRAS] + needed, extras


def select(names: list[str]) -> list[Service]:
    """Return the services that ``names`` (services or groups; none: core) ask for, without what they need.

    Raises UnknownName listing the known ones.
    """
    wanted: set[str] = set()
    for name in names or ["core"]:
        if name not in ALL and name not in GROUPS:
            raise UnknownName("service", name, [*ALL, *GROUPS])
        wanted.update(GROUPS.get(name, (name,)))
    return [service for service in ALL.values() if service.name in wanted]


def with_needs(services: list[Service]) -> list[Service]:
    """Return ``services`` and everything that they need to start or to be healthy, in the order of the registry."""
    wanted = {service.name for service in services}
    todo = list(wanted)
    while todo:
        service = ALL[todo.pop()]
        new = {*service.after, *service.checked_after, *service.beside} - wanted
        wanted |= new
        todo.extend(new)
    return [service for service in ALL.values() if service.name in wanted]
