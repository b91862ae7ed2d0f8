"""Reconciliation: before the boundary moves over minutes, what batch and speed say of each is compared.

Afterwards nobody reads the speed rows again, so this is the moment at which a fault of either layer can be seen.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from meterlake import reconciliation, timegrid
from meterlake.errors import PermanentError
from meterlake.reconciliation import OUTCOMES
from serving_layer.merged.layers import Window, batch_states, speed_states, through_trino
from serving_layer.merged.readings import readings_of

if TYPE_CHECKING:
    from meterlake.declaration import Dataset
    from meterlake.reconciliation import Outcome
    from meterlake.settings import Settings
    from serving_layer.merged.layers import States, Time

    Key = tuple[str, Time]

EXAMINED: Final = 5000
"""So many differing minutes are explained from their readings; further ones are counted as ``unexamined``."""
LISTED: Final = 20
"""So many unexplained minutes are named in the record."""


def reconcile(
    settings: Settings, dataset: Dataset, since: datetime, until: datetime, snapshot: int | None
) -> dict[str, Any]:
    """Compare the layers over the rows of the finest view from ``since`` up to, not including, ``until``.

    snapshot: of the master data set, as batch read it. Returns counts by outcome, and the first unexplained minutes.
    What cannot be compared is said under ``failed``: it must not keep a good run from being published.
    Raises EngineUnavailable.
    """
    about = {"since": since.isoformat(), "until": until.isoformat()}
    try:
        return about | _compared(settings, dataset, since, until, snapshot)
    except PermanentError as error:
        return about | {"failed": str(error)}


def _compared(
    settings: Settings, dataset: Dataset, since: datetime, until: datetime, snapshot: int | None
) -> dict[str, Any]:
    finest, zone = dataset.finest.grain, dataset.time_zone
    rows = Window(None, timegrid.row_time(since, finest, zone), timegrid.row_time(until, finest, zone))
    batch = batch_states(through_trino(settings), dataset, finest, rows)
    known = speed_states(settings, dataset, Window(None, since, until))
    asked = sorted({meter for meter, _ in batch} - {meter for meter, _ in known})
    speed = known | speed_states(settings, dataset, Window(asked, since, until))
    differing = sorted(key for key in batch.keys() | speed.keys() if batch.get(key) != speed.get(key))
    counts: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    counts["equal"] = len(batch.keys() | speed.keys()) - len(differing)
    counts["unexamined"] = len(differing[EXAMINED:])
    outcomes = _outcomes(settings, dataset, batch, speed, differing[:EXAMINED], snapshot)
    for outcome in outcomes.values():
        counts[outcome] += 1
    unexplained = [
        {
            dataset.key: key[0],
            finest: key[1].isoformat(),
            "batch_readings": batch[key].readings if key in batch else 0,
            "speed_readings": speed[key].readings if key in speed else 0,
        }
        for key, outcome in outcomes.items()
        if outcome == "unexplained"
    ]
    return {**counts, "examples": unexplained[:LISTED]}


def _outcomes(
    settings: Settings, dataset: Dataset, batch: States, speed: States, keys: list[Key], snapshot: int | None
) -> dict[Key, Outcome]:
    """Return why rows differ; the master data set as it is now is asked only where the run's snapshot does not say."""
    grain = dataset.finest.grain
    known = readings_of(settings, dataset, grain, keys, snapshot)
    explain = partial(reconciliation.explain, dataset)
    outcomes = {key: explain(batch.get(key), speed.get(key), known[key]) for key in keys}
    open_keys = [key for key, outcome in outcomes.items() if outcome == "unexplained"]
    now = readings_of(settings, dataset, grain, open_keys)
    for key in open_keys:
        since = [reading for reading in now[key] if reading not in known[key]]
        outcomes[key] = explain(batch.get(key), speed.get(key), known[key], since)
    return outcomes
