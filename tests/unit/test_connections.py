"""Connections by settings: what each client is given, what is refused, and that no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from pydantic import SecretStr, ValidationError

from engines import kafka, spark, topics
from engines.kafka import client_config
from meterlake import ddl
from meterlake.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


def test_the_native_stack_needs_no_security() -> None:
    assert client_config(Settings())["security.protocol"] == "PLAINTEXT"
    assert kafka.spark_options(Settings()) == {
        "kafka.bootstrap.servers": "127.0.0.1:9092",
        "kafka.security.protocol": "PLAINTEXT",
    }


def test_kafka_clients_of_python_and_of_java_are_given_the_same(certificates: Path) -> None:
    settings = Settings(
        kafka_bootstrap="a:9093,b:9093",
        kafka_security="SASL_SSL",
        kafka_user="reader",
        kafka_password=SecretStr('qu"ote\\'),
        kafka_ca=certificates,
        kafka_certificate=certificates,
    )
    config = client_config(settings)
    assert {name: value for name, value in config.items() if name != "error_cb"} == {
        "bootstrap.servers": "a:9093,b:9093",
        "log_level": 0,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "reader",
        "sasl.password": 'qu"ote\\',
        "ssl.ca.location": str(certificates),
        "ssl.certificate.location": str(certificates),
        "ssl.key.location": str(certificates),
    }
    assert kafka.spark_options(settings) == {
        "kafka.bootstrap.servers": "a:9093,b:9093",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required"
        ' username="reader" password="qu\\"ote\\\\";',
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.location": str(certificates),
        "kafka.ssl.keystore.type": "PEM",
        "kafka.ssl.keystore.location": str(certificates),
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kafka_security": "SASL_SSL", "kafka_user": "reader"}, "needs kafka_user and kafka_password"),
        ({"trino_password": SecretStr("x"), "trino_url": "http://trino:8080"}, "over https only"),
        ({"kafka_ca": Path("/no/such.pem")}, "kafka_ca=/no/such.pem: there is no such file"),
        ({"cassandra_replication": 0}, "greater than 0"),
        ({"kafka_security": "sasl_ssl"}, "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**given)


def test_no_secret_is_shown() -> None:
    names = [name for name in Settings.model_fields if name.endswith(("_password", "_token"))]
    assert {"kafka_password", "cassandra_password", "hive_password", "trino_password"} <= set(names)
    shown = Settings(
        trino_url="https://trino:8443",
        kafka_security="SASL_PLAINTEXT",
        kafka_user="u",
        **dict.fromkeys(names, SecretStr("hunter2")),
    )
    for text in (str(shown), repr(shown), shown.model_dump_json()):
        assert "hunter2" not in text


def test_addresses_of_hive() -> None:
    assert (Settings().hive, Settings().hive_scheme) == (("127.0.0.1", 10000), None)
    proxied = Settings(hive_url="https://gateway:8443")
    assert (proxied.hive, proxied.hive_scheme) == (("gateway", 8443), "https")


def test_copies_are_the_clusters_unless_said() -> None:
    native, cluster = spark._storage(Settings()), spark._storage(Settings(hdfs_url="hdfs://namenode:8020"))  # noqa: SLF001
    assert native["spark.hadoop.dfs.replication"] == "1"
    assert "spark.hadoop.dfs.replication" not in cluster
    assert ddl.replication("dc1", 3) == "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"


def test_spark_properties_of_a_file_are_read_as_spark_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "spark-defaults.conf"
    file.write_text("# queue\nspark.yarn.queue   meters\nspark.executor.memory=4g\n\nspark.x = a b\n")
    assert spark._properties(file) == {  # noqa: SLF001
        "spark.yarn.queue": "meters",
        "spark.executor.memory": "4g",
        "spark.x": "a b",
    }


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)), True),
        (KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE)), True),
        (KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), False),
        (TimeoutError(), False),
    ],
)
def test_offsets_are_asked_for_again_while_a_leader_is_elected(error: Exception, passes: bool) -> None:
    assert topics.has_no_leader_yet(error) is passes
