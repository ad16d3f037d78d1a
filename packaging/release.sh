#!/usr/bin/env bash
# Makes everything that a release of a version consists of: a tarball of the programs, packages, images, a wheel, the chart of
# helm, the manifests of kustomize, the bills of materials, and SHA256SUMS with a signature that minisign verifies.
# Usage: packaging/release.sh ROOT OUT
# ROOT is a directory that packaging/stage.sh has made. KEY is the file of minisign's secret key, without a password; without
# it nothing is signed. The environment may set VERSION, ARCH and SOURCE_DATE_EPOCH. The same inputs give the same bytes. For two
# architectures, run this twice with the same OUT.
set -euo pipefail
. "${0%/*}/common.sh"

root=$1 out=$2
need helm minisign sha256sum tar xz
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# tarball NAME: makes OUT/NAME.tar.xz of the directory $work/NAME.
tarball() {
	at_epoch "$work/$1"
	tar -C "$work" --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=ustar "$1" |
		xz --threads=2 --block-size=16MiB >"$out/$1.tar.xz"
}

staged "$root"
packaging/packages.sh "$root" "$out"
packaging/image.sh "$root" "$out"
packaging/wheel.sh "$root" "$out"

# The programs with their pages and completions in the layout of a prefix: `tar -C /usr/local --strip-components=1 -xf ...`.
name=ctrace-$VERSION-$ARCH-linux
cp -r "$root/usr" "$work/$name"
sed -i 's|/usr/bin/|/usr/local/bin/|' "$work/$name/lib/systemd/system/ctrace-rec.service"
cp packaging/ctrace-rec.toml "$work/$name/share/doc/ctrace-rec"
tarball "$name"
for program in ctrace-rec ctrace-query; do
	cp "$root/usr/share/doc/$program/sbom.cdx.json" "$out/$program-$VERSION-$ARCH.cdx.json"
done

cp -rL packaging/kubernetes "$work/ctrace-kubernetes-$VERSION"
tarball "ctrace-kubernetes-$VERSION"
# helm writes the time of its run into the archive, so that tar makes it.
cp -rL packaging/kubernetes/chart "$work/ctrace-rec"
sed -i "s/^\(version\|appVersion\): .*/\1: $VERSION/" "$work/ctrace-rec/Chart.yaml"
at_epoch "$work/ctrace-rec"
tar -C "$work" --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=ustar ctrace-rec |
	gzip -9n >"$out/ctrace-rec-chart-$VERSION.tgz"
helm show chart "$out/ctrace-rec-chart-$VERSION.tgz" >/dev/null

cd "$out"
rm -f SHA256SUMS SHA256SUMS.minisig
# A file list is sorted by the shell.
sha256sum -- * >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" SHA256SUMS
if [ -n "${KEY:-}" ]; then
	# The time of the comment is that of the release, so that the signature is the same each time.
	minisign -S -s "$KEY" -m SHA256SUMS -t "ctrace $VERSION timestamp:$SOURCE_DATE_EPOCH" </dev/null >/dev/null
else
	echo "release: SHA256SUMS is not signed: set KEY to the file of a secret key of minisign" >&2
fi
ls
