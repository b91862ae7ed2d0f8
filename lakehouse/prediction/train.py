"""Training on what readers see, and what has become of the latest model since."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import lake_tables, nessie, trino
from lakehouse.kpi import rows_of
from lakehouse.layers import tables
from lakehouse.prediction import measures, registry, training
from lakehouse.prediction import rows as fetched
from lakehouse.prediction.registry import Model
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from lakehouse.lease import Lease
    from lakehouse.prediction.rows import Rows
    from meterlake.clock import Clock
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.settings import Settings


class NoModel(PermanentError):
    """A prediction has no model yet."""


def train(settings: Settings, lakehouse: Lakehouse, prediction: Prediction, lease: Lease, clock: Clock) -> Model:
    """Train, and add the model to the registry. Raises TooLittle, RefMoved, LeaseLost, ModuleNotFoundError."""
    snapshot = nessie.main(settings)
    trained = training.train(prediction, _rows(settings, lakehouse, prediction))
    now = clock().astimezone(UTC).replace(tzinfo=None, microsecond=0)
    model = registry.keep(settings, lakehouse, prediction, trained, now, snapshot.hash)
    lease.check()
    path = f"{lakehouse.namespace('gold')}.{tables.MODELS.name}"
    lake_tables.append(settings, path, [model.__dict__])
    return model


def latest(settings: Settings, lakehouse: Lakehouse, prediction: Prediction) -> Model:
    """Return the latest model. Raises NoModel."""
    kept = lake_tables.read(settings, f"{lakehouse.namespace('gold')}.{tables.MODELS.name}").to_pylist()
    models = sorted((row for row in kept if row["prediction"] == prediction.name), key=lambda row: str(row["version"]))
    if not models:
        raise NoModel(f"{prediction.name} has no model yet.", hint=f"`meterlake train {lakehouse.name}` makes one.")
    return Model(**models[-1])


def drift(settings: Settings, lakehouse: Lakehouse, prediction: Prediction) -> list[dict[str, Any]]:
    """Return how the features of the days since a model was made differ from those that it has learned from.

    The last row says how good its answers were since, beside the test. Raises NoModel.
    """
    model = latest(settings, lakehouse, prediction)
    rows = _rows(settings, lakehouse, prediction)
    since = rows.where(rows.days.astype(str) > model.last_sk)
    details = model.content
    report: list[dict[str, Any]] = []
    for name, title in prediction.features.items():
        now = measures.shares(since.column(name), details["edges"][name])
        value = measures.drift(details["shares"][name], now) if len(since) else 0.0
        word = "much" if value > 0.25 else "some" if value > 0.1 else "little"
        report.append({"what": title, "drift": round(value, 4), "verdict": word if len(since) else "no new days"})
    report.append(_since(settings, lakehouse, prediction, model, since))
    return report


def _since(
    settings: Settings, lakehouse: Lakehouse, prediction: Prediction, model: Model, since: Rows
) -> dict[str, Any]:
    gold = lakehouse.namespace("gold")
    sql = f"SELECT date_sk, {prediction.member[0]}, probability FROM lake.{gold}.{prediction.name}"
    said = {
        (row[0], row[1]): float(row[2]) for row in trino.rows(settings, f"{sql} WHERE asked_sk > ?", [model.last_sk])
    }
    pairs = [
        (happened, said[key[0], key[1]])
        for key, happened in zip(since.keys, since.happened.tolist(), strict=True)
        if (key[0], key[1]) in said and not np.isnan(happened)
    ]
    before = model.content["results"][model.algorithm]["f1"]["value"]
    if not pairs:
        return {"what": f"F1 since, beside {before:.3f} in the test", "drift": 0.0, "verdict": "no new days"}
    came, share = (np.array(column) for column in zip(*pairs, strict=True))
    now = measures.measure(came, share, model.threshold)["f1"]
    return {
        "what": f"F1 since, beside {before:.3f} in the test",
        "drift": round(now, 4),
        "verdict": f"{len(pairs)} answers",
    }


def _rows(settings: Settings, lakehouse: Lakehouse, prediction: Prediction) -> Rows:
    sql = rows_of(lakehouse, prediction.view, prediction.columns, "trino", "lake")
    return fetched.of(prediction, trino.rows(settings, sql))
