#!/usr/bin/env bash
# Fetches Debian's newest kernel of a series, built for virtual machines, from the mirror of this machine's apt, and checks
# it with Debian's keys. Usage: fetch-kernel.sh SERIES DIR. Writes DIR/vmlinuz, unless the file exists.
set -euo pipefail
series=$1 dir=$2

case $series in
5.10) release=bullseye ;;
6.1 | 6.12) release=bookworm ;;
7.2) release=forky ;;
*)
	echo "fetch-kernel.sh: no known release of Debian has Linux $series" >&2
	exit 1
	;;
esac
fail() {
	echo "fetch-kernel.sh: Linux $series: $*" >&2
	echo "fetch-kernel.sh: without a mirror, put an image of the kernel at $dir/vmlinuz" >&2
	exit 1
}

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[ ! -e "$dir/vmlinuz" ] || exit 0

# The mirrors of this machine's own release, which also have the other releases.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' "Release: $1" | sed -n 1p
}
main=$(mirror "$codename")
security=$(mirror "$codename-security")
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$main" ] && [ -e "$keys" ] || fail "apt has no mirror of Debian here, or $keys is missing"

work=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial archives/partial
echo "deb [signed-by=$keys] $main $release main" >sources.list
[ -z "$security" ] ||
	echo "deb [signed-by=$keys] $security $release-security main" >>sources.list
# A separate configuration, so that this machine's lists and cache stay unchanged.
apt=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
	-o "Dir::Cache=$work" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2)
apt-get "${apt[@]}" -o APT::Update::Error-Mode=any update >&2 || fail "cannot fetch the list of $release's packages"

names=$(apt-cache "${apt[@]}" search --names-only \
	"^linux-(image|binary)-${series//./\\.}\..*-cloud-$(dpkg --print-architecture)(-unsigned)?\$" | cut -d' ' -f1)
[ -n "$names" ] || fail "$release has no such kernel"
# The list may name a package that the mirror no longer has, and a package may only depend on the one with the image.
for name in $(sort --version-sort --reverse <<<"$names"); do
	apt-get "${apt[@]}" download "$name" >&2 || continue
	dpkg-deb -x "$name"_*.deb unpacked
	image=$(find unpacked -type f -name 'vmlinuz*')
	[ -z "$image" ] || break
done
[ -n "${image:-}" ] || fail "no package of $release has the image:" $names
# Renamed at the end, so that the file is always complete.
mv "$image" "$dir/vmlinuz"
