"""Files of HDFS, copied into a folder that the caller deletes, streaming."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import urlparse

from engines import hdfs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meterlake.settings import Settings

_CHUNK: Final = 1 << 20
_AT_ONCE: Final = 4


def data_files(settings: Settings, folders: Sequence[str]) -> list[str]:
    """Return the Parquet files in some folders. Raises EngineUnavailable, or QueryFailed where a folder is missing."""
    client = hdfs.client(settings)
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def listed(folder: str) -> list[str]:
            path = _path(folder)
            try:
                names = client.list(path)
            except hdfs.ERRORS as error:
                raise hdfs.failure(settings, f"list {path}", error) from error
            # Engines leave out what begins so.
            return [f"{path}/{name}" for name in names if not name.startswith(("_", "."))]

        return [name for names in pool.map(listed, folders) for name in names]


def download(settings: Settings, paths: Sequence[str], folder: Path) -> list[str]:
    """Copy files; return the local names in the order of ``paths``. Raises EngineUnavailable or QueryFailed."""
    folder.mkdir(parents=True)
    client = hdfs.client(settings)

    def copied(numbered: tuple[int, str]) -> str:
        number, path = numbered
        target = folder / f"{number}.parquet"
        try:
            with client.read(_path(path), chunk_size=_CHUNK) as chunks, target.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except hdfs.ERRORS as error:
            raise hdfs.failure(settings, f"read {path}", error) from error
        return str(target)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(copied, enumerate(paths)))


def _path(location: str) -> str:
    return urlparse(location).path
