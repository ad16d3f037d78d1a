"""The pieces that the benchmarks of one recording share: their options, the recording, and the cost of a command."""

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
import typing

import run


class Cost(typing.NamedTuple):
    """The cost of a command, and its errors."""

    seconds: float
    cpu_seconds: float
    memory_mb: float
    errors: str


def parser(page, millions=50):
    """Returns the parser of the options that all benchmarks have. `page`: the documentation of the benchmark."""
    options = argparse.ArgumentParser(description=page.splitlines()[0])
    options.add_argument("binaries", type=os.path.abspath)
    options.add_argument("--millions", type=int, default=millions)
    options.add_argument("--rows", type=int, default=1_000_000, help="events in each million")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--keep", help="directory for the recording, which is created if it is missing")
    return options


@contextlib.contextmanager
def recording(options):
    """Makes the recording of run.py, and gives its path and a directory for temporary files."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or temporary
        os.makedirs(directory, exist_ok=True)
        file, _ = run.make(options, directory)
        yield file, temporary


def timed(command, codes=(0,)):
    """Returns the cost of a command whose output is dropped, and whose exit code is one of `codes`."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        raise SystemExit(f"{command} ends with {process.returncode}:\n{errors}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, errors)
