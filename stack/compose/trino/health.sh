#!/bin/bash
# Writes a view through the metastore, reads it, and reads Cassandra.
set -euo pipefail
token="$(date +%s%N)-$$"
export JAVA_TOOL_OPTIONS='-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1'

answer="$(trino --server http://trino:8080 --user meterlake --output-format TSV --execute "
  CREATE SCHEMA IF NOT EXISTS hive.meterlake_health;
  CREATE OR REPLACE VIEW hive.meterlake_health.container AS SELECT '$token' AS token;
  SELECT token FROM hive.meterlake_health.container UNION ALL SELECT cluster_name FROM cassandra.system.local")"
echo "$answer"
grep -x "$token" <<<"$answer"
grep -x meterlake <<<"$answer"
