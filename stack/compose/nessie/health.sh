#!/bin/bash
# Asks Nessie what it is ready for: its own store, and the lakehouse's bucket.
set -euo pipefail
exec 3<>/dev/tcp/nessie/19121
printf 'GET /q/health HTTP/1.0\r\nHost: nessie\r\n\r\n' >&3
head -1 <&3 | grep ' 200 '
