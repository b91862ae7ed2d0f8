"""The lakehouse in Spark: a catalog for a branch of Nessie, and objects of the bucket by path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import SparkSession

    from meterlake.settings import Settings


def catalog(session: SparkSession, settings: Settings, name: str, ref: str, *, alone: bool = False) -> str:
    """Know a branch (``run_1``) or a past state (``main@hash``) of the lakehouse as a catalog; return its name.

    A session learns it at any time. A name belongs to one branch for as long as the session lives. alone: nobody else
    writes there; tables and their manifests are read once, not by each statement, until ``forget``.
    """
    access, secret = settings.lake_keys
    prefix = f"spark.sql.catalog.{name}"
    options = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "rest",
        ".uri": f"{settings.nessie}/iceberg/{ref}",
        ".warehouse": settings.lake_bucket,
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".s3.endpoint": settings.lake_s3,
        ".s3.path-style-access": "true",
        ".s3.access-key-id": access,
        ".s3.secret-access-key": secret,
        ".client.region": settings.lake_region,
        ".cache-enabled": str(alone).lower(),
        # A plan that was made before must not keep a table that is not the one that statements write.
        ".cache.expiration-interval-ms": "-1",
        ".io.manifest.cache-enabled": str(alone).lower(),
    }
    for key, value in options.items():
        session.conf.set(f"{prefix}{key}", value)
    return name


def forget(session: SparkSession, tables: Iterable[str]) -> None:
    """Let go of what a catalog keeps of tables: it lives as long as the session."""
    for table in tables:
        session.sql(f"REFRESH TABLE {table}")


def partitioned(session: SparkSession, table: str) -> list[str]:
    """Return what an Iceberg table's new files are partitioned by, as statements write it: ``months(`time`)``."""
    rows = session.sql(f"DESCRIBE TABLE {table}").collect()
    fields = [row.data_type for row in rows if re.fullmatch(r"Part \d+", row.col_name)]
    return [re.sub(r"(\w+)(\)?)$", r"`\1`\2", field.replace("`", "")) for field in fields]


def object_options(settings: Settings) -> dict[str, str]:
    """Return the options by which a reader of files reaches the bucket, at ``object_path``."""
    access, secret = settings.lake_keys
    return {
        "fs.s3a.endpoint": settings.lake_s3,
        "fs.s3a.endpoint.region": settings.lake_region,
        "fs.s3a.path.style.access": "true",
        "fs.s3a.access.key": access,
        "fs.s3a.secret.key": secret,
        "fs.s3a.connection.ssl.enabled": "true" if settings.lake_s3.startswith("https") else "false",
        "fs.s3a.attempts.maximum": "3",
        "fs.s3a.retry.limit": "3",
        "fs.s3a.connection.establish.timeout": "5s",
    }


def object_path(settings: Settings, key: str) -> str:
    """Return the path of an object for Spark."""
    return f"s3a://{settings.lake_bucket}/{key}"
