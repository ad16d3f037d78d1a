"""Benchmarks of the code in user space: replays of raw captures, and bytes per call on disk."""

import os
import pathlib
import re
import subprocess

import tracers
from table import commands, header, row, spread

# Rings large enough that a capture loses no events.
CAPTURE = {**os.environ, "CTRACE_RING_BYTES": str(128 << 20)}


def repository():
    """The git directory of this project, which the mix clones."""
    asked = ["git", "-C", tracers.HERE, "rev-parse", "--path-format=absolute", "--git-common-dir"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def mix():
    return ["sh", tracers.HERE / "mix.sh", repository()]


def capture(options, name):
    """Returns the raw capture of a load, and records it first if there is none."""
    load = {
        "getppid": [options.directory / "loop_getppid", 1_000_000],
        "loop_files": [options.directory / "loop_files", 200_000],
        "mix": mix(),
    }[name]
    raw = pathlib.Path(options.keep or options.directory, f"{name}.raw")
    raw.parent.mkdir(parents=True, exist_ok=True)
    if not raw.exists():
        record = [options.recorder, *tracers.OURS, "--quiet", "--raw", raw, "--", *tracers.container(name, *load)]
        subprocess.run(record, check=True, env=CAPTURE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return raw


def replayed(command, out=subprocess.DEVNULL):
    """Runs a replay. Returns its events, its CPU time in s, and its memory in MB."""
    process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=subprocess.PIPE, text=True)
    output = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(output)
    events = int(re.search(r"replayed (\d+)", output).group(1))
    return events, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def decompression(raw):
    """Returns the CPU time of reading a capture, in s, which is not part of recording."""
    before = os.times()
    with open(raw, "rb") as file:
        file.readline()
        subprocess.run(["zstd", "-dcq"], input=file.read(), stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def replay(options):
    """Measures CPU time, memory and bytes of everything in user space."""
    header("load", "events", "CPU-s per million events", "of it decompressing the capture", "memory, MB", "bytes per event")
    out = options.directory / "replay.parquet"
    for name in ["getppid", "loop_files", "mix"]:
        raw = capture(options, name)
        cpu, memory, reading = [], [], []
        for _ in range(options.rounds):
            events, seconds, peak = replayed([options.recorder, "--from-raw", raw, "--out", out, "--force"])
            cpu.append(seconds / events * 1e6)
            memory.append(peak)
            reading.append(decompression(raw) / events * 1e6)
        size = os.path.getsize(out) / events
        row(name, f"{events:,}", spread(cpu, 3), spread(reading, 3), spread(memory, 0), f"{size:.2f}")
    replays = [options.recorder, "--from-raw", "mix.raw", "--out", "replay.parquet", "--force"]
    captures = [options.recorder, *tracers.OURS, "--quiet", "--raw", "mix.raw", "--", *tracers.container("mix", *mix())]
    commands([("replayed", replays), ("captured", captures)], options.directory)


# The recorder itself needs 80 MB in addition to the ring.
RING = ["--ring", "1h,60MB", "--memory", "140MB"]


def ring(options):
    """Measures the same for a ring without a dump, in alternation with a file."""
    header("load", "CPU-s per million events, into a file", "into a ring", "memory, MB, into a file", "into a ring")
    out = options.directory / "replay.parquet"
    into = {"a file": ["--force"], "a ring": RING}
    for name in ["getppid", "loop_files", "mix"]:
        replays = [options.recorder, "--from-raw", capture(options, name), "--out", out]
        cpu, memory = ({kind: [] for kind in into} for _ in range(2))
        for _ in range(options.rounds):
            for kind, flags in into.items():
                events, seconds, peak = replayed([*replays, *flags])
                cpu[kind].append(seconds / events * 1e6)
                memory[kind].append(peak)
                out.unlink(missing_ok=True)
        row(name, *(spread(cpu[kind], 3) for kind in into), *(spread(memory[kind], 0) for kind in into))
    replays = [options.recorder, "--from-raw", "mix.raw", "--out", "replay.parquet"]
    commands([(f"into {kind}", [*replays, *flags]) for kind, flags in into.items()], options.directory)


def compressed(path):
    """Returns the size of a file under zstd -3, bytes."""
    return len(subprocess.run(["zstd", "-3cq", path], check=True, capture_output=True).stdout)


def size(options):
    """Measures the bytes per call of the mix in each format."""
    directory = options.directory
    header("format", "calls", "bytes per call", "under zstd -3")
    raw = capture(options, "mix")
    parquet, lines, text, data = (directory / name for name in ["mix.parquet", "mix.jsonl", "mix.strace", "mix.data"])
    events, _, _ = replayed([options.recorder, "--from-raw", raw, "--out", parquet, "--force"])
    row("`ctrace-rec`, Parquet", f"{events:,}", f"{parquet.stat().st_size / events:.2f}", "")
    with open(lines, "w") as out:
        replayed([options.recorder, "--from-raw", raw, "--out", "-"], out)
    row("`ctrace-rec`, JSON lines", f"{events:,}", f"{lines.stat().st_size / events:.1f}", f"{compressed(lines) / events:.2f}")
    # The other tools write files, which is not possible in the container, so they trace the mix outside.
    strace = ["strace", "-f", "-ttt", "-T", "-yy", "-o", text, *mix()]
    perf = [*tracers.WITH_TRACEFS, "perf", "record", *tracers.PERF[1:], "-e", tracers.EVENTS, "-o", data, *mix()]
    for title, command, file in [("`strace -f -ttt -T -yy`", strace, text), ("`perf record`", perf, data)]:
        home = directory / f"home-{file.suffix[1:]}"
        home.mkdir()
        subprocess.run(
            [str(word) for word in command], check=True, capture_output=True, env={**os.environ, "HOME": str(home)}
        )
        calls = count(file)
        row(title, f"{calls:,}", f"{file.stat().st_size / calls:.1f}", f"{compressed(file) / calls:.2f}")
    commands([("`strace`", strace), ("`perf record`", perf)], directory)


def count(file):
    """Returns the number of calls in a file of strace or perf."""
    if file.suffix == ".data":
        listed = subprocess.run(["perf", "script", "-F", "event", "-i", file], capture_output=True, text=True, check=True)
        return listed.stdout.count("sys_exit")
    with open(file, encoding="utf-8", errors="replace") as lines:
        # A call that was interrupted by another one takes two lines.
        return sum("(" in line and "resumed>" not in line for line in lines)
