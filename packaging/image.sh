#!/usr/bin/env bash
# Makes an image of each program, from nothing but the program, the libraries that it needs, its licences and its bill of
# materials: OUT/PROGRAM-VERSION-ARCH.oci.tar, an archive that docker, podman and skopeo load.
# Usage: packaging/image.sh ROOT OUT
# ROOT is a directory that packaging/stage.sh has made. The environment may set VERSION, ARCH, SOURCE_DATE_EPOCH, REVISION and
# REPOSITORY (labels). For another architecture than this machine's, LIBRARIES is the directory of its C library, such as
# /usr/aarch64-linux-gnu/lib of Debian's package libc6-arm64-cross. The same inputs give the same bytes.
set -euo pipefail
. "${0%/*}/common.sh"

root=$1
mkdir -p "$2"
out=$(realpath "$2")
need buildah readelf
libraries=${LIBRARIES:-/lib/$ARCH-linux-gnu}

work=$(mktemp -d)
# Neither the storage nor the settings of this machine's containers take part.
buildah() { command buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
trap 'rm -rf "$work"' EXIT
export BUILDAH_ISOLATION=chroot

staged "$root"

# libraries_of FILE ROOT: copies the loader and the shared libraries that a program or a library needs.
libraries_of() {
	local name loader
	loader=$(readelf --program-headers --wide "$1" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
	[ -z "$loader" ] || [ -e "$2$loader" ] || install -D "$libraries/${loader##*/}" "$2$loader"
	for name in $(readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
		[ ! -e "$2/lib/$ARCH-linux-gnu/$name" ] && [[ $name != ld-linux* ]] || continue
		if [ ! -e "$libraries/$name" ]; then
			echo "image: $1 needs $name, which $libraries does not have: set LIBRARIES to a directory that has it" >&2
			exit 2
		fi
		install -D "$libraries/$name" "$2/lib/$ARCH-linux-gnu/$name"
		libraries_of "$libraries/$name" "$2"
	done
}

# root_of PROGRAM ROOT: makes the root directory of an image.
root_of() {
	install -D -t "$2/usr/bin" "$root/usr/bin/$1"
	mkdir -p "$2/usr/share/doc" "$2/etc"
	cp -r "$root/usr/share/doc/$1" "$2/usr/share/doc/$1"
	mkdir -m 1777 "$2/tmp"
	printf '%s\n' 'root:x:0:0:root:/:/nonexistent' 'nonroot:x:65532:65532:nonroot:/:/nonexistent' >"$2/etc/passwd"
	printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$2/etc/group"
	libraries_of "$2/usr/bin/$1" "$2"
}

# commit PROGRAM DESCRIPTION LICENCES CONFIG...: writes the archive of an image with the root directory $work/PROGRAM.
commit() {
	local program=$1 description=$2 licences=$3 container label
	shift 3
	container=$(buildah from --arch "$GOARCH" scratch)
	buildah copy --quiet --chown 0:0 "$container" "$work/$program" / >/dev/null
	for label in "title=$program" "description=$description" "version=$VERSION" "licenses=$licences" \
		"created=$(date --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" \
		${REVISION:+"revision=$REVISION"} ${REPOSITORY:+"source=$REPOSITORY"}; do
		buildah config --label "org.opencontainers.image.$label" --annotation "org.opencontainers.image.$label" "$container"
	done
	buildah config --arch "$GOARCH" --os linux --entrypoint "[\"/usr/bin/$program\"]" "$@" "$container"
	buildah commit --quiet --disable-compression=false --omit-history --identity-label=false --timestamp "$SOURCE_DATE_EPOCH" "$container" "oci:$work/$program.oci:$program:$VERSION" >/dev/null
	tar -C "$work/$program.oci" --create --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
		--mtime="@$SOURCE_DATE_EPOCH" --format=ustar . >"$out/$program-$VERSION-$ARCH.oci.tar"
	echo "$program-$VERSION-$ARCH.oci.tar $(sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p' "$work/$program.oci/index.json")"
}

root_of ctrace-rec "$work/ctrace-rec"
install -D -m 644 -t "$work/ctrace-rec/etc/ctrace" packaging/ctrace-rec.toml
mkdir -p -m 700 "$work/ctrace-rec/var/lib/ctrace" "$work/ctrace-rec/run/ctrace"
root_of ctrace-query "$work/ctrace-query"
# A recording is mounted here.
mkdir "$work/ctrace-query/recordings"
at_epoch "$work/ctrace-rec"
at_epoch "$work/ctrace-query"

# Root, because the state and the sockets of container runtimes belong to root.
commit ctrace-rec 'Flight recorder for containers' 'Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)' --user 0:0 \
	--workingdir / --cmd '--config /etc/ctrace/ctrace-rec.toml --out /var/lib/ctrace/'
commit ctrace-query 'Answers questions about recordings of containers' 'Apache-2.0' --user 65532:65532 \
	--workingdir /recordings --cmd '--help'
