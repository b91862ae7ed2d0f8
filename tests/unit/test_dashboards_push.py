"""``dashboards --push`` against an HTTP server that speaks the documented part of Grafana's API.

Grafana's own server is not to be had where these tests run, so this shows that the client keeps to the documentation
(https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/ and folder/), not that Grafana does.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from meterlake.errors import PermanentError
from serving_layer.dashboards import catalogue, push
from serving_layer.dashboards.push import GrafanaUnavailable, NotAllowed, Refused, VersionConflict

pytestmark = pytest.mark.unit

TOKEN = SecretStr("glsa_right")
BOARDS = catalogue.all_boards()


class Grafana:
    """Folders and dashboards with versions, and a log of what was asked."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.places: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.asked: list[str] = []
        self.broken = 0
        self.save_meanwhile = ""
        self.provisioned = False

    def answer(self, method: str, path: str, token: str | None, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.broken:
            return self.broken, "<html>bad gateway</html>"
        if token != f"Bearer {TOKEN.get_secret_value()}":
            return (403, {"message": "no"}) if token == "Bearer viewer" else (401, {"message": "Invalid API key"})
        if method == "POST":
            return self.make_folder(body) if path == "/api/folders" else self.save(body)
        return self.read(path)

    def read(self, path: str) -> tuple[int, Any]:
        if match := re.fullmatch(r"/api/folders/(.+)", path):
            return (200, {"uid": match[1]}) if match[1] in self.folders else (404, {"message": "folder not found"})
        uid, _, versions = path.removeprefix("/api/dashboards/uid/").partition("/")
        if versions:
            newest = {"version": self.dashboards[uid]["version"], "message": self.messages[uid]}
            return 200, {"continueToken": "", "versions": [newest]}
        if uid not in self.dashboards:
            return 404, {"message": "Dashboard not found"}
        result = json.loads(json.dumps(self.dashboards[uid]))
        if uid == self.save_meanwhile:
            self.dashboards[uid]["version"] += 1
        return 200, {"dashboard": result, "meta": {"folderUid": self.places[uid]}}

    def make_folder(self, body: Any) -> tuple[int, Any]:
        self.folders[body["uid"]] = body["title"]
        return 200, body

    def save(self, body: Any) -> tuple[int, Any]:
        wanted = body["dashboard"]
        present = self.dashboards.get(wanted["uid"])
        if self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        if present and not body["overwrite"]:
            if wanted["id"] is None:
                return 412, {"status": "name-exists", "message": "A dashboard with the same uid already exists"}
            if wanted["version"] != present["version"]:
                return 412, {"status": "version-mismatch", "message": "The dashboard has been changed by someone else"}
        number = present["id"] if present else len(self.dashboards) + 1
        version = present["version"] + 1 if present else 1
        self.dashboards[wanted["uid"]] = {**wanted, "id": number, "version": version}
        self.places[wanted["uid"]] = body["folderUid"]
        self.messages[wanted["uid"]] = body["message"]
        return 200, {"status": "success", "uid": wanted["uid"], "version": version}


@pytest.fixture
def grafana() -> Grafana:
    return Grafana()


@pytest.fixture
def url(grafana: Grafana) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, body: Any) -> None:
            status, said = grafana.answer(self.command, self.path, self.headers.get("Authorization"), body)
            text = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def outcomes(url: str, token: SecretStr = TOKEN) -> list[str]:
    return [pushed.outcome for pushed in push.push(url, token, BOARDS, lambda _: None)]


def test_what_is_there_is_what_the_code_says_and_a_second_time_changes_nothing(grafana: Grafana, url: str) -> None:
    assert outcomes(url) == ["created"] * len(BOARDS)
    assert grafana.folders == {"meterlake-consumption": "Consumption", "meterlake-operation": "Operation"}
    for board in BOARDS:
        assert {**grafana.dashboards[board.uid], "id": None} == {**board.json(), "version": 1}
        assert grafana.places[board.uid] == board.audience.uid
    asked = len(grafana.asked)
    assert outcomes(url) == ["unchanged"] * len(BOARDS)
    assert all(line.startswith("GET ") for line in grafana.asked[asked:])
    assert all(dashboard["version"] == 1 for dashboard in grafana.dashboards.values())


def test_what_was_changed_by_hand_is_put_back_and_what_was_moved_comes_home(grafana: Grafana, url: str) -> None:
    outcomes(url)
    grafana.dashboards[BOARDS[0].uid]["title"] = "mine"
    grafana.messages[BOARDS[0].uid] = ""
    grafana.places[BOARDS[1].uid] = "elsewhere"
    assert outcomes(url) == ["updated", "updated", *["unchanged"] * (len(BOARDS) - 2)]
    assert grafana.dashboards[BOARDS[0].uid]["title"] == BOARDS[0].dashboard.title
    assert grafana.dashboards[BOARDS[0].uid]["version"] == 2


def test_a_change_between_reading_and_saving_is_not_overwritten(grafana: Grafana, url: str) -> None:
    outcomes(url)
    uid = BOARDS[2].uid
    grafana.dashboards[uid]["title"] = "theirs"
    grafana.messages[uid] = ""
    grafana.save_meanwhile = uid
    with pytest.raises(VersionConflict, match=uid):
        outcomes(url)
    assert grafana.dashboards[uid]["title"] == "theirs"


@pytest.mark.parametrize(("token", "says"), [("wrong", "knows no such token"), ("viewer", "does not let this token")])
def test_a_token_that_may_not_is_named_but_not_shown(grafana: Grafana, url: str, token: str, says: str) -> None:
    with pytest.raises(NotAllowed, match=says) as caught:
        outcomes(url, SecretStr(token))
    assert "METERLAKE_GRAFANA_TOKEN" in caught.value.hint
    assert token not in str(caught.value).replace("this token", "")
    assert not grafana.dashboards


def test_without_a_token_nobody_is_asked(grafana: Grafana, url: str) -> None:
    with pytest.raises(PermanentError, match="no token"):
        outcomes(url, SecretStr(""))
    assert grafana.asked == []


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(GrafanaUnavailable, match=f"http://127.0.0.1:{port} does not answer"):
            outcomes(f"http://127.0.0.1:{port}")


def test_a_proxy_in_trouble_is_worth_a_retry(grafana: Grafana, url: str) -> None:
    grafana.broken = 502
    with pytest.raises(GrafanaUnavailable, match="502"):
        outcomes(url)


def test_any_other_answer_is_passed_on_with_its_reason(grafana: Grafana, url: str) -> None:
    grafana.provisioned = True
    with pytest.raises(Refused, match=rf"saving {BOARDS[0].uid} \(400\): Cannot save provisioned dashboard"):
        outcomes(url)
