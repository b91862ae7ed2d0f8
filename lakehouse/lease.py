"""A lease that keeps two runs of one lakehouse apart: an object that only one of them can create.

It saves work. What is right does not hang on it: each run writes the table of landed objects, and of two branches that
have changed one table Nessie merges only the first.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import orjson

from engines import lake
from meterlake.clock import Clock, system_clock
from meterlake.errors import LeaseLost, MeterlakeError, RunUnderWay, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.settings import Settings

TERM: Final = timedelta(minutes=2)
"""A run that has not renewed its lease for this long is dead; it renews four times as often."""


class Lease:
    """A lease that is held."""

    def __init__(self, settings: Settings, dataset: str, doing: str, clock: Clock) -> None:
        self._settings, self._dataset, self._clock = settings, dataset, clock
        self._key, self._token = f"lease/{dataset}.json", uuid4().hex
        self._owner = f"{doing} by process {os.getpid()} on {socket.gethostname()}"
        self.ended = threading.Event()

    def acquire(self) -> None:
        """Take the lease. Raises RunUnderWay while somebody else holds it."""
        if lake.create(self._settings, self._key, self._content()):
            return
        found = self._found()
        if found is not None and datetime.fromisoformat(found["until"]) > self._clock():
            raise RunUnderWay(self._dataset, found["owner"], f"{found['until']:.19}".replace("T", " "))
        lake.delete(self._settings, self._key)
        if not lake.create(self._settings, self._key, self._content()):
            raise RunUnderWay(self._dataset, "starting just now", "soon")

    def check(self) -> None:
        """Renew the lease. Raises LeaseLost if it is not ours any more, EngineUnavailable."""
        found = self._found()
        if found is None or found["token"] != self._token:
            raise LeaseLost(self._dataset, f"{TERM.total_seconds():g} s")
        lake.put(self._settings, self._key, self._content())

    def keep(self) -> None:
        """Renew the lease until it has ended; failures are left to ``check``."""
        while not self.ended.wait(TERM.total_seconds() / 4):
            try:
                self.check()
            except MeterlakeError:
                continue

    def release(self) -> None:
        """Give the lease back. Where S3 is away it ends by itself."""
        self.ended.set()
        try:
            found = self._found()
            if found is not None and found["token"] == self._token:
                lake.delete(self._settings, self._key)
        except TransientError:
            return

    def _content(self) -> bytes:
        until = (self._clock() + TERM).isoformat()
        return orjson.dumps({"token": self._token, "owner": self._owner, "until": until})

    def _found(self) -> dict[str, str] | None:
        data = lake.get(self._settings, self._key)
        return None if data is None else orjson.loads(data)


@contextmanager
def held(settings: Settings, dataset: str, doing: str, clock: Clock = system_clock) -> Iterator[Lease]:
    """Hold the lease on a lakehouse. doing: what for, as another run will read it. Raises RunUnderWay."""
    lease = Lease(settings, dataset, doing, clock)
    lease.acquire()
    keeper = threading.Thread(target=lease.keep, name=f"lease-{dataset}", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.release()
        keeper.join(timeout=10)
