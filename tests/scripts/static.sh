#!/usr/bin/env bash
# Proves that a recorder is one file that runs on every Linux of its architecture: it needs no loader and no library, and
# replays a capture in an otherwise empty root. Usage, as root: tests/scripts/static.sh CTRACE-REC
set -euo pipefail

program=$1
fail() { echo "static: $program $*" >&2; exit 1; }

# The headers are read whole first, because grep would close a pipe early.
headers=$(readelf --program-headers --dynamic "$program")
! grep -E 'INTERP|\(NEEDED\)' <<<"$headers" || fail "is not static"

root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
cp "$program" "$root/ctrace-rec"
cp "${0%/*}/../../fixtures/demo.raw" "$root"
chroot "$root" /ctrace-rec --from-raw /demo.raw --out /demo.parquet --quiet
[ -s "$root/demo.parquet" ] || fail "has written nothing"
echo "$program: static, $(stat --format %s "$program") bytes"
