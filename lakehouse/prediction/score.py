"""Asking the latest model about the days that it has not been asked about: a step of each run, on its branch."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from lakehouse.kpi import rows_of
from lakehouse.layers import tables
from lakehouse.prediction import rows as fetched
from lakehouse.prediction.registry import Model, OtherLibrary, loaded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.layers.tables import Catalog
    from lakehouse.prediction.rows import Rows
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.settings import Settings

MISSING: Final = "`uv pip install 'meterlake[prediction]'` brings what models need"


def score(session: SparkSession, settings: Settings, catalog: Catalog, item: Prediction, run: str) -> str:
    """Write answers about the days after those that a model was made of; return why there are none, where there are.

    A day is asked about once, and no answer is changed later: what was predicted stays known.
    """
    models = catalog.path(tables.MODELS)
    names = ", ".join(tables.MODELS.names)
    latest = session.sql(
        f"SELECT {names} FROM {models} WHERE prediction = '{item.name}' ORDER BY version DESC LIMIT 1"
    ).first()
    if latest is None:
        return ""
    if find_spec("sklearn") is None or find_spec("skops") is None:
        return MISSING
    model = Model(**latest.asDict())
    rows = fresh(session, catalog, item, model.last_sk)
    if not len(rows):
        return ""
    try:
        answers = answered(settings, item, model, rows, run)
    except OtherLibrary as error:
        return str(error)
    table = tables.prediction(item)
    columns = ", ".join(f"{name} {kind}" for name, kind in table.columns)
    session.createDataFrame(answers, columns).coalesce(1).createOrReplaceTempView(f"answers_{item.name}")
    session.sql(f"INSERT INTO {catalog.path(table)} SELECT * FROM answers_{item.name}")
    return ""


def fresh(session: SparkSession, catalog: Catalog, item: Prediction, last_sk: str) -> Rows:
    """Return the rows of the days after ``last_sk`` and after those that were asked about.

    Of the past, as much is read as features look back. The answers' metadata says up to which day they go: none is
    opened.
    """
    last_day = "max(readable_metrics.asked_sk.upper_bound)"
    (last,) = session.sql(f"SELECT {last_day} FROM {catalog.path(tables.prediction(item))}.files").first() or (None,)
    begin = max(last or "", last_sk)
    since = datetime.strptime(begin, "%Y%m%d").date() + timedelta(days=1 - item.looks_back)  # noqa: DTZ007 - a day
    features = rows_of(catalog.lakehouse, item.view, item.columns, "spark", catalog.name, since)
    return fetched.of(item, session.sql(f"SELECT * FROM ({features}) WHERE date_sk > '{begin}'").collect())


def answered(
    settings: Settings, item: Prediction, model: Model, rows: Rows, run: str
) -> list[tuple[str | float | bool | None, ...]]:
    """Return a row of the table of answers for each row."""
    from lakehouse.prediction import models

    estimator = loaded(settings, model)
    share = models.answer(estimator)(rows)
    said = share >= model.threshold
    typical = np.array([np.nan if value is None else value for value in model.content["typical"]])
    why = iter(models.reasons(estimator, rows.where(said), typical) if said.any() else [])
    answers: list[tuple[str | float | bool | None, ...]] = []
    for (day, *member), asked, probability, is_predicted in zip(rows.keys, rows.days, share, said, strict=True):
        given = [item.features[name] for name in next(why)] if is_predicted else []
        three = [*given, None, None, None][:3]
        answers.append((day, *member, asked, model.version, float(probability), bool(is_predicted), *three, run))
    return answers
