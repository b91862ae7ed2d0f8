"""Objects are landed once, also where the object store's answer gets lost on its way."""

from __future__ import annotations

import http.client
import random
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import lake_servers
import orjson
import pytest
from sqlalchemy import create_engine

from datasets.utility import DATASET, play
from engines import kafka, lake, topics
from engines.errors import EngineUnavailable
from lakehouse.landing import bookmark, documents, from_database, from_extracts, from_kafka, objects
from lakehouse.landing.from_kafka import Lost
from lakehouse.landing.objects import Landed, Manifest, Source
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
NOON = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - UTC without zone
CLOCK = datetime(2026, 12, 31, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def servers(stack: Instance) -> Iterator[None]:
    with lake_servers.running(stack):
        yield


@pytest.fixture
def source() -> Source:
    return Source(f"l{secrets.token_hex(4)}", "calls", "00000")


@contextmanager
def losing(settings: Settings, status: int | None, times: int = 1) -> Iterator[tuple[Settings, list[str]]]:
    """Have a way to the object store on which answers to a manifest get lost; yield it, and the requests on it.

    status: what a gateway says in their place; None: the connection ends without a word.
    """
    store, requests = urlsplit(settings.lake_s3).netloc, list[str]()

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            requests.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(store, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            is_manifest = self.command == "PUT" and "/manifest/" in self.path
            if is_manifest and requests.count(f"{self.command} {self.path}") <= times:
                self.close_connection = True
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET = do_DELETE = relay  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    thread = Thread(target=server.serve_forever)
    thread.start()
    access, secret = settings.lake_keys
    way = {
        "lake_s3_endpoint": f"http://127.0.0.1:{server.server_port}",
        "lake_access_key": access,
        "lake_secret_key": secret,
    }
    try:
        yield Settings(**{**settings.model_dump(), **way}), requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def land(settings: Settings, source: Source, value: bytes) -> Manifest | None:
    return objects.write(settings, source, [Landed(0, NOON, None, value)], range(1))


def objects_of(settings: Settings, source: Source) -> list[str]:
    return [item.key for item in lake.listed(settings, f"landing/{source.folder}/")]


@pytest.mark.parametrize("status", [503, None])
def test_a_manifest_whose_answer_got_lost_is_not_taken_for_that_of_another(
    settings: Settings, source: Source, status: int | None
) -> None:
    """The client asks again, and hears that the manifest is there: it is its own."""
    with losing(settings, status) as (way, requests):
        manifest = land(way, source, b"mine")
        assert manifest is not None
        assert requests.count(f"PUT /{settings.lake_bucket}/{manifest.key}") == 2
    assert objects.records(settings, manifest) == [b"mine"]
    # Whoever comes after it leaves nothing.
    assert land(settings, source, b"another's") is None
    assert objects_of(settings, source) == [manifest.object]
    assert objects.records(settings, objects.read(settings, manifest.key)) == [b"mine"]


def test_records_whose_writer_heard_nothing_more_are_landed_once(settings: Settings, source: Source) -> None:
    """Writers go on from the offset that the last manifest ends at: this one is among them."""
    with losing(settings, 503, 1000) as (way, _), pytest.raises(EngineUnavailable, match="S3"):
        land(way, source, b"mine")
    assert objects.next_offset(settings, source) == 1
    assert land(settings, source, b"mine") is None
    (manifest,) = objects.Past(settings, source)
    assert objects_of(settings, source) == [manifest.object]
    assert objects.records(settings, manifest) == [b"mine"]


def test_extracts_are_landed_once_and_a_later_state_of_a_row_is_a_later_revision(
    settings: Settings, source: Source, tmp_path: Path
) -> None:
    event = DATASET.event("complaints")
    columns = [field.name for field in event.fields]
    file = tmp_path / "complaints.csv"
    for day in (1, 2):
        file.write_text(
            f"{','.join(columns)},changed_at\n{'C1' + ',' * len(columns)}2026-11-0{day} 10:00:00\n"
            f"{'C2' + ',' * len(columns)}2026-11-01 10:00:00\n"
        )
        for expected in (2, 0):
            landed = from_extracts.land(settings, source.dataset, [event], [tmp_path], NOON)
            assert landed == {event.topic: expected}
    manifests = [objects.read(settings, key) for key in objects.manifests(settings, source.dataset)]
    assert [(item.first, item.end, item.watermark_from) for item in manifests] == [(0, 2, "2026-11-01T10:00:00")] * 2
    assert sorted(item.watermark_to for item in manifests) == ["2026-11-01T10:00:00", "2026-11-02T10:00:00"]
    read = [orjson.loads(value) for item in manifests for value in objects.records(settings, item)]
    revisions = {name: {row["revision"] for row in read if row["complaint_id"] == name} for name in ("C1", "C2")}
    assert {name: len(different) for name, different in revisions.items()} == {"C1": 2, "C2": 1}


class Table:
    """A table of outages in a database that a test changes row by row, and what is landed of it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._file = settings, folder / "oms.db"
        self._record = next(event for event in DATASET.events if event.name == "outages")
        self._dataset = f"l{secrets.token_hex(4)}"
        self._source = Source(self._dataset, self._record.topic, "table")
        engine = create_engine(f"sqlite:///{self._file}")
        play.table(self._record).metadata.create_all(engine)
        engine.dispose()

    def do(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(self._file)) as base, base:
            base.executemany(statement, rows)

    def add(self, keys: Iterable[str], at: datetime) -> None:
        every = [(key, at.isoformat(" ")) for key in keys]
        self.do("INSERT INTO outages (outage_id, changed_at) VALUES (?, ?)", every)

    def put(self, keys: Collection[str], at: datetime) -> None:
        """Write rows, in the place of those of the same keys."""
        self.delete(keys)
        self.add(keys, at)

    def delete(self, keys: Iterable[str]) -> None:
        self.do("DELETE FROM outages WHERE outage_id = ?", [(key,) for key in keys])

    def land(self, *, full: bool = False) -> int:
        urls = {"oms": f"sqlite:///{self._file}"}
        request = from_database.Request(self._dataset, (self._record,), urls, lambda: CLOCK, full)
        return from_database.land(self._settings, request, Event())[self._record.topic]

    @property
    def manifests(self) -> list[Manifest]:
        return list(objects.Past(self._settings, self._source))

    def alive(self) -> dict[str, int]:
        """Return the revisions of the rows that what was landed says are there."""
        latest: dict[str, dict[str, Any]] = {}
        for manifest in self.manifests:
            for value in objects.records(self._settings, manifest):
                document = orjson.loads(value)
                held = latest.setdefault(document["outage_id"], document)
                if document["revision"] > held["revision"]:
                    latest[document["outage_id"]] = document
        return {key: document["revision"] for key, document in latest.items() if not document.get("is_deleted")}


def test_manifests_have_no_gaps_so_that_none_comes_late_between_them(settings: Settings, source: Source) -> None:
    """What Kafka has dropped belongs to the manifest behind it: whoever still had it finds its place taken."""
    topic = f"{source.dataset}.calls"
    kafka.create_topic(settings, topic, 1)
    request = from_kafka.Request(source.dataset, (topic,))
    for _ in range(3):
        kafka.send_one(settings, topic, b"{}")
    topics.delete_before(settings, topic, {0: 2})
    assert from_kafka.land(settings, request, Event()).total() == 1
    for _ in range(4):
        kafka.send_one(settings, topic, b"{}")
    topics.delete_before(settings, topic, {0: 5})
    with pytest.raises(Lost, match="offsets 3 to 4 are gone"):
        from_kafka.land(settings, request, Event())
    assert from_kafka.land(settings, replace(request, accept_loss=True), Event()).total() == 2
    assert from_kafka.land(settings, request, Event()).total() == 0
    source = replace(source, topic=topic)
    landed = [(item.first, item.end, item.rows) for item in objects.Past(settings, source)]
    assert landed == [(3, 7, 2), (0, 3, 1)]
    for first, end, _ in landed:
        late = [Landed(first, NOON, None, b"late")]
        assert objects.write(settings, source, late, range(first, end)) is None
    assert len(objects_of(settings, source)) == 2


def test_manifests_are_found_behind_a_bookmark_and_of_those_that_were_read_nothing_is_listed(
    settings: Settings, source: Source
) -> None:
    name, other = source.dataset, replace(source, partition="00001")
    file = Source(name, "texts", f"file-{secrets.token_hex(12)}")

    def landed(source: Source, *offsets: range) -> list[str]:
        manifests = (objects.write(settings, source, [Landed(at.start, NOON, None, b"")], at) for at in offsets)
        return [manifest.key for manifest in manifests if manifest is not None]

    every = [
        *landed(source, *(range(n, n + 1) for n in range(12))),
        *landed(other, range(7), range(7, 900)),
        *landed(file, range(3)),
    ]
    assert bookmark.behind(settings, name, {}) == objects.manifests(settings, name) == every
    read = bookmark.moved({}, every)
    assert read == {"calls/00000": 11, "calls/00001": 7, f"texts/{file.partition}": 0}
    assert bookmark.behind(settings, name, read) == []
    new = [*landed(source, range(12, 20), range(20, 21)), *landed(replace(source, partition="00002"), range(1))]
    with losing(settings, None, 0) as (way, requests):
        assert bookmark.behind(way, name, read) == new
    # The topics, the partitions of both, and what lies behind the last one of each that was read.
    assert len(requests) == 1 + 2 + 4
    assert sum("start-after=" in request for request in requests) == 3
    read = bookmark.moved(read, new)
    assert read == {"calls/00000": 20, "calls/00001": 7, "calls/00002": 0, f"texts/{file.partition}": 0}
    assert bookmark.behind(settings, name, read) == []


@pytest.fixture
def table(settings: Settings, tmp_path: Path) -> Table:
    return Table(settings, tmp_path)


def test_what_is_gone_is_found_whatever_else_happens_to_the_rows(table: Table) -> None:
    pick = random.Random(5)  # noqa: S311 - a test
    there: dict[str, datetime] = {}
    gone: list[str] = []
    for day in range(25):
        at = NOON + timedelta(days=day)
        new = {f"O{day}-{number}" for number in range(pick.choice([0, 1, 5]))}
        again = {gone.pop(pick.randrange(len(gone))) for _ in range(pick.choice([0, 0, 1])) if gone}
        changed = set(pick.sample(sorted(there), min(len(there), pick.choice([0, 1, 3]))))
        written = new | again | changed
        left = set(
            pick.sample(sorted(there.keys() - written), min(len(there.keys() - written), pick.choice([0, 1, 2])))
        )
        gone += sorted(left)
        there = {key: moment for key, moment in there.items() if key not in left} | dict.fromkeys(written, at)
        table.put(written, at)
        table.delete(left)
        assert table.land(full=day % 7 == 6) == len(written) + len(left)
        assert table.alive() == {key: documents.revision(moment) for key, moment in there.items()}
        assert table.land() == 0


def test_of_a_long_past_only_its_end_is_read_to_find_what_is_gone(
    table: Table, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(80):
        table.add([f"O{secrets.token_hex(12)}" for _ in range(500)], NOON + timedelta(hours=n))
    table.put(["OLD", "LATE"], NOON + timedelta(hours=80))
    assert table.land() == 40_002
    (whole,) = table.manifests
    fetched: list[int] = []
    get, get_range = lake.get, lake.get_range

    def counted(settings: Settings, key: str, *where: int) -> bytes | None:
        data = (get_range if where else get)(settings, key, *where)
        fetched.append(len(data or b"") if key == whole.object else 0)
        return data

    monkeypatch.setattr(lake, "get", counted)
    monkeypatch.setattr(lake, "get_range", counted)
    day = NOON + timedelta(days=4)
    table.put(["NEW"], day)
    table.delete(["LATE"])
    assert table.land() == 2
    assert 0 < sum(fetched) < whole.bytes * 0.5
    fetched.clear()
    table.put(["NEWER"], day + timedelta(days=1))
    assert table.land() == 1
    assert sum(fetched) == 0


def test_keys_are_compared_with_all_that_was_landed_where_no_sum_is_known(table: Table, settings: Settings) -> None:
    """As of objects that were landed before manifests had one, and where an extract was killed."""
    table.put(["A", "B", "C"], NOON)
    assert table.land() == 3
    (manifest,) = table.manifests
    lake.put(settings, manifest.key, orjson.dumps({**asdict(manifest), "key_sum": ""}))
    table.delete(["B"])
    assert table.land() == 1
    assert sorted(table.alive()) == ["A", "C"]
    assert table.manifests[0].key_sum
    table.put(["D"], NOON - timedelta(days=9))  # committed too late: no extract sees it, but its key is there
    table.delete(["C"])
    assert table.land() == 1
    assert sorted(table.alive()) == ["A"]
    assert table.land(full=True) == 1
    assert sorted(table.alive()) == ["A", "D"]
