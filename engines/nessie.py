"""Nessie: branches of the lakehouse's catalog, through its own REST API (version 2).

A branch is a name for a state of all tables. What is written to one is seen by nobody else until it is merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.settings import Settings

MAIN: Final = "main"
"""The branch that readers see."""
_NAME: Final = "Nessie"
_TIMEOUT_S: Final = 30


class RefMoved(TransientError):
    """A branch is not where it was expected: somebody else has changed it, or what it is merged with."""

    def __init__(self, name: str, expected: str, reason: str) -> None:
        self.name = name
        super().__init__(
            f"The branch {name} is not at {expected[:16]} any more, or cannot be merged: {reason}",
            hint="Nothing was changed. Run the same command again: it begins at the new state.",
        )


@dataclass(frozen=True)
class Ref:
    """A branch or tag, and the commit that it is at."""

    name: str
    hash: str
    type: str = "BRANCH"

    @property
    def at(self) -> str:
        """Its name with its commit, as paths of the API have it."""
        return f"{self.name}@{self.hash}"


def find(settings: Settings, name: str) -> Ref | None:
    """Return a branch or tag; None where there is none. Raises EngineUnavailable."""
    answer = _send(settings, "GET", f"trees/{name}")
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    return _ref(_checked(settings, answer)["reference"])


def main(settings: Settings) -> Ref:
    """Return the branch that readers see. Raises EngineUnavailable."""
    result = find(settings, MAIN)
    if result is None:
        raise QueryFailed(_NAME, f"GET trees/{MAIN}", "it has no branch main")
    return result


def refs(settings: Settings) -> list[Ref]:
    """Return all branches and tags, by name. Raises EngineUnavailable."""
    return sorted(map(_ref, _pages(settings, "trees", "references")), key=lambda ref: ref.name)


def commits(settings: Settings, ref: Ref) -> dict[str, str]:
    """Return the commits that lead to a branch or tag, its own first: hash -> message. Raises EngineUnavailable."""
    entries = _pages(settings, f"trees/{ref.at}/history", "logEntries")
    return {str(entry["commitMeta"]["hash"]): str(entry["commitMeta"]["message"]) for entry in entries}


def _pages(settings: Settings, path: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield the items of an answer that comes in pages."""
    params: dict[str, str] = {}
    while True:
        answer = _checked(settings, _send(settings, "GET", path, params))
        yield from answer[name]
        if not answer.get("hasMore"):
            return
        params = {"pageToken": answer["token"]}


def create(settings: Settings, name: str, source: Ref, kind: str = "BRANCH") -> Ref:
    """Make a branch or tag at a commit. Raises RefMoved where there is one of that name, EngineUnavailable."""
    body = {"type": source.type, "name": source.name, "hash": source.hash}
    answer = _send(settings, "POST", "trees", {"name": name, "type": kind}, body)
    if answer.status_code == HTTPStatus.CONFLICT:
        raise RefMoved(name, source.hash, "there is a reference of that name.")
    return _ref(_checked(settings, answer)["reference"])


def make_namespace(settings: Settings, name: str) -> None:
    """Create a namespace of tables in the branch that readers see, where it is missing. Raises EngineUnavailable.

    Until something is in it, that branch has no commit that others could have in common with it.
    """
    answer = _request(settings, "POST", f"iceberg/v1/{MAIN}/namespaces", body={"namespace": [name]})
    if answer.status_code != HTTPStatus.CONFLICT:
        _checked(settings, answer)


def merge(settings: Settings, source: Ref, target: Ref, message: str) -> Ref:
    """Bring all commits of a branch into another as one, if that is still where it was.

    Raises RefMoved, with nothing changed; EngineUnavailable.
    """
    body = {"fromRefName": source.name, "fromHash": source.hash, "message": message}
    answer = _send(settings, "POST", f"trees/{target.at}/history/merge", body=body)
    if answer.status_code == HTTPStatus.CONFLICT:
        raise RefMoved(target.name, target.hash, _message(answer)[:200])
    result = _checked(settings, answer)
    if not result["wasApplied"]:
        raise RefMoved(target.name, target.hash, "nothing was merged.")
    return Ref(target.name, str(result["resultantTargetHash"]))


def assign(settings: Settings, ref: Ref, state: Ref) -> Ref:
    """Let a branch be at the commit of another branch or tag, if it is still where it was.

    Raises RefMoved, QueryFailed where there is no such commit, EngineUnavailable.
    """
    body = {"type": state.type, "name": state.name, "hash": state.hash}
    answer = _send(settings, "PUT", f"trees/{ref.at}", {"type": ref.type}, body)
    if answer.status_code == HTTPStatus.CONFLICT:
        raise RefMoved(ref.name, ref.hash, _message(answer)[:200])
    return _ref(_checked(settings, answer)["reference"])


def delete(settings: Settings, ref: Ref) -> None:
    """Remove a branch or tag, wherever it is by now; one that is not there is none to remove."""
    current = find(settings, ref.name)
    if current is not None:
        _checked(settings, _send(settings, "DELETE", f"trees/{current.at}", {"type": current.type}))


def prove(settings: Settings, token: str) -> None:
    """Make a tag, read it, and remove it: the store writes. Raises EngineUnavailable or QueryFailed."""
    made = create(settings, f"health-{token}", main(settings), "TAG")
    result = find(settings, made.name)
    delete(settings, made)
    if result != made:
        raise QueryFailed(_NAME, f"GET trees/{made.name}", f"made {made}, read {result}")


def _ref(answer: dict[str, Any]) -> Ref:
    return Ref(answer["name"], answer["hash"], answer["type"])


def _checked(settings: Settings, answer: requests.Response) -> dict[str, Any]:
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise EngineUnavailable(_NAME, settings.nessie, f"{answer.status_code} {answer.text[:200]}")
    if not answer.ok:
        raise QueryFailed(_NAME, f"{answer.request.method} {answer.request.path_url}", _message(answer))
    result: dict[str, Any] = answer.json() if answer.content else {}
    return result


def _message(answer: requests.Response) -> str:
    """Return what Nessie says is wrong: a field of its answer, or all of it."""
    try:
        return str(answer.json().get("message", answer.text))
    except ValueError:
        return answer.text


def _send(
    settings: Settings, method: str, path: str, params: dict[str, str] | None = None, body: Any = None
) -> requests.Response:
    return _request(settings, method, f"api/v2/{path}", params, body)


def _request(
    settings: Settings, method: str, path: str, params: dict[str, str] | None = None, body: Any = None
) -> requests.Response:
    url = f"{settings.nessie}/{path}"
    try:
        return requests.request(method, url, params=params, json=body, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise EngineUnavailable(_NAME, settings.nessie, error) from error
