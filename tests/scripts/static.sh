#!/usr/bin/env bash
# Proves that a recorder is one file that runs on any Linux of its architecture: it needs no loader and no library, and
# replays a capture where there is nothing else. Usage, as root: tests/static.sh CTRACE-REC
set -euo pipefail

program=$1
say() { echo "static: $program $*" >&2; exit 1; }

# grep reads to the end: it must not close the pipe.
headers=$(readelf --program-headers --dynamic "$program")
! grep -E 'INTERP|\(NEEDED\)' <<<"$headers" || say "is not static"

root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
cp "$program" "$root/ctrace-rec"
cp "${0%/*}/../fixtures/demo.raw" "$root"
chroot "$root" /ctrace-rec --from-raw /demo.raw --out /demo.parquet --quiet
[ -s "$root/demo.parquet" ] || say "has written nothing"
echo "$program: static, $(stat --format %s "$program") bytes"
