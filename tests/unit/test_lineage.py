"""Events of lineage: what each job read and wrote, to a file and to a server; one that is away fails no job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from structlog.testing import capture_logs

from batch_layer.ingest.load import load
from batch_layer.ingest.request import Request
from batch_layer.pipeline.batch import run_batch
from batch_layer.pipeline.cost import run_costs
from batch_layer.pipeline.present import Source, load_references, run_presentation
from batch_layer.pipeline.vee import run_vee
from batch_layer.presentation.run import Asked as Days
from batch_layer.views.plan import Request as Asked
from engines import lineage
from engines.errors import EngineUnavailable
from meterlake import registry
from meterlake.generator import Made
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 26, 18, tzinfo=UTC)
TRINO = "trino://127.0.0.1:8080"


def settings_of(target: str, **more: Any) -> Settings:
    return Settings(lineage=target, trino_url="http://127.0.0.1:8080", **more)


def work(settings: Settings, *, fails: bool = False) -> None:
    reads = ["hive.batch.a_half_hour", "postgresql://me@crm/agreements", "/data/a.json"]
    with lineage.job(settings, "a.present", lambda: NOW, reads, ["delta.staging.a"]) as job:
        if fails:
            raise ValueError("no room")
        job.of("20261126T180000-ab", {"delta.presentation.a_cost": 3})


def test_a_job_says_what_it_read_and_wrote_by_which_run_and_code(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    work(settings_of(str(file)))
    start, complete = (json.loads(line) for line in file.read_text().splitlines())
    assert [event["eventType"] for event in (start, complete)] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"] == {"namespace": "meterlake", "name": "a.present", "facets": {}}
    assert complete["eventTime"] == "2026-11-26T18:00:00+00:00"
    assert [(one["namespace"], one["name"]) for one in complete["inputs"]] == [
        (TRINO, "hive.batch.a_half_hour"),
        ("postgresql://me@crm", "/agreements"),
        ("file", "/data/a.json"),
    ]
    counts = {
        one["name"]: one["outputFacets"].get("outputStatistics", {}).get("rowCount") for one in complete["outputs"]
    }
    assert counts == {"delta.staging.a": None, "delta.presentation.a_cost": 3}
    facets = complete["run"]["facets"]
    assert facets["externalQuery"]["externalQueryId"] == "20261126T180000-ab"
    assert (facets["processing_engine"]["name"], facets["processing_engine"]["version"]) == (
        "meterlake",
        version("meterlake"),
    )


def test_a_job_that_fails_says_why_and_still_fails(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with pytest.raises(ValueError, match="no room"):
        work(settings_of(str(file)), fails=True)
    _, failed = (json.loads(line) for line in file.read_text().splitlines())
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "no room"


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str | None, dict[str, Any]]]]]:
    taken: list[tuple[str, str | None, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(401 if self.headers["Authorization"] == "Bearer refused" else 201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", taken
        running.shutdown()
        thread.join()


def test_a_server_gets_the_events_and_the_token(
    server: tuple[str, list[tuple[str, str | None, dict[str, Any]]]],
) -> None:
    address, taken = server
    work(settings_of(address, lineage_token="secret"))
    assert [(path, token, event["eventType"]) for path, token, event in taken] == [
        ("/api/v1/lineage", "Bearer secret", "START"),
        ("/api/v1/lineage", "Bearer secret", "COMPLETE"),
    ]


def test_a_server_that_takes_nothing_is_left_alone_for_a_while(
    server: tuple[str, list[tuple[str, str | None, dict[str, Any]]]],
) -> None:
    address, taken = server
    refused, right = settings_of(address, lineage_token="refused"), settings_of(address, lineage_token="right")
    with capture_logs() as lines:
        work(refused)
        work(right)
    assert [event["eventType"] for *_, event in taken] == ["START"]  # none of the other three was tried
    said = " ".join(line["event"] for line in lines)
    assert (said.count("did not reach"), said.count("was not sent")) == (1, 3)
    breaker = lineage.breaker(address)
    assert (breaker.current_state, breaker.reset_timeout) == ("open", lineage.PAUSE_S)
    breaker.reset_timeout = 0  # the pause is over
    work(refused)
    assert ([event["eventType"] for *_, event in taken], breaker.current_state) == (
        ["START"] * 2 + ["COMPLETE"],
        "open",
    )
    work(right)
    assert [event["eventType"] for *_, event in taken[3:]] == ["START", "COMPLETE"]
    assert breaker.current_state == "closed"


def test_without_the_setting_nothing_is_sent_and_a_file_that_cannot_be_written_fails_no_job(tmp_path: Path) -> None:
    work(settings_of(""))
    work(settings_of(str(tmp_path / "none" / "events.jsonl")))
    assert list(tmp_path.iterdir()) == []


OURS = registry.entry("half_hourly")
DATASET = OURS.declaration
VEE, PRESENTATION = OURS.vee(), OURS.presentation()
REFERENCES = [f"delta.reference.half_hourly_{name}" for name in ("agreement", "product", "meterpoint")]


def files_of(folder: Path) -> Request:
    return Request(OURS.data_set.formats, (str(folder / "readings"),), "", None)


def source_of(folder: Path) -> Source:
    OURS.generator().write(Made(folder, 1, date(2021, 1, 1), 1, seed=1))
    return Source(str(folder / "reference.db"))


JOBS: dict[str, tuple[Callable[[Settings, Path], object], list[str]]] = {
    "load": (lambda s, folder: load(s, files_of(folder), lambda: NOW, lambda _: None), ["{folder}/readings"]),
    "reference": (
        lambda s, folder: load_references(s, DATASET, PRESENTATION, source_of(folder), lambda: NOW),
        ["{folder}/reference.db"],
    ),
    "batch": (lambda s, _: run_batch(s, DATASET, Asked(), lambda: NOW), ["iceberg.master.half_hourly"]),
    "vee": (
        lambda s, _: run_vee(s, DATASET, VEE, lambda: NOW),
        [
            *(f"hive.batch.half_hourly_{name}" for name in ("half_hour", "rejects", "gaps")),
            "delta.reference.half_hourly_register_read",
        ],
    ),
    "present": (
        lambda s, _: run_presentation(s, DATASET, PRESENTATION, Days(), lambda: NOW),
        ["hive.batch.half_hourly_half_hour", *REFERENCES],
    ),
    "cost": (
        lambda s, _: run_costs(s, (DATASET, PRESENTATION, VEE), OURS.tariffs(), lambda: NOW),
        ["delta.staging.half_hourly", "delta.vee.half_hourly_estimates"],
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_finds_no_server_says_so_with_what_it_would_have_read(name: str, tmp_path: Path) -> None:
    run, reads = JOBS[name]
    file, nowhere = tmp_path / "events.jsonl", "http://127.0.0.1:9"
    settings = settings_of(str(file), webhdfs_url=nowhere, home=tmp_path)
    with pytest.raises(EngineUnavailable):
        run(settings, tmp_path)
    start, failed = (json.loads(line) for line in file.read_text().splitlines())
    assert [(event["job"]["name"], event["eventType"]) for event in (start, failed)] == [
        (f"half_hourly.{name}", "START"),
        (f"half_hourly.{name}", "FAIL"),
    ]
    assert [one["name"] for one in start["inputs"]] == [read.format(folder=tmp_path) for read in reads]
    assert nowhere in failed["run"]["facets"]["errorMessage"]["message"]
