"""Brings the dashboards into a Grafana that runs elsewhere, through its HTTP API; doing it again changes nothing.

What was pushed is known again by the message of its version, which holds a digest. The dashboards themselves are not
compared: Grafana may give back an older form in a newer one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import requests
from grafana_client import GrafanaApi, TokenAuth
from grafana_client.client import GrafanaException, GrafanaServerError

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


def push(url: str, token: SecretStr, boards: Iterable[Board], report: Callable[[Pushed], None]) -> list[Pushed]:
    """Bring dashboards into the Grafana at ``url``; its data sources must have the uids of the provisioning.

    Raises GrafanaUnavailable, NotAllowed, VersionConflict or Refused; what was pushed before stays.
    """
    if not token.get_secret_value():
        raise PermanentError(
            "There is no token for Grafana.", hint=f"Set {_TOKEN} to the token of a service account (role Editor)."
        )
    grafana = _Grafana(url.rstrip("/"), token)
    result = []
    for board in boards:
        grafana.ensure_folder(board.audience)
        pushed = Pushed(board.uid, grafana.save(board), f"{grafana.url}/d/{board.uid}")
        report(pushed)
        result.append(pushed)
    return result


class _Grafana:
    """The few calls that are needed."""

    def __init__(self, url: str, token: SecretStr) -> None:
        self.url, self._folders = url, set[str]()
        parts = urlsplit(url)
        self._api = GrafanaApi(
            TokenAuth(token.get_secret_value()),
            host=parts.hostname,
            port=parts.port,
            url_path_prefix=f"{parts.path.strip('/')}/".lstrip("/"),
            protocol=parts.scheme,
            timeout=TIMEOUT_S,
        )
        session = self._api.client.s
        session.trust_env = False  # a proxy or .netrc of this user must not see, or replace, the token
        session.max_redirects = 0  # a POST that is sent elsewhere would arrive there as a GET

    def ensure_folder(self, audience: Audience) -> None:
        """Make the folder of an audience, once."""
        if audience.uid in self._folders:
            return
        read = partial(self._api.folder.get_folder, audience.uid)
        status, _ = self._call(f"reading folder {audience.title}", (404,), read)
        if status == 404:
            make = partial(self._api.folder.create_folder, audience.title, audience.uid)
            # 409 and 412: somebody has made it meanwhile.
            self._call(f"making folder {audience.title}", (409, 412), make)
        self._folders.add(audience.uid)

    def save(self, board: Board) -> Outcome:
        """Save a dashboard where it differs from what is there."""
        doing = f"reading {board.uid}"
        status, there = self._call(doing, (404,), partial(self._api.dashboard.get_dashboard, board.uid))
        wanted, message = board.json(), f"meterlake {hashlib.sha256(board.text().encode()).hexdigest()[:16]}"
        if status == 200:
            present: dict[str, Any] = there["dashboard"]
            # The client's own call for versions puts the limit where Grafana does not look.
            newest_first = partial(self._api.client.GET, f"/dashboards/uid/{board.uid}/versions?limit=1")
            _, versions = self._call(doing, (), newest_first)
            newest: dict[str, Any] = next(iter(versions.get("versions") or []), {})
            if newest.get("message") == message and there["meta"].get("folderUid") == board.audience.uid:
                return "unchanged"
            wanted |= {"id": present.get("id"), "version": present.get("version", 0)}
        body = {"dashboard": wanted, "folderUid": board.audience.uid, "overwrite": False, "message": message}
        doing = f"saving {board.uid}"
        answer, said = self._call(doing, (412,), partial(self._api.dashboard.update_dashboard, body))
        if answer == 412:
            if said.get("status") == "version-mismatch":
                raise VersionConflict(self.url, board.uid)
            raise Refused(self.url, answer, doing, str(said.get("message", "")))
        return "updated" if status == 200 else "created"

    def _call(self, doing: str, expected: tuple[int, ...], call: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of a call; ``expected`` are refusals that the caller understands."""
        try:
            said = call()
        except requests.TooManyRedirects as error:
            raise Refused(self.url, 302, doing, "it redirects; give the address to which it leads") from error
        except requests.RequestException as error:
            raise GrafanaUnavailable(self.url, error) from error
        except GrafanaServerError as error:
            raise GrafanaUnavailable(self.url, error.message) from error
        except GrafanaException as error:
            return self._refusal(doing, expected, error)
        if not isinstance(said, dict):
            raise Refused(self.url, 200, doing, "the answer is no JSON; is this Grafana's address?")
        return 200, said

    def _refusal(self, doing: str, expected: tuple[int, ...], error: GrafanaException) -> tuple[int, dict[str, Any]]:
        said = error.response if isinstance(error.response, dict) else {}
        if error.status_code in (401, 403):
            raise NotAllowed(self.url, error.status_code, doing) from error
        if error.status_code not in expected:
            raise Refused(self.url, error.status_code, doing, str(said.get("message", ""))) from error
        return error.status_code, said
