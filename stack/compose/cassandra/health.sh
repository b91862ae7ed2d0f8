#!/bin/bash
# Writes a row and reads it back.
set -euo pipefail
token="$(date +%s%N)-$$"
cqlsh --no-color --request-timeout=10 127.0.0.1 9042 --execute "
  CREATE KEYSPACE IF NOT EXISTS meterlake_health
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
  CREATE TABLE IF NOT EXISTS meterlake_health.probe (id text PRIMARY KEY, checked text);
  INSERT INTO meterlake_health.probe (id, checked) VALUES ('container', '$token') USING TTL 3600;
  SELECT checked FROM meterlake_health.probe WHERE id = 'container';" | grep "$token"
