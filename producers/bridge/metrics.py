"""The totals of a bridge as Prometheus metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producers.bridge.totals import BridgeTotals


class BridgeMetrics(Collector):
    """Reads the totals when it is asked."""

    def __init__(self, totals: BridgeTotals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Return the counts of this moment."""
        totals = self._totals
        for name, value, doc in (
            ("messages", totals.messages, "Messages that came."),
            ("readings", totals.readings, "Readings made of them."),
            ("remembered", totals.remembered, "Messages that are in the next reading of their meter."),
            ("sent", totals.sent, "Messages handed to Kafka."),
            ("acknowledged", totals.acknowledged, "Messages that Kafka has acknowledged."),
        ):
            yield CounterMetricFamily(f"meterlake_bridge_{name}", doc, value=value)
        refused = CounterMetricFamily("meterlake_bridge_refused", "Sent to quarantine.", labels=["reason"])
        for reason, count in dict(totals.refused).items():
            refused.add_metric([reason], count)
        yield refused
        yield GaugeMetricFamily("meterlake_bridge_connected", "The MQTT broker answers.", value=int(totals.connected))
        yield GaugeMetricFamily(
            "meterlake_bridge_last_message_timestamp_seconds", "Last arrival.", value=totals.last_ms / 1000
        )
