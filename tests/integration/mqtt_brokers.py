"""Real MQTT brokers for the tests: amqtt, which comes with the development packages, and mosquitto.

Only mosquitto keeps sessions as the standard says: what was not acknowledged comes again, also after a kill. It is that
of the machine, or Debian's packages unpacked into the cache (by apt, which checks them; nothing is installed).
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

_AMQTT: Final = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
OPEN: Final = "allow_anonymous true"
_MOSQUITTO: Final = """
listener {port} 127.0.0.1
{access}
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
user root
"""


def until(condition: Callable[[], bool]) -> None:
    """Return when something holds."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class MqttBroker:
    """A broker on a port of its own, that can be killed and started again. access: lines of mosquitto's settings."""

    def __init__(self, kind: str, folder: Path, cache: Path, access: str = OPEN) -> None:
        self.port = free_port()
        self.url, self._log = f"mqtt://127.0.0.1:{self.port}", folder / "broker.log"
        config = folder / "broker.conf"
        config.write_text(
            (_AMQTT if kind == "amqtt" else _MOSQUITTO).format(port=self.port, folder=folder, access=access)
        )
        program, self._environment = (
            (Path(sys.executable).with_name("amqtt"), {}) if kind == "amqtt" else mosquitto(cache)
        )
        self._command = [str(program), "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when a client can connect."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **self._environment}
            )
        until(self._answers)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def running(kind: str, folder: Path, cache: Path, access: str = OPEN) -> Iterator[MqttBroker]:
    """A broker that runs. kind: amqtt or mosquitto."""
    broker = MqttBroker(kind, folder, cache, access)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def mosquitto(cache: Path) -> tuple[Path, dict[str, str]]:
    """Return mosquitto's program and the environment that it needs; skip the test where it cannot be had."""
    for folder in ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"):
        installed = shutil.which("mosquitto", path=f"{folder}:{os.environ['PATH']}")
        if installed:
            return Path(installed), {}
    root = cache / "test-mosquitto"
    program = root / "usr/sbin/mosquitto"
    if not program.exists() and not _unpacked(root):
        pytest.skip("mosquitto is not installed, and apt cannot bring it")
    return program, {"LD_LIBRARY_PATH": str(root / f"usr/lib/{platform.machine()}-linux-gnu")}


def _unpacked(root: Path) -> bool:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    partial = root.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    asked = ["apt-get", "-qq", "--print-uris", "--no-install-recommends", "install", "mosquitto"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False)
    names = [line.split()[1].partition("_")[0] for line in listed.stdout.splitlines() if line.startswith("'")]
    if listed.returncode or not names:
        return False
    got = subprocess.run(["apt-get", "-qq", "download", *names], cwd=partial, capture_output=True, check=False)
    if got.returncode:
        return False
    for package in partial.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(partial)], check=True)
    partial.rename(root)
    return True


class Publisher:
    """A device: sends with QoS 1, and again after the broker was away."""

    def __init__(self, broker: MqttBroker) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="device", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._sent: list[MQTTMessageInfo] = []

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message, or keep it until the broker is back."""
        self._sent.append(self._client.publish(topic, payload, qos=1))

    def taken(self) -> bool:
        """Return whether the broker has acknowledged all."""
        return all(one.is_published() for one in self._sent)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
