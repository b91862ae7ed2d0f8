"""Models of whether something happens: the simplest answers, and those that learn. Each is made of ``Rows`` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from lakehouse.prediction.rows import Rows
    from meterlake.lakehouse.prediction import Prediction

Answer = Callable[["Rows"], Any]
"""Gives the probability of each row."""
SIMPLE: Final = ("as today", "last week's rate", "rate of the month")
LEARNED: Final = ("logistic regression", "gradient boosting", "dense network")


def simple(prediction: Prediction, train: Rows) -> Mapping[str, Answer]:
    """Return the answers that need no library: as it was today, as often as last week, as often as in that month."""
    today = train.column(prediction.persistence) > 0
    mean = float(train.happened.mean())
    after = {flag: _mean(train.happened[today == flag], mean) for flag in (True, False)}
    months = _months(train)
    rates = {month: float(train.happened[months == month].mean()) for month in np.unique(months)}

    def as_today(rows: Rows) -> Any:  # noqa: ANN401 - an array of numpy
        return np.where(rows.column(prediction.persistence) > 0, max(after[True], after[False] + 1e-9), after[False])

    def last_week(rows: Rows) -> Any:  # noqa: ANN401
        return np.minimum(rows.column(prediction.rate) / 7, 1.0)

    def month(rows: Rows) -> Any:  # noqa: ANN401
        return np.array([rates.get(name, mean) for name in _months(rows)])

    return dict(zip(SIMPLE, (as_today, last_week, month), strict=True))


def fitted(algorithm: str, train: Rows) -> Any:  # noqa: ANN401 - an estimator of scikit-learn
    """Return a model that has learned from rows; the same each time. Raises ModuleNotFoundError without the extra."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    made = {
        "logistic regression": lambda: make_pipeline(
            SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1000)
        ),
        "gradient boosting": lambda: HistGradientBoostingClassifier(
            max_iter=120,
            learning_rate=0.05,
            max_leaf_nodes=12,
            min_samples_leaf=60,
            early_stopping=False,
            random_state=1,
        ),
        "dense network": lambda: make_pipeline(
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
            MLPClassifier((32, 16), alpha=0.01, max_iter=25, tol=0.0, n_iter_no_change=25, random_state=1),
        ),
    }[algorithm]()
    # Of what is never known nothing can be learned; a tree refuses it.
    features = np.where(np.isnan(train.features).all(axis=0), 0.0, train.features)
    with threadpool_limits(1), _quiet():
        return made.fit(features, train.happened.astype("int8"))


def answer(model: Any) -> Answer:  # noqa: ANN401
    """Return what a model that has learned answers."""
    from threadpoolctl import threadpool_limits

    def probability(rows: Rows) -> Any:  # noqa: ANN401
        with threadpool_limits(1):
            return model.predict_proba(rows.features)[:, 1]

    return probability


def reasons(model: Any, rows: Rows, typical: Any) -> list[tuple[str, ...]]:  # noqa: ANN401
    """Return, for each row, the three features that raise its probability most over that with a typical value."""
    ask = answer(model)
    whole = _logit(ask(rows))
    raised = np.empty(rows.features.shape)
    for place in range(len(rows.names)):
        changed = rows.features.copy()
        changed[:, place] = typical[place]
        raised[:, place] = whole - _logit(ask(_with(rows, changed)))
    best = np.argsort(-raised, axis=1, kind="stable")[:, :3]
    return [
        tuple(rows.names[place] for place in places if raised[row, place] > 0)
        for row, places in enumerate(best.tolist())
    ]


def importance(model: Any, rows: Rows, score: Callable[[Any, Any], float]) -> dict[str, float]:  # noqa: ANN401
    """Return how much of a score is lost where a feature is shuffled: mean of five times."""
    ask, pick = answer(model), np.random.default_rng(1)
    whole = score(rows.happened, ask(rows))
    lost = {}
    for place, name in enumerate(rows.names):
        scores = []
        for _ in range(5):
            shuffled = rows.features.copy()
            shuffled[:, place] = pick.permutation(shuffled[:, place])
            scores.append(score(rows.happened, ask(_with(rows, shuffled))))
        lost[name] = round(whole - float(np.mean(scores)), 5)
    return lost


def _with(rows: Rows, features: Any) -> Rows:  # noqa: ANN401
    return type(rows)(rows.names, rows.days, rows.keys, rows.happened, features)


def _months(rows: Rows) -> Any:  # noqa: ANN401
    return np.array([day[4:6] for day in rows.days])


def _mean(values: Any, otherwise: float) -> float:  # noqa: ANN401
    return float(values.mean()) if len(values) else otherwise


def _logit(share: Any) -> Any:  # noqa: ANN401
    bounded = np.clip(share, 1e-9, 1 - 1e-9)
    return np.log(bounded / (1 - bounded))


def _quiet() -> Any:  # noqa: ANN401
    """Leave out the warning that a network could learn longer: how long is ours to say."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
