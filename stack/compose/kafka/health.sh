#!/bin/bash
# Writes a record that the broker acknowledges and reads one back, with the image's own tools.
set -euo pipefail
broker=kafka:9092
topic=meterlake.health
export KAFKA_HEAP_OPTS='-Xmx64m' KAFKA_JVM_PERFORMANCE_OPTS='-XX:+UseSerialGC -XX:TieredStopAtLevel=1'
tools=/opt/kafka/bin

if [ ! -e /tmp/meterlake-health ]; then
  "$tools/kafka-topics.sh" --bootstrap-server "$broker" --create --if-not-exists --topic "$topic" \
    --partitions 1 --config retention.ms=3600000
  touch /tmp/meterlake-health
fi
echo checked | "$tools/kafka-console-producer.sh" --bootstrap-server "$broker" --topic "$topic" --sync
"$tools/kafka-console-consumer.sh" --bootstrap-server "$broker" --topic "$topic" --partition 0 --offset earliest \
  --max-messages 1 --timeout-ms 10000 | grep -x checked
