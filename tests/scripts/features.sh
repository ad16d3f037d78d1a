#!/usr/bin/env bash
# Proves that the recorder builds without DataFusion and tokio, the query program without libbpf and so without clang, and
# the schema without Parquet and SQLite.
set -euo pipefail

# check WANTED UNWANTED CARGO-TREE-ARGS...: the dependencies contain one crate and not the other.
check() {
	local wanted=$1 unwanted=$2 tree
	shift 2
	tree=$(cargo tree --locked --edges normal,build --prefix none --format '{p}' "$@")
	grep -q "^$wanted " <<<"$tree" || { echo "features: $* does not depend on $wanted: this check is broken" >&2; exit 1; }
	! grep "^$unwanted " <<<"$tree" || { echo "features: $* must not depend on $unwanted" >&2; exit 1; }
}
record=(--no-default-features --features record)
query=(--no-default-features --features query)
check libbpf-rs datafusion "${record[@]}"
check libbpf-cargo tokio "${record[@]}"
check datafusion libbpf-sys "${query[@]}"
check datafusion libbpf-cargo "${query[@]}"
check arrow-schema parquet --package ctrace-schema
check arrow-schema rusqlite --package ctrace-schema
