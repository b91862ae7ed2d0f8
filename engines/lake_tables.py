"""Tables of the lakehouse without Spark: by pyiceberg, as columns in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engines.errors import EngineUnavailable, QueryFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from meterlake.settings import Settings


def table(settings: Settings, name: str, ref: str = "main") -> Any:
    """Return pyiceberg's table (``namespace.name``) of a branch or tag.

    Raises EngineUnavailable; QueryFailed where there is no such table.
    """
    from pyiceberg.exceptions import NoSuchTableError

    try:
        with _catalog(settings, ref) as catalog:
            return catalog.load_table(name)
    except NoSuchTableError as error:
        raise QueryFailed("Nessie", f"read {name} of {ref}", "there is no such table: no run yet?") from error


@contextmanager
def _catalog(settings: Settings, ref: str) -> Iterator[Any]:
    """Open a branch's or tag's catalog. Raises EngineUnavailable where it does not answer."""
    import requests
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, RESTError

    access, secret = settings.lake_keys
    try:
        yield load_catalog(
            "lake",
            type="rest",
            uri=f"{settings.nessie}/iceberg/{ref}",
            warehouse=settings.lake_bucket,
            **{
                "s3.endpoint": settings.lake_s3,
                "s3.region": settings.lake_region,
                "s3.access-key-id": access,
                "s3.secret-access-key": secret,
                "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            },
        )
    except (NoSuchTableError, NoSuchNamespaceError):
        raise
    except (RESTError, OSError, requests.RequestException) as error:
        raise EngineUnavailable("Nessie", settings.nessie, error) from error


def read(settings: Settings, name: str, columns: tuple[str, ...] = ("*",), ref: str = "main") -> Any:
    """Return the rows of a table of a branch or tag, as an Arrow table. Raises what ``table`` raises."""
    result = table(settings, name, ref)
    try:
        return result.scan(selected_fields=columns).to_arrow()
    except OSError as error:
        raise EngineUnavailable("S3", settings.lake_s3, error) from error


def rows(settings: Settings, opened: Any, condition: str, columns: tuple[str, ...]) -> Any:
    """Return the rows of a table, opened by ``table``, that meet a condition: in Arrow. Raises EngineUnavailable."""
    try:
        return opened.scan(row_filter=condition, selected_fields=columns).to_arrow()
    except OSError as error:
        raise EngineUnavailable("S3", settings.lake_s3, error) from error


def places(settings: Settings, namespace: str) -> dict[str, str]:
    """Return where the files of each table that readers see in a namespace lie, by name. Raises EngineUnavailable."""
    from pyiceberg.exceptions import NoSuchNamespaceError

    try:
        with _catalog(settings, "main") as catalog:
            found = catalog.list_tables(namespace)
            return {item[-1]: str(catalog.load_table(item).location()) for item in found}
    except NoSuchNamespaceError:
        return {}


def count(settings: Settings, name: str, wanted: Mapping[str, Collection[str]]) -> int:
    """Return how many rows of what readers see have one of the values in one of the columns; 0 where it is missing.

    Raises EngineUnavailable.
    """
    from pyiceberg import expressions

    is_in: Any = expressions.In  # its own types do not know the way in which it is made
    condition: Any = expressions.AlwaysFalse()
    for column, values in wanted.items():
        condition = expressions.Or(condition, is_in(column, set(values)))
    try:
        return int(table(settings, name).scan(row_filter=condition).count())
    except QueryFailed:
        return 0
    except OSError as error:
        raise EngineUnavailable("S3", settings.lake_s3, error) from error


def append(settings: Settings, name: str, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table of what readers see. Raises what ``table`` raises."""
    import pyarrow as pa  # type: ignore[import-untyped]

    result = table(settings, name)
    try:
        result.append(pa.Table.from_pylist(rows, schema=result.schema().as_arrow()))
    except OSError as error:
        raise EngineUnavailable("S3", settings.lake_s3, error) from error
