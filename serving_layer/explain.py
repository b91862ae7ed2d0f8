"""What stands behind one number: the readings of a meter's minute, what became of each, and the rows of both layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from engines import metastore
from engines.master import DATABASE as MASTER
from meterlake import reconciliation, timegrid
from meterlake.changes import by_load, covers
from meterlake.ddl import HIVE_DATABASE, view_table
from meterlake.errors import PermanentError
from meterlake.grains import GRAIN_SECONDS
from meterlake.judgement import judge, state_of
from meterlake.state import merge_all
from serving_layer.estimates import Validated, validated
from serving_layer.merged.layers import Window, batch_states, speed_states, through_trino
from serving_layer.merged.readings import readings_of
from serving_layer.publish import changes, records
from serving_layer.sql import views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterlake.changes import Change
    from meterlake.declaration import MeterSeries
    from meterlake.judgement import Judged
    from meterlake.reading import Reading
    from meterlake.settings import Settings
    from meterlake.state import State
    from meterlake.vee.declaration import Vee
    from serving_layer.publish.history import History, Record


class NothingKnown(PermanentError):
    """Neither a layer nor the master data set has anything about a minute."""

    def __init__(self, dataset: str, meter: str, minute: datetime, erasure: Change | None = None) -> None:
        erased = f" It was erased on {erasure.at:%Y-%m-%d} by {erasure.by}: {erasure.why}." if erasure else ""
        super().__init__(
            f"Nothing is known about meter {meter!r} of {dataset} at {minute:%Y-%m-%d %H:%M} UTC:"
            f" no reading in the master data set, no row in either layer.{erased}",
            hint="Check the meter's name and the time, which is UTC. A reading that could not be decoded is in"
            f" quarantine: iceberg.master.{dataset}_quarantine.",
        )


@dataclass(frozen=True)
class Explanation:
    """One row of the finest view.

    layer: which answers it. run: whose views readers see, with the snapshot that it read of this minute. judged: its
    readings as that run saw them; later: those that have arrived since, with the verdict that the next run will find.
    batch, speed: the layers' rows. comparison: how they compare. proved: whether the answering row is what the readings
    make (None where it cannot be known: the speed layer may have seen other readings than the archive has).
    corrections: those that brought some of the readings, by the load. validated: what validation and estimation say.
    """

    meter: str
    start: datetime
    layer: Literal["batch", "speed"]
    boundary: datetime | None
    run: Record | None
    snapshot: int | None
    judged: list[Judged] = field(hash=False)
    later: list[Judged] = field(hash=False)
    batch: State | None
    speed: State | None
    comparison: str
    proved: bool | None
    corrections: Mapping[str, Change] = field(default_factory=dict, hash=False)
    validated: Validated = field(default_factory=Validated, hash=False)

    @property
    def answer(self) -> State | None:
        """The row that readers get."""
        return self.batch if self.layer == "batch" else self.speed


def explain(
    settings: Settings, dataset: MeterSeries, meter: str, minute: datetime, vee: Vee | None = None
) -> Explanation:
    """Return what stands behind the row of the finest view that holds a moment. Raises NothingKnown.

    vee: how its readings are validated and estimated, if they are.
    """
    grain, zone = dataset.finest.grain, dataset.time_zone
    time, start = timegrid.row_time(minute, grain, zone), timegrid.row_start(minute, grain, zone)
    end = start + timedelta(seconds=GRAIN_SECONDS[grain])
    history = records.load(settings, dataset.name)
    run, cutover = history.current, views.current_cutover(settings, dataset)
    snapshot = _snapshot(history, start)
    now = _readings(settings, dataset, meter, start)
    known = _readings(settings, dataset, meter, start, snapshot) if run is not None else []
    judged = judge(dataset, known)
    later = [verdict for verdict in judge(dataset, now) if verdict.reading not in known]
    batch = speed = None
    if _has_table(settings, HIVE_DATABASE, view_table(dataset, grain)):
        window = Window([meter], time, timegrid.row_time(end, grain, zone))
        batch = batch_states(through_trino(settings), dataset, grain, window).get((meter, time))
    if cutover is not None:
        minutes = speed_states(settings, dataset, Window([meter], start, end))
        speed = merge_all(dataset, minutes.values()) if minutes else None
    made = changes.load(settings, dataset.name)
    said = Validated() if vee is None else validated(settings, dataset, vee, meter, start)
    if not now and batch is None and speed is None and said.estimate is None:
        raise NothingKnown(dataset.name, meter, start, _erasure(made, meter, start))
    layer: Literal["batch", "speed"] = "batch" if cutover is None or start < cutover else "speed"
    since = [verdict.reading for verdict in later]
    comparison = reconciliation.explain(dataset, batch, speed, known, since) if speed is not None else "no speed row"
    is_known = layer == "batch" and (batch is not None or bool(judged))
    proved = state_of(dataset, judged) == batch if is_known else None
    loads = {reading.load_id for reading in now}
    corrections = {load: change for load, change in by_load(made).items() if load in loads}
    return Explanation(
        meter, start, layer, cutover, run, snapshot, judged, later, batch, speed, comparison, proved, corrections, said
    )


def _erasure(made: list[Change], meter: str, start: datetime) -> Change | None:
    """Return the last erasure of a meter that covers a moment, if there was one."""
    result = [change for change in made if change.kind == "erasure" and change.meter == meter]
    return next((change for change in reversed(result) if covers(change, start)), None)


def _snapshot(history: History, start: datetime) -> int | None:
    """Return the snapshot of the master data set from which the published run has a moment's UTC day."""
    layers = history.present.layers if history.present else ()
    return next((layer.snapshot for layer in layers if layer.days is None or start.date() in layer.days), None)


def _readings(
    settings: Settings, dataset: MeterSeries, meter: str, start: datetime, snapshot: int | None = None
) -> list[Reading]:
    if not _has_table(settings, MASTER, dataset.name):
        return []
    grain, time = dataset.finest.grain, timegrid.row_time(start, dataset.finest.grain, dataset.time_zone)
    result = readings_of(settings, dataset, grain, [(meter, time)], snapshot).get((meter, time), [])
    return sorted(result, key=lambda reading: (reading.received_at, reading.origin, reading.origin_offset))


def _has_table(settings: Settings, database: str, name: str) -> bool:
    with metastore.client(settings) as client:
        return metastore.get_table(client, database, name) is not None
