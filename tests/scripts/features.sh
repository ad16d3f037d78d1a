#!/usr/bin/env bash
# Proves that the recorder builds without DataFusion, and the query program without libbpf and so without clang.
set -euo pipefail

# with FEATURE WANTED UNWANTED: what FEATURE alone depends on has the one crate and not the other.
with() {
	local tree
	tree=$(cargo tree --locked --no-default-features --features "$1" --edges normal,build --prefix none --format '{p}')
	grep -q "^$2 " <<<"$tree" || { echo "features: $1 does not depend on $2: this check is broken" >&2; exit 1; }
	! grep "^$3 " <<<"$tree" || { echo "features: $1 must not depend on $3" >&2; exit 1; }
}
with record libbpf-rs datafusion
with record libbpf-cargo tokio
with query datafusion libbpf-sys
with query datafusion libbpf-cargo
