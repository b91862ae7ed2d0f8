"""Flink SQL through PyFlink, in Flink's own process for one machine.

JSON, a watermark, the first row of each reading, windows of a minute, sums of doubles. Flink 2 has no connector to
Cassandra, so the program collects the windows and writes them by Cassandra's driver.
"""

from __future__ import annotations

from datetime import UTC
from itertools import islice

import common
from pyflink.table import EnvironmentSettings, TableEnvironment

ROWS_AT_ONCE = 5000


def statements(kafka: str, topic: str, measures: list[str]) -> list[str]:
    """Return the source, the readings without repeated ones, and the query of minutes."""
    columns = "".join(f", {name} DOUBLE" for name in measures)
    source = f"""
        CREATE TABLE messages (
          meter_id STRING, ts BIGINT{columns},
          arrived AS PROCTIME(),
          event_time AS TO_TIMESTAMP_LTZ(ts, 0),
          WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
        ) WITH (
          'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{kafka}',
          'properties.group.id' = 'flink-{topic}', 'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = 'latest-offset', 'format' = 'json'
        )"""
    numbered = "SELECT *, ROW_NUMBER() OVER (PARTITION BY meter_id, ts ORDER BY arrived) AS place FROM messages"
    readings = f"""
        CREATE TEMPORARY VIEW readings AS
        SELECT meter_id, event_time, {", ".join(measures)} FROM ({numbered}) WHERE place = 1"""
    sums = ", ".join(f"SUM({name})" for name in measures)
    minutes = f"""
        SELECT meter_id, window_start, COUNT(*), {sums}
        FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
        GROUP BY meter_id, window_start, window_end"""
    return [source, readings, minutes]


def main() -> None:
    """Run until the topic's end."""
    asked = common.given()
    minutes = common.Minutes(asked.cassandra, asked.table, asked.measures)
    table = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    config = table.get_config()
    config.set("pipeline.jars", ";".join(f"file://{jar}" for jar in asked.jars))
    config.set("parallelism.default", "2")
    config.set("table.local-time-zone", "UTC")
    *prepared, query = statements(asked.kafka, asked.topic, asked.measures)
    for statement in prepared:
        table.execute_sql(statement)
    with common.measured(asked.count), table.execute_sql(query).collect() as rows:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            minutes.write((row[0], row[1].replace(tzinfo=UTC), *list(row)[2:]) for row in some)
    minutes.close()


if __name__ == "__main__":
    main()
