#!/usr/bin/env python3
"""Measures replay and cut. Run by `make bench-replay`.

replay.py BINARIES [--millions 50] [--rows N] [--rounds 3] [--minutes 10] [--keep DIR]

BINARIES holds ctrace-rec and ctrace-query. Prints a Markdown table. The recording is that of run.py, and is created first,
unless the directory of --keep has it. Replays go to /dev/null at full speed; DuckDB reads the same columns of the same rows in the
same order, with two threads, and writes them as CSV to a pipe, because it locks files, which /dev/null refuses. Each time is the median of several runs, including the start
of the process, and the memory is the largest."""

import calendar
import fcntl
import os
import pty
import re
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time

import measure

# The columns of a line.
COLUMNS = """time, seq, duration, host, container, comm, tid, kind, action, class, syscall, compat, ret, error, denied, arg0, arg1,
arg2, arg3, arg4, arg5, path, path_arg, path2, family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path, dns_name,
dns_type, dns_code, dns_answers, argv, exit_code, exit_signal, image, lost"""

# Runs a program of Python, and drops its output.
PIPED = ["bash", "-o", "pipefail", "-c", '"$0" -c "$1" | cat >/dev/null']


def arguments():
    parser = measure.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length of the part that is cut")
    return parser.parse_args()


def timed(command):
    """Returns the seconds and the memory (MB) of a command whose output is dropped."""
    cost = measure.timed(command)
    return cost.seconds, cost.memory_mb


def first_line(command):
    """Returns the seconds to the first byte of output, and the memory (MB) so far."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.read(1)
    took = time.perf_counter() - start
    process.kill()
    memory = os.wait4(process.pid, 0)[2].ru_maxrss / 1024
    process.stdout.close()
    return took, memory


def first_screen(command):
    """Returns the seconds to the first events on the screen of a terminal of 120 by 40 characters, and the memory (MB) so far."""
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.execv(command[0], command)
    shown = b""
    # The line of an event begins with its time. The axis of the chart has times too, without a name behind them.
    while not re.search(rb"\d\d:\d\d:\d\d\.\d{6} +[a-z][^ ]* +[^ ]+ +\d+ ", shown):
        shown += os.read(terminal, 65536)
    took = time.perf_counter() - start
    os.kill(pid, signal.SIGKILL)
    memory = os.wait4(pid, 0)[2].ru_maxrss / 1024
    os.close(terminal)
    return took, memory


def median(timer, command, rounds):
    runs = [timer(command) for _ in range(rounds)]
    return statistics.median(seconds for seconds, _ in runs), max(memory for _, memory in runs)


def main():
    options = arguments()
    with measure.recording(options) as (file, temporary):
        query = [f"{options.binaries}/ctrace-query", "-r", file]
        ask = [*query, "--format", "tsv", "select count(*), min(time), max(time), to_timestamp_nanos(cast(avg(cast(time as bigint)) as bigint)) from events"]
        events, first, last, middle = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.splitlines()[1].split("\t")
        events = int(events)
        since = f"{middle[:19]}Z".replace(" ", "T")
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds_of(since) + 60 * options.minutes))
        print(f"{events:,} events from {first} to {last}, {os.path.getsize(file) / 1e6:.0f} MB.\n")
        print("| | s | events/s | peak memory, MB |\n|---|---|---|---|")
        duckdb = f"""import duckdb
duckdb.sql("set threads = 2")
duckdb.sql("copy (select {' '.join(COLUMNS.split())} from '{file}' order by time, seq) to '/dev/stdout' (format csv)")"""
        whole = [
            ("replay", timed, [*query, "replay", "--speed", "max", "--setup"], events),
            ("replay --format json", timed, [*query, "replay", "--speed", "max", "--setup", "--format", "json"], events),
            ("DuckDB, in order, as CSV", timed, [*PIPED, sys.executable, duckdb], events),
            ("first line of a replay", first_line, [*query, "replay", "--speed", "max", "--setup"], None),
            ("first line, from the middle", first_line, [*query, "replay", "--since", since], None),
            ("first events in the player", first_screen, [*query, "replay"], None),
            ("first events in the player, from the middle", first_screen, [*query, "replay", "--since", since], None),
        ]
        part = f"{temporary}/part.parquet"
        cut = [*query, "cut", "--since", since, "--until", until, "--force", "-o", part]
        for name, timer, command, rows in [
            *whole,
            (f"cut of {options.minutes:g} minutes", timed, cut, None),
            ("cut --no-verify", timed, [*cut, "--no-verify"], None),
            ("cut --no-verify --container", timed, [*cut, "--no-verify", "--container", container(query)], None),
        ]:
            seconds, memory = median(timer, command, options.rounds)
            rate = f"{rows / seconds:,.0f}" if rows else ""
            print(f"| {name} | {seconds:.2f} | {rate} | {memory:.0f} |", flush=True)
        count = [f"{options.binaries}/ctrace-query", "-r", part, "--format", "tsv", "select count(*) from events"]
        rows = subprocess.run(count, check=True, capture_output=True, text=True).stdout.split()[-1]
        print(f"\nThe last part has {rows} events.")


def container(query):
    sql = "select container from events where container <> 'host' group by 1 order by count(*) desc limit 1"
    answer = subprocess.run([*query, "--format", "tsv", sql], check=True, capture_output=True, text=True)
    return answer.stdout.splitlines()[1]


def seconds_of(text):
    """Returns a time in seconds since 1970 UTC."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


if __name__ == "__main__":
    main()
