#!/usr/bin/env python3
"""Measures diff. Run by `make bench-diff`.

diff.py BINARIES [--millions 50] [--rows N] [--rounds 3] [--minutes 10] [--keep DIR]

BINARIES holds ctrace-rec and ctrace-query. Prints a Markdown table. The recording is that of run.py, and is created first,
unless the directory of --keep has it. Each time is the median of several runs, including the start of the process, and the
memory is the largest."""

import os
import statistics
import subprocess
import time

import measure


def arguments():
    parser = measure.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length of the times that are compared")
    return parser.parse_args()


def main():
    options = arguments()
    with measure.recording(options) as (file, _):
        program = f"{options.binaries}/ctrace-query"
        ask = [program, "-r", file, "--format", "tsv"]

        def values(sql):
            answer = subprocess.run([*ask, sql], check=True, capture_output=True, text=True)
            return [line.split("\t") for line in answer.stdout.splitlines()[1:]]

        [[count, first, last]] = values("select count(*), cast(min(time) as bigint), cast(max(time) as bigint) from events")
        middle, span = (int(first) + int(last)) // 2, round(60e9 * options.minutes)
        names = values("select container from events where container <> 'host' group by 1 order by count(*) desc limit 2")
        [[one], [other]] = names

        def at(ns):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // 1_000_000_000))

        diff = [program, "-r", file, "diff"]
        print(f"{int(count):,} events, {os.path.getsize(file) / 1e6:.0f} MB.\n")
        print("| | s | peak memory, MB | changes |\n|---|---|---|---|")
        for name, command in [
            ("with itself", [program, "diff", file, file]),
            ("halves", [*diff, "--bad", f"{at(middle)},"]),
            (f"{options.minutes:g} minutes and {options.minutes:g} others",
             [*diff, "--good", f"{at(middle - span)},{at(middle)}", "--bad", f"{at(middle)},{at(middle + span)}"]),
            ("two containers", [*diff, "--good-container", one, "--bad-container", other]),
        ]:
            # 1: something is new.
            runs = [measure.timed(command, codes=(0, 1)) for _ in range(options.rounds)]
            seconds = statistics.median(cost.seconds for cost in runs)
            memory = max(cost.memory_mb for cost in runs)
            changes = runs[-1].errors.splitlines()[-1].removeprefix("changes: ")
            print(f"| {name} | {seconds:.2f} | {memory:.0f} | {changes} |", flush=True)


if __name__ == "__main__":
    main()
