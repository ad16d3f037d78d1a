#!/usr/bin/env bash
# Records two containers of its own, a web server and a client, and answers three questions that a person on call has.
# Keeps the recording in target/demo.parquet. Arguments go to ctrace-rec. Where BPF may not be used, replays a raw capture
# of the same run. With --containers it runs the two containers, and nothing else.
set -euo pipefail

rootfs() { # DIR: a root filesystem of busybox, with something to serve and something to run
	local root=$1 applet
	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,srv}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in cat httpd sh wget; do ln -s busybox "$root/bin/$applet"; done
	echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
	echo 'root:*:20000:0:99999:7:::' >"$root/etc/shadow"
	# With runc the client shares the server's network; Docker and podman put their own file in place of this one.
	echo '127.0.0.1 localhost web' >"$root/etc/hosts"
	echo 'it works' >"$root/srv/index.html"
	cat >"$root/bin/client" <<-'CLIENT'
		#!/bin/sh
		wget -q -O /tmp/page http://web:8080/
		wget -q -O /tmp/report http://web:8080/report.csv
		wget -q -O /tmp/orders http://web:5432/orders
		cat /etc/payment.conf
		cat /etc/shadow
	CLIENT
	chmod +x "$root/bin/client"
}

listening() { # PID: wait until something in its network listens on 8080
	local tries=100
	until grep -qs ':1F90 .* 0A ' "/proc/$1/net/tcp" "/proc/$1/net/tcp6"; do
		[ $((tries -= 1)) -gt 0 ] || { echo "demo: the web server does not listen" >&2; return 1; }
		sleep 0.1
	done
}

# Each of these is a process of its own, so that it cleans up however it ends.
with_engine() ( # docker|podman
	image=localhost/ctrace-demo options=(--rm --stop-signal KILL)
	engine() { docker "$@"; }
	if [ "$1" = podman ]; then
		# Its usual runtime does not know every layout of cgroups, and its usual limits may be more than can be had.
		engine() { podman --runtime runc "$@"; }
		options+=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000)
	fi
	trap 'engine rm -f demo-web demo-client; engine rmi -f "$image"' EXIT
	tar -c -C "$dir/rootfs" . | engine import - "$image" || exit
	engine run --detach "${options[@]}" --name demo-web "$image" httpd -f -p 8080 -h /srv || exit
	listening "$(engine inspect --format '{{.State.Pid}}' demo-web)" || exit
	address=$(engine inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' demo-web)
	# What of this fails is what the recording is asked for.
	engine run "${options[@]}" --name demo-client --add-host "web:$address" "$image" client || true
)

bundle() { # NAME NETWORK-NAMESPACE ARGS...: a bundle for runc on the shared root
	local name=$1 network=$2
	shift 2
	mkdir -p "$dir/$name"
	(cd "$dir/$name" && runc spec && jq --arg root "$dir/rootfs" --arg network "$network" --arg args "$*" '
		.process.args = ($args | split(" ")) | .process.terminal = false | .process.rlimits = []
		| .root = {path: $root, readonly: true}
		| .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]
		| if $network == "" then . else
			(.linux.namespaces[] | select(.type == "network")).path = $network
		end' <config.json >new.json && mv new.json config.json)
}

with_runc() (
	trap 'runc delete --force demo-client; runc delete --force demo-web' EXIT
	bundle demo-web "" httpd -f -p 8080 -h /srv || exit
	runc run --detach --bundle "$dir/demo-web" demo-web </dev/null || exit
	pid=$(runc state demo-web | jq .pid)
	listening "$pid" || exit
	bundle demo-client "/proc/$pid/ns/net" client || exit
	runc run --bundle "$dir/demo-client" demo-client || true
)

containers() { # run both, with the first runtime that can
	local log=$dir/containers.log
	if docker version >/dev/null 2>&1 && with_engine docker >>"$log" 2>&1; then return; fi
	if command -v podman >/dev/null && with_engine podman >>"$log" 2>&1; then return; fi
	with_runc >>"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

say() { # a heading
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

show() { # a command, as it would be typed
	printf '%s$ %s%s\n' "$colour" "$*" "$plain"
}

ask() { # SQL
	show "ctrace-query \"$1\""
	"$bin/ctrace-query" "$1"
}

here=$(realpath "$0")
tree=$(dirname "$(dirname "$here")")

# What the recorder runs while it records, and whoever wants to record it by hand.
if [ "${1:-}" = --containers ]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	chmod 755 "$dir"
	rootfs "$dir/rootfs"
	cd "$dir"
	containers
	exit
fi

bold='' colour='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' colour=$'\e[36m' plain=$'\e[0m'; fi
cd "$tree"
packaging/setup.sh demo
target=${CARGO_TARGET_DIR:-target}
bin=$target/debug
[ -x "$bin/ctrace-query" ] || echo "building ctrace-rec and ctrace-query: the first time that takes about a quarter of an hour on two cores" >&2
cargo build --locked
export CTRACE_RECORDING=$target/demo.parquet
rm -f "$CTRACE_RECORDING"

if [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -v; }; then
	as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(sudo)
	say "Two containers run while we record: a web server, and a client that has troubles."
	record=("${as_root[@]}" "$bin/ctrace-rec" --out "$CTRACE_RECORDING" "$@" -- packaging/demo.sh --containers)
	show "${record[@]}"
	"${record[@]}"
	"${as_root[@]}" chown "$(id -u):$(id -g)" "$CTRACE_RECORDING"
else
	say "Recording needs root, and there is no sudo to give it: this replays a capture of an earlier run."
	record=("$bin/ctrace-rec" --from-raw fixtures/demo.raw --out "$CTRACE_RECORDING")
	show "${record[@]}"
	"${record[@]}"
fi
show "export CTRACE_RECORDING=$CTRACE_RECORDING PATH=$bin:\$PATH"

say "Who touched /etc/shadow?"
ask "select time, container, comm, pid, operation, error from files
    where path = '/etc/shadow' order by time"
say "Who talked to whom?"
ask "select source, target, address, connections, failed, bytes_sent as sent, bytes_received as received
    from links"
say "What failed in the client, and why?"
ask "select comm, syscall, error, coalesce(path, peer_path, peer_addr || ':' || peer_port) as subject,
    count(*) as calls from events where container = 'demo-client' and error is not null and comm not like 'runc%'
    group by 1, 2, 3, 4 order by min(time)"

say "The recording is kept. Go on with"
show "ctrace-query summary"
show "ctrace-query report --output $target/demo.html"
show "ctrace-query    # a shell: try 'files --container demo-client', and \\q to leave"
