"""The lakehouse's object store: whole objects, and writes that only one of several writers can make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from engines.errors import EngineFails, EngineUnavailable, QueryFailed, StorageFull
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from obstore.store import S3Store

    from meterlake.settings import Settings

_NAME: Final = "S3"
_NO_ROOM: Final = ("No space left", "InsufficientStorage", "507 ", "QuotaExceeded")
_FAILS: Final = "status code: 5"
"""In the client's words of an answer."""


class WrongKeys(PermanentError):
    """The object store knows no such key, or not with this secret."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            f"The object store at {endpoint} refuses the lakehouse's keys.",
            hint="Set METERLAKE_LAKE_ACCESS_KEY and METERLAKE_LAKE_SECRET_KEY to those of its owner; with both empty,"
            " those that `meterlake up lakehouse` has made for the native server are taken.",
        )


@dataclass(frozen=True)
class Listed:
    """An object: its key, its bytes, and when it was written, as the store's clock says."""

    key: str
    size: int
    written: datetime


def put(settings: Settings, key: str, data: bytes) -> None:
    """Write a whole object. Raises EngineUnavailable, WrongKeys, StorageFull."""
    _call(settings, f"write {key}", lambda store: _obstore().put(store, key, data))


def create(settings: Settings, key: str, data: bytes) -> bool:
    """Write a whole object unless there is one of that key; return whether it was this call that wrote it."""
    from obstore.exceptions import AlreadyExistsError

    try:
        _call(settings, f"create {key}", lambda store: _obstore().put(store, key, data, mode="create"))
    except AlreadyExistsError:
        return False
    return True


def get(settings: Settings, key: str) -> bytes | None:
    """Return an object's bytes, or None where there is none. Raises EngineUnavailable, WrongKeys."""
    try:
        return bytes(_call(settings, f"read {key}", lambda store: _obstore().get(store, key).bytes()))
    except FileNotFoundError:
        return None


def get_range(settings: Settings, key: str, start: int, length: int) -> bytes:
    """Return some of an object's bytes. Raises FileNotFoundError, EngineUnavailable, WrongKeys."""
    read = _call(settings, f"read {key}", lambda store: _obstore().get_range(store, key, start=start, length=length))
    return bytes(read)


def delete(settings: Settings, key: str) -> None:
    """Remove an object; one that is not there is none to remove."""
    try:
        _call(settings, f"remove {key}", lambda store: _obstore().delete(store, key))
    except FileNotFoundError:
        return


def listed(settings: Settings, prefix: str, after: str = "") -> list[Listed]:
    """Return the objects below a prefix, by key; only those whose key is greater than ``after``."""

    def read(store: S3Store) -> list[Listed]:
        chunks: Iterator[Any] = _obstore().list(store, prefix, offset=after or None, chunk_size=1000)
        return [Listed(item["path"], item["size"], item["last_modified"]) for chunk in chunks for item in chunk]

    return sorted(_call(settings, f"list {prefix}", read), key=lambda item: item.key)


def first_behind(settings: Settings, prefix: str, after: str, most: int) -> list[Listed]:
    """Return the first objects below a prefix whose key is greater than ``after``, by key. most: 1000 at most."""

    def read(store: S3Store) -> list[Listed]:
        chunks: Iterator[Any] = _obstore().list(store, prefix, offset=after or None, chunk_size=most)
        return [Listed(item["path"], item["size"], item["last_modified"]) for item in next(chunks, ())]

    return sorted(_call(settings, f"list {prefix}", read), key=lambda item: item.key)


def folders(settings: Settings, prefix: str) -> list[str]:
    """Return the names of the folders below a prefix, in order. Raises EngineUnavailable, WrongKeys."""

    def read(store: S3Store) -> list[str]:
        found: list[str] = _obstore().list_with_delimiter(store, prefix)["common_prefixes"]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    result: list[str] = _call(settings, f"list {prefix}", read)
    return result


def make_bucket(settings: Settings) -> None:
    """Create the lakehouse's bucket where it is missing, through Arrow's client: the other one does not make buckets.

    Raises EngineUnavailable.
    """
    from pyarrow.fs import FileType, S3FileSystem  # type: ignore[import-untyped]

    access, secret = settings.lake_keys
    scheme, _, host = settings.lake_s3.partition("://")
    store = S3FileSystem(
        access_key=access,
        secret_key=secret,
        region=settings.lake_region,
        endpoint_override=host,
        scheme=scheme,
        allow_bucket_creation=True,
        connect_timeout=5,
        request_timeout=20,
    )
    try:
        (result,) = store.get_file_info([settings.lake_bucket])
        if result.type == FileType.NotFound:
            store.create_dir(settings.lake_bucket)
    except OSError as error:
        if "ACCESS_DENIED" in str(error) or "403" in str(error):
            raise WrongKeys(settings.lake_s3) from error
        raise EngineUnavailable(_NAME, settings.lake_s3, error) from error


def _call(settings: Settings, doing: str, action: Any) -> Any:
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        return action(_store(settings.lake_s3, settings.lake_bucket, settings.lake_region, settings.lake_keys))
    except AlreadyExistsError:
        raise
    except FileNotFoundError as error:
        if doing.startswith(("write", "create")):
            bucket = f"there is no bucket {settings.lake_bucket}"
            raise QueryFailed(_NAME, doing, bucket) from error
        raise
    except BaseError as error:
        text = str(error)
        if any(word in text for word in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403")):
            raise WrongKeys(settings.lake_s3) from error
        if any(word in text for word in _NO_ROOM):
            raise StorageFull(_NAME, settings.lake_s3, error, doing) from error
        if "404" in text or "NoSuchBucket" in text:
            raise QueryFailed(_NAME, doing, error) from error
        if _FAILS in text:
            raise EngineFails(_NAME, settings.lake_s3, f"{doing}: {text[text.index(_FAILS) :]}") from error
        raise EngineUnavailable(_NAME, settings.lake_s3, error) from error


def _obstore() -> Any:
    import obstore

    return obstore


@lru_cache(maxsize=8)
def _store(endpoint: str, bucket: str, region: str, keys: tuple[str, str]) -> S3Store:
    from datetime import timedelta

    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=endpoint,
        region=region,
        access_key_id=keys[0],
        secret_access_key=keys[1],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "60s", "connect_timeout": "5s"},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
    )
