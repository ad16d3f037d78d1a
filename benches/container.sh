#!/bin/sh
# container.sh NAME COMMAND...: runs a command in a container NAME, created by runc, on this machine's own files.
set -eu
name=$1
shift
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
mkdir "$bundle/rootfs"
cd "$bundle"
runc spec
# No seccomp filter: its cost is not part of the measurement.
jq --args '.process.args = $ARGS.positional | .process.terminal = false | .process.rlimits = []
	| .process.capabilities[] += ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"]
	| .process.env += ["HOME=/mnt", "TMPDIR=/mnt"] | .root = {path: "rootfs", readonly: true} | del(.linux.seccomp)
	| .mounts += [{destination: "/mnt", type: "tmpfs", source: "tmpfs"}]' -- "$@" <config.json >new.json
mv new.json config.json
# A separate mount namespace, so that the bind mount disappears with it.
unshare --mount sh -c 'mount --bind / rootfs && exec runc run "$1"' sh "$name" </dev/null
