"""Grafana, where it is installed, with the provisioning of ``grafana/`` and the addresses of this stack."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from meterlake.errors import PermanentError
from meterlake.settings import ROOT
from stack.extra import Extra
from stack.instance import Instance

PLUGINS: Final = {"hadesarchitect-cassandra-datasource": "3.3.0", "trino-datasource": "1.1.1"}
"""The data source plugins: id -> version that is fetched where none is in place."""
_PAGE: Final = "runbook"
"""Annotation of an alert rule with the path of its page."""
_UNSET_URL = "http://localhost/set-GRAFANA_ALERT_URL"


class PluginsMissing(PermanentError):
    """The folder of plugins that is set does not hold what the dashboards need."""

    def __init__(self, folder: Path, absent: Sequence[str]) -> None:
        pages = ", ".join(
            f"https://grafana.com/api/plugins/{name}/versions/{PLUGINS[name]}/download" for name in absent
        )
        super().__init__(
            f"METERLAKE_GRAFANA_PLUGINS={folder} does not hold {' and '.join(absent)}.",
            hint=f"Unpack there what these give, a folder each ({pages}), or unset it to let Grafana fetch them.",
        )


def _write_config(instance: Instance) -> None:
    """Copy the provisioning; only the addresses of the data sources and of the runbooks differ."""
    import yaml

    _check_plugins(instance)
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
    if settings.runbooks_url:
        _link_runbooks(target / "alerting" / "rules.yaml", settings.runbooks_url)


def _link_runbooks(file: Path, base: str) -> None:
    """Turn the paths of the runbooks into links."""
    import yaml

    document = yaml.safe_load(file.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            if page := rule["annotations"].pop(_PAGE, ""):
                rule["annotations"]["runbook_url"] = f"{base.rstrip('/')}/{Path(page).name}"
    file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def plugins_folder(instance: Instance) -> Path:
    """Return the folder of the plugins: the one that is set, or Grafana's own in the stack's data."""
    return instance.settings.grafana_plugins or instance.data("grafana") / "plugins"


def absent_plugins(folder: Path) -> list[str]:
    """Return the plugins that a folder does not hold; each has a folder, with its ``plugin.json`` there or in dist."""
    present = set()
    for file in (*folder.glob("*/plugin.json"), *folder.glob("*/dist/plugin.json")):
        present.add(json.loads(file.read_text(encoding="utf-8")).get("id"))
    return [name for name in PLUGINS if name not in present]


def _check_plugins(instance: Instance) -> None:
    folder = instance.settings.grafana_plugins
    if folder and (absent := absent_plugins(folder)):
        raise PluginsMissing(folder, absent)


def _plugins(instance: Instance) -> dict[str, str]:
    """Return the environment by which Grafana finds the plugins: it fetches nothing where they are in place."""
    folder = plugins_folder(instance)
    if absent_plugins(folder):
        wanted = ",".join(f"{name}@{version}" for name, version in PLUGINS.items())
        return {"GF_PATHS_PLUGINS": str(folder), "GF_PLUGINS_PREINSTALL_SYNC": wanted}
    return {"GF_PATHS_PLUGINS": str(folder.absolute()), "GF_PLUGINS_PREINSTALL_DISABLED": "true"}


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
        "GF_PATHS_PROVISIONING": str(instance.conf("grafana") / "provisioning"),
        "GF_SECURITY_ADMIN_PASSWORD": password_file(instance).read_text(),
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GRAFANA_DASHBOARDS": str(ROOT / "grafana" / "dashboards"),
    }
    asked = ("GRAFANA_CASSANDRA_USER", "GRAFANA_CASSANDRA_PASSWORD", "GRAFANA_ALERT_TOKEN")
    given = {name: os.environ.get(name, "") for name in asked}
    return ours | _plugins(instance) | given | {"GRAFANA_ALERT_URL": os.environ.get("GRAFANA_ALERT_URL") or _UNSET_URL}


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
