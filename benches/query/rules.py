#!/usr/bin/env python3
"""Measures the default rules. Run by `make bench-rules`.

rules.py BINARIES [--millions 50] [--rows N] [--rounds 3] [--keep DIR]

BINARIES holds ctrace-rec and ctrace-query. Prints a Markdown table: the time of `ctrace-query rules` with all rules, and with
those of one call alone, beside that of reading two columns of all events. The recording is that of run.py, and is created first,
unless the directory of --keep has it. Each time is the median of several runs, including the start of the process, and the memory
is the largest."""

import os
import statistics

import measure

CASES = {
    "all rules": ["rules"],
    "one rule": ["rules", "--only", "kernel-module"],
    "summary": ["summary"],
    "counting calls": ["--no-rollups", "select syscall, count(*) from events group by 1"],
}


def main():
    options = measure.parser(__doc__).parse_args()
    with measure.recording(options) as (file, _):
        print(f"{options.millions * options.rows:,} events, {os.path.getsize(file) / 1e6:,.0f} MB\n")
        print("| case | seconds | on the CPU | memory (MB) |\n|---|---:|---:|---:|")
        for name, question in CASES.items():
            command = [f"{options.binaries}/ctrace-query", "-r", file, *question]
            # 1: an alert.
            times, cpu, memory, _ = zip(*(measure.timed(command, codes=(0, 1)) for _ in range(options.rounds)))
            print(f"| {name} | {statistics.median(times):.2f} | {statistics.median(cpu):.2f} | {max(memory):.0f} |")


if __name__ == "__main__":
    main()
