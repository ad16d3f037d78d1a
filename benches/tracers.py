"""The recorder and other tracers: starting and stopping each of them beside a load."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).parent
# Only the containers of the benchmark.
OURS = ["--container", "ctrace-bench-*"]
EVENTS = "raw_syscalls:sys_enter,raw_syscalls:sys_exit"
# The whole machine, buffers that do not overflow, and no search for binaries at the end.
PERF = ["-a", "-m", "8M", "-B", "-N"]
COUNT = "tracepoint:raw_syscalls:sys_exit { @[comm, args->id] = count(); }"
HISTOGRAM = (
    "tracepoint:raw_syscalls:sys_enter { @at[tid] = nsecs; } tracepoint:raw_syscalls:sys_exit /@at[tid]/"
    " { @[comm, args->id] = hist(nsecs - @at[tid]); delete(@at[tid]); }"
)
# bpftrace and perf look for tracepoints here, in their own mount namespace.
TRACEFS = 'mount -t tracefs t /sys/kernel/tracing; mount -t debugfs d /sys/kernel/debug; exec "$@"'
WITH_TRACEFS = ["unshare", "--mount", "sh", "-c", TRACEFS, "sh"]
# Seconds to wait for a tracer that does not report when it has started.
SETTLE = 2


class Tracer:
    """A program that runs beside a load. `command` is printed as a reader would type it."""

    def __init__(self, title, command, prefix=(), ready=None):
        self.title, self.command, self.prefix, self.ready = title, [str(word) for word in command], prefix, ready

    @contextlib.contextmanager
    def running(self):
        """Runs the tracer. Yields the process, whose `output` and `usage` are set when it has ended."""
        with open(os.devnull) as nothing:
            process = subprocess.Popen(
                [*self.prefix, *self.command], stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        if self.ready:
            while self.ready not in process.stdout.readline() and process.poll() is None:
                pass
        else:
            time.sleep(SETTLE)
        try:
            yield process
        finally:
            os.kill(process.pid, signal.SIGINT)
            process.output = process.stdout.read()
            _, status, process.usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, -signal.SIGINT):
            raise SystemExit(f"{self.title} failed: {process.output}")


def recorder(program, out, *flags):
    return Tracer("`ctrace-rec`, everything", [program, *OURS, "--out", out, "--force", *flags], ready="recording to")


def counts(program, out):
    tracer = recorder(program, out, "--mode", "counts")
    tracer.title = "`ctrace-rec --mode counts`"
    return tracer


def floor(directory):
    """Returns the tracers that set the lower bound for a recorder's cost: see floor.bpf.c."""
    run = [f"{directory}/floor", f"{directory}/floor.bpf.o"]
    return [
        Tracer("empty programs at entry and return", [*run, "empty"]),
        Tracer("prototype: paired, 48 bytes sent, nothing resolved", [*run, "prototype"]),
    ]


def peers(directory):
    data = f"{directory}/perf.data"
    commands = {
        "`bpftrace`, count by comm and call": ["bpftrace", "-e", COUNT],
        "`bpftrace`, latency histogram by comm and call": ["bpftrace", "-e", HISTOGRAM],
        "`perf record -e raw_syscalls:*`": ["perf", "record", *PERF, "-e", EVENTS, "-o", data],
        "`perf trace record`": ["perf", "trace", "record", *PERF, "-o", data],
    }
    return [Tracer(title, command, WITH_TRACEFS) for title, command in commands.items()]


def container(name, *command):
    """Returns the command that runs `command` in a container."""
    return [f"{HERE}/container.sh", f"ctrace-bench-{name}-{os.getpid()}", *map(str, command)]


def loop(command):
    """Runs a loop and returns the CPU time and the wall clock time of one call, in ns."""
    out = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    found = re.search(r"([\d.]+) wall ([\d.]+) cpu", out)
    return float(found.group(2)), float(found.group(1))


def build(directory):
    """Compiles the lower-bound tracers and the loops, which are linked statically so that a container needs nothing else."""
    arch = {"x86_64": "x86", "aarch64": "arm64"}[os.uname().machine]
    bpf = ["clang", "-O2", "-g", "-mcpu=v3", "-target", "bpf", f"-D__TARGET_ARCH_{arch}"]
    for command in [
        *(["cc", "-O2", "-static", f"{HERE}/{name}.c", "-o", f"{directory}/{name}"] for name in ["loop_getppid", "loop_files", "loop_calls"]),
        ["cc", "-O2", f"{HERE}/floor.c", "-o", f"{directory}/floor", "-lbpf"],
        [*bpf, "-c", f"{HERE}/floor.bpf.c", "-o", f"{directory}/floor.bpf.o"],
    ]:
        subprocess.run(command, check=True)
