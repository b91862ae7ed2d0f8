#!/bin/bash
# Formats the NameNode's folder once; a format that was cut off leaves only a .partial folder.
set -euo pipefail
name=/hadoop/namenode/name
blocks=/hadoop/datanode/blocks

if [ ! -e "$name" ]; then
  if [ -e "$blocks/current" ]; then
    echo >&2 "The NameNode's volume is empty, but the DataNode's blocks are still there: a new NameNode would not know them."
    echo >&2 "Put the volume back, or remove both to start empty."
    exit 1
  fi
  rm -rf "$name.partial"
  /opt/hadoop/bin/hdfs namenode -D "dfs.namenode.name.dir=file://$name.partial" -format -force -nonInteractive
  mv "$name.partial" "$name"
fi
# New volumes belong to root; the servers run as hadoop.
chown -R hadoop "$name"
chown hadoop "$(dirname "$name")" "$(dirname "$blocks")"
