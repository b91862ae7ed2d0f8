"""The merged view in Python: the same rows as Trino's, by the core's own merge."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from meterlake import merged, timegrid
from meterlake.errors import TransientError
from meterlake.state import merge_all
from meterlake.units import to_decimal
from meterlake.validation import measure_columns
from meterlake.views import derived_values
from serving_layer.merged.layers import Window, batch_states, speed_states, through_hive
from serving_layer.sql import views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.declaration import MeterSeries
    from meterlake.grains import Grain
    from meterlake.merged import Piece
    from meterlake.settings import Settings
    from meterlake.state import State
    from serving_layer.merged.layers import States, Time

_TRIES: Final = 5


class BoundaryMoves(TransientError):
    """The boundary moved during each of several attempts to read around it."""

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"The boundary of {dataset} moved {_TRIES} times while its rows were read.", hint="Read again."
        )


def merged_rows(settings: Settings, dataset: MeterSeries, grain: Grain, window: Window) -> list[dict[str, Any]]:
    """Return the rows of the merged view, sorted: columns and types as Trino gives them, times in UTC without zone.

    window: aware times, or local dates for days. Needs the metastore, HiveServer2 and, if there is a speed layer,
    Cassandra. Raises BoundaryMoves, EngineUnavailable.
    """
    for _ in range(_TRIES):
        cutover = views.current_cutover(settings, dataset)
        result = _read(settings, dataset, grain, window, cutover)
        if views.current_cutover(settings, dataset) == cutover:
            return [_row(dataset, grain, key, *result[key]) for key in sorted(result)]
        # A roll-back may have taken rows of batch away that the cutover relied on.
    raise BoundaryMoves(dataset.name)


def _read(
    settings: Settings, dataset: MeterSeries, grain: Grain, window: Window, cutover: datetime | None
) -> dict[tuple[str, Time], tuple[State, str]]:
    reader = through_hive(settings)
    if cutover is None:
        return {key: (state, "batch") for key, state in batch_states(reader, dataset, grain, window).items()}
    begin = timegrid.row_time(cutover, grain, dataset.time_zone)
    whole = Window(window.meters, window.since, min(window.until, begin))
    result = {key: (state, "batch") for key, state in batch_states(reader, dataset, grain, whole).items()}
    since, until = (_whole_rows(dataset, grain, time) for time in (window.since, window.until))
    pieces: list[tuple[str, States]] = []
    for piece in merged.batch_pieces(dataset, grain, cutover):
        held = _held(dataset, piece, since, until)
        if held:
            pieces.append(("batch", batch_states(reader, dataset, piece.grain, Window(window.meters, *held))))
    if max(since, cutover) < until:
        pieces.append(("speed", speed_states(settings, dataset, Window(window.meters, max(since, cutover), until))))
    return result | _rolled_up(dataset, grain, pieces)


def _rolled_up(
    dataset: MeterSeries, grain: Grain, pieces: Sequence[tuple[str, States]]
) -> dict[tuple[str, Time], tuple[State, str]]:
    """Return rows of a grain from finer ones of both layers, each with the layer that it comes from."""
    states: dict[tuple[str, Time], list[State]] = defaultdict(list)
    sources: dict[tuple[str, Time], set[str]] = defaultdict(set)
    for source, rows in pieces:
        for (meter, time), state in rows.items():
            moment = timegrid.row_begins(time, dataset.time_zone)
            key = (meter, timegrid.row_time(moment, grain, dataset.time_zone))
            states[key].append(state)
            sources[key].add(source)
    return {
        key: (merge_all(dataset, result), "both" if len(sources[key]) > 1 else next(iter(sources[key])))
        for key, result in states.items()
    }


def _row(dataset: MeterSeries, grain: Grain, key: tuple[str, Time], state: State, source: str) -> dict[str, Any]:
    meter, start = key
    row: dict[str, Any] = dict(state.row())
    for measure in dataset.measures:
        row |= {name: to_decimal(row[name], measure.scale) for name in measure_columns(measure)}
    time = start.replace(tzinfo=None) if isinstance(start, datetime) else start
    view = dataset.view(grain)
    place = {"source": source, view.partition: view.partition_value(start)}
    return {dataset.key: meter, grain: time, **row, **derived_values(dataset, state), **place}


def _whole_rows(dataset: MeterSeries, grain: Grain, time: Time) -> datetime:
    """Return where the first row begins that is not before ``time``: a window selects rows by their beginning."""
    moment = timegrid.row_begins(time, dataset.time_zone)
    begin = timegrid.row_start(moment, grain, dataset.time_zone)
    return begin if begin == moment else timegrid.row_end(moment, grain, dataset.time_zone)


def _held(dataset: MeterSeries, piece: Piece, since: datetime, until: datetime) -> tuple[Time, Time] | None:
    """Return the times of a piece's rows between two beginnings of coarser rows; None where there is none."""
    first, end = max(piece.since, since), min(piece.until, until)
    if first >= end:
        return None
    zone = dataset.time_zone
    return timegrid.row_time(first, piece.grain, zone), timegrid.row_time(end, piece.grain, zone)
