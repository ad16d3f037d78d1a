#!/usr/bin/env bash
# Writes what each program is built of to DIR/PROGRAM.cdx.json: CycloneDX, for the features of that program.
# Usage: packaging/sbom.sh DIR
set -euo pipefail
cd "$(dirname "$0")/.."

target=$1
mkdir -p "$target"
PATH=${CARGO_TARGET_DIR:-target}/tools/bin:$PATH
# cargo-cyclonedx writes a file for each program beside Cargo.toml, so that only one of these scripts may run at a time.
exec 9<Cargo.toml
flock 9
trap 'rm -f ctrace-rec_bin.cdx.json ctrace-query_bin.cdx.json' EXIT
for program in record:ctrace-rec query:ctrace-query; do
	name=${program#*:}
	cargo cyclonedx -q --format json --spec-version 1.5 --describe binaries --no-default-features --features "${program%:*}"
	# The directory of the sources says nothing about the program.
	sed "s|path+file://$PWD|path+file://|g" "${name}_bin.cdx.json" >"$target/$name.cdx.json"
done
