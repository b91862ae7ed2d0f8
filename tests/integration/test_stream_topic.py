"""What queries do when a topic is not what it was: they stop and say so, and nothing is skipped without a word."""

from __future__ import annotations

import random
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
import stream_samples as samples
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession
from stream_runs import ARCHIVE, BOTH, archived, delete_topics, own_dataset, session, small_batches, stream

from engines import archive_progress, hdfs, master, topics
from engines.archive_progress import Progress, Reached
from engines.kafka import client_config, create_topic
from engines.topics import ProducersTimes
from meterlake import wire
from meterlake.clock import system_clock
from meterlake.declaration import MeterSeries
from meterlake.errors import KafkaRetentionTooShort
from meterlake.settings import Settings
from speed_layer.checkpoint import Checkpoint
from speed_layer.errors import MessagesLost, NewerMessages, OtherCheckpoint, TopicRecreated
from stack.doctor import examine
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]


@pytest.fixture(scope="module")
def small(settings: Settings, stack: Instance) -> Settings:
    return small_batches(settings)


@pytest.fixture(scope="module")
def spark(small: Settings) -> Iterator[SparkSession]:
    with session(small) as result:
        yield result


@pytest.fixture
def dataset(settings: Settings, spark: SparkSession) -> Iterator[MeterSeries]:
    with own_dataset(settings, spark) as result:
        yield result


def twenty(dataset: MeterSeries) -> list[samples.Message]:
    """Return good messages, all for the same partition."""
    pick = random.Random(4)  # noqa: S311 - repeatable, not secret
    now = int(system_clock().timestamp())
    return [("a", wire.encode(dataset, samples.reading("a", now - n, 1, pick))) for n in range(20)]


def sent_and_archived(settings: Settings, dataset: MeterSeries, messages: list[samples.Message]) -> int:
    """Send the first messages of a topic and archive them; return their partition."""
    topics.ensure(settings, dataset)
    samples.send(settings, dataset.readings_topic, messages)
    stream(settings, dataset, ARCHIVE)
    spans = topics.spans(settings, topics.required(settings, dataset.readings_topic))
    return next(partition for partition, span in spans.items() if span.end)


def a_hole_is_said(settings: Settings, dataset: MeterSeries, partition: int, more: list[samples.Message]) -> None:
    """Kafka drops five messages before they are read; the archive stops, until somebody lets it go on behind them."""
    samples.send(settings, dataset.readings_topic, more)
    admin = AdminClient(client_config(settings))  # held until the answers are there
    gone = admin.delete_records([TopicPartition(dataset.readings_topic, partition, 25)])
    assert all(outcome.exception(10) is None for outcome in gone.values())
    with pytest.raises(MessagesLost, match="was read up to offset 20 and now begins at 25"):
        stream(settings, dataset, ARCHIVE)
    said = stream(settings.model_copy(update={"fail_on_data_loss": False}), dataset, ARCHIVE)
    assert any("5 offsets hold no message" in words for words in said)


def new_checkpoint(settings: Settings, dataset: MeterSeries) -> None:
    """Move the archive's checkpoint away, as docs/live.md says."""
    path = Checkpoint(settings, dataset, "archive").path
    hdfs.client(settings).rename(path, f"{path}.old")


def test_checkpoint_and_topic_must_fit(small: Settings, spark: SparkSession, dataset: MeterSeries) -> None:
    good = twenty(dataset)
    partition = sent_and_archived(small, dataset, good)

    a_hole_is_said(small, dataset, partition, good)
    assert len(archived(spark, dataset)) == 35

    # The checkpoint of another data set.
    path = Checkpoint(small, dataset, "archive").path
    other = replace(dataset, name=f"{dataset.name}x")
    elsewhere = Checkpoint(small, other, "archive").path
    hdfs.client(small).makedirs(elsewhere)
    hdfs.write_bytes(small, f"{elsewhere}/owner.json", hdfs.read_bytes(small, f"{path}/owner.json"))
    with pytest.raises(OtherCheckpoint, match=f"is that of data set {dataset.name} and topic"):
        stream(small, other, ARCHIVE)
    delete_topics(small, other.readings_topic, other.rejected_topic)

    # The topic is deleted and created again.
    delete_topics(small, dataset.readings_topic)
    with pytest.raises(TopicRecreated, match="was deleted and created again"):
        stream(small, dataset, ARCHIVE)
    new_checkpoint(small, dataset)
    samples.send(small, dataset.readings_topic, good)
    stream(small, dataset, ARCHIVE)
    assert len(archived(spark, dataset)) == 55


def test_a_new_checkpoint_says_what_is_missing_behind_the_master(
    small: Settings, spark: SparkSession, dataset: MeterSeries
) -> None:
    good = twenty(dataset)
    partition = sent_and_archived(small, dataset, good)
    new_checkpoint(small, dataset)
    a_hole_is_said(small, dataset, partition, good)
    assert [row.origin_offset for row in archived(spark, dataset)] == [*range(20), *range(25, 40)]


def test_a_topic_that_has_lost_its_end_is_archived_again_under_a_new_checkpoint(
    small: Settings, spark: SparkSession, dataset: MeterSeries
) -> None:
    """The broker has come back with older data: its next messages get offsets that are archived of others."""
    good = twenty(dataset)
    partition = sent_and_archived(small, dataset, good)
    table = master.master(spark, small, dataset)
    topic = topics.required(small, dataset.readings_topic)
    further = Progress(topic.name, topic.id, "before", 7, {partition: Reached(50, system_clock())})
    table.append(spark.table(f"iceberg.master.{dataset.name}").limit(0), further.properties())
    (lost,) = [each for each in archive_progress.read(small, dataset) if each.partition == partition]
    assert not lost.at_end

    new_checkpoint(small, dataset)
    samples.send(small, dataset.readings_topic, good[:5])
    stream(small, dataset, ARCHIVE)
    assert sorted(row.origin_offset for row in archived(spark, dataset)) == sorted([*range(20), *range(25)])
    samples.send(small, dataset.readings_topic, good[:3])
    stream(small, dataset, ARCHIVE)
    assert sorted(row.origin_offset for row in archived(spark, dataset)) == sorted([*range(20), *range(28)])
    assert all(each.at_end for each in archive_progress.read(small, dataset))


def test_views_are_refused_where_kafka_forgets_too_soon(small: Settings, dataset: MeterSeries) -> None:
    forgetful = small.model_copy(update={"kafka_retention": timedelta(minutes=30)})
    stream(forgetful, dataset, ARCHIVE)
    with pytest.raises(KafkaRetentionTooShort, match=f"Kafka keeps the readings of {dataset.name} for 30 min, shorter"):
        stream(small, dataset, BOTH)


def test_a_topic_that_keeps_its_producers_times_is_named_with_the_command_that_mends_it(
    small: Settings, spark: SparkSession, dataset: MeterSeries, stack: Instance
) -> None:
    create_topic(small, dataset.readings_topic, 2, {"message.timestamp.type": "CreateTime"})
    for queries in (ARCHIVE, BOTH):
        with pytest.raises(ProducersTimes, match="type=CreateTime instead of LogAppendTime") as refused:
            stream(small, dataset, queries)
    (seen,) = [result for result in examine(stack, [dataset]) if result.what == f"Topic of {dataset.name}"]
    assert (seen.state, seen.to_do) == ("missing", refused.value.hint)
    command = refused.value.hint.split("`")[1]
    subprocess.run([f"{sysconfig.get_path('scripts')}/{command.split()[0]}", *command.split()[1:]], check=True)
    # A clock that is a day behind, and one that is a day ahead, decide nothing now.
    now, good = int(system_clock().timestamp()), twenty(dataset)
    producer = Producer(client_config(small, acks="all"))
    for at, (key, value) in enumerate(good):
        producer.produce(dataset.readings_topic, value, key, timestamp=(now + (86_400 if at % 2 else -86_400)) * 1000)
    assert producer.flush(30) == 0
    stream(small, dataset, ARCHIVE)
    arrived = [row.received_at for row in archived(spark, dataset)]
    assert len(arrived) == len(good)
    assert all(abs(moment.replace(tzinfo=UTC) - system_clock()) < timedelta(hours=1) for moment in arrived)


def test_messages_of_a_newer_version_stop_the_archive(
    small: Settings, spark: SparkSession, dataset: MeterSeries
) -> None:
    topics.ensure(small, dataset)
    samples.send(small, dataset.readings_topic, [("a", b'{"v":2,"meter":"a"}')] * 1000)
    large = small.model_copy(update={"archive_max_offsets": 5000})
    with pytest.raises(NewerMessages, match="All of the next 1000 messages"):
        stream(large, dataset, ARCHIVE)
    assert archive_progress.read(large, dataset) == []
