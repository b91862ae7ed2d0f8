"""Events of lineage by the OpenLineage standard: what each job read and wrote, by which run and version of the code.

They go into a file (a line an event) or to a server, as METERLAKE_LINEAGE says; without it nothing is sent. A job that
works is not failed by a server of lineage that does not answer: that is logged. Nor is it held up for long: an event is
tried several times, and where it does not arrive, a circuit breaker leaves the server alone for a minute.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlparse

from pybreaker import CircuitBreaker, CircuitBreakerError

from meterlake.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openlineage.client.transport import Transport

    from meterlake.clock import Clock
    from meterlake.settings import Settings

NAMESPACE: Final = "meterlake"
PRODUCER: Final = "https://meterlake.example"
"""URI that names the code that sends events, as the standard asks for; nothing is there."""
PAUSE_S: Final = 60
"""So long a target is left alone after an event did not reach it."""
_ENDPOINT: Final = "api/v1/lineage"
_breakers: dict[str, CircuitBreaker] = {}


@dataclass
class Done:
    """What a job says of itself before it ends. run: by its own name. rows: table -> how many it has changed.

    reads: what turned out to be read besides.
    """

    run: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)

    def of(self, run: str, rows: Mapping[str, int]) -> None:
        """Note the run, and what it has changed."""
        self.run = run
        self.rows.update(rows)


def breaker(target: str) -> CircuitBreaker:
    """Return the circuit breaker of a target, the same one for all jobs of the process."""
    made = CircuitBreaker(fail_max=1, reset_timeout=PAUSE_S, throw_new_error_on_trip=False)
    return _breakers.setdefault(target, made)


@contextmanager
def job(
    settings: Settings, name: str, clock: Clock, reads: Iterable[str], writes: Iterable[str] = ()
) -> Iterator[Done]:
    """Send that a job begins, and that it is complete or has failed.

    name: such as ``half_hourly.present``. reads, writes: names of tables as Trino reads them, or addresses of files and
    databases, without passwords.
    """
    done = Done()
    if not settings.lineage:
        yield done
        return
    events = _Events(settings, name, clock)
    events.send("START", done, list(reads), list(writes))
    try:
        yield done
    except BaseException as error:
        events.send("FAIL", done, list(reads), list(writes), error)
        raise
    events.send("COMPLETE", done, list(reads), list(writes))


class _Events:
    """The events of one run of a job."""

    def __init__(self, settings: Settings, name: str, clock: Clock) -> None:
        from openlineage.client.uuid import generate_new_uuid

        self._settings, self._name, self._clock = settings, name, clock
        self._id, self._transport = str(generate_new_uuid()), _transport(settings)

    def send(
        self, state: str, done: Done, reads: list[str], writes: list[str], error: BaseException | None = None
    ) -> None:
        """Send one event; where that fails, log it."""
        from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import output_statistics_output_dataset
        from requests import RequestException

        inputs = [InputDataset(*self._named(one)) for one in dict.fromkeys([*reads, *done.reads])]
        outputs = []
        for one in dict.fromkeys([*writes, *done.rows]):
            counted: dict[str, Any] = {}
            if one in done.rows:
                statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
                counted["outputStatistics"] = statistics(rowCount=done.rows[one])
            outputs.append(OutputDataset(*self._named(one), outputFacets=counted))
        event = RunEvent(
            eventType=RunState[state],
            eventTime=self._clock().isoformat(),
            run=Run(self._id, self._facets(done, error)),
            job=Job(NAMESPACE, self._name),
            inputs=inputs,
            outputs=outputs,
            producer=PRODUCER,
        )
        try:
            breaker(self._settings.lineage).call(self._transport.emit, event)
        except CircuitBreakerError:
            get_logger().warning(
                f"The event {state} of {self._name} was not sent: {self._settings.lineage} took none a moment ago."
            )
        except (RequestException, OSError, RuntimeError) as cause:
            get_logger().warning(f"The event {state} of {self._name} did not reach {self._settings.lineage}: {cause}")

    def _facets(self, done: Done, error: BaseException | None) -> dict[str, Any]:
        from openlineage.client.facet_v2 import error_message_run, external_query_run, processing_engine_run

        engine = processing_engine_run.ProcessingEngineRunFacet(version=version("meterlake"), name="meterlake")
        facets: dict[str, Any] = {"processing_engine": engine}
        if done.run:
            facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
                externalQueryId=done.run, source="meterlake runs"
            )
        if error is not None:
            words = str(error) or type(error).__name__
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(words, "PYTHON")
        return facets

    def _named(self, one: str) -> tuple[str, str]:
        """Return (namespace, name): of tables those of Trino, of files and databases those of their address."""
        address = urlparse(one)
        if address.scheme:
            return f"{address.scheme}://{address.netloc}" if address.netloc else address.scheme, address.path or "/"
        if one.startswith("/"):
            return "file", one
        return f"trino://{urlparse(self._settings.trino).netloc}", one


def _transport(settings: Settings) -> Transport:
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    if urlparse(settings.lineage).scheme not in ("http", "https"):
        return FileTransport(FileConfig(log_file_path=settings.lineage.removeprefix("file://"), append=True))
    token = settings.lineage_token.get_secret_value()
    auth = {"auth": {"type": "api_key", "apiKey": token}} if token else {}
    return HttpTransport(HttpConfig.from_dict({"url": settings.lineage, "endpoint": _ENDPOINT, **auth}))
