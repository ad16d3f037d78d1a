#!/bin/sh
# Records the cases of /cases, each in a container of its own, and keeps the output of the recorder, strace and the programs.
ctrace-rec --format json --exclude-comm strace >rows 2>recorder &
recorder=$!
tries=0
until grep -q '^recording to' recorder || ! kill -0 $recorder || [ $tries -eq 1200 ]; do
	sleep 0.1
	tries=$((tries + 1))
done

# A line is: name, id of the container, command.
while read -r name id command; do
	# The runtime's own calls are recognised by its name and are not part of the workload.
	runc $id $name $command
	echo $? >$name/code
	rm -rf /tmp/*
done </cases

cat /proc/$recorder/status >rights
kill -INT $recorder
wait $recorder
echo $? >code
dmesg >dmesg
cat /proc/sys/kernel/tainted >tainted
finish
