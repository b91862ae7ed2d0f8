"""Airflow as a test asks it, what its alerts are sent to, and data sets whose runs can be compared."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from meterlake.settings import ROOT
from stack.instance import Instance
from stack.services.airflow import AIRFLOW, passwords_file

ENDED = ("success", "failed")
_HALF_HOURLY = """
from dataclasses import replace
from datetime import timedelta

from datasets.half_hourly import DATASET as OURS
from datasets.half_hourly.declaration import HALF_HOURLY, HALF_HOURLY_JSON
from meterlake.schedule import Schedule

SERIES = replace(HALF_HOURLY, name="{name}")
DATASET = replace(
    OURS,
    declaration=SERIES,
    formats=(replace(HALF_HOURLY_JSON, dataset=SERIES),),
    generator=None,
    schedule=Schedule("0 0 * * *", retries=1, pause=timedelta(seconds=1), deadline=timedelta(seconds=5)),
    {parts}
)
"""
_ALL_PARTS = 'presentation="datasets.half_hourly.tables:PRESENTATION", vee="datasets.half_hourly.vee:VEE",'
_TELECOM = """
from dataclasses import replace

from datasets.telecom.declaration import TELECOM


def renamed(records):
    return tuple(replace(one, topic="{topics}." + one.topic.partition(".")[2]) for one in records)


DATASET = replace(TELECOM, name="{name}", events=renamed(TELECOM.events), references=renamed(TELECOM.references))
"""


def half_hourly(folder: Path, name: str, *, whole: bool) -> None:
    """Make a data set as our half-hourly one, under another name; else without what follows its views."""
    parts = _ALL_PARTS if whole else "presentation=None, vee=None, tariffs=None,"
    _make(folder / name, _HALF_HOURLY.format(name=name, parts=parts))
    shutil.copy(ROOT / "datasets" / "half_hourly" / "tariffs.toml", folder / name)


def telecom(folder: Path, name: str, topics: str) -> None:
    """Make a lakehouse as our telecom, under another name, of topics that begin with another word."""
    _make(folder / name, _TELECOM.format(name=name, topics=topics))
    shutil.copy(ROOT / "datasets" / "telecom" / "verification.sql", folder / name)


def _make(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(text)


class Airflow:
    """Its REST API, as ``admin``."""

    def __init__(self, instance: Instance) -> None:
        self._url = AIRFLOW.url(instance)
        words = {"username": "admin", "password": json.loads(passwords_file(instance).read_text())["admin"]}
        answer = requests.post(f"{self._url}/auth/token", json=words, timeout=60)
        answer.raise_for_status()
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer; None where there is no such thing."""
        url = f"{self._url}/api/v2/{path}"
        answer = requests.request(method, url, json=body, headers=self._headers, timeout=60)
        if answer.status_code == 404:
            return None
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def switch_on(self, dag: str) -> dict[str, Any]:
        """Let a DAG run, when it has been read; a DAG with a schedule runs for its last interval at once."""
        known = self.until(lambda: self.ask("GET", f"dags/{dag}"))
        self.ask("PATCH", f"dags/{dag}", {"is_paused": False})
        return known

    def trigger(self, dag: str, **given: str) -> dict[str, Any]:
        """Begin a run by hand, with values of its parameters."""
        return self.ask("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": given})

    def ended(self, dag: str, run_type: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many runs of a type have ended; return them, oldest interval first."""

        def ready() -> list[dict[str, Any]]:
            runs = self.ask("GET", f"dags/{dag}/dagRuns?limit=100")["dag_runs"]
            over = [run for run in runs if run["run_type"] == run_type and run["state"] in ENDED]
            return sorted(over, key=lambda run: run["run_after"]) if len(over) >= count else []

        return self.until(ready)

    def tasks(self, run: dict[str, Any]) -> dict[str, tuple[str, int]]:
        """Return the state and the tries of each task of a run."""
        result = self.ask("GET", f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances")
        return {task["task_id"]: (task["state"], task["try_number"]) for task in result["task_instances"]}

    def log(self, run: dict[str, Any], task: str) -> str:
        """Return the log of the last try of a task."""
        tries = self.tasks(run)[task][1]
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/logs/{tries}"
        lines = self.ask("GET", f"{path}?full_content=true")["content"]
        return "\n".join(str(line.get("event", "")) for line in lines)

    def until(self, ready: Any) -> Any:
        """Ask until there is an answer; the timeout of the test ends it."""
        while not (answer := ready()):
            time.sleep(1)
        return answer


def interval(run: dict[str, Any]) -> tuple[datetime, datetime]:
    """Return the data interval of a run."""
    begin, end = (datetime.fromisoformat(run[f"data_interval_{end}"]) for end in ("start", "end"))
    return begin, end


@contextmanager
def alerts() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Take alerts; give the address, and the list of what has come."""
    come: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            come.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", come
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
