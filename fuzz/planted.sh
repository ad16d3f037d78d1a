#!/usr/bin/env bash
# Shows that fuzzing finds faults: plants a crash and an allocation of 10 GB behind a word of four bytes, and expects each to be
# found within a minute.
set -euo pipefail
cd "$(dirname "$0")"

target=${CARGO_TARGET_DIR:-../target}
# found FEATURE PATTERN TARGET: the target fails, says so, and keeps the input.
found() {
	local feature=$1 pattern=$2 name=$3
	local state=$target/fuzz-$feature
	local log=$state/logs/$name
	rm -rf "$state"
	mkdir -p "$state"
	if FEATURES=$feature ./run.sh 60 "$name" >"$state/output" 2>&1; then
		echo "fuzz: $name has not found the fault of $feature in a minute" >&2
		exit 1
	fi
	if ! grep -q "$pattern" "$log" || ! ls "$state/failures/$name-"* >/dev/null; then
		echo "fuzz: $name has failed in another way than by $feature:" >&2
		tail -n 50 "$state/output" >&2
		exit 1
	fi
	echo "fuzz: $name has found the fault of $feature in $(stat -c %W-%Y "$log" | awk -F- '{ print $2 - $1 }') s"
}
found planted-crash "a planted crash" dns
found planted-memory "out-of-memory" dns
