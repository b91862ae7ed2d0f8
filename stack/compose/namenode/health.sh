#!/bin/bash
# Makes a folder through WebHDFS and reads it back; a check starts no JVM.
set -euo pipefail

webhdfs() { # METHOD PATH?OPERATION
  exec 3<>/dev/tcp/namenode/9870
  printf '%s /webhdfs/v1%s HTTP/1.0\r\nContent-Length: 0\r\n\r\n' "$1" "$2" >&3
  cat <&3
}

webhdfs PUT '/tmp/meterlake-health?op=MKDIRS&user.name=hadoop' | grep '"boolean": *true'
webhdfs GET '/tmp/meterlake-health?op=GETFILESTATUS&user.name=hadoop' | grep '"DIRECTORY"'
