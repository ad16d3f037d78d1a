#!/usr/bin/env python3
"""What recording costs: CPU in the kernel and above, memory and bytes. Run by `make bench`, as root.

run.py RECORDER [--rounds N] [--calls N] [--only cost|replay] [--keep DIR]

Prints Markdown tables, medians [least-most]. The loads run in a container made by runc; bare and recorded runs
alternate, and CPU time counts, so that other work on the machine disturbs little. What is above the kernel is measured
by replaying raw captures, which needs no privileges and gives the same again."""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
# Large enough that a capture loses nothing.
CAPTURE = {**os.environ, "CTRACE_RING_BYTES": str(128 << 20)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorder", type=os.path.abspath)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2_000_000)
    parser.add_argument("--only", choices=["cost", "replay"])
    parser.add_argument("--keep", help="directory with raw captures; made where they are missing")
    return parser.parse_args()


def spread(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f}-{high:.{digits}f}]"


def build(directory):
    """Compiles the loops, linked statically, so that a container needs nothing but them."""
    for name in ["loop_getppid", "loop_files"]:
        command = ["cc", "-O2", "-static", f"{HERE}/{name}.c", "-o", f"{directory}/{name}"]
        subprocess.run(command, check=True)


def box(name, *command):
    """The command that runs `command` in a container."""
    return [f"{HERE}/box.sh", f"ctrace-bench-{name}-{os.getpid()}", *map(str, command)]


def loop(command):
    """CPU time of a call, ns."""
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"([\d.]+) cpu", out).group(1))


@contextlib.contextmanager
def recording(recorder, directory):
    """Records all containers meanwhile."""
    out = f"{directory}/cost.parquet"
    process = subprocess.Popen([recorder, "--out", out, "--force", "--quiet"])
    time.sleep(2)
    yield
    process.send_signal(signal.SIGINT)
    if process.wait(60) != 0:
        raise SystemExit("the recorder failed")


def cost(options, directory):
    """What recording adds to a call."""
    loads = [("getppid", "loop_getppid", options.calls), ("loop_files", "loop_files", options.calls // 20)]
    runs = []
    for title, program, calls in loads:
        program = [f"{directory}/{program}", calls]
        runs.append((f"`{title}` in a container", box(title, *program)))
        runs.append((f"`{title}` on the host, not recorded", [str(word) for word in program]))
    bare = {title: [] for title, _ in runs}
    added = {title: [] for title, _ in runs}
    for _ in range(options.rounds):
        without = {title: loop(command) for title, command in runs}
        with recording(options.recorder, directory):
            recorded = {title: loop(command) for title, command in runs}
        for title, _ in runs:
            bare[title].append(without[title])
            added[title].append(recorded[title] - without[title])
    print("| call | bare, ns | added, ns |\n|---|---|---|")
    for title, _ in runs:
        print(f"| {title} | {spread(bare[title], 0)} | {spread(added[title], 0)} |")


def captures(options, directory):
    """Raw captures of the loads, by name."""
    repository = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "--absolute-git-dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    loads = {
        "getppid": box("flood", f"{directory}/loop_getppid", 1_000_000),
        "loop_files": box("files", f"{directory}/loop_files", 200_000),
        "mix": box("mix", "sh", HERE / "mix.sh", repository),
    }
    for name, command in loads.items():
        raw = pathlib.Path(options.keep or directory, f"{name}.raw")
        raw.parent.mkdir(parents=True, exist_ok=True)
        if not raw.exists():
            record = [options.recorder, "--quiet", "--raw", raw, "--", *command]
            subprocess.run(record, check=True, env=CAPTURE, stdout=subprocess.DEVNULL)
        yield name, raw


def replay(options, directory):
    """CPU, memory and bytes of everything above the kernel."""
    print("| load | events | CPU-s per million events | memory, MB | bytes per event |\n|---|---|---|---|---|")
    out = f"{directory}/replay.parquet"
    for name, raw in captures(options, directory):
        cpu, memory = [], []
        for _ in range(options.rounds):
            command = [options.recorder, "--from-raw", raw, "--out", out, "--force"]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            if status != 0:
                raise SystemExit(said)
            events = int(re.search(r"replayed (\d+)", said).group(1))
            cpu.append((usage.ru_utime + usage.ru_stime) / events * 1e6)
            memory.append(usage.ru_maxrss / 1024)
        size = os.path.getsize(out) / events
        print(f"| {name} | {events:,} | {spread(cpu, 3)} | {spread(memory, 0)} | {size:.2f} |", flush=True)


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        build(directory)
        if options.only != "replay":
            cost(options, directory)
            print()
        if options.only != "cost":
            replay(options, directory)


main()
