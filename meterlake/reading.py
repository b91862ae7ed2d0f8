"""One reading of a meter, decoded: what producers emit, loaders make and the reference decides on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from meterlake.units import to_units

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """A decoded reading.

    ts: start of the interval, whole seconds since 1970-01-01 UTC. interval_s: its length.
    values: physical values, one a measure, in the order of the declaration; all None is a gap row.
    revision: a later one replaces earlier ones. received_at: broker or load time (aware).
    origin: topic, or file; origin_partition and origin_offset: Kafka's, or 0 and the line. load_id: what appended it to
    the master data set.
    """

    meter_id: str
    ts: int
    interval_s: int
    values: tuple[float | None, ...]
    revision: int = 0
    received_at: datetime = EPOCH
    origin: str = ""
    origin_partition: int = 0
    origin_offset: int = 0
    load_id: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """What identifies a reading: meter, start, length."""
        return (self.meter_id, self.ts, self.interval_s)

    @property
    def is_gap(self) -> bool:
        """Whether the meter reported that it has no values."""
        return all(value is None for value in self.values)

    def units(self, dataset: MeterSeries) -> tuple[int | None, ...]:
        """Return the values in units, the payload that is compared and counted."""
        return tuple(
            None if value is None else to_units(value, measure.scale)
            for value, measure in zip(self.values, dataset.measures, strict=True)
        )

    def row(self, dataset: MeterSeries) -> dict[str, float | int | None]:
        """Return what rules read: measures by name, and the interval."""
        names = (measure.name for measure in dataset.measures)
        return dict(zip(names, self.values, strict=True)) | {dataset.interval: self.interval_s}
