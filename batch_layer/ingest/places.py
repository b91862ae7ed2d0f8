"""Where files lie: this machine, HDFS, or an object store that speaks S3; files, folders and patterns in each."""

from __future__ import annotations

import glob
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlparse

import requests
from hdfs.util import HdfsError
from urllib3.exceptions import HTTPError

from batch_layer.ingest.errors import Unreadable
from engines import hdfs, s3
from engines.errors import EngineUnavailable
from meterlake.contents import is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

    from meterlake.settings import Settings

_PATTERN: Final = re.compile(r"[*?\[]")
_S3_AWAY: Final = re.compile(
    r"AWS Error (NETWORK_CONNECTION|REQUEST_TIMEOUT|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|SLOW_DOWN|THROTTLING)"
)
"""What Arrow says, after it has tried again, of a store that does not answer, and not of a file."""
_SET: Final = re.compile(r"\[[^\]]+\]")


@dataclass(frozen=True)
class Entry:
    """A file as it lies there. path: in full. name: without the folder that was named. size: packed."""

    path: str
    name: str
    size: int


class Place(Protocol):
    """A kind of place. Methods raise Unreadable, or EngineUnavailable where a server does not answer."""

    def find(self, path: str) -> list[Entry]:
        """Return the file, the files in a folder and below, or those that a pattern matches, in order of their names.

        Hidden files (``.name``) in folders are left out.
        """
        ...

    def open(self, path: str, stack: ExitStack) -> IO[bytes]:
        """Open a file."""
        ...


def place_of(settings: Settings, path: str) -> Place:
    """Return where a path lies: ``hdfs://``, ``s3a://`` (or ``s3://``), else this machine."""
    scheme = path.partition(":")[0]
    if scheme == "hdfs":
        return _Hdfs(settings)
    return _S3(settings) if scheme in ("s3a", "s3") and "://" in path else _Local()


def unavailable(settings: Settings, error: Exception) -> EngineUnavailable | None:
    """Return what an error while reading says of a server; None where the file is what is wrong."""
    if isinstance(error, requests.RequestException | HTTPError):
        return EngineUnavailable("HDFS", settings.webhdfs, error)
    if isinstance(error, OSError) and _S3_AWAY.search(str(error)):
        return EngineUnavailable("The object store", settings.s3_endpoint or "AWS", error)
    return None


def find(settings: Settings, paths: Iterable[str]) -> list[Entry]:
    """Return all files of some paths, in the order of the paths; one that is named twice, once.

    Raises Unreadable, also where a folder or a pattern has no file.
    """
    result: dict[str, Entry] = {}
    for path in paths:
        for entry in place_of(settings, path).find(path):
            result.setdefault(entry.path, entry)
    return list(result.values())


class _Local:
    def find(self, path: str) -> list[Entry]:
        with _local_errors(path):
            try:
                result = Path(path).stat()
            except FileNotFoundError:
                if not _PATTERN.search(path):
                    raise
                return _some(path, self._matched(path))
            if stat.S_ISDIR(result.st_mode):
                return _some(path, self._in_folder(Path(path)))
            if not stat.S_ISREG(result.st_mode):
                raise Unreadable(f"{path} is not a regular file.", hint="Give a file; pipes and devices are not read.")
            return [Entry(path, Path(path).name, result.st_size)]

    def open(self, path: str, stack: ExitStack) -> IO[bytes]:
        with _local_errors(path):
            return cast("IO[bytes]", stack.enter_context(Path(path).open("rb", buffering=0)))

    def _in_folder(self, folder: Path) -> list[Entry]:
        return [
            Entry(str(file), name, file.stat().st_size)
            for file in sorted(folder.rglob("*"))
            for name in [file.relative_to(folder).as_posix()]
            if not is_hidden(name) and file.is_file()
        ]

    def _matched(self, pattern: str) -> list[Entry]:
        fixed = Path(_fixed(pattern))
        result: list[Entry] = []
        for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - the user's own words, also absolute
            file = Path(path)
            if file.is_file():
                result.append(Entry(path, file.relative_to(fixed).as_posix(), file.stat().st_size))
            elif file.is_dir() and "**" not in pattern:
                result += [
                    Entry(each.path, Path(each.path).relative_to(fixed).as_posix(), each.size)
                    for each in self._in_folder(file)
                ]
        return result


@contextmanager
def _local_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise Unreadable(
            f"{path} does not exist.",
            hint=f"Local paths count from {Path.cwd()}; those in HDFS begin with hdfs://, in S3 with s3a://.",
        ) from None
    except PermissionError:
        raise Unreadable(f"{path} may not be read by this user.", hint="Change its permissions (chmod +r).") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {error}.", hint="Give the path of a file.") from error


class _Hdfs:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def find(self, path: str) -> list[Entry]:
        address = urlparse(path)
        if address.netloc and f"hdfs://{address.netloc}" != self._settings.hdfs:
            raise Unreadable(
                f"{path} lies on another HDFS than {self._settings.hdfs}.",
                hint="Write hdfs:///path for the one that is set, or set METERLAKE_HDFS_URL.",
            )
        inside = path.removeprefix("hdfs:").removeprefix(f"//{address.netloc}")
        with _hdfs_errors(self._settings, path):
            client = hdfs.client(self._settings)
            status = client.status(inside, strict=False)
            if status is None and _PATTERN.search(inside):
                return _some(path, _matching(inside, self._below(client, _fixed(inside))))
            if status is None:
                raise Unreadable(f"{path} does not exist.", hint=f"It was looked for on {self._settings.hdfs}.")
            if status["type"] == "DIRECTORY":
                return _some(path, _named_below(inside, self._below(client, inside)))
            return [Entry(f"hdfs://{inside}", PurePosixPath(inside).name, int(status["length"]))]

    def open(self, path: str, stack: ExitStack) -> IO[bytes]:
        with _hdfs_errors(self._settings, path):
            reader = hdfs.client(self._settings).read(path.removeprefix("hdfs://"))
            return cast("IO[bytes]", stack.enter_context(reader))

    def _below(self, client: hdfs.Client, folder: str) -> list[Entry]:
        result: list[Entry] = []
        if client.status(folder, strict=False) is None:
            return result
        for name, status in sorted(client.list(folder, status=True)):
            path = f"{folder.rstrip('/')}/{name}"
            if status["type"] == "DIRECTORY":
                result += self._below(client, path)
            else:
                result.append(Entry(f"hdfs://{path}", path, int(status["length"])))
        return result


@contextmanager
def _hdfs_errors(settings: Settings, path: str) -> Iterator[None]:
    try:
        yield
    except HdfsError as error:
        if "Permission denied" in str(error):
            raise Unreadable(f"{path} may not be read by this user.", hint="Change its permissions.") from None
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error
    except requests.RequestException as error:
        raise EngineUnavailable("HDFS", settings.webhdfs, error) from error


class _S3:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def find(self, path: str) -> list[Entry]:
        scheme, _, inside = path.partition("://")
        with _s3_errors(self._settings, path):
            is_pattern = bool(_PATTERN.search(inside))
            files = s3.files(self._settings, _fixed(inside) if is_pattern else inside.rstrip("/"))
        entries = [Entry(f"{scheme}://{name}", name, size) for name, size in files]
        if is_pattern:
            return _some(path, _matching(inside, entries))
        if not entries:
            where = self._settings.s3_endpoint or "AWS"
            raise Unreadable(f"{path} does not exist, or holds no file.", hint=f"It was looked for on {where}.")
        if [entry.name for entry in entries] == [inside]:
            return [Entry(path, PurePosixPath(inside).name, entries[0].size)]
        return _some(path, _named_below(inside, entries))

    def open(self, path: str, stack: ExitStack) -> IO[bytes]:
        with _s3_errors(self._settings, path):
            return stack.enter_context(s3.opened(self._settings, path.partition("://")[2]))


@contextmanager
def _s3_errors(settings: Settings, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if away := unavailable(settings, error):
            raise away from error
        raise Unreadable(
            f"{path} cannot be read: {error}.",
            hint="Check METERLAKE_S3_ENDPOINT, METERLAKE_S3_ACCESS_KEY and …_SECRET_KEY.",
        ) from error


def _named_below(folder: str, entries: list[Entry]) -> list[Entry]:
    """Return the files in a folder, named within it, without hidden ones. Names of ``entries`` are full paths."""
    inside = [(entry, PurePosixPath(entry.name).relative_to(folder).as_posix()) for entry in entries]
    return [Entry(entry.path, name, entry.size) for entry, name in inside if not is_hidden(name)]


def _matching(pattern: str, entries: list[Entry]) -> list[Entry]:
    """Return the files that a pattern matches, and those below folders that it matches. Names are full paths."""
    matches = re.compile(_regex(pattern) + r"(/.*)?")
    return _named_below(_fixed(pattern), [entry for entry in entries if matches.fullmatch(entry.name)])


def _regex(pattern: str) -> str:
    """Return a pattern as a regular expression: ``*`` and ``?`` stay within a folder, ``**`` does not."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    known = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(part) or (part if part.startswith("[") and part.endswith("]") else re.escape(part)) for part in parts
    )


def _fixed(pattern: str) -> str:
    """Return the folder before the first part of a path that is a pattern."""
    parts = pattern.split("/")
    fixed = parts[: next(at for at, part in enumerate(parts) if _PATTERN.search(part))]
    return "/".join(fixed) or ("/" if pattern.startswith("/") else ".")


def _some(path: str, entries: list[Entry]) -> list[Entry]:
    if entries:
        return entries
    what = "No file matches" if _PATTERN.search(path) else "There is no file in"
    raise Unreadable(
        f"{what} {path}.", hint="Hidden files are left out. Quote a pattern, so that the shell leaves it as it is."
    )
