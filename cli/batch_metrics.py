"""Prometheus metrics of the batch layer: of one run a text file, of repeated runs a port on loopback, too."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Gauge, start_http_server, write_to_textfile

from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from meterlake.settings import Settings
    from serving_layer.publish.history import Record

_REGISTRY: Final = CollectorRegistry()


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"meterlake_batch_{name}", text, ("dataset", *labels), registry=_REGISTRY)


_PUBLISHED: Final = _gauge("published_timestamp_seconds", "When readers came to see the present run")
_BOUNDARY: Final = _gauge("boundary_timestamp_seconds", "Where the speed layer takes over from batch")
_DURATION: Final = _gauge("duration_seconds", "Duration of the last run")
_RECONCILED: Final = _gauge(
    "reconciled_minutes", "Minutes that the boundary moved over last, by how the layers compared", "outcome"
)
_PENDING: Final = _gauge(
    "reconciliation_pending_timestamp_seconds", "From when on minutes are still to be compared; 0 if none are"
)
_FAILED: Final = _gauge("reconciliation_failed", "1 if the layers could not be compared at the last move")


class MetricsPortBusy(PermanentError):
    """Another program listens on the port."""

    def __init__(self, port: int, cause: object) -> None:
        super().__init__(f"Port {port} for metrics cannot be used: {cause}.", hint="Choose another --metrics-port.")


def serve(port: int) -> None:
    """Serve the metrics until the process ends; 0 serves nothing. Raises MetricsPortBusy."""
    if port:
        try:
            start_http_server(port, addr="127.0.0.1", registry=_REGISTRY)
        except OSError as error:
            raise MetricsPortBusy(port, error.strerror) from error


def write(settings: Settings, record: Record, seconds: float) -> None:
    """Take a run's figures, and write all of them to the file that node_exporter's textfile collector may read."""
    name = record.dataset
    _PUBLISHED.labels(name).set(record.at.timestamp())
    _BOUNDARY.labels(name).set(record.boundary.timestamp())
    _DURATION.labels(name).set(seconds)
    result = record.details.get("reconciliation", {})
    for outcome, count in result.items():
        if isinstance(count, int):
            _RECONCILED.labels(name, outcome).set(count)
    pending = result.get("pending")
    _PENDING.labels(name).set(datetime.fromisoformat(pending["since"]).timestamp() if pending else 0)
    _FAILED.labels(name).set(1 if "failed" in result else 0)
    folder = settings.home / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(folder / f"batch_{name}.prom"), _REGISTRY)
