"""A bare consumer with Polars: batches of messages are parsed, freed of repeated readings and summed up by minute.

No watermark, no state that survives, nothing written before the end: what one process can do at most.
"""

from __future__ import annotations

from datetime import UTC, datetime

import common
import polars as pl
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

AT_ONCE = 200_000
KEY = ["meter_id", "ts"]


def main() -> None:
    """Run until the last message."""
    asked = common.given()
    consumer = Consumer({"bootstrap.servers": asked.kafka, "group.id": "polars", "enable.auto.commit": False})
    parts = consumer.list_topics(asked.topic).topics[asked.topic].partitions
    consumer.assign([TopicPartition(asked.topic, part, OFFSET_BEGINNING) for part in parts])
    schema = {"meter_id": pl.String, "ts": pl.Int64} | dict.fromkeys(asked.measures, pl.Float64)
    seen = pl.DataFrame(schema={name: schema[name] for name in KEY})
    sums = [pl.col("readings").sum(), *(pl.col(name).sum() for name in asked.measures)]
    grouped, read = [], 0
    writer = common.Minutes(asked.cassandra, asked.table, asked.measures)
    with common.measured(asked.count) as course:
        while read < asked.count:
            lines: list[bytes] = []
            while len(lines) < AT_ONCE and read < asked.count:
                messages = consumer.consume(10_000, 1.0)
                lines += (message.value() or b"" for message in messages)
                read += len(messages)
            readings = pl.read_ndjson(b"\n".join(lines), schema=schema).unique(KEY).join(seen, on=KEY, how="anti")
            seen = pl.concat([seen, readings.select(KEY)])
            minute = (pl.col("ts") // 60).alias("minute")
            grouped.append(
                readings.with_columns(minute, readings=pl.lit(1, pl.Int64)).group_by("meter_id", "minute").agg(sums)
            )
            course.reached(read)
        minutes = pl.concat(grouped).group_by("meter_id", "minute").agg(sums)
        writer.write(
            (meter, datetime.fromtimestamp(minute * 60, UTC), *values) for meter, minute, *values in minutes.iter_rows()
        )
    writer.close()
    consumer.close()


if __name__ == "__main__":
    main()
