"""Reconciliation: what batch and speed say of each minute over which the boundary has moved, compared.

Nobody reads those speed rows again, and they expire: this is how a fault of either layer is seen. Trino compares; only
rows that differ are fetched, and explained from their readings. It is done piece by piece within a budget of time. What
is left then is recorded as pending, and the next run goes on there, as long as the speed rows live.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from engines.errors import EngineUnavailable
from meterlake import reconciliation, timegrid
from meterlake.errors import PermanentError
from meterlake.reconciliation import OUTCOMES
from serving_layer.merged.layers import Window, batch_states, speed_states, through_trino
from serving_layer.merged.readings import readings_of
from serving_layer.reconcile import compare
from serving_layer.reconcile.compare import Piece

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.reconciliation import Outcome
    from meterlake.settings import Settings
    from serving_layer.merged.layers import States, Time

    Key = tuple[str, Time]

EXAMINED: Final = 5000
"""So many differing minutes are explained from their readings; further ones are counted as ``unexamined``."""
LISTED: Final = 20
"""So many unexplained minutes are named in the record."""
PENDING: Final = "pending"
"""Key of a reconciliation in a run's record: from where on minutes are still to be compared, and why."""
_METERS: Final = 100
_SPAN: Final = timedelta(hours=6)
"""So many meters and so much time make a piece: what the memory of a reconciliation depends on."""


@dataclass(frozen=True)
class Pending:
    """What is left: rows from ``since`` up to ``until`` of the meters from ``meter`` on; then all rows after those."""

    since: datetime
    until: datetime
    meter: str = ""

    @classmethod
    def of(cls, earlier: Mapping[str, Any], living: datetime, cutover: datetime) -> Pending | None:
        """Return what an earlier one has left, from ``living`` on, as far as speed rows live, up to ``cutover``."""
        left = earlier.get(PENDING)
        if not left:
            return None
        since, until = max(datetime.fromisoformat(left["since"]), living), datetime.fromisoformat(left["until"])
        return cls(since, min(until, cutover), left["meter"]) if since < min(until, cutover) else None

    def recorded(self, reason: str) -> dict[str, str]:
        """Return this for a run's record."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "meter": self.meter,
            "reason": reason,
        }


@dataclass
class _Reconciliation:
    """One reconciliation under way. end: up to where it is to come. deadline: of the clock that only rises."""

    settings: Settings
    dataset: MeterSeries
    snapshot: int | None
    end: datetime
    deadline: float
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*OUTCOMES, "unexamined"), 0))
    examples: list[dict[str, Any]] = field(default_factory=list)
    _meters: dict[tuple[datetime, datetime], list[str]] = field(default_factory=dict)

    def step(self, at: Pending) -> Pending | None:
        """Compare some meters; return what is next. Raises EngineUnavailable, also when the time is over."""
        known = self._meters_of(at.since, at.until)
        rest = known[bisect_left(known, at.meter) :]
        if rest:
            self._examine(Piece(rest[:_METERS], at.since, at.until))
        if len(rest) > _METERS:
            return replace(at, meter=rest[_METERS])
        return Pending(at.until, min(at.until + _SPAN, self.end)) if at.until < self.end else None

    def _meters_of(self, since: datetime, until: datetime) -> list[str]:
        if (since, until) not in self._meters:
            meters = compare.meters(self.settings, self.dataset, since, until, self._seconds())
            self._meters = {(since, until): meters}
        return self._meters[since, until]

    def _seconds(self) -> float:
        left = self.deadline - time.monotonic()
        if left < 1:
            raise OutOfTime(self.settings.reconcile_budget)
        return left

    def _examine(self, piece: Piece) -> None:
        compared = compare.compare(self.settings, self.dataset, piece, EXAMINED, self._seconds())
        keys: list[Key] = [*compared.keys[: max(0, EXAMINED - self._examined)]]
        outcomes = self._outcomes(piece, keys) if keys else {}
        self.counts["equal"] += compared.equal
        self.counts["unexamined"] += compared.differing - len(keys)
        for outcome in outcomes.values():
            self.counts[outcome] += 1

    @property
    def _examined(self) -> int:
        return sum(count for outcome, count in self.counts.items() if outcome not in ("equal", "unexamined"))

    def _outcomes(self, piece: Piece, keys: list[Key]) -> dict[Key, Outcome]:
        """Return why rows differ; the master data set as it is now is asked only where the snapshot does not say."""
        settings, dataset, grain = self.settings, self.dataset, self.dataset.finest.grain
        meters = sorted({meter for meter, _ in keys})
        begin, end = (timegrid.row_time(moment, grain, dataset.time_zone) for moment in (piece.since, piece.until))
        batch = batch_states(through_trino(settings), dataset, grain, Window(meters, begin, end))
        speed = speed_states(settings, dataset, Window(meters, piece.since, piece.until))
        known = readings_of(settings, dataset, grain, keys, self.snapshot)
        explain = partial(reconciliation.explain, dataset)
        outcomes = {key: explain(batch.get(key), speed.get(key), known[key]) for key in keys}
        open_keys = [key for key, outcome in outcomes.items() if outcome == "unexplained"]
        now = readings_of(settings, dataset, grain, open_keys)
        for key in open_keys:
            since = [reading for reading in now[key] if reading not in known[key]]
            outcomes[key] = explain(batch.get(key), speed.get(key), known[key], since)
            if outcomes[key] == "unexplained" and len(self.examples) < LISTED:
                self.examples.append(_example(dataset, key, batch, speed))
        return outcomes


class OutOfTime(EngineUnavailable):
    """The time for a reconciliation is over."""

    def __init__(self, budget: timedelta) -> None:
        super().__init__("Reconciliation", "", f"more than {budget.total_seconds():g} s of work")
        self.what = f"There was more to compare than can be done in {budget.total_seconds():g} s."


def reconcile(
    settings: Settings,
    dataset: MeterSeries,
    span: tuple[datetime, datetime],
    snapshot: int | None,
    left: Pending | None = None,
) -> dict[str, Any]:
    """Compare the layers over the rows of the finest view from one moment up to, not including, another.

    snapshot: of the master data set, as batch read it. left: what an earlier run could not do; it comes first.
    Returns counts by outcome, the first unexplained minutes, and what is ``pending``. It raises nothing because of a
    server: a good run is published whether or not the layers can be compared. What cannot be compared at all is said
    under ``failed``.
    """
    since, until = span
    deadline = time.monotonic() + settings.reconcile_budget.total_seconds()
    work = _Reconciliation(settings, dataset, snapshot, until, deadline)
    at = left or Pending(since, min(since + _SPAN, until))
    about: dict[str, Any] = {"since": at.since.isoformat(), "until": until.isoformat()}
    try:
        while (following := work.step(at)) is not None:
            at = following
    except EngineUnavailable as error:
        about[PENDING] = at.recorded(error.what)
    except PermanentError as error:
        about["failed"] = str(error)
    return about | work.counts | {"examples": work.examples}


def _example(dataset: MeterSeries, key: Key, batch: States, speed: States) -> dict[str, Any]:
    return {
        dataset.key: key[0],
        dataset.finest.grain: key[1].isoformat(),
        "batch_readings": batch[key].readings if key in batch else 0,
        "speed_readings": speed[key].readings if key in speed else 0,
    }
