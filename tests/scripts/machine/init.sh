#!/bin/sh
# The first process of the machine: mounts file systems and then executes /main.
export PATH=/usr/local/bin:/usr/bin:/bin
# pivot_root(2) does not work in the initial root, so the machine continues in another root.
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
exec /main
