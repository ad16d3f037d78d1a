#!/bin/sh
# The first process of the machine: records the cases of /cases, each in a container of its own, and sends what the
# recorder, strace and the programs wrote out through the second serial port, as an archive.
export PATH=/usr/bin:/bin
# The first root takes part in no pivot_root(2): this goes on in another.
if [ -d /new ]; then
	mount -t tmpfs new /new
	for dir in /*; do
		[ $dir = /new ] || cp -a $dir /new
	done
	exec switch_root /new /init
fi
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /run/out && mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
ulimit -c 0
cd /run/out

uname -r >kernel
ctrace-rec --format json --exclude-comm strace >rows 2>recorder &
recorder=$!
tries=0
until grep -q '^recording to' recorder || ! kill -0 $recorder || [ $tries -eq 1200 ]; do
	sleep 0.1
	tries=$((tries + 1))
done

# A line is: name, id of the container, command.
while read -r name id command; do
	# Known by its name for what it is: the runtime's own calls are nobody's workload.
	runc $id $name $command
	echo $? >$name/code
	rm -rf /tmp/*
done </cases

kill -INT $recorder
wait $recorder
echo $? >code
stty -F /dev/ttyS1 raw
tar -cz -f /dev/ttyS1 .
poweroff -f
