"""The MQTT client: a persistent session, QoS 1, acknowledged only when told so, reconnecting by itself.

The library's thread reads from the network into a queue; whoever takes messages from it acknowledges them later. An
acknowledgement belongs to the connection by which its message came (``receipt``: connection, number, QoS): after a
reconnect the broker sends again what was not acknowledged, under the same number, which might mean another message if
it has forgotten the session.
"""

from __future__ import annotations

import queue
import ssl
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from meterlake.errors import UsageError
from producers.bridge.errors import BrokerRefused, BrokerUnavailable
from producers.bridge.reader import Arrived

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from meterlake.clock import Clock
    from meterlake.errors import MeterlakeError
    from producers.bridge.address import Broker
    from producers.bridge.totals import BridgeTotals

KEEPALIVE_S: Final = 30
SESSION_S: Final = 7 * 86_400
UNDER_WAY: Final = 1000
"""Most messages that a broker sends before it has acknowledgements (MQTT 5; for 3.1.1 it decides itself)."""
_QUEUED: Final = 1000
_LONGEST_PAUSE_S: Final = 30
_PASSING: Final = ("Server unavailable", "Server busy", "Quota exceeded", "Connection rate exceeded")
_TAKEN_OVER: Final = "Session taken over"


class MqttReader:
    """Reads the messages of some topics. topics: filter -> QoS."""

    def __init__(self, broker: Broker, topics: Mapping[str, int], clock: Clock, totals: BridgeTotals) -> None:
        self.where, self.trouble = broker.where, ""
        self._broker, self._topics, self._clock, self._totals = broker, topics, clock, totals
        self._queue: queue.Queue[Arrived] = queue.Queue(_QUEUED)
        self._connection, self._closed = 0, False
        self._failure: MeterlakeError | None = None
        self._unacknowledged: dict[int, Arrived] = {}
        self._client = self._made()

    def _made(self) -> Client:
        broker, is_5 = self._broker, self._broker.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if is_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password.get_secret_value() or None)
        if broker.tls:
            try:
                client.tls_set(ca_certs=None if broker.ca is None else str(broker.ca))
            except (OSError, ssl.SSLError) as error:
                problem = f"{broker.ca} holds no certificate that can be used: {str(error).rstrip('.')}."
                raise UsageError(problem, hint="Give the certificate (PEM) of the broker's authority.") from error
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        return client

    def connect(self) -> None:
        """Connect. Raises BrokerUnavailable or BrokerRefused; what comes later, ``take`` raises."""
        broker, more = self._broker, dict[str, Any]()
        if broker.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval, properties.ReceiveMaximum = SESSION_S, UNDER_WAY
            more = {"clean_start": False, "properties": properties}
        try:
            self._client.connect(broker.host, broker.port, KEEPALIVE_S, **more)
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefused(self.where, f"our trust: {error.verify_message}", _CA) from error
        except OSError as error:
            raise BrokerUnavailable(self.where, error.strerror or error) from error
        self._client.loop_start()

    def take(self, most: int, wait_s: float) -> list[Arrived]:
        """Return messages that have come; wait for the first one. Raises what has ended the connection for good."""
        if self._failure:
            raise self._failure
        taken: list[Arrived] = []
        try:
            taken.append(self._queue.get(timeout=wait_s))
            while len(taken) < most:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return taken

    def acknowledge(self, messages: Sequence[Arrived]) -> None:
        """Say that messages are safe; of those of an earlier connection, when they come again."""
        for message in messages:
            connection, mid, qos = message.receipt
            if qos and connection == self._connection:
                self._unacknowledged.pop(mid, None)
                self._client.ack(mid, qos)

    def close(self) -> None:
        """Leave; the broker keeps the session and what was not acknowledged."""
        self._closed = True
        self._client.disconnect()
        self._client.loop_stop()
        self._totals.connected = False

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, __: Properties | None
    ) -> None:
        if reason.is_failure:
            self.trouble = str(reason)
            if self.trouble not in _PASSING:
                hint = "Check --username and METERLAKE_MQTT_PASSWORD, --client-id, and --protocol."
                self._failure = BrokerRefused(self.where, f"the connection: {reason}", hint)
            return
        self._connection += 1
        if not flags.session_present:
            self._unacknowledged.clear()
        # A session keeps subscriptions, but maybe not those of this declaration.
        if self._connection == 1 or not flags.session_present:
            client.subscribe(self._subscriptions())
        else:
            self._totals.connected, self.trouble = True, ""

    def _subscriptions(self) -> list[Any]:
        if self._broker.protocol != "5":
            return list(self._topics.items())
        new = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        return [(topic, SubscribeOptions(qos, retainHandling=new)) for topic, qos in self._topics.items()]

    def _on_subscribe(
        self, _: Client, __: object, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                hint = "Allow it to this user at the broker, or declare another topic."
                self._failure = BrokerRefused(self.where, f"the topic {topic!r}: {reason}", hint)
                return
        self._totals.connected, self.trouble = True, ""

    def _on_disconnect(
        self, _: Client, __: object, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        self._totals.connected = False
        self.trouble = "" if self._closed else f"the connection ended ({reason})"
        if str(reason) == _TAKEN_OVER:
            hint = "Stop the other client, or choose another --client-id."
            self._failure = BrokerRefused(self.where, f"us: another client took {self._broker.client_id!r} over", hint)

    def _on_message(self, _: Client, __: object, message: MQTTMessage) -> None:
        at_ms = int(self._clock().timestamp() * 1000)
        before = self._unacknowledged.get(message.mid) if message.dup and message.qos else None
        if before and (before.topic, before.payload) == (message.topic, message.payload):
            at_ms = before.at_ms  # it came before, by another connection
        receipt = (self._connection, message.mid, message.qos)
        arrived = Arrived(message.topic, bytes(message.payload), at_ms, message.retain, receipt)
        if message.qos:
            self._unacknowledged[message.mid] = arrived
        while not self._closed:
            try:
                self._queue.put(arrived, timeout=1)
            except queue.Full:
                continue
            return


_CA: Final = "Give the certificate of its authority as --ca, and the name that stands in its certificate as the host."
