"""Files that are generated from declarations and checked in, so that people and tools can read them.

Those of our own data sets stand where each engine's files are; those of anybody else's in the folder ``generated`` of
their data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.errors import PermanentError
from meterlake.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meterlake.dataset import Entry
    from meterlake.declaration import MeterSeries

Layout = tuple[str, str, str, str]
"""Paths of the JSON Schema, the Hive DDL, the Cassandra CQL and the Trino views; {name} and {version} are replaced."""

OURS: Final[Layout] = (
    "datasets/{name}/schemas/{name}.v{version}.json",
    "hive_ddl/{name}.hql",
    "speed_layer/cql/{name}.cql",
    "serving_layer/sql/{name}.sql",
)
FOLDER: Final = "generated"

THEIRS: Final[Layout] = (
    f"{FOLDER}/{{name}}.v{{version}}.json",
    f"{FOLDER}/{{name}}.hql",
    f"{FOLDER}/{{name}}.cql",
    f"{FOLDER}/{{name}}.sql",
)


def files(dataset: MeterSeries, layout: Layout = OURS) -> dict[str, str]:
    """Return relative path -> text of a data set's generated files."""
    from meterlake.ddl import cassandra_ddl, hive_ddl
    from meterlake.merged import trino_ddl
    from meterlake.schema import json_schema_text

    texts = (json_schema_text(dataset), hive_ddl(dataset), cassandra_ddl(dataset), trino_ddl(dataset))
    paths = [path.format(name=dataset.name, version=dataset.wire_version) for path in layout]
    return dict(zip(paths, texts, strict=True))


def files_of(entry: Entry) -> dict[Path, str]:
    """Return path -> text of the generated files of a data set: in the checkout if it is ours, else in its folder."""
    root, layout = (ROOT, OURS) if entry.is_ours or entry.folder is None else (entry.folder, THEIRS)
    return {root / path: text for path, text in files(entry.declaration, layout).items()}


def drift(wanted: Mapping[Path, str]) -> list[Path]:
    """Return the paths of files that are missing or differ."""
    return [path for path, text in wanted.items() if _read(path) != text]


def write(wanted: Mapping[Path, str]) -> list[Path]:
    """Bring files up to date; return the paths of those that changed. Raises PermanentError where it may not."""
    changed = drift(wanted)
    for path in changed:
        put(path, wanted[path])
    return changed


def put(path: Path, text: str) -> None:
    """Write a file and the folders that it needs. Raises PermanentError where it may not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PermanentError(
            f"{path} cannot be written: {error.strerror}.", hint="Make its folder writable, or name the data set."
        ) from error


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
