"""How good probabilities are: F1 at a threshold, precision, recall, average precision, Brier score, calibration."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

NAMES: Final = ("f1", "precision", "recall", "average_precision", "brier", "calibration_error")
_BINS: Final = 10
_TIMES: Final = 200


def threshold(happened: Any, share: Any) -> float:  # noqa: ANN401 - arrays of numpy
    """Return the probability from which on the answer is yes, so that F1 is greatest: one that occurs."""
    tried = np.unique(np.quantile(share, np.linspace(0.01, 0.999, 300), method="nearest"))
    scores = [_f1(happened, share >= limit) for limit in tried]
    return float(tried[int(np.argmax(scores))])


def measure(happened: Any, share: Any, limit: float) -> dict[str, float]:  # noqa: ANN401
    """Return all of them."""
    said, came = share >= limit, happened > 0
    hits = int((said & came).sum())
    return {
        "f1": _f1(happened, said),
        "precision": hits / max(1, int(said.sum())),
        "recall": hits / max(1, int(came.sum())),
        "average_precision": average_precision(happened, share),
        "brier": float(np.mean((share - happened) ** 2)),
        "calibration_error": _calibration(happened, share),
    }


def average_precision(happened: Any, share: Any) -> float:  # noqa: ANN401
    """Return the mean precision over the recall, without interpolation; ties count together."""
    order = np.argsort(-share, kind="stable")
    came, sorted_share = happened[order] > 0, share[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_share)), len(share) - 1)
    hits = np.cumsum(came)[ends]
    if hits[-1] == 0:
        return 0.0
    recall = hits / hits[-1]
    return float(np.sum(np.diff(np.append(0.0, recall)) * hits / (ends + 1)))


def intervals(days: Any, happened: Any, share: Any, limit: float) -> dict[str, tuple[float, float]]:  # noqa: ANN401
    """Return the middle 90 % of each, over samples of whole days: what lies on one day is not independent."""
    pick, places = np.random.default_rng(1), [np.flatnonzero(days == day) for day in np.unique(days.astype(str))]
    result: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(_TIMES):
        rows = np.concatenate([places[number] for number in pick.integers(0, len(places), len(places))])
        for name, value in measure(happened[rows], share[rows], limit).items():
            result[name].append(value)
    return {name: tuple(np.quantile(values, (0.05, 0.95)).tolist()) for name, values in result.items()}


def edges(values: Any) -> list[float]:  # noqa: ANN401
    """Return the deciles between which a feature lies."""
    known = values[~np.isnan(values)]
    return np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9))).tolist() if len(known) else []


def shares(values: Any, limits: list[float]) -> list[float]:  # noqa: ANN401
    """Return how much of a feature lies between its limits; the last share is of what is missing."""
    missing = np.isnan(values)
    places = np.searchsorted(limits, values[~missing], side="right")
    counts = np.append(np.bincount(places, minlength=len(limits) + 1), missing.sum())
    return [float(count) / max(1, len(values)) for count in counts]


def drift(before: list[float], now: list[float]) -> float:
    """Return the population stability index of two distributions: below 0.1 little, above 0.25 much."""
    one, other = (np.maximum(np.array(part), 1e-4) for part in (before, now))
    return float(np.sum((other - one) * np.log(other / one)))


def _f1(happened: Any, said: Any) -> float:  # noqa: ANN401
    hits = 2 * int((said & (happened > 0)).sum())
    return hits / max(1, int(said.sum()) + int((happened > 0).sum()))


def _calibration(happened: Any, share: Any) -> float:  # noqa: ANN401
    """Return the mean difference between what was said and how often it came, over tenths of the rows."""
    parts = np.array_split(np.argsort(share, kind="stable"), _BINS)
    return float(
        sum(len(part) * abs(share[part].mean() - happened[part].mean()) for part in parts if len(part)) / len(share)
    )
