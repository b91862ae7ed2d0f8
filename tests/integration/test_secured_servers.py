"""Kafka and Cassandra that ask for passwords and speak TLS: clients of ours, and Spark, work with them by settings."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from pyspark.sql import SparkSession

from engines import cassandra, kafka
from engines import spark as engine
from engines.errors import EngineUnavailable
from meterlake.settings import Settings
from stack.instance import Instance
from stack.process import run_tool
from stack.service import Service
from stack.services import SERVICES

pytestmark = pytest.mark.integration

PASSWORD = "correct horse; battery=staple"
PORTS_BELOW = 6_100
"""So far below those of the stack of the other tests."""


class Certificates:
    """A certificate authority, and a server certificate for this machine: as PEM files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        self.authority, self.server = folder / "ca.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
        self.key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.chain = "".join(pem.bytes().decode() for pem in server.cert_chain_pems)
        self.server.write_text(self.key + self.chain)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def native(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """Servers of the native stack, apart from those of the other tests; each is made a secured one before its start."""
    offset = abs(settings.port_offset - PORTS_BELOW)
    return Instance(Settings(home=tmp_path_factory.mktemp("secured"), port_offset=offset))


@contextmanager
def running(service: Service, instance: Instance) -> Iterator[subprocess.Popen[bytes]]:
    log = instance.log(service.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    instance.run(service.name).mkdir(parents=True, exist_ok=True)
    command, environment = service.command(instance), service.environment(instance)
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as server:
        try:
            yield server
        finally:
            server.kill()


def wait_for(server: subprocess.Popen[bytes], works: Callable[[], object], log: Path) -> None:
    """Ask until the server works, as long as it lives."""
    while True:
        try:
            works()
        except EngineUnavailable:
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        else:
            return


@pytest.fixture(scope="module")
def secured_kafka(native: Instance, certificates: Certificates) -> Iterator[Settings]:
    service = SERVICES["kafka"]
    service.write_config(native)
    file = native.conf("kafka") / "server.properties"
    inner = f"127.0.0.1:{native.settings.port('kafka_controller') + 1}"
    outer = f"127.0.0.1:{native.settings.port('kafka')}"
    controller = f"127.0.0.1:{native.settings.port('kafka_controller')}"
    changed = {
        "listeners": f"INNER://{inner},OUTER://{outer},CONTROLLER://{controller}",
        "advertised.listeners": f"INNER://{inner},OUTER://{outer}",
        "inter.broker.listener.name": "INNER",
        "listener.security.protocol.map": "INNER:PLAINTEXT,OUTER:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.outer.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.outer.ssl.keystore.type": "PEM",
        "listener.name.outer.ssl.keystore.location": str(certificates.server),
    }
    kept = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in changed]
    file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in changed.items())]) + "\n")
    words = ["format", "--cluster-id", uuid.uuid4().hex[:22], "--config", str(file)]
    words += ["--add-scram", f'SCRAM-SHA-512=[name="reader",password="{PASSWORD}"]']
    run_tool(service, native, "kafka.tools.StorageTool", words)
    reader = native.settings.model_copy(
        update={
            "kafka_security": "SASL_SSL",
            "kafka_user": "reader",
            "kafka_password": SecretStr(PASSWORD),
            "kafka_ca": certificates.authority,
        }
    )
    with running(service, native) as server:
        wait_for(server, lambda: kafka.create_topic(reader, "ready", 1), native.log("kafka"))
        yield reader


def test_kafka_with_sasl_and_tls(secured_kafka: Settings) -> None:
    kafka.create_topic(secured_kafka, "secured", 1)
    assert (
        kafka.read_one(secured_kafka, "secured", *kafka.send_one(secured_kafka, "secured", b"a reading"))
        == b"a reading"
    )


@pytest.fixture
def spark(secured_kafka: Settings) -> Iterator[SparkSession]:
    with engine.session(secured_kafka, "secured") as session:
        yield session


def test_spark_reads_from_and_writes_to_it(spark: SparkSession, secured_kafka: Settings) -> None:
    kafka.create_topic(secured_kafka, "by.spark", 1)
    options = kafka.spark_options(secured_kafka)
    rows = spark.sql("SELECT CAST('a reading' AS BINARY) AS value")
    rows.write.format("kafka").options(**options, topic="by.spark").save()
    read = spark.read.format("kafka").options(**options, subscribe="by.spark").load()
    assert [bytes(row["value"]) for row in read.collect()] == [b"a reading"]


@pytest.mark.parametrize(
    "wrong",
    [{"kafka_password": SecretStr("guess")}, {"kafka_security": "PLAINTEXT"}, {"kafka_ca": None}],
    ids=["password", "plaintext", "unknown authority"],
)
def test_kafka_refuses_who_is_not_known(secured_kafka: Settings, wrong: dict[str, object]) -> None:
    with pytest.raises(EngineUnavailable, match="Kafka at"):
        kafka.send_one(secured_kafka.model_copy(update=wrong), "ready", b"x")


@pytest.fixture(scope="module")
def secured_cassandra(native: Instance, certificates: Certificates) -> Iterator[Settings]:
    service = SERVICES["cassandra"]
    service.write_config(native)
    file = native.conf("cassandra") / "cassandra.yaml"
    text = file.read_text().replace("AllowAllAuthenticator", "PasswordAuthenticator")
    pem = certificates.server
    file.write_text(
        f"{text}\nclient_encryption_options:\n  enabled: true\n  optional: false\n  keystore: {pem}\n"
        "  ssl_context_factory:\n    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n"
    )
    user = native.settings.model_copy(
        update={
            "cassandra_user": "cassandra",
            "cassandra_password": SecretStr("cassandra"),
            "cassandra_tls": True,
            "cassandra_ca": certificates.authority,
        }
    )

    def works() -> None:
        with cassandra.session(user) as session:
            session.execute("SELECT release_version FROM system.local")

    with running(service, native) as server:
        wait_for(server, works, native.log("cassandra"))
        yield user


def test_cassandra_with_a_password_and_tls(secured_cassandra: Settings) -> None:
    with cassandra.session(secured_cassandra) as session:
        assert session.execute("SELECT data_center FROM system.local").one()[0] == "datacenter1"


@pytest.mark.parametrize(
    "wrong",
    [{"cassandra_password": SecretStr("guess")}, {"cassandra_tls": False}, {"cassandra_ca": None}],
    ids=["password", "plaintext", "unknown authority"],
)
def test_cassandra_refuses_who_is_not_known(secured_cassandra: Settings, wrong: dict[str, object]) -> None:
    with (
        pytest.raises(EngineUnavailable, match="Cassandra at"),
        cassandra.session(secured_cassandra.model_copy(update=wrong)),
    ):
        pass
