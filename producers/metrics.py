"""The totals of a run as Prometheus metrics, on loopback."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from meterlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producers.pace import Pace
    from producers.totals import Totals


class _Totals(Collector):
    def __init__(self, totals: Totals, pace: Pace) -> None:
        self._totals, self._pace = totals, pace

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Return the counts of this moment."""
        totals = self._totals
        for name, value, doc in (
            ("readings", totals.readings, "Readings of the script."),
            ("sent", totals.sent, "Messages handed to the sink."),
            ("acknowledged", totals.acknowledged, "Messages that the sink has acknowledged."),
        ):
            yield CounterMetricFamily(f"meterlake_simulator_{name}", doc, value=value)
        faults = CounterMetricFamily("meterlake_simulator_faults", "Faults put in.", labels=["fault"])
        for name, count in dict(totals.faults).items():
            faults.add_metric([name], count)
        yield faults
        yield GaugeMetricFamily("meterlake_simulator_event_time_seconds", "Time of the readings.", value=totals.until)
        yield GaugeMetricFamily("meterlake_simulator_behind_seconds", "Behind schedule.", value=self._pace.behind_s)


def served(port: int, totals: Totals, pace: Pace) -> AbstractContextManager[None]:
    """Serve the metrics of a simulation while the body runs, as ``collected``."""
    return collected(port, _Totals(totals, pace))


@contextmanager
def collected(port: int, collector: Collector) -> Iterator[None]:
    """Serve metrics while the body runs; port 0: do not. Raises UsageError where the port is taken."""
    if not port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used for metrics: {error.strerror}.", hint="Choose another --metrics-port."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
