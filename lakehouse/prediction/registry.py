"""The registry of models: a row of gold each, and the model as an object of the bucket."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from engines import lake
from lakehouse.landing.objects import BrokenObject
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lakehouse.prediction.training import Trained
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.prediction import Prediction
    from meterlake.settings import Settings


class OtherLibrary(PermanentError):
    """A model was made by another version of its library, which may answer otherwise."""

    def __init__(self, name: str, made_by: str, here: str) -> None:
        super().__init__(f"The model {name} was made by {made_by}; here is {here}.", hint="`meterlake train` again.")


@dataclass(frozen=True)
class Model:
    """A row of the registry: columns as ``tables.MODELS`` has them."""

    prediction: str
    version: str
    made_at: datetime
    algorithm: str
    first_sk: str
    last_sk: str
    threshold: float
    data_snapshot: str
    code_version: str
    library: str
    object: str
    sha256: str
    details: str

    @property
    def content(self) -> Mapping[str, Any]:
        """The details, read."""
        result: dict[str, Any] = orjson.loads(self.details)
        return result


def library() -> str:
    """Return the library that models are made by, with its version. Raises PackageNotFoundError."""
    return f"scikit-learn {version('scikit-learn')}"


def code_version(lakehouse: Lakehouse, prediction: Prediction) -> str:
    """Return what a model's features are made by: our version, and a digest of the declaration."""
    view = lakehouse.view(prediction.view)
    digest = hashlib.sha256(repr((prediction, view)).encode()).hexdigest()[:12]
    return f"meterlake {version('meterlake')}, features {digest}"


def keep(
    settings: Settings, lakehouse: Lakehouse, prediction: Prediction, trained: Trained, now: datetime, snapshot: str
) -> Model:
    """Write a model into the bucket, and return its row. now: UTC, without zone. snapshot: of what it was made of."""
    data = packed(trained.model)
    digest = hashlib.sha256(data).hexdigest()
    name = f"{now:%Y%m%dT%H%M%S}-{digest[:8]}"
    key = f"models/{lakehouse.name}/{prediction.name}/{name}.skops"
    lake.put(settings, key, data)
    details = {
        "base_rate": trained.base_rate,
        "results": {
            item.algorithm: {
                "threshold": item.threshold,
                **{
                    measure: {"value": value, "low": item.intervals[measure][0], "high": item.intervals[measure][1]}
                    for measure, value in item.measures.items()
                },
            }
            for item in trained.results
        },
        "importance": trained.importance,
        "typical": [None if np.isnan(value) else value for value in trained.typical],
        "edges": trained.edges,
        "shares": trained.shares,
    }
    return Model(
        prediction=prediction.name,
        version=name,
        made_at=now,
        algorithm=trained.algorithm,
        first_sk=trained.days[0],
        last_sk=trained.days[1],
        threshold=trained.threshold,
        data_snapshot=snapshot,
        code_version=code_version(lakehouse, prediction),
        library=library(),
        object=key,
        sha256=digest,
        details=orjson.dumps(details).decode(),
    )


def loaded(settings: Settings, model: Model) -> Any:  # noqa: ANN401 - an estimator of scikit-learn
    """Return a model. Raises BrokenObject where it is not what was kept, OtherLibrary, ModuleNotFoundError."""
    if model.library != (here := library()):
        raise OtherLibrary(model.version, model.library, here)
    data = lake.get(settings, model.object)
    if data is None:
        raise BrokenObject(model.object, "is not there")
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise BrokenObject(model.object, "is not the model that was kept")
    return unpacked(data, model.object)


def packed(model: Any) -> bytes:  # noqa: ANN401
    """Return a model as bytes that are no code."""
    from skops.io import dumps

    data: bytes = dumps(model)
    return data


def unpacked(data: bytes, name: str) -> Any:  # noqa: ANN401
    """Return the model that bytes hold. Raises BrokenObject where they hold anything else."""
    from skops.io import get_untrusted_types, loads

    types = get_untrusted_types(data=data)
    if strange := [kind for kind in types if kind.partition(".")[0] not in ("sklearn", "numpy")]:
        raise BrokenObject(name, f"holds {', '.join(strange)}, which is no model")
    return loads(data, trusted=types)
