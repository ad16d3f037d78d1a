#!/usr/bin/env python3
"""Measures query times of ctrace-query and other engines on the same file. Run by `make bench-query`.

run.py BINARIES [--millions 5] [--times N] [--only q1,q2] [--engines ctrace,duckdb] [--keep DIR]

BINARIES holds ctrace-rec and ctrace-query. Prints Markdown tables. The recording is created first, unless the directory of
--keep has it. Each engine has two threads, and the engines take turns. A cold time is the first answer of a new process: for
ctrace-query including the start of the process, for the others without the start of the interpreter. A warm time is the
median of the later answers."""

import argparse
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import questions

HERE = pathlib.Path(__file__).parent
PEERS = ["duckdb", "chdb", "polars", "datafusion"]


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=os.path.abspath)
    parser.add_argument("--millions", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events in each million")
    parser.add_argument("--times", type=int, default=5, help="warm answers per process")
    parser.add_argument("--rounds", type=int, default=3, help="processes per engine and question")
    parser.add_argument("--only", default=",".join(questions.QUESTIONS))
    parser.add_argument("--engines", default=",".join(["ctrace", *PEERS]))
    parser.add_argument("--keep", help="directory for the recording, which is created if it is missing")
    return parser.parse_args(given)


def make(options, directory):
    """Returns the recording and the table of containers, and creates them if they are missing."""
    file, containers = f"{directory}/{options.millions}m.parquet", f"{directory}/containers.parquet"
    if not os.path.exists(file):
        generate = [sys.executable, HERE / "generate.py", str(options.millions), "--rows", str(options.rows), "--containers", containers]
        with subprocess.Popen(generate, stdout=subprocess.PIPE) as raw:
            record = [f"{options.binaries}/ctrace-rec", "--from-raw", "/dev/stdin", "--out", file, "--quiet"]
            subprocess.run(record, stdin=raw.stdout, check=True)
    return file, containers


def ask(options, engine, file, containers, name):
    """Returns the cold time (ms), the warm times (ms) and the memory (MB)."""
    if engine == "ctrace":
        text = questions.sql("ctrace", name).replace("containers as", f"'{containers}' as")
        query = [f"{options.binaries}/ctrace-query", "-r", file, "--format", "arrow"]
        start = time.perf_counter()
        subprocess.run([*query, text], check=True, stdout=subprocess.DEVNULL)
        cold = (time.perf_counter() - start) * 1e3
        again = [*query, "--times", str(options.times + 1), text]
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        output = process.stderr.read()
        memory = os.wait4(process.pid, 0)[2].ru_maxrss / 1024
        took = [float(ms) for ms in re.findall(r"^took: ([\d.]+) ms$", output, re.M)]
        return cold, took[1:], memory
    worker = [sys.executable, HERE / "worker.py", engine, file, containers, name, str(options.times + 1)]
    lines = subprocess.run(worker, check=True, capture_output=True, text=True).stdout.split()
    return float(lines[0]), [float(ms) for ms in lines[1:-1]], float(lines[-1])


def measure(options, file, containers):
    """Returns the median cold and warm times and the maximum memory, by question and engine."""
    found = {}
    for name in options.only.split(","):
        rounds = {engine: [] for engine in options.engines.split(",")}
        for _ in range(options.rounds):
            for engine, runs in rounds.items():
                runs.append(ask(options, engine, file, containers, name))
        for engine, runs in rounds.items():
            cold, warm, memory = zip(*runs)
            warm = [ms for times in warm for ms in times]
            found[name, engine] = statistics.median(cold), statistics.median(warm), max(memory)
        print(name, {engine: "%.0f/%.0f" % found[name, engine][:2] for engine in rounds}, file=sys.stderr)
    return found


def table(title, found, options, which):
    engines = options.engines.split(",")
    print(f"\n{title}\n\n| | question | {' | '.join(engines)} |\n|---|---|{'---|' * len(engines)}")
    logs = {engine: [] for engine in engines}
    for name in options.only.split(","):
        own = found[name, engines[0]][which]
        cells = [f"{own:.0f} ms"]
        for engine in engines[1:]:
            ratio = found[name, engine][which] / own
            logs[engine].append(math.log(ratio))
            cells.append(f"{ratio:.1f}")
        print(f"| {name} | {questions.QUESTIONS[name][0]} | {' | '.join(cells)} |")
    means = [f"{math.exp(statistics.mean(logs[engine])):.1f}" for engine in engines[1:]]
    print(f"| | geometric mean | | {' | '.join(means)} |")


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or temporary
        os.makedirs(directory, exist_ok=True)
        file, containers = make(options, directory)
        size = os.path.getsize(file)
        print(f"{options.millions} million events, {size / options.millions / 1e6:.1f} bytes per event.")
        found = measure(options, file, containers)
    table("Warm: ctrace-query in ms, the others as multiples of it", found, options, 1)
    table("Cold, in the same units", found, options, 0)
    engines = options.engines.split(",")
    most = [f"{max(found[name, engine][2] for name in options.only.split(',')):.0f}" for engine in engines]
    print(f"\nPeak memory, MB: {', '.join(f'{engine} {mb}' for engine, mb in zip(engines, most))}.")


if __name__ == "__main__":
    main()
