"""Runs the examples of the documentation and of the help as they are written: command lines, SQL and Python.

Usage: examples.py PROGRAMS DIRECTORY

Each page has a directory of its own in DIRECTORY, with the files that its examples name. They are the shop of fixtures/shop/,
moved to the time at which the examples ask, 2026-11-21 03:12; where a page verifies signatures, they are signed replays. An
example fails if its exit code is not 0, or 1 for `rules` and `diff`, if it warns of something that the page does not show, or if a line in which it should
confirm what it has done is missing. Left out are commands that record, check a release, install, or start a container or a
program of others.
"""

import concurrent.futures
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
# The pages, and the help, but for the page of the interactive shell, which tests/query/shell/ tests.
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if page.name != "shell.md"), "help"]
FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.S)
# The programs that examples run, and words that a line of status begins with.
RUN = re.compile(r"ctrace-query|ctrace-rec --from-raw|sqlite3|minisign -V(?!.*SHA256SUMS)")
RULE = """[[rule]]
name = "missing-file"
level = "alert"
description = "a file is missing"
where = "error = 'ENOENT'"
"""
STATUS = re.compile(r"(converted|recovered|replayed|wrote)\b|warning:")
# Times and containers that the shop, which ran for three seconds, does not have.
REPLACED = {
    "--good 02:00,02:10 --bad 03:10,03:20": "--good 03:12:00,03:12:01 --bad 03:12:01,03:12:03",
    "diff --bad 03:10,": "diff --bad 03:12:02,",
    "--good-container web-1 --bad-container web-2": "--good-container web --bad-container payment",
}
# The pages that verify signatures.
SIGNED = {"README.md", "docs/proof.md"}
MOVED = """select * replace (
    time - (select min(time) from events) + timestamp '2026-11-21 03:12:00' as time,
    started - (select min(time) from events) + timestamp '2026-11-21 03:12:00' as started,
    'shop' as namespace,
    case when container = 'web' then '4f5b8c9d' || substr(container_id, 9) else container_id end as container_id
) from events"""
DETECTOR = """#!/usr/bin/env python3
import json, sys
assert [json.loads(line)["time"] for line in sys.stdin]
"""


class Place:
    """A directory in which examples run."""

    def __init__(self, programs, directory):
        self.directory = directory
        directory.mkdir()
        # What a reader has, and no recording of others.
        self.environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", CTRACE_RECORDING="run.parquet")

    def run(self, command, statement=None):
        """Runs a command of bash and returns what it has printed, with its errors."""
        # Only the example's own directory is written to.
        command = command.replace("/var/lib/ctrace", "var/lib/ctrace")
        for there, here in REPLACED.items():
            command = command.replace(there, here)
        pipe = subprocess.PIPE
        # In a process group, as on a terminal, for Ctrl-C.
        started = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.directory, env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0,
        )
        if "--follow" in command:
            # Until it prints an answer, or waits for the first row of one.
            select.select([started.stdout], [], [], 10)
            os.killpg(started.pid, signal.SIGINT)
        printed, errors = started.communicate(statement, timeout=300)
        # An alert, or something that is new.
        finds = re.search(r"ctrace-query\b.* (rules|diff)\b", command) and started.returncode == 1
        if started.returncode != 0 and not finds:
            raise Wrong(f"$ {command}\nexit code {started.returncode}\n{printed[-2000:]}{errors}")
        return printed + errors


class Wrong(Exception):
    """An example that does not do what the page says."""


def recordings(programs, directory):
    """Makes the files that the examples name."""
    place = Place(programs, directory)
    captures = ROOT / "fixtures"
    for name, capture in [("node1", "shop-1"), ("node2", "shop-2"), ("demo", "demo")]:
        place.run(f"ctrace-rec --quiet --from-raw {captures}/{capture}.raw --out {name}.parquet")
    for capture, name in [("node2", "run"), ("demo", "other")]:
        place.run(f"ctrace-query -r {capture}.parquet --format parquet --output {name}.parquet -", MOVED)
    place.run("ctrace-query convert run.parquet run.sqlite && cp run.parquet test.parquet")
    place.run(f"cp {captures}/shop-2.raw run.raw && ln -s {ROOT}/schema {ROOT}/notebooks .")
    place.run("cp node1.parquet good.parquet && cp node2.parquet bad.parquet")
    place.run("mkdir DIR && cp run.parquet DIR/")
    place.run("for name in release new monday tuesday; do cp run.parquet $name.parquet; done")
    place.run("head -c 32 /dev/urandom >redact.key && chmod 600 redact.key")
    (directory / "mine.toml").write_text(RULE)
    (directory / "my-detector").write_text(DETECTOR)
    place.run("chmod +x my-detector")


def commands(block):
    """Returns each command of a block of a console, with the lines that the page shows after it."""
    found = []
    for line in block.splitlines():
        if line.startswith(("$ ", "# ")):
            found.append([line, []])
        elif found and (found[-1][0].endswith(("\\", "|")) or found[-1][0].count('"') % 2):
            found[-1][0] += "\n" + line
        elif found:
            found[-1][1].append(line)
    return [(line[2:], shown) for line, shown in found if line.startswith("$ ") and RUN.match(line[2:])]


def without_numbers(text):
    return re.sub(r"[\d,.]+", "N", text)


def check(place, command, shown=()):
    """Runs an example, and compares its lines of status with those of the page."""
    printed = place.run(command)
    lines = {without_numbers(line) for line in printed.splitlines()}
    expected = {without_numbers(line) for line in shown if STATUS.match(line)}
    if expected - lines:
        raise Wrong(f"$ {command}\nshould print {expected - lines}\n{printed}")
    warnings = {line for line in lines if line.startswith("warning:")} - expected
    # A set of capabilities is always printed with what the recording cannot tell.
    if warnings and "capabilities" not in command:
        raise Wrong(f"$ {command}\n{warnings}")
    if not printed.strip() and ">" not in command and "|" not in command:
        raise Wrong(f"$ {command}\nprints nothing")


def example(place, language, text):
    """Runs a block of a page, and returns the number of its examples."""
    if language == "console":
        if "was not closed" in text:
            # Without the end of the footer, as if the recorder had been killed.
            place.run("mv run.parquet kept.parquet && head -c -8 node2.parquet >run.parquet")
        for command, shown in commands(text):
            check(place, command, shown)
        if "was not closed" in text:
            place.run("mv kept.parquet run.parquet")
        return len(commands(text))
    if language == "python" and "pyspark" not in text:
        place.run(f"{sys.executable} -", text)
        return 1
    if language == "sql":
        if "'run.parquet'" in text:
            place.run(f"{sys.executable} -", f"import duckdb\nduckdb.sql({text!r})")
        elif "from event " in text:
            place.run("sqlite3 -bail run.sqlite", text)
        else:
            place.run("ctrace-query -", text)
        return 1
    return 0


def prepare(page, place):
    """Makes what a page needs besides the files of all pages."""
    segments = place.directory / "var/lib/ctrace/node=shop/date=2026-11-21"
    segments.mkdir(parents=True)
    shutil.copy(place.directory / "run.parquet", segments)
    if page in SIGNED:
        place.run("minisign -G -W -s ctrace.key -p ctrace.pub && rm -r var/lib/ctrace")
        place.run("ctrace-rec --quiet --from-raw run.raw --out /var/lib/ctrace/ --sign ctrace.key")
    if page == "docs/proof.md":
        place.run("ctrace-rec --force --quiet --from-raw run.raw --out run.parquet --sign ctrace.key")
    if page == "docs/asking.md":
        place.run("rm run.sqlite")


def blocks(page, place):
    """Returns the language and the text of each block of a page, or of the help."""
    if page != "help":
        return FENCE.findall((ROOT / page).read_text())
    text = place.run("ctrace-query help questions; ctrace-query --help")
    return [("console", "$ " + line.strip()) for line in text.splitlines() if re.match(r" +ctrace-query (?!\[)", line)]


def examples(programs, base, page):
    """Runs the examples of a page, and returns their number and what is wrong with them."""
    place = Place(programs, base.parent / page.replace("/", "-"))
    shutil.copytree(base, place.directory, symlinks=True, dirs_exist_ok=True)
    count, wrong = 0, []
    try:
        prepare(page, place)
        for language, text in blocks(page, place):
            count += example(place, language, text)
    except (Wrong, subprocess.TimeoutExpired) as error:
        wrong.append(f"{page}: {error}")
    return count, wrong


def main():
    programs, directory = map(pathlib.Path, sys.argv[1:])
    base = directory / "base"
    recordings(programs, base)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = dict(zip(PAGES, pool.map(lambda page: examples(programs, base, page), PAGES)))
    if wrong := [error for _, errors in results.values() for error in errors]:
        sys.exit("\n\n".join(wrong))
    counts = {page: count for page, (count, _) in results.items() if count}
    print(sum(counts.values()), "examples:", ", ".join(f"{count} of {page}" for page, count in counts.items()))


if __name__ == "__main__":
    main()
