"""Which files are landed: those that are named, and those in the folders that are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def files_of(paths: Sequence[Path], endings: Sequence[str], hint: str) -> list[Path]:
    """Return the files whose names end so, each folder's by name.

    Raises UsageError for a path that is no such file and no folder with one.
    """
    files: list[Path] = []
    for path in paths:
        listed = sorted(path.iterdir()) if path.is_dir() else [path]
        chosen = [file for file in listed if file.is_file() and file.suffix in endings]
        if not chosen:
            wanted = ", ".join(f"*{ending}" for ending in endings)
            raise UsageError(f"{path} is no file {wanted}, and no folder with such files.", hint=hint)
        files += chosen
    return files
