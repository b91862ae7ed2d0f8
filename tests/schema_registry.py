"""A schema registry for tests: the HTTP API that Confluent documents, as far as readers of messages ask for it."""

from __future__ import annotations

import base64
import io
import json
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro


@dataclass
class Registry:
    """schemas: by number. subjects: by subject and version. user: ``user:password``, where one is needed.

    status: what it answers to everything, where it is not 200. asked: the paths of all requests.
    """

    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    user: str = ""
    status: int = 200
    body: bytes | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def register(self, number: int, schema: Any, **more: Any) -> None:
        """Have a schema under a number."""
        self.schemas[number] = {"schema": json.dumps(schema), **more}

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Return what a request gets."""
        self.asked.append(path)
        if self.user and authorization != f"Basic {base64.b64encode(self.user.encode()).decode()}":
            return 401, b'{"error_code":40101,"message":"Unauthorized"}'
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b'{"error_code":50001,"message":"Error in the backend"}'
        parts = path.strip("/").split("/")
        result = None
        if parts[:2] == ["schemas", "ids"]:
            result = self.schemas.get(int(parts[2]))
        elif parts[0] == "subjects":
            result = self.subjects.get((parts[1], int(parts[3])))
        if result is None:
            return 404, b'{"error_code":40403,"message":"Schema not found"}'
        return 200, json.dumps(result).encode()


@contextmanager
def serving(registry: Registry, context: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """Run it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = registry.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    registry.url = f"{'https' if context else 'http'}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def message(number: int, schema: Any, content: Any, named: list[Any] = ()) -> bytes:  # type: ignore[assignment]
    """Return a message as Confluent's serializers write it."""
    known: dict[str, Any] = {}
    for other in named:
        fastavro.parse_schema(other, named_schemas=known)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, named_schemas=known), content)
    return struct.pack(">bI", 0, number) + body.getvalue()
