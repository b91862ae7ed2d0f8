"""A lease that keeps two runs of one data set apart: a file in HDFS that only one of them can create.

Its owner renews it while it works (the file's modification time); one that has not been renewed for ``TERM`` belongs to
nobody, and the next run takes it over. Whoever is about to publish asks ``check`` whether the lease is still its own.
One that HDFS was away for when it should have been given back is taken over by the same process at once.

A lease that another process takes over leaves its file under another name, until what its owner may have begun can do
no harm any more: it may be asleep, and not dead (``Lease.took_over``).
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from engines import hdfs
from engines.errors import EngineUnavailable, StorageFull
from meterlake.clock import Clock, system_clock
from meterlake.errors import LeaseLost, MeterlakeError, PermanentError, RunUnderWay, TransientError

if TYPE_CHECKING:
    from meterlake.settings import Settings

FOLDER: Final = "/meterlake/leases"
TERM: Final = timedelta(minutes=2)
"""A run that has not renewed its lease for this long is dead; it renews four times as often."""
_LOST: Final = ".lost"
_LEFT_BEHIND: Final[set[str]] = set()
"""Tokens of leases of this process that may still lie in HDFS, though nobody works under them any more."""


@dataclass
class Lease:
    """A lease that is held. remains: files of owners that lost theirs, and may still be asleep."""

    settings: Settings
    dataset: str
    token: str
    clock: Clock
    remains: tuple[str, ...] = ()
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        """The lease's file."""
        return f"{FOLDER}/{self.dataset}.json"

    @property
    def took_over(self) -> bool:
        """Whether an owner who lost the lease may still have a step before it."""
        return bool(self.remains)

    def settled(self) -> None:
        """Note that no step of an earlier owner can change anything any more."""
        for name in self.remains:
            _call(self.settings, "delete", f"{FOLDER}/{name}")
        self.remains = ()

    def check(self) -> None:
        """Renew the lease. Raises LeaseLost if it is not ours any more, EngineUnavailable if HDFS does not answer."""
        result = _read(self.settings, self.path)
        if result is None or result.get("token") != self.token:
            raise LeaseLost(self.dataset, f"{TERM.total_seconds():g} s")
        _touch(self.settings, self.path, self.clock())

    def keep(self) -> None:
        """Renew the lease until it is released; failures are left to ``check``."""
        while not self._stop.wait(TERM.total_seconds() / 4):
            try:
                self.check()
            except MeterlakeError:
                continue

    def release(self) -> None:
        """Give the lease back. Where HDFS is away it ends by itself: what was done under it is what counts."""
        self._stop.set()
        try:
            result = _read(self.settings, self.path)
            if result is not None and result.get("token") == self.token:
                _call(self.settings, "delete", self.path)
        except TransientError:
            _LEFT_BEHIND.add(self.token)


@contextmanager
def held(
    settings: Settings, dataset: str, doing: str, clock: Clock = system_clock, retry_for: timedelta = timedelta(0)
) -> Iterator[Lease]:
    """Hold the lease on a data set.

    doing: what for, as another run will read it. retry_for: how long to wait for another run. Raises RunUnderWay while
    somebody else holds it.
    """
    lease = Lease(settings, dataset, uuid4().hex, clock)
    try:
        _retrying(retry_for)(_acquire, lease, doing)
    except (EngineUnavailable, StorageFull):
        _LEFT_BEHIND.add(lease.token)  # HDFS may have made the file before it went away
        raise
    keeper = threading.Thread(target=lease.keep, name=f"lease-{dataset}", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.release()
        keeper.join(timeout=10)


def _retrying(retry_for: timedelta) -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(RunUnderWay),
        stop=stop_after_delay(retry_for.total_seconds()),
        wait=wait_fixed(1),
        reraise=True,
    )


def _acquire(lease: Lease, doing: str) -> None:
    for _ in range(2):
        if _create(lease, doing):
            lease.remains = _remains(lease)
            return
        _take_over_if_free(lease)
    if not _create(lease, doing):
        _refuse(lease)
    lease.remains = _remains(lease)


def _remains(lease: Lease) -> tuple[str, ...]:
    """Return the files of owners that lost the lease. Their names: data set, token, ``lost``."""
    names = _call(lease.settings, "list", FOLDER)
    return tuple(sorted(name for name in names if name.startswith(f"{lease.dataset}.") and name.endswith(_LOST)))


def _create(lease: Lease, doing: str) -> bool:
    """Create the file; whether it was us is HDFS's decision."""
    now = lease.clock()
    owner = f"{doing} by process {os.getpid()} on {socket.gethostname()}"
    content = json.dumps({"token": lease.token, "owner": owner, "since": f"{now:%Y-%m-%d %H:%M:%S}"}).encode()
    try:
        hdfs.client(lease.settings).write(lease.path, data=content, overwrite=False)
    except hdfs.ERRORS as error:
        if "already exists" in str(error) or "FileAlreadyExists" in str(getattr(error, "exception", "")):
            return False
        _remove_empty(lease)
        raise hdfs.failure(lease.settings, f"create {lease.path}", error) from error
    _touch(lease.settings, lease.path, now)
    return True


def _remove_empty(lease: Lease) -> None:
    """Remove a file that was made but could not be written, on a full disk say: others would take it for a run."""
    client = hdfs.client(lease.settings)
    with suppress(*hdfs.ERRORS):
        status = client.status(lease.path, strict=False)
        if status is not None and status["length"] == 0:
            client.delete(lease.path)


def _take_over_if_free(lease: Lease) -> None:
    """Take a dead owner's file away, or one that this process could not. Of two that try, one creates the new one."""
    status = _call(lease.settings, "status", lease.path, strict=False)
    if status is None:
        return
    token = (_read(lease.settings, lease.path) or {}).get("token")
    if token not in _LEFT_BEHIND and _moment(status["modificationTime"]) + TERM > lease.clock():
        _refuse(lease)
    before = _call(lease.settings, "status", lease.path, strict=False)
    if before is None or before["fileId"] != status["fileId"]:
        return
    if token in _LEFT_BEHIND:
        _LEFT_BEHIND.discard(token)
        _call(lease.settings, "delete", lease.path)
    else:
        _call(lease.settings, "rename", lease.path, f"{FOLDER}/{lease.dataset}.{token or uuid4().hex}{_LOST}")


def _refuse(lease: Lease) -> None:
    status = _call(lease.settings, "status", lease.path, strict=False)
    result = _read(lease.settings, lease.path) or {}
    if status is not None:
        until = _moment(status["modificationTime"]) + TERM
        owner, since = result.get("owner", "starting just now"), result.get("since", "just now")
        raise RunUnderWay(lease.dataset, f"{owner}, since {since}", f"{until:%Y-%m-%d %H:%M:%S}")


def _read(settings: Settings, path: str) -> dict[str, Any] | None:
    if _call(settings, "status", path, strict=False) is None:
        return None
    try:
        content = json.loads(hdfs.read_bytes(settings, path) or b"{}")
    except (ValueError, PermanentError):
        return {}
    return content if isinstance(content, dict) else {}


def _touch(settings: Settings, path: str, moment: datetime) -> None:
    _call(settings, "set_times", path, modification_time=int(moment.timestamp() * 1000))


def _call(settings: Settings, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - WebHDFS's answers
    try:
        return getattr(hdfs.client(settings), name)(*arguments, **options)
    except hdfs.ERRORS as error:
        raise hdfs.failure(settings, f"{name} {arguments[0]}", error) from error


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
