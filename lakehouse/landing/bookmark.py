"""How far the manifests of a data set were read, so that those that are new are found without a list of all.

Each manifest of a source begins where the one before it ends, and only one can begin there: none comes late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines import lake
from lakehouse.parallel import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterlake.settings import Settings

Bookmark = dict[str, int]
"""By source (topic and partition), the first offset of the last manifest that was read."""


def behind(settings: Settings, dataset: str, bookmark: Mapping[str, int]) -> list[str]:
    """Return the keys of manifests behind a bookmark, and of all those of sources that it does not know."""
    place = f"manifest/{dataset}"
    topics = lake.folders(settings, f"{place}/")
    names = side_by_side(lambda topic: lake.folders(settings, f"{place}/{topic}/"), topics)
    sources = [f"{topic}/{name}" for topic, of_topic in zip(topics, names, strict=True) for name in of_topic]

    def of_source(source: str) -> list[str]:
        last = f"{place}/{source}/{bookmark[source]:020}.json" if source in bookmark else ""
        return [item.key for item in lake.listed(settings, f"{place}/{source}/", last)]

    return [key for keys in side_by_side(of_source, sources) for key in keys]


def moved(bookmark: Mapping[str, int], keys: Iterable[str]) -> Bookmark:
    """Return a bookmark behind manifests that have been read."""
    result = dict(bookmark)
    for key in keys:
        source, _, name = key.split("/", 2)[2].rpartition("/")
        result[source] = max(result.get(source, 0), int(name.removesuffix(".json")))
    return result
