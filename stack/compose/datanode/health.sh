#!/bin/bash
# Writes a file through the DataNode's WebHDFS and reads it back; a check starts no JVM.
set -euo pipefail
file='/webhdfs/v1/tmp/meterlake-health/datanode?user.name=hadoop&namenoderpcaddress=namenode:8020'
token="$(date +%s%N)-$$"

ask() { # METHOD OPERATION BODY
  exec 3<>/dev/tcp/datanode/9864
  printf '%s %s&%s HTTP/1.1\r\nHost: datanode\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$file" "$2" "$(printf '%s' "$3" | wc -c)" "$3" >&3
  cat <&3
}

ask PUT 'op=CREATE&overwrite=true' "$token" | grep '^HTTP/1.1 201'
ask GET 'op=OPEN' '' | grep "$token"
