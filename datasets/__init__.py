"""The data sets that this platform knows. A new one is a module here, and one line below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets.household.declaration import HOUSEHOLD
from datasets.household.text import HOUSEHOLD_TEXT
from meterlake.errors import PermanentError, UnknownName

if TYPE_CHECKING:
    from meterlake.declaration import Dataset
    from meterlake.replay import Replay
    from meterlake.textformat import TextFormat

_DATASETS: Final[dict[str, Dataset]] = {dataset.name: dataset for dataset in (HOUSEHOLD,)}

_TEXT_FORMATS: Final[dict[str, TextFormat]] = {form.dataset.name: form for form in (HOUSEHOLD_TEXT,)}


def get(name: str) -> Dataset:
    """Return a data set by name; raises UnknownName, which lists the known ones."""
    try:
        return _DATASETS[name]
    except KeyError:
        raise UnknownName("data set", name, _DATASETS) from None


def names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return tuple(sorted(_DATASETS))


def text_format(name: str) -> TextFormat:
    """Return the text format of a data set's files. Raises UnknownName, or PermanentError where it has none."""
    dataset = get(name)
    if name not in _TEXT_FORMATS:
        raise PermanentError(
            f"Data set {dataset.name!r} has no text format.", hint="Declare one (meterlake.textformat)."
        )
    return _TEXT_FORMATS[name]


def replay(name: str) -> Replay:
    """Return how a data set's history is replayed. Raises UnknownName, or PermanentError where it cannot be."""
    from datasets.household.replay import HOUSEHOLD_REPLAY  # numpy takes its time to import

    replays = {found.dataset.name: found for found in (HOUSEHOLD_REPLAY,)}
    dataset = get(name)
    if name not in replays:
        raise PermanentError(f"Data set {dataset.name!r} has no replay.", hint="Declare one (meterlake.replay).")
    return replays[name]
