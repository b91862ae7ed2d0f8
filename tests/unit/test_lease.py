"""A lease that could not be given back or written does not keep its own process waiting."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hdfs.util import HdfsError

from batch_layer import lease
from engines import hdfs
from engines.errors import EngineUnavailable, StorageFull
from meterlake.clock import system_clock
from meterlake.errors import LeaseLost, RunUnderWay
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

    def rename(self, path: str, other: str) -> None:
        self._answer()
        assert other not in self.content
        self.content[other] = self.content.pop(path)

    def list(self, folder: str) -> list[str]:
        self._answer()
        return [path.removeprefix(f"{folder}/") for path in self.content if path.startswith(f"{folder}/")]

    def set_times(self, path: str, modification_time: int) -> None:
        self._answer()
        assert path in self.content
        assert modification_time > 0


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    result = Files()
    monkeypatch.setattr(hdfs, "client", lambda _: result)
    monkeypatch.setattr(hdfs, "read_bytes", lambda _, path: result.content[path])
    return result


def test_a_lease_that_could_not_be_given_back_is_taken_over_by_its_own_process(files: Files) -> None:
    with lease.held(Settings(), "d", "batch") as first:
        files.says = HdfsError("Connection refused")
    files.says = None
    assert json.loads(files.content[first.path])["token"] == first.token
    with lease.held(Settings(), "d", "batch") as second:
        second.check()
        assert not second.took_over  # nobody else is asleep
    assert files.content == {}


def test_who_takes_a_lease_over_knows_of_it_until_the_former_owner_can_do_no_harm(files: Files) -> None:
    later = system_clock() + lease.TERM + timedelta(seconds=1)
    with lease.held(Settings(), "d", "batch") as asleep:
        with lease.held(Settings(), "d", "batch", lambda: later) as second:
            assert second.took_over
            with pytest.raises(LeaseLost, match="The lease on d was lost"):
                asleep.check()
        with lease.held(Settings(), "d", "batch") as third:  # the second did not come to it
            assert third.took_over
            third.settled()
            assert not third.took_over
        with lease.held(Settings(), "d", "batch") as fourth:
            assert not fourth.took_over
    assert files.content == {}


def test_a_lease_of_another_process_is_not(files: Files) -> None:
    files.content["/meterlake/leases/d.json"] = json.dumps({"token": "theirs", "owner": "batch of d"}).encode()
    with pytest.raises(RunUnderWay, match="batch of d"), lease.held(Settings(), "d", "batch"):
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
