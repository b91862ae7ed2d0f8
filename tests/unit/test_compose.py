"""docker-compose.yml and the native stack are one: services, versions, ports, settings; and the file is safe to run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from meterlake.settings import PREFIX, Settings
from stack import compose
from stack.instance import HOSTS, Instance, render
from stack.runtime import locks, maven
from stack.services import ALL as SERVICES
from stack.services import trino as trino_service

pytestmark = pytest.mark.unit

FILE = compose.ROOT / "docker-compose.yml"
PROVISIONING = compose.ROOT / "grafana" / "provisioning"

# Repository of the image -> POM of the native stack whose version its tag is. Every image exists in the native version.
IMAGES = {
    "apache/hadoop": "hdfs",
    "apache/kafka": "kafka",
    "cassandra": "cassandra",
    "apache/hive": "hive",
    "trinodb/trino": "trino",
    "andrewgaul/s3proxy": "s3",
    "ghcr.io/projectnessie/nessie": "nessie",
    "apache/nifi": "nifi",
}
# What the native stack does not have.
ONLY_IN_CONTAINERS = {"hdfs-init", "postgres", "prometheus", "grafana", "dremio"}
# Ports between a server and itself: nobody outside asks for them.
NOT_PUBLISHED = {"kafka_controller", "cassandra_storage"}
ONE_SHOT = {"hdfs-init"}

# Every setting that may differ between the stacks, by the reason; a setting that differs and is not here is an error,
# and so is one that is here and does not differ.
INTENDED = {
    "host: each container has a name of its own": {
        "advertised.listeners",
        "cassandra.contact-points",
        "controller.quorum.voters",
        "dfs.datanode.hostname",
        "dfs.namenode.http-address",
        "dfs.namenode.rpc-address",
        "discovery.uri",
        "fs.defaultFS",
        "hive.metastore.uri",
        "hive.metastore.uris",
        "hive.metastore.warehouse.dir",
        "hive.metastore.warehouse.external.dir",
        "iceberg.rest-catalog.uri",
        "listen_address",
        "metastore.warehouse.dir",
        "metastore.warehouse.external.dir",
        "nessie.catalog.service.s3.default-options.endpoint",
        "node.internal-address",
        "s3.endpoint",
        "seed_provider.0.parameters.0.seeds",
    },
    "bind: a container listens on all its addresses, the native stack on loopback": {
        "dfs.datanode.address",
        "dfs.datanode.http.address",
        "dfs.datanode.ipc.address",
        "dfs.namenode.http-bind-host",
        "dfs.namenode.rpc-bind-host",
        "hive.server2.thrift.bind.host",
        "listeners",
        "metastore.thrift.bind.host",
        "quarkus.http.host",
        "quarkus.management.host",
        "rpc_address",
        "s3proxy.endpoint",
    },
    "bind, said by a setting of its own in one of the stacks": {"broadcast_rpc_address", "node.bind-ip"},
    "folder: the image's, in a volume": {
        "access-control.config-files",
        "catalog.config-dir",
        "cdc_raw_directory",
        "commitlog_directory",
        "data_file_directories.0",
        "dfs.datanode.data.dir",
        "dfs.namenode.name.dir",
        "hints_directory",
        "hive.config.resources",
        "hive.downloaded.resources.dir",
        "hive.exec.local.scratchdir",
        "hive.querylog.location",
        "jclouds.filesystem.basedir",
        "log.dirs",
        "nessie.version.store.persist.rocks.database-path",
        "node.data-dir",
        "saved_caches_directory",
        "security.config-file",
    },
    "rules: the native stack knows its user and the secret of its pseudonyms; compose masks nothing": {
        "access-control.json",
    },
    "folder: the native stack unpacks only some of Trino's plugins, the image has all": {"plugin.dir"},
    "secret: from the environment of a container; the native stack's files are for their owner only": {
        "lake-s3.secret",
        "s3.aws-secret-key",
        "s3proxy.credential",
        "s3proxy.identity",
    },
    "database: PostgreSQL in containers; the native stack's default is Derby": {
        "javax.jdo.option.ConnectionDriverName",
        "javax.jdo.option.ConnectionPassword",
        "javax.jdo.option.ConnectionURL",
        "javax.jdo.option.ConnectionUserName",
    },
}


@pytest.fixture(scope="module")
def text() -> str:
    return FILE.read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load(text)["services"]
    return result


@pytest.fixture
def native(tmp_path: Path) -> Instance:
    """The native stack with every default, whatever this machine's environment says."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    return Instance(Settings.model_construct(**{**defaults, "home": tmp_path}))


def test_the_file_is_valid_compose() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_checked_in_configuration_is_what_the_templates_give() -> None:
    assert compose.drift() == []
    assert compose.main(["--check"]) == 0


def test_drift_names_each_kind_of_difference(tmp_path: Path) -> None:
    shutil.copytree(compose.FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "kafka/server.properties").write_text("node.id=2\n")
    (tmp_path / "trino/node.properties").unlink()
    (tmp_path / "trino/notes.txt").write_text("")
    assert compose.drift(tmp_path) == [
        "kafka/server.properties: differs from its template",
        "trino/node.properties: missing",
        "trino/notes.txt: no template makes it",
    ]
    compose.write(tmp_path)
    assert compose.drift(tmp_path) == []


def test_same_services(services: dict[str, Any]) -> None:
    assert services.keys() - ONLY_IN_CONTAINERS == SERVICES.keys() == set(HOSTS)


def test_same_versions(services: dict[str, Any]) -> None:
    for name, service in SERVICES.items():
        repository, _, tag = services[name]["image"].rpartition(":")
        assert IMAGES[repository] == service.jars, name
        assert tag == locks.pinned_version(service.jars), name
    assert services["hdfs-init"]["image"] == services["namenode"]["image"]


def test_same_driver_of_the_metastore(services: dict[str, Any]) -> None:
    driver = Path(compose.driver_path()).name
    (mount,) = [volume for volume in services["metastore"]["volumes"] if isinstance(volume, dict)]
    assert mount["target"] == f"/opt/hive/lib/{driver}"
    version = driver.removeprefix("postgresql-").removesuffix(".jar")
    assert f"version {version}:" in compose.ENV_EXAMPLE.read_text()


def test_same_ports(services: dict[str, Any], native: Instance) -> None:
    for name, service in SERVICES.items():
        wanted = {native.settings.port(port) for port in service.ports if port not in NOT_PUBLISHED}
        assert set(services[name]["ports"]) == {f"127.0.0.1:{port}:{port}" for port in wanted}, name


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert len(published) == len(set(published))


def test_same_settings(native: Instance) -> None:
    different: set[str] = set()
    for name, service in SERVICES.items():
        if name in compose.CONFIGURED_BY_IMAGE:
            continue
        ours, theirs = native.values(name), compose.values(name)
        for file, template in service.config.items():
            if not file.startswith("webapps/"):
                different |= _differences(file, render(template, ours), render(template, theirs))
    assert different == set().union(*INTENDED.values())


def test_names_and_binding_are_all_that_differs_in_addresses(native: Instance) -> None:
    """A host or bind setting says the same port and path in both stacks."""
    addresses = set().union(*(keys for reason, keys in INTENDED.items() if reason.startswith(("host:", "bind:"))))
    hosts = dict.fromkeys(HOSTS, "HOST")
    for name, service in SERVICES.items():
        if name in compose.CONFIGURED_BY_IMAGE:
            continue
        ours = {**native.values(name), "host": hosts, "bind": "HOST"}
        theirs = {**compose.values(name), "host": hosts, "bind": "HOST"}
        for file, template in service.config.items():
            rest = _differences(file, render(template, ours), render(template, theirs))
            assert not rest & addresses


def test_containers_get_every_rendered_file(services: dict[str, Any]) -> None:
    for name, container in compose.CONTAINERS.items():
        mounts = [volume for volume in services[name]["volumes"] if isinstance(volume, str)]
        assert f"./stack/compose/{name}:{container.conf}:ro,z" in mounts, name


def test_data_lies_in_named_volumes(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(FILE.read_text())["volumes"]
    for name in ("namenode", "datanode", "kafka", "cassandra", "s3", "nessie"):
        mounts = [volume.split(":") for volume in services[name]["volumes"]]
        (target,) = [target for source, target, *_ in mounts if source in declared]
        assert compose.CONTAINERS[name].data.startswith(target), name


def test_same_heaps(services: dict[str, Any]) -> None:
    for name, service in SERVICES.items():
        environment = services[name]["environment"]
        words = " ".join(str(value) for value in environment.values())
        if name == "trino":
            words = (compose.FOLDER / "trino/jvm.config").read_text()
        heap = (
            environment.get("MAX_HEAP_SIZE")
            or environment.get("NIFI_JVM_HEAP_MAX")
            or re.findall(r"-Xmx(\w+)", words)[-1]
        )
        assert heap == service.heap, name


def test_memory_limits_leave_room_beside_the_heap(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert _mebibytes(service["mem_limit"]) <= 2560, name
        if name in SERVICES:
            assert _mebibytes(service["mem_limit"]) >= 1.5 * _mebibytes(SERVICES[name].heap), name


def test_same_flags_of_trino_and_cassandra(
    services: dict[str, Any], native: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maven, "resolve", lambda *_: [Path("jamm-0.4.0.jar")])
    monkeypatch.setattr(trino_service, "ensure_java", lambda *_: SimpleNamespace(full=True))
    SERVICES["trino"].write_config(native)
    # Where the configuration and the data lie is said by the images' launchers, or differs.
    places = (
        "-Dlog.",
        "-Dconfig=",
        "-Dnode.",
        "-Dcassandra.config",
        "-Dcassandra.storagedir",
        "-Dcassandra-foreground",
    )

    def without_places(flags: list[str]) -> set[str]:
        return {flag for flag in flags if not flag.startswith(places)}

    config = (compose.FOLDER / "trino/jvm.config").read_text().split()
    assert without_places(SERVICES["trino"].flags(native)) | {f"-Xmx{SERVICES['trino'].heap}"} == set(config)
    flags = [flag for flag in SERVICES["cassandra"].flags(native) if flag.startswith(("-Dcassandra", "-Xms"))]
    extra = services["cassandra"]["environment"]["JVM_EXTRA_OPTS"].split()
    assert without_places(flags) == without_places(extra)


def test_dependencies_are_those_of_the_native_stack(services: dict[str, Any]) -> None:
    for name, service in SERVICES.items():
        assert services[name].get("depends_on", {}).keys() >= {*service.after, *service.checked_after}, name


def test_every_dependency_waits_for_more_than_a_start(services: dict[str, Any]) -> None:
    for name, service in services.items():
        dependencies = service.get("depends_on", {})
        assert isinstance(dependencies, dict), name
        for other, how in dependencies.items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == wanted, (name, other)


def test_every_server_has_a_health_check_and_is_restarted(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert not check.get("disable"), name
        assert "stop_grace_period" in service, name


def test_health_checks_are_rendered_files_that_bash_reads(services: dict[str, Any]) -> None:
    for name in SERVICES:
        file = compose.FOLDER / name / "health.sh"
        assert services[name]["healthcheck"]["test"] == ["CMD", "bash", f"{compose.CONTAINERS[name].conf}/health.sh"]
        subprocess.run(["bash", "-n", str(file)], check=True)
        assert "set -euo pipefail" in file.read_text()


def test_images_are_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert re.fullmatch(r"v?\d+(\.\d+)*", tag), name
        assert tag.count(".") >= 1 or name == "trino", name
        assert "build" not in service, name
    plugins = services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"].split(",")
    assert plugins == ["hadesarchitect-cassandra-datasource@3.3.0", "trino-datasource@1.1.1"]


def test_containers_have_few_rights(text: str, services: dict[str, Any]) -> None:
    assert "docker.sock" not in text
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.keys() & {"privileged", "network_mode", "pid", "devices"}, name
        if name not in ONE_SHOT:
            assert service.get("user") != "root", name
            assert "cap_add" not in service, name
        for volume in service["volumes"]:
            if isinstance(volume, dict):
                assert volume["read_only"], name
            elif volume.startswith("."):
                assert ":ro" in volume, name


def test_no_password_is_baked_in(services: dict[str, Any]) -> None:
    secret = re.compile(r"password|secret|token", re.IGNORECASE)
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if secret.search(key):
                assert re.fullmatch(r"\$\{\w+(:\?[^}]+|:-)\}", value), (name, key)
    for file in compose.FOLDER.rglob("*"):
        if file.is_file():
            for value in re.findall(r"[Pp]assword</name><value>([^<]*)", file.read_text()):
                assert re.fullmatch(r"\$\{env\.\w+\}", value), file
    for line in compose.ENV_EXAMPLE.read_text().splitlines():
        key, sign, value = line.partition("=")
        assert not (sign and secret.search(key) and value), line


def test_every_variable_is_explained(text: str, services: dict[str, Any]) -> None:
    example = set(re.findall(r"^(\w+)=", compose.ENV_EXAMPLE.read_text(), re.MULTILINE))
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) == example
    assert set(compose.PASSWORDS) <= example
    provisioned = "".join(file.read_text() for file in PROVISIONING.rglob("*.yaml"))
    asked = set(re.findall(r"(?<!\$)\$\{?([A-Z][A-Z0-9_]+)", provisioned))
    assert asked <= services["grafana"]["environment"].keys()


def test_example_points_meterlake_at_the_containers(native: Instance) -> None:
    result = dict(re.findall(rf"^#({PREFIX}\w+)=(.+)$", compose.ENV_EXAMPLE.read_text(), re.MULTILINE))
    settings = native.settings
    assert result == {
        f"{PREFIX}HDFS_URL": f"hdfs://namenode:{settings.port_namenode}",
        f"{PREFIX}WEBHDFS_URL": f"http://namenode:{settings.port_namenode_http}",
        f"{PREFIX}KAFKA_BOOTSTRAP": f"kafka:{settings.port_kafka}",
        f"{PREFIX}CASSANDRA_HOSTS": f"cassandra:{settings.port_cassandra}",
        f"{PREFIX}METASTORE_URL": f"thrift://metastore:{settings.port_metastore}",
        f"{PREFIX}HIVE_URL": f"hiveserver2:{settings.port_hiveserver2}",
        f"{PREFIX}TRINO_URL": f"http://trino:{settings.port_trino}",
        f"{PREFIX}LAKE_S3_ENDPOINT": f"http://s3:{settings.port_s3}",
        f"{PREFIX}LAKE_ACCESS_KEY": compose.LAKE["access_key"],
        f"{PREFIX}NESSIE_URL": f"http://nessie:{settings.port_nessie}",
        f"{PREFIX}NIFI_URL": f"http://nifi:{settings.port_nifi}",
    }
    assert {name.removeprefix(PREFIX).lower() for name in result} <= Settings.model_fields.keys()


def test_first_env_has_fresh_passwords() -> None:
    example = compose.ENV_EXAMPLE.read_text()
    first, second = (compose.first_env(example, Path("/cache/driver.jar")) for _ in range(2))
    filled = dict(line.partition("=")[::2] for line in first.splitlines() if re.match(r"\w+=", line))
    assert filled[compose.DRIVER_VARIABLE] == "/cache/driver.jar"
    assert len({filled[name] for name in compose.PASSWORDS}) == len(compose.PASSWORDS)
    assert all(len(filled[name]) >= 32 for name in compose.PASSWORDS)
    changed = [line for line in first.splitlines() if line not in example.splitlines()]
    assert len(changed) == len(compose.PASSWORDS) + 1
    assert not set(changed[:2]) & set(second.splitlines())


def test_data_sources_lead_to_services(services: dict[str, Any]) -> None:
    document = yaml.safe_load((PROVISIONING / "datasources/meterlake.yaml").read_text())
    preinstalled = services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    plugins = {plugin.partition("@")[0] for plugin in preinstalled.split(",")}
    uids = {}
    for source in document["datasources"]:
        host, port = re.fullmatch(r"(?:http://)?([\w-]+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
        assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]
        assert host in services["grafana"]["depends_on"]
        uids[source["uid"]] = source["type"]
    assert uids.keys() == {"meterlake-trino", "meterlake-cassandra", "meterlake-prometheus"}
    assert set(uids.values()) == plugins | {"prometheus"}


def _differences(file: str, ours: str, theirs: str) -> set[str]:
    """Return the keys whose values differ between two renderings of one file."""
    left, right = _settings(file, ours), _settings(file, theirs)
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def _settings(file: str, text: str) -> dict[str, Any]:
    """Return the settings of a configuration file, key by key."""
    if file.endswith("-site.xml"):
        result = re.findall(r"<property><name>([^<]+)</name><value>([^<]*)</value></property>", text)
        assert len(result) == text.count("<property>")
        return dict(result)
    if file.endswith((".properties", ".conf")):
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    if file.endswith(".yaml"):
        return _flat(yaml.safe_load(text))
    return {file: text}


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if not isinstance(tree, dict):
        return {prefix.removesuffix("."): tree}
    return {key: value for name, branch in tree.items() for key, value in _flat(branch, f"{prefix}{name}.").items()}


def _mebibytes(size: str) -> int:
    number, unit = int(size[:-1]), size[-1].lower()
    return number * {"m": 1, "g": 1024}[unit]
