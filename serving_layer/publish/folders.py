"""Where partitions lie, and how one arrangement of them becomes another. Pure.

A partition is named as Hive names it: ``month=2026-11``, ``month=2026-11/slice=2026-11-26``.
"""

from __future__ import annotations

from collections.abc import Mapping

from meterlake import slices

Tables = Mapping[str, Mapping[str, str]]
"""Table -> partition -> folder."""
Change = tuple[str | None, str | None]
"""Folder before and after; None where there is no such partition."""
Changes = Mapping[str, Mapping[str, Change]]
"""Table -> partition -> what becomes of it."""


def is_sliced(tables: Tables) -> bool:
    """Return whether all partitions are slices; those of version 0.1 were whole months."""
    return all(f"{slices.COLUMN}=" in name for partitions in tables.values() for name in partitions)


def difference(before: Tables, after: Tables) -> dict[str, dict[str, Change]]:
    """Return what has to change for ``before`` to become ``after``; partitions that stay are not in it."""
    changes: dict[str, dict[str, Change]] = {}
    for table in before.keys() | after.keys():
        old, new = before.get(table, {}), after.get(table, {})
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        if changed:
            changes[table] = {name: (old.get(name), new.get(name)) for name in sorted(changed)}
    return changes


def applied(tables: Tables, changes: Changes) -> dict[str, dict[str, str]]:
    """Return where the partitions lie after ``changes``, whatever was there before."""
    result = {table: dict(partitions) for table, partitions in tables.items()}
    for table, changed in changes.items():
        partitions = result.setdefault(table, {})
        for name, (_, folder) in changed.items():
            if folder is None:
                partitions.pop(name, None)
            else:
                partitions[name] = folder
    return {table: partitions for table, partitions in result.items() if partitions}


def folders_of(tables: Tables) -> set[str]:
    """Return every folder of an arrangement."""
    return {folder for partitions in tables.values() for folder in partitions.values()}


def changed_folders(changes: Changes) -> set[str]:
    """Return every folder that is given up or taken into use."""
    return {folder for changed in changes.values() for change in changed.values() for folder in change if folder}


def by_name(tables: Tables) -> dict[str, dict[str, str]]:
    """Return an arrangement with Hive's names for partitions that were recorded by their value, as version 0.1 did.

    The name is part of the folder: ``…/month=2026-11/run=<id>``.
    """
    return {
        table: {_name(value, folder): folder for value, folder in partitions.items()}
        for table, partitions in tables.items()
    }


def _name(value: str, folder: str) -> str:
    return value if "=" in value else next(part for part in folder.split("/") if part.endswith(f"={value}"))
