"""Models side by side on the same rows, split by time; the best of those that learn is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.prediction import measures, models
from lakehouse.prediction.rows import split
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from lakehouse.prediction.rows import Rows
    from meterlake.lakehouse.prediction import Prediction

FEWEST_DAYS = 60
"""With fewer days there is nothing to choose by."""


class TooLittle(PermanentError):
    """There is not enough history to learn from."""


@dataclass(frozen=True)
class Result:
    """How good a model is on the test, which was not looked at before."""

    algorithm: str
    threshold: float
    measures: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Trained:
    """The model that is kept, beside all that it was compared with. base_rate: how often it happened in the test."""

    algorithm: str
    model: Any
    threshold: float
    days: tuple[str, str]
    base_rate: float
    results: tuple[Result, ...]
    importance: dict[str, float]
    typical: tuple[float, ...]
    edges: dict[str, list[float]]
    shares: dict[str, list[float]]


def train(prediction: Prediction, rows: Rows) -> Trained:
    """Compare the models and choose one by the validation. Raises TooLittle."""
    known = rows.where(~np.isnan(rows.happened))
    days = len(set(known.days.tolist()))
    if days < FEWEST_DAYS or not 0 < known.happened.sum() < len(known):
        raise TooLittle(
            f"{prediction.name}: there are {days} days whose outcome is known, with {int(known.happened.sum())} cases.",
            hint=f"At least {FEWEST_DAYS} days, with cases and without, are needed. Load more history.",
        )
    parts = split(rows)
    learned = {name: models.fitted(name, parts.train) for name in models.LEARNED}
    answers = {**models.simple(prediction, parts.train), **{name: models.answer(m) for name, m in learned.items()}}
    results, chosen_by = [], {}
    for name, ask in answers.items():
        seen = ask(parts.validation)
        limit = measures.threshold(parts.validation.happened, seen)
        chosen_by[name] = measures.average_precision(parts.validation.happened, seen)
        share, came = ask(parts.test), parts.test.happened
        intervals = measures.intervals(parts.test.days, came, share, limit)
        results.append(Result(name, limit, measures.measure(came, share, limit), intervals))
    best = max(models.LEARNED, key=chosen_by.__getitem__)
    columns = dict(zip(rows.names, parts.train.features.T, strict=True))
    edges = {name: measures.edges(values) for name, values in columns.items()}
    return Trained(
        algorithm=best,
        model=learned[best],
        threshold=next(item.threshold for item in results if item.algorithm == best),
        days=(str(known.days[0]), str(known.days[-1])),
        base_rate=float(parts.test.happened.mean()),
        results=tuple(results),
        importance=models.importance(learned[best], parts.test, measures.average_precision),
        typical=tuple(_typical(values) for values in columns.values()),
        edges=edges,
        shares={name: measures.shares(values, edges[name]) for name, values in columns.items()},
    )


def _typical(values: Any) -> float:  # noqa: ANN401 - an array of numpy
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
