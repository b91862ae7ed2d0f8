"""``meterlake bridge``: other people's live messages into the topic of a data set."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, log_to_file, show
from cli.simulate_status import shown
from cli.stopping import stopped_by_signals
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import PermanentError, UsageError
from meterlake.log import get_logger
from meterlake.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.live.sources import LiveSource
    from producers.bridge.address import Broker
    from producers.bridge.reader import Reader
    from producers.bridge.run import Bridge
    from producers.bridge.totals import BridgeTotals

MetricsOption = Annotated[int, typer.Option(min=0, max=65535, help="Prometheus metrics; 0: none.")]

bridge = typer.Typer(no_args_is_help=True, help="Other people's live messages into the topic of a data set.")


class Protocol(StrEnum):
    """Version of MQTT."""

    V3 = "3.1.1"
    V5 = "5"


@bridge.command()
def mqtt(
    dataset: DatasetArgument,
    broker: Annotated[str, typer.Option(help="mqtt://host:1883, or mqtts://host:8883 for TLS.")],
    username: Annotated[str, typer.Option(help="Who we are; the password is METERLAKE_MQTT_PASSWORD.")] = "",
    ca: Annotated[Path | None, typer.Option(help="Certificates (PEM) that the broker is checked with.")] = None,
    client_id: Annotated[str, typer.Option("--client-id", help="Of our session; without it meterlake-DATASET.")] = "",
    protocol: Annotated[Protocol, typer.Option(help="Of MQTT. All brokers speak 3.1.1.")] = Protocol.V3,
    metrics_port: MetricsOption = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Subscribe to the topics that a data set declares, and send what they say to Kafka as readings.

    Runs until Ctrl-C or SIGTERM. A message is acknowledged to the broker when Kafka has its readings: killed in any way
    it loses nothing, start it again. Servers that go away are waited for. What makes no reading is in quarantine, with
    its reason. How messages are declared: docs/bridge.md.

    Examples:

    - `meterlake bridge mqtt plugs --broker mqtt://broker.local:1883`
    - `METERLAKE_MQTT_PASSWORD=… meterlake bridge mqtt plugs --broker mqtts://broker.local --username meter --ca ca.pem`
    """
    from producers.bridge.mqtt import MqttReader

    settings, sources = load_settings(), _sources(dataset, "mqtt")
    address = _broker(settings, broker, username, ca, client_id or f"meterlake-{dataset}", protocol)
    topics = {source.topic: source.qos for source in sources}
    _run(dataset, sources, lambda totals: MqttReader(address, topics, system_clock, totals), metrics_port, output)


@bridge.command()
def kafka(
    dataset: DatasetArgument,
    group: Annotated[str, typer.Option(help="Of consumers; without it meterlake-DATASET-bridge.")] = "",
    metrics_port: MetricsOption = 0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read topics of other people in the same Kafka, and send what they say to the data set's topic as readings.

    For sources that are declared with transport="kafka". Runs until Ctrl-C or SIGTERM. Offsets are committed when the
    readings are safe: killed in any way it loses nothing, start it again.

    Examples:

    - `meterlake bridge kafka plugs`
    """
    from producers.bridge.kafka import KafkaReader

    settings, sources = load_settings(), _sources(dataset, "kafka")
    names = list(dict.fromkeys(source.topic for source in sources))
    members = group or f"meterlake-{dataset}-bridge"
    _run(
        dataset,
        sources,
        lambda totals: KafkaReader(settings, names, members, system_clock, totals),
        metrics_port,
        output,
    )


def _sources(dataset: str, transport: str) -> tuple[LiveSource, ...]:
    result = tuple(source for source in registry.entry(dataset).bridges() if source.transport == transport)
    if not result:
        raise PermanentError(
            f"Data set {dataset!r} has no live source with transport={transport!r}.",
            hint="Declare one, or use the command of the other transport.",
        )
    return result


def _run(
    dataset: str,
    sources: tuple[LiveSource, ...],
    reader: Callable[[BridgeTotals], Reader],
    metrics_port: int,
    output: Output,
) -> None:
    from producers.bridge.metrics import BridgeMetrics
    from producers.bridge.run import Bridge
    from producers.bridge.state import StateStore
    from producers.metrics import collected

    settings, stop, transport = load_settings(), Event(), sources[0].transport
    log_to_file(settings, f"bridge-{transport}", dataset)
    with ExitStack() as stack:
        path = settings.home / "bridge" / f"{dataset}-{transport}.sqlite"
        store = stack.enter_context(closing(StateStore(path)))
        running = Bridge(settings, registry.declaration(dataset), sources, reader, store, stop)
        stack.enter_context(collected(metrics_port, BridgeMetrics(running.totals)))
        stack.enter_context(stopped_by_signals(stop))
        stack.callback(_show, running, output)
        stack.enter_context(shown(Status(running)))
        running.run()


class Status:
    """How a bridge goes, in one line."""

    def __init__(self, running: Bridge) -> None:
        self._running = running

    def line(self) -> Text:
        """Return the line of this moment."""
        totals = self._running.totals
        parts = [
            f"messages {totals.messages:,}",
            f"readings {totals.readings:,}",
            f"refused {sum(dict(totals.refused).values()):,}",
            f"acknowledged {totals.acknowledged:,}",
        ]
        if totals.last_ms:
            parts.insert(0, f"{datetime.fromtimestamp(totals.last_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}")
        text, trouble = Text(" · ".join(parts)), self._running.trouble()
        if trouble:
            text.append(f" · waiting for {trouble}", style="bold red")
        return text


def _show(running: Bridge, output: Output) -> None:
    facts = running.totals.facts()
    get_logger().debug("bridge ended", **facts)
    if output is Output.JSON:
        show([facts], output)
        return
    listed = ", ".join(f"{reason} {count:,}" for reason, count in facts["refused"].items())
    rows = [{"what": name, "value": f"{value:,}"} for name, value in facts.items() if name != "refused" and value]
    show([*rows, *([{"what": "refused", "value": listed}] if listed else [])], output)


def _broker(settings: Settings, url: str, username: str, ca: Path | None, client_id: str, protocol: Protocol) -> Broker:
    from producers.bridge.address import Broker, parse

    host, port, tls = parse(url)
    if ca and not tls:
        raise UsageError(f"--ca {ca} is for TLS, and {url} is without.", hint="Write mqtts://….")
    if ca and not ca.is_file():
        raise UsageError(f"--ca {ca}: there is no such file.", hint="Give the certificate of the broker's authority.")
    password = settings.mqtt_password
    if password.get_secret_value() and not username:
        raise UsageError("METERLAKE_MQTT_PASSWORD is set, and no user.", hint="Give --username, or unset it.")
    return Broker(host, port, client_id, tls, ca, username, password, protocol.value)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.add_typer(bridge, name="bridge", rich_help_panel="Readings in")
