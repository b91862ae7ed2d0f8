#!/bin/bash
# Calls get_all_databases, which reads the metastore's own database. The image has no Thrift client, and this is Thrift's
# binary protocol by hand: a call is version 1 and type 1 (call), the name, a sequence number, and no arguments.
set -euo pipefail
exec 3<>/dev/tcp/metastore/9083
printf '\x80\x01\x00\x01\x00\x00\x00\x11get_all_databases\x00\x00\x00\x01\x00' >&3
# The answer: type 2 (reply), the same name and number, then field 0 (the result), a list. An error would be another field.
answer="$(timeout 10 head -c 32 <&3 | od -An -v -tx1 | tr -d ' \n')"
echo "$answer"
[ "$answer" = 80010002000000116765745f616c6c5f646174616261736573000000010f0000 ]
