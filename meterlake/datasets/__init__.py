"""The data sets that this platform knows. A new one is a module here, and one line below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.datasets.household import HOUSEHOLD
from meterlake.errors import UnknownName

if TYPE_CHECKING:
    from meterlake.declaration import Dataset

_DATASETS: Final[dict[str, Dataset]] = {dataset.name: dataset for dataset in (HOUSEHOLD,)}


def get(name: str) -> Dataset:
    """Return a data set by name; raises UnknownName, which lists the known ones."""
    try:
        return _DATASETS[name]
    except KeyError:
        raise UnknownName("data set", name, _DATASETS) from None


def names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return tuple(sorted(_DATASETS))
