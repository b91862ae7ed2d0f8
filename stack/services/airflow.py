"""Airflow, in a Python environment of its own, with the DAGs of all data sets; their tasks run our commands."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterlake.settings import PREFIX, ROOT
from stack.extra import Extra
from stack.runtime import environments
from stack.wrapped import AND, THEN

if TYPE_CHECKING:
    import requests

    from stack.instance import Instance

_PARTS: Final = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def passwords_file(instance: Instance) -> Path:
    """Return the file with the password of ``admin``, as Airflow reads it; made on the first start."""
    file = instance.home / "airflow-passwords.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps({"admin": secrets.token_urlsafe(24)}))
    return file


def _write(instance: Instance) -> None:
    """Write the DAGs of all data sets, and what they are made with."""
    from meterlake import orchestration

    conf, data = instance.conf("airflow"), instance.data("airflow")
    shutil.rmtree(conf, ignore_errors=True)
    shutil.copytree(ROOT / "airflow" / "plugins", conf / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (conf / "dags").mkdir()
    for dag in orchestration.all_dags():
        (conf / "dags" / f"{dag.name}.py").write_text(dag.text(), encoding="utf-8")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)  # Airflow keeps its keys there
    passwords_file(instance)


def _environment(instance: Instance) -> dict[str, str]:
    settings, conf = instance.settings, instance.conf("airflow")
    address = f"http://{settings.address('airflow')}"
    programs = [str(Path(sys.executable).parent), str(environments.folder("airflow", settings) / "bin")]
    places = {
        "AIRFLOW_HOME": str(instance.data("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(conf / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(conf / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(instance)),
        "AIRFLOW__API__HOST": settings.host,
        "AIRFLOW__API__PORT": str(settings.port("airflow")),
        "AIRFLOW__API__BASE_URL": address,
        f"{PREFIX}ALERT_URL": settings.alert_url.get_secret_value(),
        f"{PREFIX}HOME": str(instance.home),
        f"{PREFIX}PORT_OFFSET": str(settings.port_offset),
        # First ours: tasks run `meterlake`, and Spark the Python beside it.
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
    }
    defaults = {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",  # a Spark driver each
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # Spark drivers beside it make reading a DAG slow: a timeout would only read it again.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "240",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    given = {name: value for name, value in os.environ.items() if name.startswith((PREFIX, "AIRFLOW_"))}
    return defaults | given | places


def _arguments(_: Instance, program: Path) -> list[str]:
    """Make its database ready; then its four parts. Their logs are files here: no server hands them out."""
    airflow = str(program)
    scheduler = [airflow, "scheduler", "--skip-serve-logs"]
    triggerer = [airflow, "triggerer", "--skip-serve-logs"]
    parts = [scheduler, [airflow, "dag-processor"], triggerer, [airflow, "api-server"]]
    first, *others = parts
    return ["db", "migrate", THEN, *first, *(word for part in others for word in (AND, *part))]


def _works(_: Instance, answer: requests.Response) -> bool:
    """Return whether each part has written its heartbeat into the database, and the server has read them."""
    parts = answer.json()
    return all(parts.get(name, {}).get("status") == "healthy" for name in _PARTS)


AIRFLOW: Final = Extra(
    name="airflow",
    title="Airflow",
    programs=("airflow",),
    home=lambda instance: environments.folder("airflow", instance.settings),
    to_get="`meterlake up airflow` puts it into the cache (200 MB).",
    port="airflow",
    needs=(),
    prepare=_write,
    arguments=_arguments,
    env=_environment,
    probe="/api/v2/monitor/health",
    works=_works,
    fetch=lambda instance, downloads: environments.ensure("airflow", instance.settings, downloads),
)
