#!/bin/bash
# Writes a record that the broker acknowledges and reads one back, with the image's own tools.
set -euo pipefail
broker=kafka:9092
topic=meterlake.health
export KAFKA_HEAP_OPTS='-Xmx64m' KAFKA_JVM_PERFORMANCE_OPTS='-XX:+UseSerialGC -XX:TieredStopAtLevel=1'
tools=/opt/kafka/bin

write() {
  echo checked | "$tools/kafka-console-producer.sh" --bootstrap-server "$broker" --topic "$topic" --sync \
    --max-block-ms 5000
}

# Each check would cost one more JVM if it first asked for the topic.
write || {
  "$tools/kafka-topics.sh" --bootstrap-server "$broker" --create --if-not-exists --topic "$topic" \
    --partitions 1 --config retention.ms=3600000
  write
}
"$tools/kafka-console-consumer.sh" --bootstrap-server "$broker" --topic "$topic" --partition 0 --offset earliest \
  --max-messages 1 --timeout-ms 10000 | grep -x checked
