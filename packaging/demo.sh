#!/usr/bin/env bash
# Starts two containers, a web server and a client, records them, and answers four typical on-call questions. Keeps the
# recording in target/demo.parquet. Passes its arguments to ctrace-rec. Without root or sudo, replays a raw capture of an
# earlier run instead. With --containers, only runs the two containers.
set -euo pipefail

rootfs() { # DIR: create a root filesystem of busybox, with a page to serve and a client script
	local root=$1 applet
	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,srv}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in cat cp httpd nslookup sh wget; do ln -s busybox "$root/bin/$applet"; done
	echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
	echo 'root:*:20000:0:99999:7:::' >"$root/etc/shadow"
	# With runc, the client shares the server's network. Docker and podman replace this file with their own.
	echo '127.0.0.1 localhost web' >"$root/etc/hosts"
	echo 'it works' >"$root/srv/index.html"
	cat >"$root/bin/client" <<-'CLIENT'
		#!/bin/sh
		wget -q -O /tmp/page http://web:8080/
		wget -q -O /tmp/report http://web:8080/report.csv
		wget -q -O /tmp/orders http://web:5432/orders
		nslookup payment.internal web
		cat /etc/payment.conf
		cp /bin/busybox /tmp/cat
		/tmp/cat /etc/shadow
	CLIENT
	chmod +x "$root/bin/client"
}

listening() { # PID: wait until port 8080 is open in the network namespace of PID
	local tries=100
	until grep -qs ':1F90 .* 0A ' "/proc/$1/net/tcp" "/proc/$1/net/tcp6"; do
		[ $((tries -= 1)) -gt 0 ] || { echo "demo: the web server does not listen" >&2; return 1; }
		sleep 0.1
	done
}

# These functions run in subshells, so that each one cleans up however it ends.
with_engine() ( # docker|podman
	image=localhost/ctrace-demo options=(--rm --stop-signal KILL)
	engine() { docker "$@"; }
	if [ "$1" = podman ]; then
		# podman's default runtime does not support every cgroup layout, and its default limits may exceed those of the
		# machine.
		engine() { podman --runtime runc "$@"; }
		options+=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000)
	fi
	trap 'engine rm -f demo-web demo-client; engine rmi -f "$image"' EXIT
	tar -c -C "$dir/rootfs" . | engine import - "$image" || exit
	engine run --detach "${options[@]}" --name demo-web "$image" httpd -f -p 8080 -h /srv || exit
	listening "$(engine inspect --format '{{.State.Pid}}' demo-web)" || exit
	address=$(engine inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' demo-web)
	# Some commands of the client fail on purpose: the demo queries these failures.
	engine run "${options[@]}" --name demo-client --add-host "web:$address" "$image" client || true
	engine exec demo-web cat /etc/shadow
)

bundle() { # NAME NETWORK-NAMESPACE ARGS...: create a bundle for runc on the shared root
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
	runc exec demo-web cat /etc/shadow
)

containers() { # run both containers, with the first runtime that works
	local log=$dir/containers.log
	if docker version >/dev/null 2>&1 && with_engine docker >>"$log" 2>&1; then return; fi
	if command -v podman >/dev/null && with_engine podman >>"$log" 2>&1; then return; fi
	with_runc >>"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

say() { # HEADING: print a heading
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

show() { # COMMAND...: print a command as it would be typed
	printf '%s$ %s%s\n' "$colour" "$*" "$plain"
}

ask() { # SQL, or QUESTION OPTION...: print and run a query
	if [ $# -eq 1 ] && [[ $1 = *' '* ]]; then show "ctrace-query \"$1\""; else show "ctrace-query $*"; fi
	"$bin/ctrace-query" "$@"
}

here=$(realpath "$0")
tree=$(dirname "$(dirname "$here")")

# The recorder runs this as its command; it is also useful for recording by hand.
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
[ -x "$bin/ctrace-query" ] || echo "building ctrace-rec and ctrace-query: the first build takes about 15 minutes on two cores" >&2
cargo build --locked
export CTRACE_RECORDING=$target/demo.parquet
rm -f "$CTRACE_RECORDING"

if [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -v; }; then
	as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(sudo)
	say "Recording two containers: a web server, and a client whose requests fail."
	record=("${as_root[@]}" "$bin/ctrace-rec" --out "$CTRACE_RECORDING" "$@" -- packaging/demo.sh --containers)
	show "${record[@]}"
	"${record[@]}"
	"${as_root[@]}" chown "$(id -u):$(id -g)" "$CTRACE_RECORDING"
else
	say "Recording needs root, and sudo is not available: replaying a capture of an earlier run."
	record=("$bin/ctrace-rec" --from-raw fixtures/demo.raw --out "$CTRACE_RECORDING")
	show "${record[@]}"
	"${record[@]}"
fi
show "export CTRACE_RECORDING=$CTRACE_RECORDING PATH=$bin:\$PATH"

say "Who opened /etc/shadow?"
ask "select time, container, comm, exe, operation, bytes from files
    where path = '/etc/shadow' and operation in ('open', 'read') and not setup order by time"
say "Which containers talked to each other?"
ask "select source, target, address, connections, failed, bytes_sent as sent, bytes_received as received
    from links"
say "What failed in the client?"
ask errors --container demo-client
say "Which programs are not from the image of their container?"
ask drift

say "The recording is kept. Try next:"
show "ctrace-query summary"
show "ctrace-query report --output $target/demo.html"
show "ctrace-query    # a shell: try 'files --container demo-client', and \\q to leave"
