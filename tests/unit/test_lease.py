"""A lease that could not be given back or written does not keep its own process waiting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hdfs.util import HdfsError

from batch_layer import lease
from engines import hdfs
from engines.errors import EngineUnavailable, StorageFull
from meterlake.clock import system_clock
from meterlake.settings import Settings

pytestmark = pytest.mark.unit


class Files:
    """HDFS as far as a lease uses it. says: the error that it answers with; writes: or only when bytes are written."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.says: HdfsError | None = None
        self.writes: HdfsError | None = None

    def _answer(self) -> None:
        if self.says:
            raise self.says

    def write(self, path: str, data: bytes, overwrite: bool) -> None:
        self._answer()
        assert not overwrite
        if path in self.content:
            raise HdfsError(f"{path} already exists")
        self.content[path] = b"" if self.writes else data
        if self.writes:
            raise self.writes

    def status(self, path: str, strict: bool) -> dict[str, Any] | None:
        self._answer()
        assert not strict
        if path not in self.content:
            return None
        now = int(system_clock().timestamp() * 1000)
        return {"modificationTime": now, "fileId": id(self.content[path]), "length": len(self.content[path])}

    def delete(self, path: str) -> bool:
        self._answer()
        return self.content.pop(path, None) is not None

    def set_times(self, path: str, modification_time: int) -> None:
        self._answer()
        assert path in self.content
        assert modification_time > 0


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    found = Files()
    monkeypatch.setattr(hdfs, "client", lambda _: found)
    monkeypatch.setattr(hdfs, "read_bytes", lambda _, path: found.content[path])
    return found


def test_a_lease_that_could_not_be_given_back_is_taken_over_by_its_own_process(files: Files) -> None:
    with lease.held(Settings(), "d", "batch") as first:
        files.says = HdfsError("Connection refused")
    files.says = None
    assert json.loads(files.content[first.path])["token"] == first.token
    with lease.held(Settings(), "d", "batch") as second:
        second.check()
    assert files.content == {}


def test_a_lease_of_another_process_is_not(files: Files) -> None:
    files.content["/meterlake/leases/d.json"] = json.dumps({"token": "theirs", "owner": "batch of d"}).encode()
    with pytest.raises(lease.RunUnderWay, match="batch of d"), lease.held(Settings(), "d", "batch"):
        pass


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("The DiskSpace quota of /a is exceeded", StorageFull), ("reset", EngineUnavailable)],
)
def test_a_lease_that_could_not_be_written_is_in_nobodys_way(files: Files, answer: str, kind: type) -> None:
    files.writes = HdfsError(answer)
    with pytest.raises(kind), lease.held(Settings(), "d", "batch"):
        pass
    assert files.content == {}
