"""A second DataNode beside the stack's, and two Cassandra nodes of their own: the stack's services, at other addresses.

Linux answers at every address of 127.0.0.0/8, so they listen at the ports that the stack's own listen at.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
import requests
from cassandra.metadata import Murmur3Token

from engines import cassandra
from engines.errors import EngineUnavailable
from stack import process as servers
from stack.instance import Instance, render
from stack.services.cassandra import CASSANDRA
from stack.services.hdfs import DATANODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meterlake.settings import Settings
    from stack.service import Service

HOSTS: Final = ("127.0.0.2", "127.0.0.3")
_JOINING: Final = "-Dcassandra.ring_delay_ms=5000"
"""A node that joins another's ring has to hear of it first; alone, it would wait for nobody."""


@contextmanager
def datanode(settings: Settings, folder: Path) -> Iterator[None]:
    """Run a DataNode that joins the stack's NameNode."""
    beside = _beside(settings, folder, HOSTS[0])
    values = beside.values(DATANODE.name)
    values["host"] = {"namenode": settings.host, "datanode": HOSTS[0]}
    with _running(DATANODE, beside, values, {}, lambda: _datanodes(settings) == len(HOSTS)):
        yield


@contextmanager
def cassandra_node(settings: Settings, folder: Path, number: int) -> Iterator[None]:
    """Run a Cassandra node; the second joins the first."""
    beside = _beside(settings, folder, HOSTS[number])
    seeds = {f'seeds: "{HOSTS[number]}:': f'seeds: "{HOSTS[0]}:'}
    known = settings.model_copy(update={"cassandra_hosts": contact_points(settings, 1)})
    with _running(CASSANDRA, beside, beside.values(CASSANDRA.name), seeds, lambda: _nodes(known) == number + 1):
        yield


def contact_points(settings: Settings, count: int) -> str:
    """Return the setting that names so many of our nodes."""
    return ",".join(f"{host}:{settings.port('cassandra')}" for host in HOSTS[:count])


def owners(settings: Settings, table: str, key: str) -> dict[str, int]:
    """Return how many partitions of a table each node has. key: its partition key."""
    keyspace = table.partition(".")[0]
    with cassandra.session(settings) as session:
        ring = session.cluster.metadata.token_map
        rows = session.execute(f"SELECT DISTINCT {key}, token({key}) AS at FROM {table}", timeout=600)  # noqa: S608
        found = Counter(str(node.address) for row in rows for node in ring.get_replicas(keyspace, Murmur3Token(row.at)))
    return dict(found)


def blocks(settings: Settings) -> dict[str, int]:
    """Return how many blocks each DataNode has."""
    live = json.loads(_namenode(settings, "NameNodeInfo")["LiveNodes"])
    return {name: int(node["numBlocks"]) for name, node in live.items()}


def _beside(settings: Settings, folder: Path, host: str) -> Instance:
    update = {"home": folder / host, "host": host, "java_options": f"{settings.java_options} {_JOINING}"}
    return Instance(settings.model_copy(update=update))


@contextmanager
def _running(
    service: Service, instance: Instance, values: dict[str, object], words: dict[str, str], joined: Callable[[], bool]
) -> Iterator[None]:
    """Run a server of a kind until the body ends, which begins when it has joined. words: of its files, replaced."""
    for target, template in service.config.items():
        file = instance.conf(service.name) / target
        file.parent.mkdir(parents=True, exist_ok=True)
        text = render(template, values)
        for before, after in words.items():
            text = text.replace(before, after)
        file.write_text(text, encoding="utf-8")
    process = servers.spawn(service, instance)
    try:
        while not joined():
            if process.poll() is not None:
                raise SystemExit(f"{service.title} has ended.\n{servers.last_lines(instance.log(service.name))}")
            time.sleep(0.5)
        yield
    finally:
        servers.stop([psutil.Process(process.pid)] if process.poll() is None else [], grace_s=30)


def _datanodes(settings: Settings) -> int:
    return int(_namenode(settings, "FSNamesystemState")["NumLiveDataNodes"])


def _namenode(settings: Settings, bean: str) -> dict[str, Any]:
    """Return what the NameNode says of itself."""
    question = {"qry": f"Hadoop:service=NameNode,name={bean}"}
    found: dict[str, Any] = requests.get(f"{settings.webhdfs}/jmx", params=question, timeout=30).json()["beans"][0]
    return found


def _nodes(settings: Settings) -> int:
    """Return how many nodes own a part of the ring."""
    try:
        with cassandra.session(settings) as session:
            ring = session.cluster.metadata.token_map
            return len({str(node.address) for node in ring.token_to_host_owner.values() if node.is_up})
    except EngineUnavailable:
        return 0
