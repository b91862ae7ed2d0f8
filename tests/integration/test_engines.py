"""Each client: values come back as they went; a wrong statement is permanent, a missing server transient and quick."""

# ruff: noqa: S608 - names are this test's own

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from engines import cassandra, hdfs, hive, kafka, metastore, trino
from engines.errors import EngineUnavailable, QueryFailed
from engines.metastore import ExternalTable, HiveColumn
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = pytest.mark.integration

FOLDER = "/meterlake/test/engines"
DATABASE = "test_engines"
WORDS = 'it\'s "quoted", 100 %, back\\slash, é-ß-漢, \n and ; --'
NOWHERE = "127.0.0.1:1"
"""An address where nobody listens."""


@pytest.fixture
def nobody(settings: Settings) -> Settings:
    addresses = {
        "hdfs_url": f"hdfs://{NOWHERE}",
        "webhdfs_url": f"http://{NOWHERE}",
        "kafka_bootstrap": NOWHERE,
        "cassandra_hosts": NOWHERE,
        "metastore_url": f"thrift://{NOWHERE}",
        "hive_url": NOWHERE,
        "trino_url": f"http://{NOWHERE}",
    }
    return settings.model_copy(update=addresses)


def ask_cassandra(settings: Settings, statement: str, values: Any = None) -> list[Any]:
    with cassandra.session(settings) as session:
        return list(session.execute(statement, values))


def ask_metastore(settings: Settings) -> Any:
    with metastore.client(settings) as client:
        return metastore.database_properties(client, "default")


CALLS: dict[str, Callable[[Settings], Any]] = {
    "HDFS": lambda settings: hdfs.write_bytes(settings, f"{FOLDER}/x", b"x"),
    "HDFS, reading": lambda settings: hdfs.read_bytes(settings, f"{FOLDER}/x"),
    "Kafka": lambda settings: kafka.create_topic(settings, "test.nowhere", partitions=1),
    "Kafka, sending": lambda settings: kafka.send_one(settings, "test.nowhere", b"x"),
    "Kafka, reading": lambda settings: kafka.read_one(settings, "test.nowhere", 0, 0),
    "Cassandra": lambda settings: ask_cassandra(settings, "SELECT now() FROM system.local"),
    "Hive metastore": ask_metastore,
    "HiveServer2": lambda settings: hive.rows(settings, "SELECT 1"),
    "Trino": lambda settings: trino.rows(settings, "SELECT 1"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_server_is_named_within_seconds(name: str, nobody: Settings) -> None:
    start = time.monotonic()
    with pytest.raises(EngineUnavailable) as caught:
        CALLS[name](nobody)
    assert time.monotonic() - start < 15
    assert NOWHERE in str(caught.value)
    assert caught.value.engine == name.partition(",")[0]
    assert "meterlake up" in caught.value.hint


WRONG: dict[str, Callable[[Settings], Any]] = {
    "HDFS": lambda settings: hdfs.read_bytes(settings, f"{FOLDER}/there-is-no-such-file"),
    "Cassandra": lambda settings: ask_cassandra(settings, "SELEC 1"),
    "Cassandra, table": lambda settings: ask_cassandra(settings, "SELECT * FROM system.no_such_table"),
    "Cassandra, value": lambda settings: ask_cassandra(settings, "SELECT * FROM system.local WHERE key = 1"),
    "HiveServer2": lambda settings: hive.rows(settings, "SELEC 1"),
    "HiveServer2, table": lambda settings: hive.rows(settings, "SELECT * FROM no_such_table"),
    "HiveServer2, database": lambda settings: hive.rows(settings, "SELECT * FROM no_such_database.t"),
    "Trino": lambda settings: trino.rows(settings, "SELEC 1"),
    "Trino, table": lambda settings: trino.rows(settings, "SELECT * FROM hive.default.no_such_table"),
    "Trino, value": lambda settings: trino.rows(settings, "SELECT CAST('x' AS BIGINT)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_statement_is_refused_in_the_engines_own_words(name: str, stack: Instance) -> None:
    with pytest.raises(QueryFailed) as caught:
        WRONG[name](stack.settings)
    assert caught.value.engine == name.partition(",")[0]
    words = ("SELEC", "no_such_table", "no_such_database", "no-such-file", "x", "type")
    assert any(word in str(caught.value) for word in words)


def test_hdfs_keeps_every_byte(stack: Instance) -> None:
    content = bytes(range(256)) * 3
    path = f"{FOLDER}/a folder/é-{uuid4().hex}"
    hdfs.write_bytes(stack.settings, path, b"old and longer" * 100)
    hdfs.write_bytes(stack.settings, path, content)
    assert hdfs.read_bytes(stack.settings, path) == content
    hdfs.client(stack.settings).delete(path)


def by_another_client(settings: Settings, topic: str, partition: int, offset: int) -> bytes:
    """Read a record with a client that shares nothing with ours but the protocol."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, consumer_timeout_ms=60_000)
    try:
        where = TopicPartition(topic, partition)
        consumer.assign([where])
        consumer.seek(where, offset)
        result: bytes = next(consumer).value
    finally:
        consumer.close()
    return result


def test_kafka_keeps_every_byte(stack: Instance) -> None:
    topic = f"test.engines.{uuid4().hex}"
    assert kafka.create_topic(stack.settings, topic, partitions=3, config={"retention.ms": "3600000"})
    assert not kafka.create_topic(stack.settings, topic, partitions=3)
    content = b"\x00\xff" + WORDS.encode()
    partition, offset = kafka.send_one(stack.settings, topic, content)
    assert kafka.read_one(stack.settings, topic, partition, offset) == content
    assert by_another_client(stack.settings, topic, partition, offset) == content


def test_cassandra_keeps_values(stack: Instance) -> None:
    values = (WORDS, -(2**63), 0.1 + 0.2, datetime.fromisoformat("2026-03-29T02:30:00.123"), None)
    with cassandra.session(stack.settings) as session:
        session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {DATABASE} "
            "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.execute(
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.kinds "
            "(word text PRIMARY KEY, units bigint, measure double, minute timestamp, nothing int)"
        )
        insert = session.prepare(
            f"INSERT INTO {DATABASE}.kinds (word, units, measure, minute, nothing) VALUES (?, ?, ?, ?, ?)"
        )
        session.execute(insert, values)
        result = session.execute(
            f"SELECT word, units, measure, minute, nothing FROM {DATABASE}.kinds WHERE word = %s", (WORDS,)
        ).all()
        session.execute(f"DROP KEYSPACE {DATABASE}")
    assert [tuple(row) for row in result] == [values]


def test_rows_of_trino_come_in_batches_that_do_not_fill_memory(stack: Instance) -> None:
    """300,000 rows would be some 50 MB."""
    many = "SELECT a * 1000 + b, 'meter-' || CAST(b AS VARCHAR), CAST(b AS DECIMAL(18, 3))"
    statement = f"{many} FROM UNNEST(sequence(1, 300)) AS x (a) CROSS JOIN UNNEST(sequence(1, 1000)) AS y (b)"
    held, count, total = list[int](), 0, 0
    tracemalloc.start()
    try:
        for some in trino.batches(stack.settings, statement, None, 10_000):
            held.append(tracemalloc.get_traced_memory()[0])
            count, total = count + len(some), total + sum(row[0] for row in some)
    finally:
        tracemalloc.stop()
    assert (count, total) == (300_000, sum(1000 * a * 1000 for a in range(1, 301)) + 300 * 500_500)
    assert len(held) == 30
    assert max(held[15:]) < max(held[:15]) + 5_000_000


def test_trino_keeps_values(stack: Instance) -> None:
    values = [
        WORDS,
        -(2**63),
        Decimal("-999999999999999.999"),
        datetime.fromisoformat("2026-03-29T02:30:00.123456"),
        True,
    ]
    assert trino.rows(stack.settings, "SELECT ?, ?, ?, ?, ?", values) == [values]


def test_hiveserver2_keeps_values(stack: Instance) -> None:
    text = "it's 100 %, é-ß-漢"
    result = hive.rows(
        stack.settings,
        "SELECT %(word)s, CAST(%(units)s AS BIGINT), CAST(%(measure)s AS DECIMAL(18,3)), "
        "CAST(%(minute)s AS TIMESTAMP), CAST(NULL AS INT)",
        {"word": text, "units": -(2**62), "measure": "-999999999999999.999", "minute": "2026-03-29 02:30:00.123456"},
    )
    minute = datetime.fromisoformat("2026-03-29T02:30:00.123456")
    assert result == [(text, -(2**62), Decimal("-999999999999999.999"), minute, None)]


class TestMetastore:
    """Tables, partitions, and the switch that publishes."""

    @pytest.fixture
    def client(self, stack: Instance) -> Iterator[Any]:
        with metastore.client(stack.settings) as client:
            metastore.drop_database(client, DATABASE)
            metastore.ensure_database(client, DATABASE, f"{stack.settings.hdfs}{FOLDER}/db")
            yield client
            metastore.drop_database(client, DATABASE)

    @pytest.fixture
    def table(self, client: Any, stack: Instance) -> ExternalTable:
        table = ExternalTable(
            database=DATABASE,
            name="views",
            columns=(HiveColumn("meter_id", "string", "the meter"), HiveColumn("p_sum", "decimal(18,3)")),
            location=f"{stack.settings.hdfs}{FOLDER}/views",
            partitioned_by=(HiveColumn("month", "string"),),
            properties={"meterlake.run": "1"},
        )
        assert metastore.create_table(client, table)
        return table

    def folders(self, table: ExternalTable, run: int, months: int = 3) -> dict[tuple[str, ...], str]:
        return {(f"2026-{month:02}",): f"{table.location}/month={month:02}/run={run}" for month in range(1, months + 1)}

    def test_a_table_is_created_once_and_comes_back_whole(self, client: Any, table: ExternalTable) -> None:
        assert not metastore.create_table(client, table)
        result = metastore.get_table(client, DATABASE, "views")
        assert result is not None
        assert (result.columns, result.location, result.partitioned_by) == (
            table.columns,
            table.location,
            table.partitioned_by,
        )
        assert result.properties["meterlake.run"] == "1"
        assert metastore.get_table(client, DATABASE, "elsewhere") is None

    def test_partitions_are_added_switched_and_dropped(self, client: Any, table: ExternalTable) -> None:
        old, new = self.folders(table, 1), self.folders(table, 2)
        metastore.add_partitions(client, DATABASE, "views", old)
        metastore.add_partitions(client, DATABASE, "views", new)  # they are there: nothing changes
        assert metastore.partition_locations(client, DATABASE, "views") == old
        some = dict(list(new.items())[:2])
        metastore.switch_partitions(client, DATABASE, "views", some)
        assert metastore.partition_locations(client, DATABASE, "views") == {**old, **some}
        metastore.drop_partitions(client, DATABASE, "views", [*some, ("1999-01",)])
        assert list(metastore.partition_locations(client, DATABASE, "views")) == [("2026-03",)]
        for change in (metastore.add_partitions, metastore.switch_partitions):
            change(client, DATABASE, "views", {})
        metastore.drop_table(client, DATABASE, "views")
        metastore.drop_table(client, DATABASE, "views")
        assert metastore.get_table(client, DATABASE, "views") is None

    def test_a_switch_is_all_or_nothing(self, client: Any, table: ExternalTable) -> None:
        old = self.folders(table, 1, months=12)
        metastore.add_partitions(client, DATABASE, "views", old)
        with pytest.raises(QueryFailed, match="1999-01"):
            metastore.switch_partitions(
                client, DATABASE, "views", {**self.folders(table, 2, months=12), ("1999-01",): table.location}
            )
        assert metastore.partition_locations(client, DATABASE, "views") == old

    def test_only_the_lock_of_a_dead_writer_is_released(
        self, client: Any, table: ExternalTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hive_metastore import ttypes

        kind = {"type": ttypes.LockType.EXCLUSIVE, "level": ttypes.LockLevel.TABLE}
        part = ttypes.LockComponent(**kind, dbname=DATABASE, tablename=table.name)
        request = ttypes.LockRequest([part], user="nobody", hostname="nowhere", agentInfo="Iceberg-test")
        client.lock(request)
        assert metastore.release_stale_locks(client, DATABASE, table.name) == 0
        monkeypatch.setattr(metastore, "STALE_LOCK", timedelta(seconds=-1))  # whatever is held now is old enough
        assert metastore.release_stale_locks(client, DATABASE, table.name) == 1
        assert client.lock(request).state == ttypes.LockState.ACQUIRED
        assert metastore.release_stale_locks(client, DATABASE, table.name) == 1

    def test_a_wrong_request_is_refused(self, stack: Instance, table: ExternalTable) -> None:
        nowhere = ExternalTable("no_such_database", "t", table.columns, table.location)
        requests: list[Callable[[Any], Any]] = [
            lambda client: metastore.create_table(client, nowhere),
            lambda client: metastore.partition_locations(client, DATABASE, "no_such_table"),
            lambda client: metastore.add_partitions(client, DATABASE, "no_such_table", {("1",): table.location}),
            lambda client: metastore.add_partitions(client, DATABASE, "views", {("1", "2"): table.location}),
            lambda client: metastore.database_properties(client, "no_such_database"),
        ]
        for request in requests:
            with pytest.raises(QueryFailed), metastore.client(stack.settings) as client:
                request(client)
