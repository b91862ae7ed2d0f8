"""ClickHouse: a server by its HTTP interface, or its engine in this process (chDB); the same SQL."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from engines.errors import EngineUnavailable, QueryFailed
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meterlake.settings import Settings

IN_PROCESS: Final = "chdb"
_NAME: Final = "ClickHouse"


class ClickHouse(Protocol):
    """What can be asked of it."""

    def run(self, sql: str) -> None:
        """Run a statement without an answer. Raises EngineUnavailable, QueryFailed."""

    def select(self, sql: str) -> tuple[list[str], list[list[Any]]]:
        """Return a query's columns and rows; decimals and 64-bit integers as text. Raises what ``run`` raises."""
        ...


class FolderInUse(UsageError):
    """Another process has the folder of the engine in this process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another process works with ClickHouse's folder {folder}.",
            hint="Wait until it has ended, or set METERLAKE_CLICKHOUSE_URL to a server, which many may use.",
        )


class _Server:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, sql: str) -> None:
        self._ask(sql)

    def select(self, sql: str) -> tuple[list[str], list[list[Any]]]:
        return _parsed(self._ask(f"{sql} FORMAT JSONCompact"))

    def _ask(self, sql: str) -> str:
        import requests

        settings = self._settings
        login = (settings.clickhouse_user, settings.clickhouse_password.get_secret_value())
        options = {"output_format_json_quote_decimals": "1", "output_format_json_quote_64bit_integers": "1"}
        try:
            answer = requests.post(
                settings.clickhouse_url, params=options, data=sql.encode(), auth=login, timeout=(5, 3600)
            )
        except requests.RequestException as error:
            raise EngineUnavailable(_NAME, settings.clickhouse_url, error) from error
        if answer.status_code in {502, 503, 504}:
            raise EngineUnavailable(_NAME, settings.clickhouse_url, answer.text[:500])
        if not answer.ok:
            raise QueryFailed(_NAME, _masked(sql, settings), _masked(answer.text, settings)[:1000])
        return answer.text


class _InProcess:
    def __init__(self, settings: Settings, session: Any) -> None:
        self._settings, self._session = settings, session

    def run(self, sql: str) -> None:
        self._ask(sql, "Null")

    def select(self, sql: str) -> tuple[list[str], list[list[Any]]]:
        return _parsed(self._ask(sql, "JSONCompact").bytes())

    def _ask(self, sql: str, form: str) -> Any:
        from chdb import ChdbError

        try:
            return self._session.query(sql, form)
        except ChdbError as error:
            reason = _masked(str(error), self._settings)[:1000]
            raise QueryFailed(_NAME, _masked(sql, self._settings), reason) from error


@contextmanager
def session(settings: Settings) -> Iterator[ClickHouse]:
    """Open the engine that the settings name, and close it.

    Raises UsageError where chDB is not installed; FolderInUse; EngineUnavailable.
    """
    if settings.clickhouse_url != IN_PROCESS:
        yield _Server(settings)
        return
    try:
        from chdb.session import Session
    except ImportError as error:
        raise UsageError(
            "ClickHouse's engine for this process is not installed.",
            hint="Install it: `uv pip install 'meterlake[clickhouse]'`; or set METERLAKE_CLICKHOUSE_URL to a server.",
        ) from error
    folder = settings.home / "clickhouse"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        opened = Session(str(folder))
    except RuntimeError as error:
        raise FolderInUse(folder) from error
    try:
        engine = _InProcess(settings, opened)
        for option in ("output_format_json_quote_decimals", "output_format_json_quote_64bit_integers"):
            engine.run(f"SET {option} = 1")
        yield engine
    finally:
        opened.close()


def _parsed(text: str | bytes) -> tuple[list[str], list[list[Any]]]:
    if not text:
        return [], []
    answer = json.loads(text)
    return [column["name"] for column in answer["meta"]], answer["data"]


def _masked(text: str, settings: Settings) -> str:
    """Return a text without the object store's secret, where there is one."""
    known = settings.lake_access_key or settings.lake_keys_file.is_file()
    secret = settings.lake_keys[1] if known else ""
    return text.replace(secret, "…") if secret else text
