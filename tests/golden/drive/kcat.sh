#!/bin/bash
# kcat through what it can ask: metadata, produce, consume, offsets by time, a group, a transaction. $1: HOST:PORT.
set -u
broker=$1
kcat -b "$broker" -L >/dev/null
printf 'k1:v1\nk2:v2\n' | kcat -b "$broker" -t golden -P -K: -H name=value
printf 'plain\n' | kcat -b "$broker" -t golden -P -X enable.idempotence=true
printf 'in a transaction\n' | kcat -b "$broker" -t golden -P -X transactional.id=golden-tx
for codec in gzip snappy lz4 zstd; do
  seq 1 200 | kcat -b "$broker" -t golden -P -z "$codec"
done
kcat -b "$broker" -t golden -C -o beginning -e -q >/dev/null
kcat -b "$broker" -Q -t golden:0:-1 >/dev/null
timeout 4 kcat -b "$broker" -G golden-group -X auto.commit.interval.ms=500 golden >/dev/null 2>&1
exit 0
