#!/bin/sh
# Runs in a machine whose first process is systemd: uses the service as documented, and keeps all output.
export PATH=/usr/local/bin:/usr/bin:/bin
cd /run/out
recordings=/var/lib/ctrace

# must COMMAND...: if the command fails, prints the messages of systemd and of the recorder, and ends the machine.
must() {
	"$@" && return
	echo "failed: $*" >&2
	dmesg | grep 'systemd\[1\]' >&2
	cat recorder >&2
	finish
}

# await COMMAND...: waits until the command succeeds.
await() {
	tries=0
	until "$@"; do
		[ $tries -lt 300 ] || must false awaiting "$@"
		sleep 0.1
		tries=$((tries + 1))
	done
}

# state NAME: writes the state of the service to the file NAME.
state() {
	systemctl show ctrace-rec -p ActiveState,SubState,Result,StatusText,NRestarts >$1
}

# case_ NAME: runs a case of /cases. A line is: name, id of the container, command.
case_() {
	read -r id command <<-END
		$(sed -n "s/^$1 //p" /cases)
	END
	runc $id $1 $command
	echo $? >$1/code
}

pid() {
	systemctl show ctrace-rec -p MainPID --value
}
has_status() {
	systemctl show ctrace-rec -p StatusText --value | grep -q .
}
has_finished() {
	[ $(find $recordings -name '*.parquet' | wc -l) -ge $1 ]
}
is_another() {
	[ $(systemctl show ctrace-rec -p NRestarts --value) -ge 1 ] && systemctl is-active -q ctrace-rec
}

case_ idle &
await [ -e idle/stderr ]
must systemctl enable --now ctrace-rec
await has_status
state started
cat /proc/$(pid)/status >rights
cat /proc/$(pid)/mountinfo >mounts
case_ first
must wget -q -O metrics http://127.0.0.1:9464/metrics
must systemctl reload ctrace-rec
await has_finished 1
find $recordings -name '*.parquet' >reloaded
# Killed when the events are in a file, the recorder is restarted by systemd.
case_ second
sleep 2
kill -KILL $(pid)
await is_another
state restarted
case_ third
must systemctl stop ctrace-rec
state stopped
cp -r $recordings recordings
finish
