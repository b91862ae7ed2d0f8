"""What a model is made of and asked about: features of members and days, in order of days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.lakehouse.prediction import Prediction


@dataclass(frozen=True)
class Rows:
    """Rows of a prediction's view. names: of the features. happened: NaN where it is not known yet."""

    names: tuple[str, ...]
    days: Any
    keys: tuple[tuple[str, ...], ...]
    happened: Any
    features: Any

    def __len__(self) -> int:
        return len(self.days)

    def where(self, mask: Any) -> Rows:  # noqa: ANN401 - an array of numpy
        """Return some of the rows."""
        keys = tuple(key for key, wanted in zip(self.keys, mask, strict=True) if wanted)
        return Rows(self.names, self.days[mask], keys, self.happened[mask], self.features[mask])

    def column(self, name: str) -> Any:  # noqa: ANN401
        """Return a feature."""
        return self.features[:, self.names.index(name)]


def of(prediction: Prediction, fetched: Sequence[Sequence[Any]]) -> Rows:
    """Return rows as a database gives them (``prediction.columns``): keys are the next day and the member."""
    ordered = sorted(fetched, key=lambda row: (row[0], row[2]))
    names = tuple(prediction.features)
    values = np.array([[np.nan if value is None else float(value) for value in row[4:]] for row in ordered])
    values = values.reshape(len(ordered), 1 + len(names))
    days = np.array([row[0] for row in ordered], dtype=object)
    return Rows(names, days, tuple(tuple(row[1:4]) for row in ordered), values[:, 0], values[:, 1:])


@dataclass(frozen=True)
class Parts:
    """Rows by time: the first six tenths of the days, two tenths to choose by, and the last two, looked at once."""

    train: Rows
    validation: Rows
    test: Rows


def split(rows: Rows) -> Parts:
    """Return the rows whose outcome is known, by time."""
    known = rows.where(~np.isnan(rows.happened))
    days = np.unique(known.days.astype(str))
    first, second = days[int(len(days) * 0.6)], days[int(len(days) * 0.8)]
    text = known.days.astype(str)
    return Parts(known.where(text < first), known.where((text >= first) & (text < second)), known.where(text >= second))
