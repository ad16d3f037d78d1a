#!/usr/bin/env bash
# Installs both programs below ROOT/usr, as `make install` does, with what every package carries besides: the licences and the
# bill of materials of each program, in ROOT/usr/share/doc/PROGRAM.
# Usage: packaging/stage.sh PROGRAMS ROOT
# PROGRAMS is a directory with ctrace-rec and ctrace-query. If they are of another architecture (ARCH), RUN is a directory
# with programs of the same version for this machine, which write the man pages and completions.
set -euo pipefail
. "${0%/*}/common.sh"

programs=$1 root=$2
need cargo-cyclonedx gzip strip
programs "$programs"
rm -rf "$root"
mkdir -p "$root"

make --silent install DESTDIR="$(realpath "$root")" PREFIX=/usr PROGRAMS="$programs" RUN="${RUN:-$programs}"
# Programs of a debug build have symbols; those of a release have none.
for program in "$root"/usr/bin/*; do
	! readelf --sections --wide "$program" | grep '\.symtab' >/dev/null || strip "$program"
done
packaging/sbom.sh "$root/sbom"
for program in ctrace-rec ctrace-query; do
	doc=$root/usr/share/doc/$program
	install -D -m 644 -t "$doc" LICENSE
	install -D -m 644 "$root/sbom/$program.cdx.json" "$doc/sbom.cdx.json"
	packaging/licences.py "$program" "$ARCH" >"$doc/THIRD-PARTY-LICENSES"
done
install -m 644 -t "$root/usr/share/doc/ctrace-rec" bpf/LICENSE.*
rm -r "$root/sbom"
find "$root" -name '*.toml' -o -name '*.service' -o -path '*/share/*' -type f | xargs chmod 644
at_epoch "$root"
