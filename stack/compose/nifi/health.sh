#!/bin/bash
# Asks NiFi what it is doing: its flow is loaded then.
set -euo pipefail
exec 3<>/dev/tcp/nifi/8082
printf 'GET /nifi-api/flow/status HTTP/1.0\r\nHost: nifi:8082\r\n\r\n' >&3
head -1 <&3 | grep ' 200 '
