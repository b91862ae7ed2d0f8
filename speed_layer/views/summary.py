"""What the tasks of an update have written: small, whatever the update's size; the driver adds it up."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.errors import MeterlakeError

SCHEMA: Final = "summary BINARY"
"""What a task returns to Spark: one row."""


@dataclass
class Summary:
    """What was done.

    written: rows by table. starts: new readings by their start, milliseconds since 1970. offsets: the highest of each
    partition of Kafka among them. contended: whether one of them is in a minute in which readings compete. error: why
    not all was written.
    """

    written: Counter[str] = field(default_factory=Counter)
    starts: Counter[int] = field(default_factory=Counter)
    offsets: dict[int, int] = field(default_factory=dict)
    contended: bool = False
    error: MeterlakeError | None = None

    def add(self, other: Summary) -> None:
        """Add what another task has done. Of several errors the first stays."""
        self.written.update(other.written)
        self.starts.update(other.starts)
        for partition, offset in other.offsets.items():
            self.seen(partition, offset)
        self.contended |= other.contended
        self.error = self.error or other.error

    def seen(self, partition: int, offset: int) -> None:
        """Take a partition's offset of a new reading."""
        self.offsets[partition] = max(offset, self.offsets.get(partition, -1))

    def packed(self) -> bytes:
        """Return it as a task hands it to Spark."""
        return pickle.dumps(self)


def total(packed: Iterable[bytes]) -> Summary:
    """Return the sum of what tasks have handed over. Raises the error of one that could not write."""
    result = Summary()
    for one in packed:
        result.add(pickle.loads(one))  # noqa: S301 - of our own tasks
    if result.error is not None:
        raise result.error
    return result
