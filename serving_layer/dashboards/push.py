"""Brings the dashboards into a Grafana that runs elsewhere, through its HTTP API; doing it again changes nothing.

What was pushed is known again by the message of its version, which holds a digest. The dashboards themselves are not
compared: Grafana may give back an older form in a newer one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import requests

from meterlake.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import SecretStr

    from serving_layer.dashboards.catalogue import Audience, Board

TIMEOUT_S: Final = 10
_TOKEN: Final = "METERLAKE_GRAFANA_TOKEN"  # noqa: S105 - a name

Outcome = Literal["created", "updated", "unchanged"]


class GrafanaUnavailable(TransientError):
    """Grafana does not answer, or is not ready."""

    def __init__(self, url: str, cause: object) -> None:
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        super().__init__(
            f"Grafana at {url} does not answer: {lines[0][:300]}.", hint="Start it, or correct the URL, and try again."
        )


class NotAllowed(PermanentError):
    """The token is missing, wrong or may not do this."""

    def __init__(self, url: str, status: int, doing: str) -> None:
        what = "knows no such token" if status == 401 else "does not let this token do it"
        super().__init__(
            f"Grafana at {url} refused {doing} ({status}): it {what}.",
            hint=f"Make a service account with the role Editor in Grafana, and set {_TOKEN} to its token.",
        )


class VersionConflict(PermanentError):
    """Somebody else has saved the dashboard since it was read."""

    def __init__(self, url: str, uid: str) -> None:
        super().__init__(
            f"Dashboard {uid} at {url} was saved by somebody else meanwhile; nothing of theirs was overwritten.",
            hint="Push again to replace it; Grafana keeps their version in the dashboard's history.",
        )


class Refused(PermanentError):
    """Grafana's answer is none of those above."""

    def __init__(self, url: str, status: int, doing: str, said: str) -> None:
        super().__init__(f"Grafana at {url} refused {doing} ({status}): {said or 'no reason given'}.")


@dataclass(frozen=True)
class Pushed:
    """What became of a dashboard."""

    uid: str
    outcome: Outcome
    url: str


def push(url: str, token: SecretStr, boards: Iterable[Board], tell: Callable[[Pushed], None]) -> list[Pushed]:
    """Bring dashboards into the Grafana at ``url``; its data sources must have the uids of the provisioning.

    Raises GrafanaUnavailable, NotAllowed, VersionConflict or Refused; what was pushed before stays.
    """
    if not token.get_secret_value():
        raise PermanentError(
            "There is no token for Grafana.", hint=f"Set {_TOKEN} to the token of a service account (role Editor)."
        )
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        session.trust_env = False  # a proxy or .netrc of this user must not see, or replace, the token
        grafana = _Grafana(url.rstrip("/"), session)
        found = []
        for board in boards:
            grafana.ensure_folder(board.audience)
            pushed = Pushed(board.uid, grafana.save(board), f"{grafana.url}/d/{board.uid}")
            tell(pushed)
            found.append(pushed)
    return found


class _Grafana:
    """The few calls that are needed."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url, self._session = url, session
        self._folders: set[str] = set()

    def ensure_folder(self, audience: Audience) -> None:
        """Make the folder of an audience, once."""
        if audience.uid in self._folders:
            return
        status, _ = self._call("GET", f"/api/folders/{audience.uid}", f"reading folder {audience.title}", (200, 404))
        if status == 404:
            wanted = {"uid": audience.uid, "title": audience.title}
            # 409 and 412: somebody has made it meanwhile.
            self._call("POST", "/api/folders", f"making folder {audience.title}", (200, 409, 412), wanted)
        self._folders.add(audience.uid)

    def save(self, board: Board) -> Outcome:
        """Save a dashboard where it differs from what is there."""
        place, doing = f"/api/dashboards/uid/{board.uid}", f"reading {board.uid}"
        status, there = self._call("GET", place, doing, (200, 404))
        wanted, message = board.json(), f"meterlake {hashlib.sha256(board.text().encode()).hexdigest()[:16]}"
        if status == 200:
            present: dict[str, Any] = there["dashboard"]
            _, versions = self._call("GET", f"{place}/versions?limit=1", doing, (200,))
            newest: dict[str, Any] = next(iter(versions.get("versions") or []), {})
            if newest.get("message") == message and there["meta"].get("folderUid") == board.audience.uid:
                return "unchanged"
            wanted |= {"id": present.get("id"), "version": present.get("version", 0)}
        body = {"dashboard": wanted, "folderUid": board.audience.uid, "overwrite": False, "message": message}
        answer, said = self._call("POST", "/api/dashboards/db", f"saving {board.uid}", (200, 412), body)
        if answer == 412:
            if said.get("status") == "version-mismatch":
                raise VersionConflict(self.url, board.uid)
            raise Refused(self.url, answer, f"saving {board.uid}", str(said.get("message", "")))
        return "updated" if status == 200 else "created"

    def _call(
        self, method: str, path: str, doing: str, expected: tuple[int, ...], body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            answer = self._session.request(method, self.url + path, json=body, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise GrafanaUnavailable(self.url, error) from error
        if answer.status_code in (401, 403):
            raise NotAllowed(self.url, answer.status_code, doing)
        if answer.status_code >= 500:
            raise GrafanaUnavailable(self.url, f"{answer.status_code} {answer.reason}")
        said = _json(answer)
        if answer.status_code not in expected:
            raise Refused(self.url, answer.status_code, doing, str(said.get("message", answer.reason)))
        return answer.status_code, said


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except requests.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
