#!/usr/bin/env bash
# Checks the packages in DIR with lintian and rpmlint, then installs, runs, upgrades and removes them on a release of Debian in
# a directory of its own. Usage, as root: tests/scripts/packages.sh DIR RELEASE
# The release is made once by mmdebstrap and kept in /var/cache/ctrace-tests/releases.
set -euo pipefail

packages=$(realpath "$1") release=$2
tree=$(realpath "${0%/*}/../..")
fail() { echo "packages.sh: $release: $*" >&2; exit 1; }
step() { echo "packages.sh: $release: $*"; }

cache=/var/cache/ctrace-tests/releases
mkdir -p "$cache"
exec 9>"$cache/$release.lock"
flock 9
if [ ! -e "$cache/$release.tar" ]; then
	step "making the release"
	# libelf1 is for a recorder that is not static; procps has the kill of the unit.
	mmdebstrap --quiet --variant=essential --include=systemd,procps,libelf1,zlib1g "$release" "$cache/$release.new.tar"
	mv "$cache/$release.new.tar" "$cache/$release.tar"
fi
flock -u 9

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"
tar -C "$root" -xf "$cache/$release.tar"
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
exists() { [ -e "$root/$1" ] || [ -L "$root/$1" ] || fail "$1 is missing $2"; }
is_gone() { ! [ -e "$root/$1" ] && ! [ -L "$root/$1" ] || fail "$1 is left $2"; }

unit=usr/lib/systemd/system/ctrace-rec.service
link=etc/systemd/system/multi-user.target.wants/ctrace-rec.service
config=etc/ctrace/ctrace-rec.toml
recording=var/lib/ctrace/demo.parquet
debs=("$packages"/*.deb)
rpms=("$packages"/*.rpm)
[ ${#debs[@]} -eq 2 ] && [ ${#rpms[@]} -eq 2 ] || fail "$packages does not have two debs and two rpms"

# runs WHEN: both programs work, the service is one that systemd accepts, and what belongs to a program is there.
runs() {
	cp "$tree/fixtures/demo.raw" "$root/demo.raw"
	mkdir -p -m 700 "$root/var/lib/ctrace"
	in_root ctrace-rec --quiet --force --from-raw /demo.raw --out "/$recording"
	in_root ctrace-query -r "/$recording" --format csv 'select count(*) > 0 as has_events from events' | grep -qx true ||
		fail "the recording has no events $1"
	# A target that the unit is wanted by, and the manual page, are of the machine that checks.
	systemd-analyze verify --man=no --root="$root" ctrace-rec.service 2>"$work/verify" || fail "the unit is invalid $1: $(cat "$work/verify")"
	! grep ctrace-rec "$work/verify" || fail "systemd complains about the unit $1"
	local program
	for program in ctrace-rec ctrace-query; do
		gzip --decompress --stdout "$root/usr/share/man/man1/$program.1.gz" | grep '^\.TH' >/dev/null || fail "$program has no manual page $1"
		bash -n "$root/usr/share/bash-completion/completions/$program" || fail "the completions of $program are invalid $1"
		grep -q CycloneDX "$root/usr/share/doc/$program/sbom.cdx.json" || fail "$program has no bill of materials $1"
	done
}

mkdir "$work/next"
next_version() { # DEB: make the same package in a later version, and print its name
	local dir=$work/next/$(basename "$1")
	dpkg-deb --raw-extract "$1" "$dir"
	sed -i 's/^Version: .*/&.1/' "$dir/DEBIAN/control"
	dpkg-deb --root-owner-group -Znone --build "$dir" "$dir.next.deb" >/dev/null
	cp "$dir.next.deb" "$root/tmp"
	echo "/tmp/$(basename "$dir.next.deb")"
}

step "lintian and rpmlint"
lintian --allow-root --fail-on error,warning "${debs[@]}"
rpmlint --strict --config "$tree/packaging/packages/rpmlint.toml" "${rpms[@]}" >"$work/rpmlint" 2>&1 ||
	fail "rpmlint: $(cat "$work/rpmlint")"

step "installing the debs"
cp "${debs[@]}" "$root/tmp"
in_root dpkg --install "${debs[@]/#$packages//tmp}" >/dev/null
runs "after the installation"
is_gone "$link" "after the installation: the service must not start before it is enabled"
in_root dpkg --verify ctrace-rec ctrace-query | grep . && fail "files differ from those of the package"

step "upgrading the debs"
systemctl --quiet --root="$root" enable ctrace-rec.service
echo 'max-cpu = "10%"' >>"$root/$config"
for deb in "${debs[@]}"; do in_root dpkg --install "$(next_version "$deb")" >/dev/null; done
runs "after the upgrade"
exists "$link" "after the upgrade"
grep -q '^max-cpu' "$root/$config" || fail "the upgrade has replaced an edited configuration"

step "removing the debs"
in_root dpkg --remove ctrace-rec ctrace-query >/dev/null
for file in usr/bin/ctrace-rec usr/bin/ctrace-query "$unit"; do is_gone "$file" "after the removal"; done
exists "$config" "after the removal"
exists "$recording" "after the removal"
in_root dpkg --install "${debs[0]/#$packages//tmp}" "${debs[1]/#$packages//tmp}" >/dev/null
exists "$link" "after a new installation"
in_root dpkg --purge ctrace-rec ctrace-query >"$work/purged"
grep -q 'rm -r /var/lib/ctrace' "$work/purged" || fail "the purge does not say that recordings are kept"
exists "$recording" "after the purge"
for file in "$config" "$link" etc/systemd/system/ctrace-rec.service; do is_gone "$file" "after the purge"; done
find "$root"/{etc,usr,var/lib/systemd} -name '*ctrace*' | grep . && fail "files are left after the purge"

step "installing the rpms"
# What rpm needs is compared with what rpm itself finds in the program, because the release has no packages of rpm.
for rpm in "${rpms[@]}"; do
	rpm --query --package --requires "$rpm" | grep -v '^rpmlib(\|^/bin/sh' | sort -u >"$work/requires" || true
	mkdir -p "$work/unpacked"
	(cd "$work/unpacked" && rpm2cpio "$rpm" | cpio --quiet --extract --make-directories --unconditional)
	find "$work/unpacked/usr/bin" -type f | /usr/lib/rpm/rpmdeps --requires | grep -v '^ld-linux\|^rtld(' | sort -u >"$work/found" || true
	diff "$work/found" "$work/requires" || fail "$rpm requires other libraries than its program"
	rm -r "$work/unpacked"
done
cp "${rpms[@]}" "$root/tmp"
in_rpm() { rpm --root "$root" --nodeps "$@" 2> >(grep -v 'RPM should not be used\|alien\|However assuming\|^$' >&2); }
in_rpm --install "${rpms[@]}"
runs "after the installation of the rpms"
rpm --root "$root" --verify --nodeps ctrace-rec ctrace-query || fail "files differ from those of the rpm"
echo 'max-cpu = "10%"' >>"$root/$config"
in_rpm --upgrade --replacepkgs --replacefiles "${rpms[@]}"
runs "after the upgrade of the rpms"
grep -q '^max-cpu' "$root/$config" || fail "the upgrade of the rpm has replaced an edited configuration"
in_rpm --erase ctrace-rec ctrace-query
for file in usr/bin/ctrace-rec usr/bin/ctrace-query "$unit" "$config"; do is_gone "$file" "after the removal of the rpms"; done
exists "$config.rpmsave" "after the removal of the rpms"
exists "$recording" "after the removal of the rpms"
step "passed"
