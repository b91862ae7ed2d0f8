"""NiFi by its REST API: groups of processors, made, started, watched and stopped."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import requests

from engines.errors import EngineUnavailable
from meterlake.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from meterlake.settings import Settings

TIMEOUT_S: Final = 60.0


class Away(EngineUnavailable):
    """NiFi does not answer."""

    def __init__(self, where: str, cause: object) -> None:
        self.engine, self.where = "NiFi", where
        TransientError.__init__(
            self,
            f"NiFi at {where} does not answer: {cause}.",
            hint="Start it: `meterlake up nifi`. METERLAKE_NIFI_URL names another one.",
        )


class Refused(PermanentError):
    """NiFi does not do what it is asked."""

    def __init__(self, what: str, status: int, answer: str) -> None:
        self.status = status
        super().__init__(f"NiFi refuses {what} ({status}): {answer[:500]}", hint="Look into its page, and its log.")


def ask(settings: Settings, method: str, path: str, body: Any = None, **query: str) -> Any:
    """Return what NiFi answers to a request. Raises Away, Refused."""
    url = f"{settings.nifi}/nifi-api/{path}"
    try:
        answer = requests.request(method, url, json=body, params=query, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise Away(settings.nifi, type(error).__name__) from error
    if not answer.ok:
        raise Refused(f"{method} {path}", answer.status_code, answer.text)
    try:
        return answer.json()
    except requests.JSONDecodeError as error:
        raise Away(settings.nifi, f"{path}: no JSON") from error


def groups(settings: Settings, parent: str = "root") -> list[dict[str, Any]]:
    """Return the groups within a group, as entities."""
    result: list[dict[str, Any]] = ask(settings, "GET", f"process-groups/{parent}/process-groups")["processGroups"]
    return result


def make_group(settings: Settings, parent: str, name: str, comments: str, at: tuple[int, int]) -> str:
    """Make a group; return its id."""
    component = {"name": name, "comments": comments, "position": {"x": at[0], "y": at[1]}}
    body = {"revision": {"version": 0}, "component": component}
    return str(ask(settings, "POST", f"process-groups/{parent}/process-groups", body)["id"])


def comment_group(settings: Settings, group: str, comments: str) -> None:
    """Give a group its comments."""
    revision = ask(settings, "GET", f"process-groups/{group}")["revision"]
    component = {"id": group, "comments": comments}
    ask(settings, "PUT", f"process-groups/{group}", {"revision": revision, "component": component})


def remove_group(settings: Settings, group: str) -> None:
    """Remove a group in which nothing runs and nothing waits."""
    revision = ask(settings, "GET", f"process-groups/{group}")["revision"]
    ask(settings, "DELETE", f"process-groups/{group}", version=str(revision["version"]))


def make_processor(settings: Settings, group: str, component: dict[str, Any]) -> str:
    """Make a processor; return its id."""
    body = {"revision": {"version": 0}, "component": component}
    return str(ask(settings, "POST", f"process-groups/{group}/processors", body)["id"])


def connect(settings: Settings, group: str, source: str, target: str, relationships: list[str]) -> None:
    """Let what a processor hands on by some relationships go to another, in the order in which it came."""
    ends = {
        name: {"id": end, "groupId": group, "type": "PROCESSOR"}
        for name, end in (("source", source), ("destination", target))
    }
    component = {
        **ends,
        "selectedRelationships": relationships,
        "prioritizers": ["org.apache.nifi.prioritizer.FirstInFirstOutPrioritizer"],
    }
    ask(settings, "POST", f"process-groups/{group}/connections", {"revision": {"version": 0}, "component": component})


def processors(settings: Settings, group: str) -> list[dict[str, Any]]:
    """Return the processors within a group and the groups in it, as entities."""
    result: list[dict[str, Any]] = ask(
        settings, "GET", f"process-groups/{group}/processors", includeDescendantGroups="true"
    )["processors"]
    return result


def run(settings: Settings, group: str) -> None:
    """Start all processors of a group and of the groups in it."""
    ask(settings, "PUT", f"flow/process-groups/{group}", {"id": group, "state": "RUNNING"})


def halt(settings: Settings, group: str) -> None:
    """Stop all processors of a group and of the groups in it; those that are at work end it."""
    ask(settings, "PUT", f"flow/process-groups/{group}", {"id": group, "state": "STOPPED"})


def set_processor(settings: Settings, processor: str, state: str) -> None:
    """Have a processor RUNNING or STOPPED; what it is at work on it ends."""
    revision = ask(settings, "GET", f"processors/{processor}")["revision"]
    ask(settings, "PUT", f"processors/{processor}/run-status", {"revision": revision, "state": state})


@dataclass(frozen=True)
class Load:
    """Flow files that wait in a group, and threads that are at work in it."""

    queued: int
    active: int


def load(settings: Settings, group: str) -> Load:
    """Return what is under way in a group and the groups in it."""
    status = ask(settings, "GET", f"flow/process-groups/{group}/status")["processGroupStatus"]["aggregateSnapshot"]
    return Load(int(status["flowFilesQueued"]), int(status["activeThreadCount"]))


def complaints(settings: Settings, group: str) -> list[str]:
    """Return what processors of a group have reported lately, the latest last."""
    board = ask(settings, "GET", "flow/bulletin-board", limit="20")["bulletinBoard"]["bulletins"]
    names = {item["id"]: item["component"]["name"] for item in processors(settings, group)}
    return [
        f"{names[one['bulletin']['sourceId']]}: {one['bulletin']['message']}"
        for one in board
        if one.get("bulletin", {}).get("sourceId") in names
    ]


def prove(settings: Settings, kind: str) -> None:
    """Make a group, read it and remove it; and see that a kind of processor is there.

    Raises Away, Refused.
    """
    name = f"health {uuid.uuid4().hex}"
    group = make_group(settings, "root", name, "", (0, -500))
    there = any(item["component"]["name"] == name for item in groups(settings))
    remove_group(settings, group)
    types = ask(settings, "GET", "flow/processor-types", type=kind)["processorTypes"]
    if not there or not types:
        raise Away(settings.nifi, f"no group {name}" if not there else f"no processor {kind}")
