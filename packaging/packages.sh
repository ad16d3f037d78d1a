#!/usr/bin/env bash
# Makes a deb and an rpm of each program.
# Usage: packaging/packages.sh ROOT OUT
# ROOT is a directory that packaging/stage.sh has made. The environment may set VERSION, ARCH, SOURCE_DATE_EPOCH, MAINTAINER, and COMPRESSION of the debs: xz, or gzip, which is faster.
set -euo pipefail
. "${0%/*}/common.sh"

root=$1
mkdir -p "$2"
out=$(realpath "$2")
need nfpm envsubst readelf

WORK=$(mktemp -d)
trap 'rm -r "$WORK"' EXIT
export WORK SCRIPTS=$PWD/packaging/packages
export MAINTAINER=${MAINTAINER:-ctrace maintainers <maintainers@ctrace.example>} DEB_COMPRESSION=${COMPRESSION:-xz}
MTIME=$(date --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export MTIME

staged "$root"
cp -r "$root" "$WORK/root"
cp -r packaging/packages/copyright packaging/packages/lintian "$WORK/root"
find "$WORK/root/usr/share/man" -type f -exec gzip -9n {} +
at_epoch "$WORK/root"
cat >"$WORK/changelog.yaml" <<CHANGES
- semver: $VERSION-1
  date: $MTIME
  packager: $MAINTAINER
  deb: { urgency: medium, distributions: [stable] }
  changes:
    - note: "Version $VERSION; CHANGELOG.md has the changes"
CHANGES

# libraries PROGRAM: prints each shared library that a program needs, with each version of its symbols that it uses.
libraries() {
	readelf --version-info --wide "$1" | awk '
		/File: / { sub(/.*File: /, ""); file = $1 }
		/Name: / && /Flags:/ { sub(/.*Name: /, ""); print file, $1 }'
	readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# quoted: makes the items of a list in YAML of lines.
quoted() {
	sort --unique | sed 's/.*/"&"/' | paste -s -d, -
}

# deb_depends PROGRAM: prints the Debian packages that have the libraries, in the versions that the program needs.
deb_depends() {
	local file version libc=''
	while read -r file version; do
		case $file in
		ld-linux*) ;;
		libc.so.6 | libm.so.6)
			# The loader reads packed relocations since this version.
			[ "$version" != GLIBC_ABI_DT_RELR ] || version=GLIBC_2.36
			libc=$(printf '%s\n' "$libc" "${version#GLIBC_}" | sort --version-sort | tail -1)
			;;
		libgcc_s.so.1) echo 'libgcc-s1' ;;
		libelf.so.1) echo 'libelf1' ;;
		libz.so.1) echo 'zlib1g' ;;
		*)
			echo "packages: no Debian package is known for $file, which $1 needs: add it to deb_depends" >&2
			exit 2
			;;
		esac
	done
	[ -z "$libc" ] || echo "libc6 (>= $libc)"
}

# rpm_depends: prints the libraries as rpm names them.
rpm_depends() {
	sed '/^ld-linux/d; s/^\([^ ]*\) \(.*\)$/\1(\2)(64bit)/; t; s/$/()(64bit)/'
}

for program in ctrace-rec ctrace-query; do
	needed=$(libraries "$WORK/root/usr/bin/$program")
	DEB_DEPENDS='' RPM_DEPENDS=''
	# A static program needs none.
	if [ -n "$needed" ]; then
		DEB_DEPENDS=$(deb_depends "$program" <<<"$needed" | quoted)
		RPM_DEPENDS=$(rpm_depends <<<"$needed" | quoted)
	fi
	export DEB_DEPENDS RPM_DEPENDS
	envsubst <"packaging/packages/$program.yaml" >"$WORK/$program.yaml"
	for format in deb rpm; do
		(cd "$WORK/root" && nfpm package --config "$WORK/$program.yaml" --packager "$format" --target "$out" >/dev/null)
	done
done
(cd "$out" && ls -- *.deb *.rpm)
