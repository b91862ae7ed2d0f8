"""Object stores that speak S3, by Arrow's own client."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem  # type: ignore[import-untyped]

    from meterlake.settings import Settings


def client(settings: Settings) -> S3FileSystem:
    """Return a client by the settings; without keys, by those that the environment or the machine's role has."""
    from pyarrow.fs import S3FileSystem

    scheme, _, host = settings.s3_endpoint.rpartition("://")
    access, secret = (key.get_secret_value() or None for key in (settings.s3_access_key, settings.s3_secret_key))
    return S3FileSystem(
        access_key=access,
        secret_key=secret,
        region=settings.s3_region or None,
        endpoint_override=host or None,
        scheme=scheme or "https",
    )


def files(settings: Settings, path: str) -> list[tuple[str, int]]:
    """Return the file ``bucket/key``, or those below it, each with its size, in order. Raises OSError."""
    from pyarrow.fs import FileSelector, FileType

    store = client(settings)
    (itself,) = store.get_file_info([path])
    if itself.type == FileType.File:
        return [(itself.path, itself.size)]
    below = store.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return sorted((info.path, info.size) for info in below if info.type == FileType.File)


def opened(settings: Settings, path: str) -> IO[bytes]:
    """Open a file ``bucket/key``. Raises OSError."""
    return cast("IO[bytes]", client(settings).open_input_file(path))
