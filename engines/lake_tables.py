"""Tables of the lakehouse without Spark: by pyiceberg, as columns in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.errors import EngineUnavailable, QueryFailed

if TYPE_CHECKING:
    from meterlake.settings import Settings


def table(settings: Settings, name: str, ref: str = "main") -> Any:
    """Return pyiceberg's table (``namespace.name``) of a branch or tag.

    Raises EngineUnavailable; QueryFailed where there is no such table.
    """
    import requests
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchTableError, RESTError

    access, secret = settings.lake_keys
    try:
        catalog = load_catalog(
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
        return catalog.load_table(name)
    except NoSuchTableError as error:
        raise QueryFailed("Nessie", f"read {name} of {ref}", "there is no such table: no run yet?") from error
    except (RESTError, OSError, requests.RequestException) as error:
        raise EngineUnavailable("Nessie", settings.nessie, error) from error


def read(settings: Settings, name: str, columns: tuple[str, ...] = ("*",), ref: str = "main") -> Any:
    """Return the rows of a table of a branch or tag, as an Arrow table. Raises what ``table`` raises."""
    result = table(settings, name, ref)
    try:
        return result.scan(selected_fields=columns).to_arrow()
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
