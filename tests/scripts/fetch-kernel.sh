#!/usr/bin/env bash
# Fetches the newest of Debian's kernels of a series, built for virtual machines, from the mirror that this machine's
# apt uses, checked with Debian's keys. Usage: fetch.sh SERIES DIR; leaves DIR/vmlinuz. What is there is not fetched.
set -euo pipefail
series=$1 dir=$2

case $series in
5.10) release=bullseye ;;
6.1 | 6.12) release=bookworm ;;
7.2) release=forky ;;
*)
	echo "fetch.sh: no release of Debian is known to have Linux $series" >&2
	exit 1
	;;
esac
fail() {
	echo "fetch.sh: Linux $series: $*" >&2
	echo "fetch.sh: where no mirror is in reach, put a kernel's image there: $dir/vmlinuz" >&2
	exit 1
}

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[ ! -e "$dir/vmlinuz" ] || exit 0

# The mirrors of this machine's own release, whose other releases stand beside it.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' "Release: $1" | head -n 1
}
main=$(mirror "$codename")
security=$(mirror "$codename-security")
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$main" ] && [ -e "$keys" ] || fail "apt knows no mirror of Debian here, or there is no $keys"

work=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial archives/partial
echo "deb [signed-by=$keys] $main $release main" >sources.list
[ -z "$security" ] ||
	echo "deb [signed-by=$keys] $security $release-security main" >>sources.list
# A configuration of its own: this machine's lists and cache stay as they are.
apt=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
	-o "Dir::Cache=$work" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2)
apt-get "${apt[@]}" -o APT::Update::Error-Mode=any update >&2 || fail "cannot fetch the list of $release's packages"

names=$(apt-cache "${apt[@]}" search --names-only \
	"^linux-(image|binary)-${series//./\\.}\..*-cloud-$(dpkg --print-architecture)(-unsigned)?\$" | cut -d' ' -f1)
[ -n "$names" ] || fail "$release has no such kernel"
# A list may name a package that the mirror has no longer, and a package may only ask for another one that has the image.
for name in $(sort --version-sort --reverse <<<"$names"); do
	apt-get "${apt[@]}" download "$name" >&2 || continue
	dpkg-deb -x "$name"_*.deb unpacked
	image=$(find unpacked -type f -name 'vmlinuz*')
	[ -z "$image" ] || break
done
[ -n "${image:-}" ] || fail "no package of $release holds its image:" $names
# Named so only when it is whole.
mv "$image" "$dir/vmlinuz"
