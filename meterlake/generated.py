"""Files that are generated from declarations and checked in, so that people and tools can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.ddl import cassandra_ddl, hive_ddl
from meterlake.merged import trino_ddl
from meterlake.schema import json_schema_text

if TYPE_CHECKING:
    from pathlib import Path

    from meterlake.declaration import Dataset


def files(dataset: Dataset) -> dict[str, str]:
    """Return path (relative to the repository) -> text of a data set's generated files."""
    name = dataset.name
    return {
        f"datasets/{name}/schemas/{name}.v{dataset.wire_version}.json": json_schema_text(dataset),
        f"hive_ddl/{name}.hql": hive_ddl(dataset),
        f"speed_layer/cql/{name}.cql": cassandra_ddl(dataset),
        f"serving_layer/sql/{name}.sql": trino_ddl(dataset),
    }


def drift(dataset: Dataset, root: Path) -> list[str]:
    """Return the paths of generated files that are missing or differ from the declaration."""
    return [path for path, text in files(dataset).items() if _read(root / path) != text]


def write(dataset: Dataset, root: Path) -> list[str]:
    """Bring the generated files up to date; return the paths of those that changed."""
    changed = drift(dataset, root)
    for path in changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files(dataset)[path], encoding="utf-8")
    return changed


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
