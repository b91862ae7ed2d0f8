"""The data sets that can be used by name (``meterlake.discovery`` says where they are found).

What cannot be used does not keep anybody from the other data sets, but whoever asks for all gets its error. Who names
one data set imports that one: declarations are checked when they are made, which takes its time. For the same reason
what declarations are made of is imported with the first.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from meterlake.errors import UnknownName, UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.dataset import DataSet, Entry, LakehouseEntry
    from meterlake.declaration import MeterSeries
    from meterlake.discovery import Listing
    from meterlake.replay import Replay
    from meterlake.text.format import TextFormat

_added: Final[list[Entry]] = []


def names() -> tuple[str, ...]:
    """Return the names of all data sets that can be used, sorted."""
    return tuple(sorted(listing().entries))


def entry(name: str) -> Entry:
    """Return a data set by name.

    Raises UnknownName, which lists the known ones; UnusableDataSet where it may be one that cannot be used.
    """
    if (found := find(name)) is not None:
        return found
    known = listing()
    if name in known.lakehouses:
        raise UsageError(
            f"{name} is a lakehouse: this command is for data sets of meters.",
            hint="Its commands: simulate, land, stream, batch, runs, rollback, verify.",
        )
    if known.problems:
        raise known.problems[0].with_traceback(None)
    raise UnknownName("data set", name, known.entries)


def lakehouse(name: str) -> LakehouseEntry | None:
    """Return a lakehouse by name, or nothing where there is none."""
    return _named(name).lakehouses.get(name)


def required_lakehouse(name: str) -> LakehouseEntry:
    """Return a lakehouse by name. Raises UsageError where it is a data set of meters, UnknownName where it is none."""
    result = lakehouse(name)
    if result is None:
        if find(name) is not None:
            raise UsageError(
                f"{name} is a data set of meters: this command is for lakehouses.",
                hint="Meters are loaded with `meterlake load`, and archived from Kafka with `meterlake archive`.",
            )
        raise UnknownName("lakehouse", name, listing().lakehouses)
    return result


def find(name: str) -> Entry | None:
    """Return a data set by name, or nothing where there is none."""
    return _named(name).entries.get(name)


def declaration(name: str) -> MeterSeries:
    """Return the declaration of a data set. Raises what ``entry`` raises."""
    return entry(name).declaration


def text_format(name: str) -> TextFormat:
    """Return the format of a data set's files. Raises what ``entry`` raises; PermanentError where it has none."""
    return entry(name).text_format()


def replay(name: str) -> Replay:
    """Return how a data set's history is replayed. Raises what ``entry`` raises; PermanentError where it cannot be."""
    return entry(name).replay()


def entries() -> tuple[Entry, ...]:
    """Return all data sets, by name. Raises UnusableDataSet where one cannot be used: none is left out in silence."""
    known = listing()
    if known.problems:
        raise known.problems[0].with_traceback(None)
    return tuple(known.entries[name] for name in sorted(known.entries))


def declarations() -> tuple[MeterSeries, ...]:
    """Return all declarations, by name. Raises what ``entries`` raises."""
    return tuple(item.declaration for item in entries())


def listing() -> Listing:
    """Return all data sets, and the problems of places."""
    return _named("")


def _named(name: str) -> Listing:
    """Return what may be of a name: of our own data sets only that one. Without a name: all."""
    from meterlake import discovery

    known = _discovered(load_settings().datasets, name)
    return discovery.merged([*known.entries.values(), *_added], known) if _added else known


@contextmanager
def added(data_set: DataSet) -> Iterator[Entry]:
    """Know a data set in this process for a while: in a notebook, or a test."""
    from meterlake.dataset import Entry

    item = Entry(data_set, "", None, "this process")
    _added.append(item)
    try:
        yield item
    finally:
        _added.remove(item)


@lru_cache(maxsize=64)
def _discovered(setting: str, name: str) -> Listing:
    from meterlake import discovery

    return discovery.discover(setting, name)
