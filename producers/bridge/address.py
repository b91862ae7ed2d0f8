"""Where an MQTT broker is, and how it is spoken to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from meterlake.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

Protocol: TypeAlias = Literal["3.1.1", "5"]
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Broker:
    """A broker and our session with it. ca: certificates (PEM) that it is checked with, or those of the system."""

    host: str
    port: int
    client_id: str
    tls: bool = False
    ca: Path | None = None
    username: str = ""
    password: SecretStr = field(default=SecretStr(""), repr=False)
    protocol: Protocol = "3.1.1"

    @property
    def where(self) -> str:
        """As errors name it."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse(url: str) -> tuple[str, int, bool]:
    """Return host, port, and whether it is TLS, of ``mqtt://host:1883``. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError:
        host, port, scheme = None, None, ""
    if scheme not in _PORTS or not host or parts.path.strip("/") or parts.query or parts.username:
        raise UsageError(
            f"The broker {url!r} is none.",
            hint="Write mqtt://host:1883, or mqtts://host:8883 for TLS; a user as --username.",
        )
    return host, port or _PORTS[scheme], scheme == "mqtts"
