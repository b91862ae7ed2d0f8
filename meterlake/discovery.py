"""Finding data sets: in our package, in folders and packages that the settings name, in entry points.

A place is a folder that contains folders of data sets, or one such folder, or a package. Each data set is found by its
entry ``DATASET`` (``meterlake.dataset``). What cannot be used is a problem of its place.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import sysconfig
import traceback
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeAlias

from meterlake.dataset import ENTRY, OURS, DataSet, Entry, LakehouseEntry
from meterlake.errors import MeterlakeError, PermanentError
from meterlake.lakehouse.declaration import Lakehouse

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP: Final = "meterlake.datasets"
"""Entry points of this group name data sets of installed packages."""

_NAMESPACE: Final = "meterlake_at_"
"""Folders are no packages that could be imported: what contains them gets a name that begins so."""


class UnusableDataSet(PermanentError):
    """A place that was named holds no data set, or one that cannot be used."""

    def __init__(self, where: str, problem: str, hint: str) -> None:
        self.where, self.problem = where, problem
        super().__init__(f"{where}: {problem}.", hint=hint)


@dataclass(frozen=True)
class Listing:
    """All data sets by name, and the problems of places."""

    entries: dict[str, Entry]
    problems: tuple[UnusableDataSet, ...] = ()
    lakehouses: dict[str, LakehouseEntry] = field(default_factory=dict)


_Items: TypeAlias = "list[Entry | LakehouseEntry | UnusableDataSet]"


def loaded_folders() -> list[ModuleType]:
    """Return the packages made of folders: other processes cannot import them."""
    return [module for name, module in list(sys.modules.items()) if name.startswith(_NAMESPACE) and "." not in name]


def in_folder(path: Path) -> Listing:
    """Return what is found in a folder, whoever names it."""
    return _collected(_in_folder(path.resolve(), str(path)))


def discover(setting: str, name: str = "") -> Listing:
    """Return what our own package, the setting and the entry points name.

    name: of our own data sets, whose folders are named like them, only that one is imported.
    """
    items = [*_in_package(OURS, "meterlake")] if not name else _ours(name)
    for place in _places(setting):
        items += _in_place(place)
    for point in entry_points(group=GROUP):
        items += _at_point(point)
    return _collected(items)


def _places(setting: str) -> list[str]:
    """Split a setting by commas and by the separator of paths."""
    return [place.strip() for place in re.split(f"[,{os.pathsep}]", setting) if place.strip()]


def _in_place(place: str) -> _Items:
    source = f"METERLAKE_DATASETS={place}"
    path = Path(place).expanduser()
    if path.is_dir():
        return _in_folder(path.resolve(), source)
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", place):
        return _in_package(place, source)
    hint = f"Name a folder (paths count from {Path.cwd()}) or a package that can be imported."
    return [UnusableDataSet(source, "there is no such folder, and no such package", hint)]


def _in_folder(path: Path, source: str) -> _Items:
    """Return the data set that a folder is, or those that it contains."""
    if (path / "__init__.py").is_file():
        return _in_package(f"{_namespace(path.parent)}.{path.name}", source)
    children = [child for child in sorted(path.iterdir()) if (child / "__init__.py").is_file() and _counts(child.name)]
    if not children:
        hint = f"A data set is a folder whose __init__.py has {ENTRY} = DataSet(…): `meterlake dataset new` makes one."
        return [UnusableDataSet(source, f"the folder {path} contains no data set", hint)]
    namespace = _namespace(path)
    return [item for child in children for item in _entry_of(f"{namespace}.{child.name}", source)]


def _counts(name: str) -> bool:
    """Return whether a folder of that name is to be a data set: modules that they share begin with _."""
    return not name.startswith(("_", "."))


def _namespace(path: Path) -> str:
    """Return the name under which what lies in a folder can be imported in this process."""
    name = f"{_NAMESPACE}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        module = ModuleType(name, f"What lies in {path}.")
        module.__path__ = [str(path)]
        sys.modules[name] = module
    return name


def _ours(name: str) -> _Items:
    """Return our own data set of a name, if there is one."""
    package = importlib.import_module(OURS)
    folders = {child.name for path in package.__path__ for child in Path(path).iterdir() if child.is_dir()}
    return _entry_of(f"{OURS}.{name}", "meterlake") if name in folders and _counts(name) else []


def _in_package(name: str, source: str) -> _Items:
    """Return the data set that a package is, or those that it contains."""
    module = _imported(name, source)
    if isinstance(module, UnusableDataSet):
        return [module]
    if hasattr(module, ENTRY):
        return _entry_of(name, source)
    folders = [Path(path) for path in getattr(module, "__path__", ())]
    children = sorted(
        {
            child.name
            for folder in folders
            if folder.is_dir()
            for child in folder.iterdir()
            if (child / "__init__.py").is_file() and _counts(child.name)
        }
    )
    if not children:
        return [_without_entry(module, source)]
    return [item for child in children for item in _entry_of(f"{name}.{child}", source)]


def _at_point(point: EntryPoint) -> _Items:
    """Return what an entry point names: a package, or a DataSet in a module."""
    source = f"entry point {point.name!r} of {point.dist.name if point.dist else GROUP}"
    if not point.attr:
        return _in_package(point.module, source)
    return _entry_of(point.module, source, point.attr)


def _entry_of(name: str, source: str, attribute: str = ENTRY) -> _Items:
    module = _imported(name, source)
    if isinstance(module, UnusableDataSet):
        return [module]
    data_set = getattr(module, attribute, None)
    if data_set is None:
        return [_without_entry(module, source)]
    if not isinstance(data_set, DataSet | Lakehouse):
        problem = f"{_place_of(module)}: {attribute} is {data_set!r}"
        return [UnusableDataSet(source, problem, f"Write {attribute} = DataSet(declaration=…) (meterlake.dataset).")]
    file = module.__file__
    package = name if hasattr(module, "__path__") else name.rpartition(".")[0]
    folder = Path(file).parent if file else None
    if isinstance(data_set, Lakehouse):
        return [LakehouseEntry(data_set, package, folder, source)]
    return [Entry(data_set, package, folder, source)]


def _without_entry(module: ModuleType, source: str) -> UnusableDataSet:
    hint = (
        f"Write {ENTRY} = DataSet(declaration=…) into its __init__.py (meterlake.dataset);"
        " a folder that is no data set begins with _."
    )
    return UnusableDataSet(source, f"{_place_of(module)} has no {ENTRY}", hint)


def _place_of(module: ModuleType) -> str:
    return str(Path(module.__file__).parent) if module.__file__ else f"the package {module.__name__}"


def _imported(name: str, source: str) -> ModuleType | UnusableDataSet:
    """Import somebody's module: whatever goes wrong in it is said with its place."""
    try:
        return importlib.import_module(name)
    except MeterlakeError as error:
        return UnusableDataSet(source, f"{_where(name, error)}: {error.what.rstrip('.')}", error.hint)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "Name a folder that is there, or a package that is installed in this environment."
            return UnusableDataSet(source, f"there is no package {name!r} (and no such folder)", hint)
        hint = f"Install {error.name!r} in this environment, or mend the import."
        return UnusableDataSet(source, f"{_where(name, error)}: {error}", hint)
    except Exception as error:  # whatever a module that is not ours raises
        hint = "Mend that line. Other data sets can be used meanwhile."
        return UnusableDataSet(source, f"{_where(name, error)}: {type(error).__name__}: {error}", hint)


def _where(name: str, error: Exception) -> str:
    """Return the file and line of somebody's module at which an import failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    ours = ("<", str(Path(__file__).parent))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours) and not _is_pythons_own(frame.filename)
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else f"the package {name}"


def _is_pythons_own(file: str) -> bool:
    return file.startswith(sysconfig.get_path("stdlib")) and "site-packages" not in file


def _collected(items: Iterable[Entry | LakehouseEntry | UnusableDataSet]) -> Listing:
    problems = tuple(item for item in items if isinstance(item, UnusableDataSet))
    lakehouses = {item.name: item for item in items if isinstance(item, LakehouseEntry)}
    listing = merged([item for item in items if isinstance(item, Entry)], Listing({}, problems, lakehouses))
    both = [listing.entries[name] for name in listing.entries.keys() & lakehouses.keys()]
    clashes = [
        UnusableDataSet(item.source, f"{item.name!r} is a lakehouse, too", "Rename one of the two.") for item in both
    ]
    return replace(listing, problems=(*listing.problems, *clashes))


def merged(items: Iterable[Entry], before: Listing) -> Listing:
    """Put data sets beside each other: two of one name are a problem, one that is named twice is not."""
    known: dict[str, Entry] = {}
    twice: dict[str, UnusableDataSet] = {}
    for item in items:
        other = known.setdefault(item.name, item)
        if other.data_set is not item.data_set:
            problem = f"the data set {item.name!r} is there twice: {_lies(other)} and {_lies(item)}"
            twice[item.name] = UnusableDataSet(item.source, problem, "Rename one of them, or name one place only.")
    usable = {name: item for name, item in known.items() if name not in twice}
    return replace(before, entries=usable, problems=(*before.problems, *twice.values()))


def _lies(item: Entry) -> str:
    return str(item.folder) if item.folder else f"that of {item.source}"
