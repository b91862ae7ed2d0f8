"""The configuration that docker-compose.yml mounts: the native stack's templates, filled for containers.

``python -m stack.compose`` writes ``stack/compose/<service>/…``; ``--check`` says whether what is checked in still is
what the templates give; ``--env`` writes a first ``.env`` with fresh passwords.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path

from meterlake.settings import Settings, load_settings
from stack import access
from stack.instance import HOSTS, port_names, render
from stack.runtime import maven
from stack.runtime.locks import read_lock
from stack.services import ALL

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "compose"
ENV_FILE = ROOT / ".env"
ENV_EXAMPLE = ROOT / ".env.example"
DRIVER_VARIABLE = "POSTGRES_JDBC_JAR"
PASSWORDS = ("METASTORE_DB_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "LAKE_SECRET_KEY", "NIFI_KEY")


@dataclass(frozen=True)
class Container:
    """What the image of one service decides: its folders, and the files that only a container needs."""

    conf: str
    """Where docker-compose.yml mounts the rendered folder."""
    data: str = ""
    only_here: dict[str, str] = field(default_factory=dict)
    """Rendered file -> template."""


def _health(service: str) -> dict[str, str]:
    return {"health.sh": f"compose/{service}-health.sh.j2"}


CONF = "/etc/meterlake"
CONTAINERS = {
    "namenode": Container(
        CONF, "/hadoop/namenode/name", {**_health("namenode"), "init.sh": "compose/namenode-init.sh.j2"}
    ),
    "datanode": Container(CONF, "/hadoop/datanode/blocks", _health("datanode")),
    "kafka": Container("/mnt/shared/config", "/var/lib/kafka/data", _health("kafka")),
    "cassandra": Container(CONF, "/var/lib/cassandra", _health("cassandra")),
    "metastore": Container(CONF, only_here=_health("metastore")),
    "hiveserver2": Container(CONF, only_here=_health("hiveserver2")),
    "trino": Container("/etc/trino", "/data/trino", {**_health("trino"), "jvm.config": "trino/jvm.config.j2"}),
    "s3": Container(CONF, "/data/s3", _health("s3")),
    "nessie": Container(CONF, "/data/nessie", _health("nessie")),
    # The image writes NiFi's configuration by itself, from its environment.
    "nifi": Container(CONF, "/opt/nifi/nifi-current", _health("nifi")),
    "prometheus": Container("/etc/prometheus", only_here={"prometheus.yml": "prometheus/prometheus.yml.j2"}),
}

CONFIGURED_BY_IMAGE = {"nifi"}

METASTORE_DB = {
    "kind": "postgres",
    "url": "jdbc:postgresql://postgres:5432/metastore",
    "driver": "org.postgresql.Driver",
    "user": "metastore",
    # Hadoop's configuration takes it from the environment: no secret lies in a file.
    "password": "${env.METASTORE_DB_PASSWORD}",
}

# Its secret comes from the environment of each container: no secret lies in a file.
LAKE = {"bucket": "lake", "region": "us-east-1", "access_key": "meterlake", "secret_key": "", "in_files": False}


def values(service: str) -> dict[str, object]:
    """Return what the templates of ``service`` may use: hosts, default ports and folders of the containers."""
    container = CONTAINERS[service]
    defaults = Settings.model_fields
    return {
        "host": {name: name for name in HOSTS},
        "bind": "0.0.0.0",  # noqa: S104 - inside a container; the host publishes on loopback only
        "port": {name.removeprefix("port_"): defaults[name].default for name in port_names()},
        "data": container.data,
        "conf": container.conf,
        "metastore_db": METASTORE_DB,
        "lake": LAKE,
        "table_rules": access.table_rules([], ""),
        "scratch": "/tmp/meterlake",  # noqa: S108 - a path in a container
        "plugins": "",
        "metrics_host": "host.docker.internal",
        "grafana_host": "grafana",
        # Only templates of containers ask for these.
        "datanode_data": CONTAINERS["datanode"].data,
        "heap": ALL[service].heap if service in ALL else "",
    }


def templates(service: str) -> dict[str, str]:
    """Return rendered file -> template of ``service``: those of the native stack, and those only containers need.

    The images bring the web pages of HDFS, for which the native stack makes a stand-in.
    """
    native = ALL[service].config if service in ALL and service not in CONFIGURED_BY_IMAGE else {}
    shared = {file: template for file, template in native.items() if not file.startswith("webapps/")}
    return shared | CONTAINERS[service].only_here


def rendered() -> dict[Path, str]:
    """Return every file below ``stack/compose``, by its path there."""
    return {
        Path(service, file): render(template, values(service))
        for service in CONTAINERS
        for file, template in templates(service).items()
    }


def drift(folder: Path = FOLDER) -> list[str]:
    """Return what differs between ``folder`` and the templates, a line each; empty when nothing does."""
    wanted = rendered()
    present = {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}
    lines = [f"{file}: missing" for file in wanted.keys() - present]
    lines += [f"{file}: no template makes it" for file in present - wanted.keys()]
    for file in wanted.keys() & present:
        if (folder / file).read_text() != wanted[file]:
            lines.append(f"{file}: differs from its template")
    return sorted(lines)


def write(folder: Path = FOLDER) -> None:
    """Write every file below ``folder`` and remove what no template makes."""
    wanted = rendered()
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if file.relative_to(folder) not in wanted:
            file.unlink()
    for path, text in wanted.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def driver_path() -> str:
    """Return where PostgreSQL's JDBC driver of the native stack lies below a Maven repository."""
    return next(lock.path for lock in read_lock("hive") if lock.path.startswith("org/postgresql/postgresql/"))


def first_env(example: str, driver: Path) -> str:
    """Return ``example`` with fresh passwords and the path of ``driver``."""
    lines = []
    for line in example.splitlines():
        name, sign, value = line.partition("=")
        if name in PASSWORDS:
            value = secrets.token_urlsafe(24)
        if name == DRIVER_VARIABLE:
            value = str(driver)
        lines.append(f"{name}{sign}{value}")
    return "\n".join(lines) + "\n"


def _write_env() -> int:
    """Write .env once; resolving the driver's jars may download them."""
    name = Path(driver_path()).name
    driver = next(file for file in maven.resolve("hive", load_settings()) if file.name == name)
    try:
        with ENV_FILE.open("x") as file:
            ENV_FILE.chmod(0o600)
            file.write(first_env(ENV_EXAMPLE.read_text(), driver))
    except FileExistsError:
        sys.stderr.write(f"{ENV_FILE} is there already; it was left as it is.\n")
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack.compose", description=(__doc__ or "").partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="compare only; exit code 1 when something differs")
    choice.add_argument("--env", action="store_true", help="write a first .env with fresh passwords")
    chosen = parser.parse_args(arguments)
    if chosen.env:
        return _write_env()
    if not chosen.check:
        write()
        return 0
    lines = drift()
    sys.stderr.writelines(f"stack/compose/{line}\n" for line in lines)
    if lines:
        sys.stderr.write("Run python -m stack.compose and check the changes in.\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
