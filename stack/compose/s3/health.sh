#!/bin/bash
# Asks for the lakehouse's bucket without a key, which the server must refuse: it answers, and checks who asks.
set -euo pipefail
exec 3<>/dev/tcp/s3/9878
printf 'GET /lake HTTP/1.0\r\nHost: s3\r\n\r\n' >&3
head -1 <&3 | grep ' 403 '
