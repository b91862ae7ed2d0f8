"""What the commands of servers, and a bridge, print on terminals of 80 and of 200 columns."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import screen_samples
from kafka_groups import committed
from mqtt_brokers import until
from screen_samples import WIDTHS, Screens

from engines import kafka
from meterlake.settings import Settings
from stack import launcher
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
COMMANDS = ("up kafka", "status", "bridge kafka rooms", "down", "down")
ROOMS = """
from meterlake.dataset import DataSet
from meterlake.declaration import Level, MeterSeries, View
from meterlake.live.sources import LiveSource, Time, Value

ROOMS = MeterSeries(
    name="rooms",
    time_zone="Europe/Berlin",
    intervals=("1 min",),
    measures=(Level("temperature", unit="°C", resolution="0.1", between=(-40, 60)),),
    views=(View("hour"),),
)
SOURCE = LiveSource(
    dataset=ROOMS,
    transport="kafka",
    topic="rooms.raw",
    meter="id",
    interval_s=60,
    time=Time("t", "epoch_s"),
    values=(Value("temp", "temperature"),),
)
DATASET = DataSet(declaration=ROOMS, bridges=(SOURCE,))
"""
MESSAGES = (b'{"id": "hall", "t": 1795262400, "temp": 19.5}', b'{"id": "hall", "t": 1795262460}')


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """A home of its own, in which nothing was started yet, with a data set of rooms."""
    (tmp_path / "sets" / "rooms").mkdir(parents=True)
    (tmp_path / "sets" / "rooms" / "__init__.py").write_text(ROOMS, encoding="utf-8")
    result = Instance(Settings(home=tmp_path / "home", port_offset=20000))
    monkeypatch.setenv("METERLAKE_HOME", str(result.home))
    monkeypatch.setenv("METERLAKE_PORT_OFFSET", str(result.settings.port_offset))
    monkeypatch.setenv("METERLAKE_DATASETS", str(tmp_path / "sets"))
    yield result
    launcher.down(result, lambda *_: None)


@contextmanager
def ended_when_read(settings: Settings, width: int) -> Iterator[None]:
    """Send what a bridge is to read, and end it, as Ctrl-C does, when it has committed that."""
    if width == WIDTHS[0]:
        kafka.create_topic(settings, "rooms.raw", 1)
    for message in MESSAGES:
        kafka.send_one(settings, "rooms.raw", message)
    read = len(MESSAGES) * (WIDTHS.index(width) + 1)

    def end() -> None:
        until(lambda: committed(settings, "meterlake-rooms-bridge", "rooms.raw") == read)
        os.kill(os.getpid(), signal.SIGTERM)

    ending = threading.Thread(target=end)
    ending.start()
    yield
    ending.join()


def test_screens_of_servers(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = instance.settings
    before = signal.getsignal(signal.SIGTERM)
    screens: Screens = {}
    for width in WIDTHS:
        for number, command in enumerate(COMMANDS):
            is_bridge = command.startswith("bridge")  # its messages are log lines, for a terminal to fold
            with ended_when_read(settings, width) if is_bridge else nullcontext():
                code, text = screen_samples.screen(monkeypatch, command, width, messages=not is_bridge)
            assert (code, screen_samples.too_wide(text, width)) == (0, []), command
            screens[f"{command}  # {number + 1}", width] = text
        if width == WIDTHS[0]:
            _, text = screen_samples.screen(monkeypatch, "logs kafka -n 2", width)
            log = instance.log("kafka").read_text(encoding="utf-8").splitlines()
            assert text.splitlines() == [line.rstrip() for line in log[-2:]]  # Kafka's words, whole
    signal.signal(signal.SIGTERM, before)
    screen_samples.assert_as_stored(screens, [f"{one}  # {n + 1}" for n, one in enumerate(COMMANDS)], "servers", {})
