"""Settings of the connections to servers: where they are, who we are there, and how both sides are sure of it.

Empty addresses mean the native stack of this machine, which has no passwords and binds to loopback. For somebody else's
cluster set its address, user, password and certificates; secrets are never printed.
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

KafkaSecurity = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Connections(BaseSettings):
    """The part of the settings that says how to reach servers that somebody else runs."""

    # HDFS
    hdfs_url: str = Field("", description="Default file system, such as hdfs://namenode:8020; empty: the native one.")
    webhdfs_url: str = Field("", description="WebHDFS, such as http://namenode:9870 or https://namenode:9871.")
    hdfs_user: str = Field("", description="User at HDFS; empty: the user of this process.")
    hdfs_auth: Literal["simple", "kerberos"] = Field(
        "simple",
        description="kerberos: with the ticket of this process (kinit); WebHDFS then needs requests-kerberos"
        " (pip install 'hdfs[kerberos]').",
    )
    hdfs_ca: Path | None = Field(None, description="Certificates (PEM) that https:// of WebHDFS is checked with.")
    hdfs_replication: int | None = Field(
        None,
        gt=0,
        description="Copies of each block that we write; empty: the cluster's own (native: 1).",
    )

    # An object store that speaks S3, for files of `load`
    s3_endpoint: str = Field("", description="Where s3a:// paths lie, such as http://minio:9000; empty: AWS.")
    s3_region: str = Field("", description="Its region; empty: the environment's.")
    s3_access_key: SecretStr = Field(
        SecretStr(""), description="Access key; empty: the keys that the environment or the machine's role has."
    )
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Its secret key.")

    # The lakehouse: its object store, and its catalog
    lake_s3_endpoint: str = Field(
        "", description="Object store of the lakehouse, such as http://minio:9000; empty: the native one."
    )
    lake_region: str = Field("us-east-1", description="Its region.")
    lake_bucket: str = Field("lake", description="Its bucket, which is also the warehouse's name in Nessie.")
    lake_access_key: str = Field("", description="Access key; empty: that of the native server.")
    lake_secret_key: SecretStr = Field(SecretStr(""), description="Its secret key.")
    nessie_url: str = Field("", description="Nessie, such as http://nessie:19120; empty: the native one.")
    nifi_url: str = Field("", description="NiFi, such as http://nifi:8082; empty: the native one.")

    # ClickHouse
    clickhouse_url: str = Field(
        "chdb",
        description="ClickHouse, such as https://clickhouse:8443; chdb: its engine in the process that asks, with its"
        " data in the stack's folder.",
    )
    clickhouse_user: str = Field("default", description="User at a server.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Its password.")

    # Dremio
    dremio_url: str = Field("", description="Dremio, for `meterlake dremio --apply`, such as http://dremio:9047.")
    dremio_user: str = Field("", description="User at Dremio, who may make sources and spaces.")
    dremio_password: SecretStr = Field(SecretStr(""), description="Its password.")

    # Kafka
    kafka_bootstrap: str = Field("", description="Kafka bootstrap servers, comma separated; empty: the native broker.")
    kafka_security: KafkaSecurity = Field("PLAINTEXT", description="Its security protocol.")
    schema_registry_url: str = Field(
        "", description="Schema registry of Avro messages of others (`bridge kafka`), such as http://registry:8081."
    )
    schema_registry_user: str = Field("", description="User at the registry.")
    schema_registry_password: SecretStr = Field(SecretStr(""), description="His password.")
    schema_registry_ca: Path | None = Field(None, description="Certificates (PEM) that https:// of it is checked with.")
    kafka_sasl_mechanism: SaslMechanism = Field("SCRAM-SHA-512", description="How a user proves who he is (SASL).")
    kafka_user: str = Field("", description="User, for SASL.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Its password.")
    kafka_ca: Path | None = Field(None, description="Certificates (PEM) that the brokers are checked with, for SSL.")
    kafka_certificate: Path | None = Field(
        None, description="Our own certificate and its private key (both PEM, in one file), where brokers ask for one."
    )

    kafka_replication: int = Field(1, gt=0, description="Copies of each partition of a topic when it is created.")

    # MQTT
    mqtt_password: SecretStr = Field(
        SecretStr(""), description="Password of the user that `meterlake bridge mqtt --username` names."
    )

    # Cassandra
    cassandra_hosts: str = Field(
        "", description="Cassandra contact points, host:port, comma separated; empty: the native one."
    )
    cassandra_datacenter: str = Field("datacenter1", description="Data centre whose nodes are asked.")
    cassandra_user: str = Field("", description="User; empty: none is asked for.")
    cassandra_password: SecretStr = Field(SecretStr(""), description="Its password.")
    cassandra_tls: bool = Field(False, description="Whether clients speak TLS.")
    cassandra_ca: Path | None = Field(None, description="Certificates (PEM) that the nodes are checked with, for TLS.")
    cassandra_replication: int = Field(1, gt=0, description="Copies of each speed row in that data centre.")

    # Hive metastore, HiveServer2, Trino
    metastore_url: str = Field("", description="Hive metastore, such as thrift://metastore:9083.")
    hive_url: str = Field("", description="HiveServer2: host:port (binary), or https://host:port (HTTP transport).")
    hive_user: str = Field("", description="User at HiveServer2; empty: the user of this process.")
    hive_password: SecretStr = Field(SecretStr(""), description="Its password: authentication is LDAP then.")
    trino_url: str = Field("", description="Trino, such as http://trino:8080 or https://trino:8443.")
    trino_user: str = Field("", description="User at Trino; empty: the user of this process.")
    trino_password: SecretStr = Field(SecretStr(""), description="Its password; needs https.")
    trino_ca: Path | None = Field(None, description="Certificates (PEM) that https:// of Trino is checked with.")

    # Spark on a cluster
    spark_properties: Path | None = Field(
        None, description="File of Spark properties (as spark-defaults.conf) on top of ours: queues, memory, Kerberos."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "SASL" in self.kafka_security and not (self.kafka_user and self.kafka_password.get_secret_value()):
            raise ValueError(f"kafka_security={self.kafka_security} needs kafka_user and kafka_password")
        if self.trino_password.get_secret_value() and not self.trino_url.startswith("https://"):
            raise ValueError("trino_password is sent over https only: set trino_url=https://…")
        for name in ("hdfs_ca", "kafka_ca", "kafka_certificate", "cassandra_ca", "trino_ca", "spark_properties"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}={path}: there is no such file")
        return self

    def user(self, engine: Literal["hdfs", "hive", "trino"]) -> str:
        """Return who we are at an engine."""
        return getattr(self, f"{engine}_user") or getpass.getuser()
