#!/usr/bin/env bash
# Builds the fuzz targets, and runs each for SECONDS, two at a time, with a limit for its memory.
# Usage: fuzz/run.sh SECONDS [TARGET...]; without a target, all of them.
# An input that a target fails on is kept in TARGET-DIR/fuzz/failures, the inputs that reach new code in TARGET-DIR/fuzz/corpus.
# FEATURES plants faults, for fuzz/planted.sh.
set -euo pipefail
cd "$(dirname "$0")"

seconds=$1
shift
target=$(realpath -m "${CARGO_TARGET_DIR:-../target}")
export CARGO_TARGET_DIR=$target
query=" parquet proof rollups sql sqlite "
if [ $# -eq 0 ]; then
	for file in fuzz_targets/*.rs; do
		set -- "$@" "$(basename "$file" .rs)"
	done
fi

# All crates but libFuzzer have the versions of the programs.
cp ../Cargo.lock Cargo.lock
RUSTC_WRAPPER=$PWD/coverage.sh cargo build --features "${FEATURES:-}" --bin seeds $(printf -- '--bin %s ' "$@")

# The files that targets write are in memory.
TMPDIR=$(mktemp -d /dev/shm/ctrace-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

state=$target/fuzz${FEATURES:+-$FEATURES}
export SEEDS=$state/seeds
rm -rf "$SEEDS"
mkdir -p "$SEEDS" "$state/failures" "$state/logs"
"$target/debug/seeds"

run() {
	local name=$1 corpus=$state/corpus/$1 log=$state/logs/$1 dictionary=()
	mkdir -p "$corpus"
	local longest=300000
	[ "$name" != sql ] || dictionary=(-dict="$SEEDS/sql.dict") longest=3000
	# Targets of the query program hold DataFusion, and a query may use 64 MiB. Nothing else needs more than the recorder.
	local memory=512
	[[ $query != *" $name "* ]] || memory=1024
	if "$target/debug/$name" "${dictionary[@]}" -max_total_time="$seconds" -rss_limit_mb=$memory -timeout=30 -max_len=$longest \
		-print_final_stats=1 -artifact_prefix="$state/failures/$name-" "$corpus" "$SEEDS/$name" >"$log" 2>&1; then
		echo "fuzz: $name: $(grep -o 'Done .*' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)" \
			"of $(grep -o '[0-9]* inline 8-bit' "$log" | cut -d' ' -f1), $(grep -o 'peak_rss_mb: .*' "$log" | tr -d ' ')"
	else
		tail -n 40 "$log" >&2
		echo "fuzz: $name fails: $(grep -o 'Test unit written to .*' "$log" || echo "see $log")" >&2
		return 1
	fi
}
export -f run
export target state seconds query
printf '%s\0' "$@" | xargs -0 -n 1 -P 2 bash -c 'set -u; run "$1"' _
