#!/usr/bin/env python3
"""Measures the cost of recording, with ctrace-rec and other tools. Run by `make bench`, as root.

run.py RECORDER [--rounds N] [--only TABLE] [--keep DIR]

Prints Markdown tables with medians [minimum-maximum], each followed by its commands. The loads run in a container created by
runc. Bare and traced runs alternate, and figures are CPU time, so that other processes disturb them little. The cost in
user space is measured by replaying raw captures, which needs no privileges and is repeatable."""

import argparse
import os
import pathlib
import shutil
import tempfile

import overhead
import tracers
import user_space

NEEDED = "bpftrace cc clang curl git jq make nginx perf python3 redis-benchmark redis-server runc strace wrk zstd"

TABLES = {
    "cost": ("Time that tracing adds to a call", overhead.cost),
    "calls": ("Time that tracing adds to each call of an nginx request", overhead.calls),
    "services": ("Throughput of a recorded service", overhead.services),
    "flood": ("Recording rate without loss", overhead.flood),
    "replay": ("Cost of recording in user space", user_space.replay),
    "ring": ("Cost of a ring in memory", user_space.ring),
    "size": ("Bytes per call on disk", user_space.size),
    "start": ("Start-up time and size of the program", overhead.start),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorder", type=os.path.abspath)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=TABLES)
    parser.add_argument("--seconds", type=int, default=60, help="how long the flood lasts")
    parser.add_argument("--keep", help="directory with raw captures; made where they are missing")
    return parser.parse_args()


def main():
    options = arguments()
    missing = [program for program in NEEDED.split() if not shutil.which(program)]
    if missing:
        raise SystemExit(f"install these first, for the peers and the loads: {' '.join(missing)}")
    # Priority over other processes on the machine.
    os.nice(-10)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        tracers.build(directory)
        options.directory = pathlib.Path(directory)
        for name, (title, table) in TABLES.items():
            if options.only in (None, name):
                print(f"## {title}\n\n`benches/run.py ctrace-rec --only {name}`\n")
                table(options)
                print(flush=True)


main()
