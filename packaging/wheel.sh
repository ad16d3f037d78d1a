#!/usr/bin/env bash
# Makes a wheel of the query program, which pip installs as a command.
# Usage: packaging/wheel.sh ROOT OUT
# ROOT is a directory that packaging/stage.sh has made.
set -euo pipefail
. "${0%/*}/common.sh"

root=$1
mkdir -p "$2"
out=$(realpath "$2")
need hatchling readelf

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
staged "$root"
cp packaging/wheel/* "$root/usr/share/doc/ctrace-query/"* "$root/usr/bin/ctrace-query" "$work"
cd "$work"

# The oldest glibc that has what the program needs: PEP 600. Packed relocations need 2.36.
glibc=$(readelf --version-info --wide ctrace-query | sed -n 's/.*Name: GLIBC_\([0-9.]*\) .*/\1/p; s/.*Name: GLIBC_ABI_DT_RELR .*/2.36/p' |
	sort --version-sort | tail -1 | cut -d. -f1,2)
export PLATFORM=manylinux_${glibc/./_}_$ARCH
hatchling build --target wheel --directory "$out" >/dev/null
cd "$out" && ls -- ctrace_query-*.whl
