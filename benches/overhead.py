"""Benchmarks beside a running load: cost in the kernel, rates, services."""

import contextlib
import datetime
import json
import os
import re
import subprocess
import time

import tracers
from table import commands, header, row, spread

# Calls of getppid. loop_files makes a fifth of that, in rounds of five calls.
CALLS = 2_000_000
# The kinds of loop_calls.c, and the number of calls of each.
KINDS = ["getppid", "recv", "stat", "open", "fstat", "pread", "writev", "write"]
CALLS_OF_KIND = 100_000
# strace is so slow that it gets fewer calls.
STRACE_CALLS = 20_000


def loads(options, calls):
    return {
        "getppid": [options.directory / "loop_getppid", calls],
        "loop_files": [options.directory / "loop_files", calls // 25],
    }


def in_box(load):
    return tracers.container("load", *load)


def with_own_mnt(load):
    """Returns the command that runs a load in no container, with an empty /mnt as in one."""
    return ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /mnt && exec "$@"', "sh", *load]


def cost(options):
    """Measures the CPU time that each tracer adds to a call, and wall clock for strace, which works in another process."""
    out = options.directory / "cost.parquet"
    ours = tracers.recorder(options.recorder, out)
    kept = [(tracer, tracer.title, True) for tracer in [*tracers.floor(options.directory), ours]]
    kept.append((ours, "`ctrace-rec`, a program that is in no container", False))
    counting = [tracers.counts(options.recorder, out), *tracers.peers(options.directory)]
    kept += [(tracer, tracer.title, True) for tracer in counting]
    added = {title: {name: [] for name in loads(options, CALLS)} for _, title, _ in kept}
    bare = {name: [] for name in loads(options, CALLS)}
    strace = ["strace", "-f", "-o", "/dev/null"]
    slow = {name: [] for name in bare}
    for _ in range(options.rounds):
        for name, load in loads(options, CALLS).items():
            bare[name].append(tracers.loop(in_box(load))[0])
        for tracer, title, contained in kept:
            with tracer.running():
                for name, load in loads(options, CALLS).items():
                    cpu, _ = tracers.loop(in_box(load) if contained else load)
                    added[title][name].append(cpu - bare[name][-1])
        for name, load in loads(options, STRACE_CALLS).items():
            slow[name].append(tracers.loop([*strace, *load])[1] - bare[name][-1])
    added["`strace -f`, wall clock"] = slow
    header("tracer", "added per `getppid`, ns", "added per call of `loop_files`, ns")
    row("bare: a call takes", spread(bare["getppid"], 0), spread(bare["loop_files"], 0))
    for title, by_load in added.items():
        row(title, spread(by_load["getppid"], 0), spread(by_load["loop_files"], 0))
    named = [(title, tracer.command) for tracer, title, _ in kept]
    named += [(f"load `{name}`", in_box(load)) for name, load in loads(options, CALLS).items()]
    named.append(("`strace -f`", [*strace, *loads(options, STRACE_CALLS)["getppid"]]))
    commands(named, options.directory)


def calls(options):
    """Measures the CPU time that the recorder adds to each call of an nginx request, beside programs that do less."""
    out = options.directory / "calls.parquet"
    ours = tracers.recorder(options.recorder, out)
    kept = [(tracer, tracer.title, True) for tracer in tracers.floor(options.directory)]
    kept += [(ours, ours.title, True), (ours, "`ctrace-rec`, a program that is in no container", False)]
    counting = tracers.counts(options.recorder, out)
    kept.append((counting, counting.title, True))

    def load(kind):
        return [options.directory / "loop_calls", kind, CALLS_OF_KIND]

    def times(contained):
        """Returns the CPU time of a call of each kind. Minima of short runs, which other processes disturb least."""
        place = in_box if contained else with_own_mnt
        return [min(tracers.loop(place(load(kind)))[0] for _ in range(3)) for kind in KINDS]

    bare = {contained: [] for contained in (True, False)}
    traced = {title: [] for _, title, _ in kept}
    for _ in range(options.rounds):
        for contained, rounds in bare.items():
            rounds.append(times(contained))
        for tracer, title, contained in kept:
            with tracer.running():
                traced[title].append([a - b for a, b in zip(times(contained), bare[contained][-1])])
    header("added to a call, ns", *KINDS, "all of a request")
    row("bare: a call takes", *(spread(kind, 0) for kind in zip(*bare[True])), spread([sum(r[1:]) for r in bare[True]], 0))
    for title, rounds in traced.items():
        row(title, *(spread(kind, 0) for kind in zip(*rounds)), spread([sum(added[1:]) for added in rounds], 0))
    named = [(title, tracer.command) for tracer, title, _ in kept]
    commands([*named, *((f"load `{kind}`", in_box(load(kind))) for kind in KINDS)], options.directory)


def flood(options):
    """Measures the recorded share of the calls of one busy CPU, and the memory at a million calls per second."""
    out = options.directory / "flood.parquet"
    probe = tracers.recorder(options.recorder, out)
    with probe.running():
        _, wall = tracers.loop(in_box([options.directory / "loop_getppid", CALLS]))
    header("load", "calls", "a second", "recorded", "lost", "recorder's CPU-s per million", "memory, MB", "bytes per event")
    named = []
    for title, calls, per_ms in [
        ("one CPU, as fast as it goes", int(options.seconds * 1e9 / wall), None),
        ("a million a second", options.seconds // 3 * 1_000_000, 1000),
    ]:
        load = tracers.container("flood", "taskset", "-c", 0, options.directory / "loop_getppid", calls, *([per_ms] if per_ms else []))
        tracer = tracers.recorder(options.recorder, out)
        with tracer.running() as process:
            _, wall = tracers.loop(load)
        events = int(re.search(r"([\d,]+) events in", process.output).group(1).replace(",", ""))
        lost = re.search(r"([\d,]+) events were lost", process.output)
        lost = lost.group(1) if lost else "0"
        cpu = (process.usage.ru_utime + process.usage.ru_stime) / events * 1e6
        size = os.path.getsize(out) / events
        memory = process.usage.ru_maxrss / 1024
        row(title, f"{calls:,}", f"{1e9 / wall:,.0f}", f"{events:,}", lost, f"{cpu:.3f}", f"{memory:.0f}", f"{size:.2f}")
        named += [(title, load), ("recorded with", tracer.command)]
    commands(named, options.directory)


@contextlib.contextmanager
def service(name, *command):
    """Runs a service in a container; yields the process id of its first process."""
    process = subprocess.Popen(tracers.container(name, *command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    container = process.args[1]
    try:
        state = {"status": "created"}
        for _ in range(100):
            time.sleep(0.1)
            asked = subprocess.run(["runc", "state", container], capture_output=True, text=True)
            state = json.loads(asked.stdout) if asked.returncode == 0 else state
            if state["status"] == "running":
                break
        time.sleep(1)
        yield state["pid"]
    finally:
        subprocess.run(["runc", "kill", container, "KILL"], check=False)
        process.wait()


def used(pid):
    """Returns the CPU time of all processes in the container of `pid`, in s."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid")
    total = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(f"/proc/{entry.name}/ns/pid") == namespace:
                with open(f"/proc/{entry.name}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def request_rate(output):
    """Returns the requests per second from the output of wrk or redis-benchmark."""
    rates = re.findall(r"Requests/sec:\s+([\d.]+)|([\d.]+) requests per second", output)
    return sum(float(a or b) for a, b in rates) / len(rates)


def requests_made(output, load):
    made = re.search(r"(\d+) requests in", output)
    return int(made.group(1)) if made else 2 * int(load[load.index("-n") + 1])


def serve(pid, load):
    """Returns the requests per second under a load, and the service's CPU time per request, in µs."""
    before = used(pid)
    inside = ["nsenter", "--net", "--target", str(pid), *load]
    output = subprocess.run(inside, check=True, capture_output=True, text=True, timeout=60).stdout
    return request_rate(output), (used(pid) - before) / requests_made(output, load) * 1e6


def services(options):
    """Measures throughput with all CPUs busy, and the service's CPU time per request, which other processes disturb less."""
    cpus = os.cpu_count()
    wrk = ["wrk", "-t", str(cpus), "-c", "64", "-d", "5", "http://127.0.0.1:8088/"]
    redis = ["redis-benchmark", "-p", "6390", "-q", "-n", "100000", "-t", "get,set"]
    out = options.directory / "services.parquet"
    recorders = [tracers.recorder(options.recorder, out), tracers.counts(options.recorder, out)]
    tracing = [*recorders, *tracers.floor(options.directory)]
    header("service", "beside it", "requests/s, share of bare", "its CPU for a request, share of bare")
    named = []
    for title, start, load in [
        ("nginx", [tracers.HERE / "nginx.sh", 8088, cpus], wrk),
        ("redis", ["redis-server", "--port", "6390", "--save", ""], redis),
    ]:
        bare, shares = [], {tracer.title: ([], []) for tracer in tracing}
        with service(title, *start) as pid:
            serve(pid, load)
            for _ in range(options.rounds):
                for tracer in tracing:
                    bare.append(serve(pid, load))
                    with tracer.running():
                        rate, cpu = serve(pid, load)
                    shares[tracer.title][0].append(rate / bare[-1][0] * 100)
                    shares[tracer.title][1].append(bare[-1][1] / cpu * 100)
        rates, cpus_used = zip(*bare)
        row(title, "nothing", f"{spread(rates, 0)}/s", f"{spread(cpus_used, 1)} µs")
        for beside, (rate, cpu) in shares.items():
            row(title, beside, f"{spread(rate, 1)} %", f"{spread(cpu, 1)} %")
        named += [(title, tracers.container(title, *start)), ("its load", load)]
    commands([*named, ("recorded with", tracing[0].command)], options.directory)


def start(options):
    """Measures the time from start to the first event of a running container, and to its output; and the program's size."""
    command = [options.recorder, *tracers.OURS, "--out", "-", "--quiet"]
    load = tracers.container("start", options.directory / "loop_getppid", options.rounds * 10_000, 1)
    process = subprocess.Popen(load, stdout=subprocess.DEVNULL)
    time.sleep(2)
    recorded, written = [], []
    for _ in range(options.rounds):
        began = time.time()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recorder:
            for line in recorder.stdout:
                event = json.loads(line)
                if event["kind"] == "syscall" and event.get("duration") is not None:
                    written.append(time.time() - began)
                    recorded.append(datetime.datetime.fromisoformat(event["time"][:26] + "+00:00").timestamp() - began)
                    break
            recorder.terminate()
            recorder.stdout.read()
    process.terminate()
    process.wait()
    header("what", "figure")
    row("from start to the first event that is recorded, s", spread(recorded, 2))
    row("until it is on stdout, s", spread(written, 2))
    row("`ctrace-rec`, MB", f"{os.path.getsize(options.recorder) / 1e6:.1f}")
    commands([("first event", command), ("load", load)], options.directory)
