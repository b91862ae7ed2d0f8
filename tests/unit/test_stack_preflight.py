"""What is said before anything is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meterlake.errors import UnknownName
from meterlake.settings import Settings
from stack import preflight
from stack.errors import BrokenData, NotEnough, PortBusy
from stack.instance import Instance, port_names
from stack.services import ALL, EXTRAS, SERVICES, hive, select, with_needs

pytestmark = pytest.mark.unit


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(Settings(home=tmp_path / "home", cache_dir=tmp_path / "cache"))


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_busy_port_names_its_holder_and_the_setting(busy_port: int) -> None:
    with pytest.raises(PortBusy) as error:
        preflight.check_port(SERVICES["trino"], "trino", Settings(port_trino=busy_port))
    assert f"Port {busy_port}, which Trino needs, is held by process {os.getpid()}" in error.value.what
    assert "METERLAKE_PORT_TRINO" in error.value.hint
    assert "METERLAKE_PORT_OFFSET" in error.value.hint


def test_a_port_that_a_dying_server_still_holds_is_waited_for(busy_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ENDING_S", 0.3)
    monkeypatch.setattr(preflight, "holder", lambda _: None)
    with pytest.raises(PortBusy, match="held by a process that this user may not see"):
        preflight.check_port(SERVICES["trino"], "trino", Settings(port_trino=busy_port))

    dying = socket.socket()
    dying.bind(("127.0.0.1", 0))
    dying.listen()
    asked: list[int] = []

    def closes_it(port: int) -> None:
        asked.append(port)
        dying.close()

    monkeypatch.setattr(preflight, "holder", closes_it)
    port = dying.getsockname()[1]
    preflight.check_port(SERVICES["trino"], "trino", Settings(port_trino=port))
    assert asked == [port]


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortBusy, match=r"cannot bind 192\.0\.2\.1") as error:
        preflight.check_port(SERVICES["trino"], "trino", Settings(host="192.0.2.1"))
    assert "METERLAKE_HOST" in error.value.hint


def test_too_little_memory_is_said_with_each_share() -> None:
    greedy = replace(SERVICES["kafka"], footprint_mb=10**9)
    with pytest.raises(NotEnough, match=r"about 1000000\d{3} MB of memory \(kafka 1000000000, .*MB are free"):
        preflight.check_memory([greedy, SERVICES["trino"]])


def test_too_little_disk_names_folder_and_setting(instance: Instance) -> None:
    with pytest.raises(NotEnough, match=rf"{instance.home} has \d+ MB of free disk") as error:
        preflight.check_disk([SERVICES["kafka"]], instance, disk_mb=10**12)
    assert "METERLAKE_HOME" in error.value.hint


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.marker])
def test_a_half_written_folder_is_named_with_what_it_lacks(instance: Instance, name: str) -> None:
    folder = instance.data(name)
    folder.mkdir(parents=True)
    (folder / "leftover").touch()
    with pytest.raises(BrokenData) as error:
        preflight.check_data(SERVICES[name], instance)
    assert str(folder) in error.value.what
    assert SERVICES[name].marker in error.value.what


def test_a_fresh_or_complete_folder_passes(instance: Instance) -> None:
    service = SERVICES["namenode"]
    preflight.check_data(service, instance)
    marker = instance.data("namenode") / service.marker
    marker.parent.mkdir(parents=True)
    marker.touch()
    preflight.check_data(service, instance)


def test_cassandra_without_its_commit_log_is_refused(instance: Instance) -> None:
    (instance.data("cassandra") / "data").mkdir(parents=True)
    with pytest.raises(BrokenData, match="no commitlog"):
        SERVICES["cassandra"].prepare(instance)


def test_blocks_without_their_namenode_are_refused(instance: Instance) -> None:
    version = instance.data("datanode") / "current" / "VERSION"
    version.parent.mkdir(parents=True)
    version.write_text("clusterID=CID-1\n")
    with pytest.raises(BrokenData, match="the DataNode's blocks are in"):
        SERVICES["namenode"].prepare(instance)


def test_blocks_of_another_namenode_are_refused(instance: Instance) -> None:
    for name, cluster in (("namenode", "CID-1"), ("datanode", "CID-2")):
        version = instance.data(name) / "current" / "VERSION"
        version.parent.mkdir(parents=True)
        version.write_text(f"#comment\nclusterID={cluster}\n")
    with pytest.raises(BrokenData, match="belongs to cluster CID-2, the NameNode's to CID-1"):
        SERVICES["datanode"].prepare(instance)


def test_an_unknown_service_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="Unknown service 'kafak'") as error:
        select(["kafak"])
    assert "Did you mean 'kafka'?" in error.value.hint
    assert all(name in error.value.hint for name in SERVICES)


def test_what_a_service_needs_comes_with_it() -> None:
    assert [s.name for s in with_needs(select(["hive"]))] == ["namenode", "datanode", "metastore", "hiveserver2"]
    assert [s.name for s in with_needs(select(["kafka"]))] == ["kafka"]
    assert {s.name for s in with_needs(select([]))} == set(SERVICES)


def test_ports_are_distinct_used_and_outside_the_ephemeral_range() -> None:
    settings = Settings()
    numbers = [settings.port(name.removeprefix("port_")) for name in port_names()]
    used = {f"port_{port}" for service in ALL.values() for port in service.ports}
    used |= {f"port_{name}" for name in EXTRAS}
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 32768
    assert used == set(port_names())


@pytest.mark.parametrize("name", SERVICES)
def test_configuration_renders_with_the_settings(instance: Instance, name: str) -> None:
    service = SERVICES[name]
    service.write_config(instance)
    texts = [(instance.conf(name) / target).read_text() for target in service.config]
    port = str(instance.settings.port(service.ports[0]))
    assert any(port in text for text in texts), f"no file of {name} has its port {port}"
    assert all("{{" not in text for text in texts)


def test_tables_that_name_another_address_of_hdfs_are_not_started_with(instance: Instance) -> None:
    instance.data("metastore").mkdir(parents=True)
    hive.check_warehouse(instance)
    hive.check_warehouse(instance)
    moved = Instance(instance.settings.model_copy(update={"port_offset": 1000}))
    with pytest.raises(BrokenData) as error:
        hive.check_warehouse(moved)
    assert "hdfs://127.0.0.1:8020 by their names; HDFS is at hdfs://127.0.0.1:9020 now" in error.value.what
    assert "METERLAKE_PORT_OFFSET" in error.value.hint
    assert str(instance.data("metastore") / hive.WAREHOUSE) in error.value.hint
