"""One checkout's native stack: its folders, its addresses, and the name its processes carry."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from meterlake.lakehouse import personal
from meterlake.settings import Settings
from stack import access
from stack.runtime import maven

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Instance:
    """The native stack of one checkout.

    Every process carries ``identity`` on its command line: the process table is the record of what runs, so nothing is
    left behind or forgotten when the launcher is killed.
    """

    settings: Settings

    @property
    def home(self) -> Path:
        """Folder of this stack."""
        return self.settings.home.resolve()

    @property
    def identity(self) -> str:
        """Name of this stack in the process table."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:16]

    def conf(self, service: str) -> Path:
        """Folder of the rendered configuration of ``service``."""
        return self.home / "conf" / service

    def data(self, service: str) -> Path:
        """Folder of the data of ``service``."""
        return self.home / "data" / service

    def run(self, service: str) -> Path:
        """Working directory of ``service``."""
        return self.home / "run" / service

    def log(self, service: str) -> Path:
        """Log file of ``service``."""
        return self.home / "logs" / f"{service}.log"

    def started_mark(self, service: str) -> Path:
        """File that exists from the start of ``service`` until its ordered stop: a crash leaves it behind."""
        return self.home / "run" / f"{service}.started"

    def values(self, service: str) -> dict[str, object]:
        """Return what the templates of ``service`` may use: hosts, ports and folders of the native stack."""
        settings = self.settings
        ports = {name.removeprefix("port_"): settings.port(name.removeprefix("port_")) for name in port_names()}
        return {
            "host": dict.fromkeys(HOSTS, settings.host),
            "bind": settings.host,
            "port": ports,
            "data": str(self.data(service)),
            "conf": str(self.conf(service)),
            "metastore_db": metastore_db(settings, self.data("metastore")),
            "scratch": str(self.run(service) / "scratch"),
            "lake": lake(settings),
            "table_rules": table_rules(settings),
            "plugins": str(maven.unpacked_folder("trino", settings) / "plugin"),
        }


HOSTS = ("namenode", "datanode", "kafka", "cassandra", "metastore", "hiveserver2", "trino", "s3", "nessie", "nifi")


def port_names() -> list[str]:
    """Return the names of all settings that are ports of the native stack."""
    return [name for name in Settings.model_fields if name.startswith("port_") and name != "port_offset"]


def lake(settings: Settings) -> dict[str, object]:
    """Return how servers reach the lakehouse's object store; its keys are made on the first time."""
    if not settings.lake_access_key:
        _make_keys(settings.lake_keys_file)
    access, secret = settings.lake_keys
    return {
        "bucket": settings.lake_bucket,
        "region": settings.lake_region,
        "access_key": access,
        "secret_key": secret,
        "in_files": True,
    }


def table_rules(settings: Settings) -> str:
    """Return Trino's rules of tables: what is personal is for the platform's own user, and whom the settings name."""
    users = [settings.user("trino"), *settings.personal_data_users.split()]
    return access.table_rules(users, personal.pseudonym_key(settings.lake_keys[1]))


def _make_keys(file: Path) -> None:
    """Write fresh keys, whole or not at all, unless there are some; of several that try, one does."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    partial.touch(mode=0o600)
    partial.write_text(f"meterlake\n{secrets.token_urlsafe(32)}\n")
    with suppress(FileExistsError):
        file.hardlink_to(partial)
    partial.unlink()


def metastore_db(settings: Settings, folder: Path) -> dict[str, str]:
    """Return how the metastore reaches its own database."""
    if settings.metastore_db == "derby":
        return {
            "kind": "derby",
            "url": f"jdbc:derby:{folder}/db",
            "driver": "org.apache.derby.jdbc.EmbeddedDriver",
            "user": "APP",
            "password": "",
        }
    return {
        "kind": "postgres",
        "url": settings.metastore_db_url,
        "driver": "org.postgresql.Driver",
        "user": settings.metastore_db_user,
        "password": settings.metastore_db_password.get_secret_value(),
    }


def render(template: str, values: dict[str, object]) -> str:
    """Return ``template`` (a path below ``stack/templates``) filled with ``values``; an unknown name is an error."""
    return templates().get_template(template).render(values)


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return the templates of all configuration files."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, and every value is ours
    )
