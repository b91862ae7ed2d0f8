"""Dremio through its REST API, version 3: its catalogue, and statements as jobs.

Written after Dremio's API reference (docs.dremio.com, version 26) and tried against a server that answers as that says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.errors import PermanentError, UsageError

if TYPE_CHECKING:
    from meterlake.settings import Settings

_NAME: Final = "Dremio"
_TIMEOUT_S: Final = 60
_FAILED: Final = ("FAILED", "CANCELED")
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Between two looks at a job; the last one again and again."""


class Dremio:
    """A server, as one of its users."""

    def __init__(self, settings: Settings, pause: Callable[[float], None] = time.sleep) -> None:
        """Log in. Raises UsageError where settings are missing, EngineUnavailable, PermanentError."""
        password = settings.dremio_password.get_secret_value()
        if not (settings.dremio_url and settings.dremio_user and password):
            raise UsageError(
                "It is not known where Dremio is, or who uses it.",
                hint="Set METERLAKE_DREMIO_URL (http://host:9047), METERLAKE_DREMIO_USER, METERLAKE_DREMIO_PASSWORD.",
            )
        self._url, self._pause = settings.dremio_url.rstrip("/"), pause
        self._session = requests.Session()
        words = {"userName": settings.dremio_user, "password": password}
        answer = self._send("POST", "apiv2/login", words)
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise PermanentError(
                f"Dremio at {self._url} does not know {settings.dremio_user}, or not with this password.",
                hint="A new Dremio asks for its first user in the browser.",
            )
        token = _checked(answer, "apiv2/login")["token"]
        self._session.headers["Authorization"] = f"_dremio{token}"

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def find(self, path: tuple[str, ...]) -> dict[str, Any] | None:
        """Return what the catalogue has at a path; None where there is nothing. Raises what ``create`` raises."""
        where = f"api/v3/catalog/by-path/{'/'.join(quote(part, safe='') for part in path)}"
        answer = self._send("GET", where)
        return None if answer.status_code == HTTPStatus.NOT_FOUND else _checked(answer, where)

    def create(self, entity: dict[str, Any]) -> None:
        """Add something to the catalogue. Raises EngineUnavailable, PermanentError where Dremio refuses."""
        _checked(self._send("POST", "api/v3/catalog", entity), "api/v3/catalog")

    def update(self, known: dict[str, Any], entity: dict[str, Any]) -> None:
        """Replace what the catalogue has by another state of it. Raises what ``create`` raises."""
        where = f"api/v3/catalog/{quote(known['id'], safe='')}"
        _checked(self._send("PUT", where, {**entity, "id": known["id"], "tag": known["tag"]}), where)

    def run(self, statement: str) -> None:
        """Run a statement, and wait until its job has ended. Raises what ``create`` raises, and QueryFailed."""
        job = _checked(self._send("POST", "api/v3/sql", {"sql": statement}), "api/v3/sql")["id"]
        where, looks = f"api/v3/job/{job}", 0
        while True:
            status = _checked(self._send("GET", where), where)
            if status["jobState"] in _FAILED:
                reason = status.get("errorMessage") or status.get("cancellationReason") or status["jobState"]
                raise QueryFailed(_NAME, statement, reason)
            if status["jobState"] == "COMPLETED":
                return
            self._pause(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
            looks += 1

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        try:
            answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise EngineUnavailable(_NAME, self._url, error) from error
        if answer.status_code in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT):
            raise EngineUnavailable(_NAME, self._url, f"it answers {answer.status_code}")
        return answer


def _checked(answer: requests.Response, where: str) -> dict[str, Any]:
    """Return what Dremio answers. Raises PermanentError where it refuses, or where it is no Dremio."""
    try:
        content = answer.json()
    except requests.JSONDecodeError as error:
        raise PermanentError(
            f"What is at {answer.url} is no Dremio: it answers {answer.status_code} without JSON.",
            hint="METERLAKE_DREMIO_URL is the address of its pages, such as http://localhost:9047.",
        ) from error
    if not answer.ok:
        reason = content.get("errorMessage", content) if isinstance(content, dict) else content
        raise PermanentError(f"Dremio refuses {answer.request.method} {where} ({answer.status_code}): {reason}")
    result: dict[str, Any] = content
    return result
