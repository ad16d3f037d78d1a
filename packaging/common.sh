# shellcheck shell=bash
# Read by the scripts that package: version, time and architecture of what they make. Each can be given in the environment.
# Relative paths on the command lines of these scripts are relative to the repository.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)}
ARCH=${ARCH:-$(uname -m)}
# The time of every file, so that the same sources give the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export VERSION ARCH SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=UTC

# The name of the architecture in Go, Debian and images.
case $ARCH in
x86_64) GOARCH=amd64 ;;
aarch64) GOARCH=arm64 ;;
*)
	echo "packaging: ctrace does not run on $ARCH: set ARCH to x86_64 or aarch64" >&2
	exit 2
	;;
esac
export GOARCH

target=${CARGO_TARGET_DIR:-target}
PATH=$(realpath -m "$target")/packaging/bin:$(realpath -m "$target")/tools/bin:$PATH

# need TOOL...: ends with exit code 2 if a tool is not installed.
need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null && continue
		echo "packaging: $tool is missing: run packaging/setup.sh packages" >&2
		exit 2
	done
}

# programs DIR: ends with exit code 2 unless DIR has both programs, of this architecture.
programs() {
	local program machine
	for program in ctrace-rec ctrace-query; do
		if [ ! -x "$1/$program" ]; then
			echo "packaging: $1 has no $program: build it, or set PROGRAMS to the directory that has both programs" >&2
			exit 2
		fi
		machine=$(readelf --file-header "$1/$program" | sed -n 's/^ *Machine: *//p')
		case $ARCH:$machine in
		x86_64:*X86-64* | aarch64:AArch64) ;;
		*)
			echo "packaging: $1/$program is a program for $machine, not for $ARCH: set ARCH to its architecture" >&2
			exit 2
			;;
		esac
	done
}

# staged ROOT: ends with exit code 2 unless packaging/stage.sh has made ROOT of programs of this architecture.
staged() {
	if [ ! -d "$1/usr/share/doc/ctrace-rec" ]; then
		echo "packaging: $1 is not staged: run packaging/stage.sh PROGRAMS $1" >&2
		exit 2
	fi
	programs "$1/usr/bin"
}

# at_epoch DIR: gives every file below DIR the same time.
at_epoch() {
	find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}
