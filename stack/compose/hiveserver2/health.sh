#!/bin/bash
# Opens a session, which needs HDFS and the metastore; beeline would do the same with a JVM for each check. By hand: SASL
# PLAIN with a user, then one frame of Thrift's binary protocol. The session ends with the connection.
set -euo pipefail
exec 3<>/dev/tcp/hiveserver2/10000

take() { # BYTES, as hexadecimal digits
  timeout 20 head -c "$1" <&3 | od -An -v -tx1 | tr -d ' \n'
}

printf '\x01\x00\x00\x00\x05PLAIN' >&3
printf '\x02\x00\x00\x00\x0c\x00meterlake\x00x' >&3
[ "$(take 5)" = 0500000000 ] # complete

# OpenSession(request {1: client_protocol = 9 (V10)})
printf '\x00\x00\x00\x23\x80\x01\x00\x01\x00\x00\x00\x0bOpenSession\x00\x00\x00\x01\x0c\x00\x01\x08\x00\x01\x00\x00\x00\x09\x00\x00' >&3
take 4 >/dev/null # length of the answer's frame
# reply, name, number, field 0 (the response), field 1 (its status), field 1 (the code): 0, success
answer="$(take 36)"
echo "$answer"
[ "$answer" = 800100020000000b4f70656e53657373696f6e000000010c00000c000108000100000000 ]
