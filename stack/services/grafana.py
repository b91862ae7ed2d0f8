"""Grafana, where it is installed, with the provisioning of ``grafana/`` and the addresses of this stack."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import yaml

from meterlake.settings import ROOT
from stack.extra import Extra
from stack.instance import Instance

PLUGINS = "hadesarchitect-cassandra-datasource@3.3.0,trino-datasource@1.1.1"
_UNSET_URL = "http://localhost/set-GRAFANA_ALERT_URL"


def _write_config(instance: Instance) -> None:
    """Copy the provisioning; only the addresses of the data sources differ."""
    target = instance.conf("grafana") / "provisioning"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "grafana" / "provisioning", target)
    file = target / "datasources" / "meterlake.yaml"
    document = yaml.safe_load(file.read_text())
    settings = instance.settings
    host, port = settings.cassandra[0]
    urls = {
        "meterlake-trino": settings.trino,
        "meterlake-cassandra": f"{host}:{port}",
        "meterlake-prometheus": f"http://{settings.address('prometheus')}",
    }
    for source in document["datasources"]:
        source["url"] = urls[source["uid"]]
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def password_file(instance: Instance) -> Path:
    """Return the file with the password of ``admin``, made on the first start."""
    file = instance.home / "grafana-admin-password"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file


def _environment(instance: Instance) -> dict[str, str]:
    settings, data = instance.settings, instance.data("grafana")
    ours = {
        "GF_SERVER_HTTP_ADDR": settings.host,
        "GF_SERVER_HTTP_PORT": str(settings.port("grafana")),
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(instance.conf("grafana") / "provisioning"),
        "GF_SECURITY_ADMIN_PASSWORD": password_file(instance).read_text(),
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_SYNC": PLUGINS,
        "GRAFANA_DASHBOARDS": str(ROOT / "grafana" / "dashboards"),
    }
    asked = ("GRAFANA_CASSANDRA_USER", "GRAFANA_CASSANDRA_PASSWORD", "GRAFANA_ALERT_TOKEN")
    given = {name: os.environ.get(name, "") for name in asked}
    return ours | given | {"GRAFANA_ALERT_URL": os.environ.get("GRAFANA_ALERT_URL") or _UNSET_URL}


def _arguments(instance: Instance, program: Path) -> list[str]:
    home = instance.settings.grafana_home or program.resolve().parent.parent
    place = [f"--homepath={home}"] if (home / "conf" / "defaults.ini").is_file() else []
    return [*(["server"] if program.name == "grafana" else []), *place]


GRAFANA = Extra(
    name="grafana",
    title="Grafana",
    programs=("grafana", "grafana-server"),
    home=lambda instance: instance.settings.grafana_home,
    to_get="Install it (grafana.com/grafana/download), or unpack it and set METERLAKE_GRAFANA_HOME to its folder.",
    port="grafana",
    needs=("trino", "cassandra"),
    prepare=_write_config,
    arguments=_arguments,
    env=_environment,
    probe="/api/health",
)
