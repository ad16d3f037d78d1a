#!/usr/bin/env python3
"""Writes a synthetic recording of an hour as a raw capture to stdout, the same in each run.

generate.py MILLIONS [--rows N] [--containers FILE] | ctrace-rec --from-raw /dev/stdin --out FILE

So the recorder itself writes the file that is queried. On each CPU, a thread makes a run of calls, eight on average; 70 % of
the calls come from the thread's own loop; model.py has the model. --containers also writes a table of the containers and
their addresses."""

import argparse
import json
import multiprocessing
import os
import struct
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import model
from model import FLAGS, SIZES, START, mix

# Boot time of START; see bpf/wire.h for the records.
BOOT = 1_000 * 10**9
REC_SYSCALL, REC_TASK, REC_FILE, REC_DATA = 1, 2, 3, 5
DATA_PATH, DATA_ADDR = 0, 3
ROOT = 1  # key of the root directory
AF_INET = 2
HEAD = [("len", "<u4"), ("time", "<u8"), ("tid", "<u4"), ("nr", "<u2"), ("kind", "u1"), ("flags", "u1")]
SYSCALL = np.dtype(HEAD + [("duration", "<u8"), ("ret", "<i8"), ("key", "<u8"), ("args", "<u8", 6)])
TASK = np.dtype(
    HEAD
    + [(name, "<u4") for name in ("pid", "ppid", "ns_pid", "uid")]
    + [("start", "<u8"), ("cgroup", "<u8"), ("exe", "<u8"), ("comm", "S16")]
)
FILE = np.dtype(HEAD + [("key", "<u8"), ("inode", "<u8"), ("dev", "<u4"), ("magic", "<u4"), ("mode", "<u4"), ("bytes", "<u4")])
ADDRESS = np.dtype(HEAD + [("base", "<u8"), ("family", "<u2"), ("port", ">u2"), ("addr", "u1", 4), ("zero", "<u8")])


def records(dtype, kind, time, tid, nr=0):
    out = np.zeros(len(time), dtype)
    out["len"], out["kind"], out["time"], out["tid"], out["nr"] = dtype.itemsize - 4, kind, time, tid, nr
    return out


def frame(tag, payload):
    return tag + struct.pack("<I", len(payload)) + payload


def ring(cpu, rows):
    return frame(b"R", struct.pack("<H", cpu) + rows.tobytes())


def note(content):
    return frame(b"N", json.dumps(content).encode())


def packed(frames):
    return pa.Codec("zstd", compression_level=1).compress(b"".join(frames), asbytes=True)


def tasks(world, time, tid, pid, container, comm):
    out = records(TASK, REC_TASK, time, tid)
    out["pid"], out["ns_pid"], out["ppid"], out["cgroup"] = pid, pid, 1, container + 1
    out["comm"] = np.array(world.threads.comms, "S16")[comm]
    return out


def beginning(world):
    """Returns the beginning of the capture: machine, containers, and running threads."""
    machine = {
        "host": "node-a", "boot_id": "00000000-0000-0000-0000-000000000000", "kernel": "6.18", "arch": "x86_64", "filters": {},
        "record_host": False,
    }  # fmt: skip
    frames = [frame(b"M", json.dumps(machine).encode()), note({"clock": {"boot": BOOT, "wall": START}})]
    for i, (name, long_id) in enumerate(zip(world.names, world.ids)):
        known = {"id": long_id, "name": name, "image": f"{name.split('-')[0]}:1", "runtime": "docker"}
        fact = {"boot": BOOT, "cgroup": i + 1, "path": f"/{long_id}", "is": {"container": known}}
        frames.append(note({"fact": {"when": "found", "fact": fact}}))
    root = records(FILE, REC_FILE, np.array([BOOT]), 0)
    root["key"], root["inode"], root["mode"] = ROOT, 2, 0o40755
    t = world.threads
    known = tasks(world, np.full(t.count, BOOT), t.tid, t.pid, t.container, t.comm)
    return packed(frames + [ring(0, root), ring(0, known)])


class Chunk:
    """A part of the hour. Its calls are columns, in the order of entry per CPU."""

    def __init__(self, world, number, chunks, rows):
        np.seterr(over="ignore")
        self.world, self.number, self.span = world, number, model.SPAN // chunks
        self.rng = np.random.default_rng([model.SEED, number])
        self.schedule(rows)
        self.choose_calls()
        self.choose_processes()
        self.choose_results()
        self.choose_paths()
        self.choose_peers()

    def schedule(self, rows):
        """Schedules threads: a run of calls about 3 µs apart, then another thread, often an earlier one."""
        r, t = self.rng, self.world.threads
        parts = []
        for cpu in range(model.CPUS):
            n = rows // model.CPUS + (rows % model.CPUS if cpu == 0 else 0)
            lengths = r.geometric(1 / 8, n // 4 + 64)
            runs = np.searchsorted(np.cumsum(lengths), n) + 1
            lengths = lengths[:runs]
            run = np.repeat(np.arange(runs), lengths)[:n]
            at = np.arange(n) - np.r_[0, np.cumsum(lengths)[:-1]][run]
            chosen = t.chosen[cpu * model.NETWORKS // model.CPUS]
            thread = np.searchsorted(chosen, r.random(runs)).clip(0, t.count - 1)
            stays = np.where(r.random(runs) >= 0.35, np.arange(runs), 0)
            thread = thread[np.maximum.accumulate(stays)]
            gap, idle, first = np.exp(r.normal(8.0, 0.8, n)), r.exponential(1.0, n), at == 0
            rest = max(self.span - gap[~first].sum(), self.span * 0.1)
            gap = np.where(first, idle * first * (rest * 0.999 / (idle * first).sum()), gap)
            position = at + r.integers(0, 12, runs)[run]
            parts.append((np.cumsum(gap).astype(np.int64), thread[run], position, np.full(n, cpu), run))
        self.time, self.thread, self.position, cpu, run = map(np.concatenate, zip(*parts))
        self.n = len(self.time)
        self.run = np.cumsum(np.r_[True, (cpu[1:] != cpu[:-1]) | (run[1:] != run[:-1])]) - 1
        self.container = t.container[self.thread]

    def choose_calls(self):
        r, c, t = self.rng, self.world.calls, self.world.threads
        self.call = t.loop[self.thread, self.position % t.loop_length[self.thread]]
        independent = np.searchsorted(c.independent, r.random(self.n)).clip(0, len(c.names) - 1)
        self.call = np.where(r.random(self.n) < model.INDEPENDENT, independent, self.call)
        self.duration = np.exp(r.normal(0, 1, self.n) * c.spread[self.call] + c.mean[self.call]).astype(np.int64) + 80

    def choose_processes(self):
        """Gives 3 % of the runs to processes that live only for that run."""
        t = self.world.threads
        self.pid, self.tid, self.comm = t.pid[self.thread], t.tid[self.thread], t.comm[self.thread]
        short = self.rng.random(self.run[-1] + 1) < 0.03
        pids = 200_000 + self.number * 40_000 + np.cumsum(short)
        self.short = short[self.run]
        self.pid = np.where(self.short, pids[self.run], self.pid)
        self.tid = np.where(self.short, self.pid, self.tid)
        self.comm = np.where(self.short, mix(self.pid).astype(np.int64) % len(t.comms), self.comm)

    def choose_results(self):
        r, c, t, n, call = self.rng, self.world.calls, self.world.threads, self.n, self.call
        ret, moves = np.zeros(n, np.int64), c.moves[self.call]
        own = SIZES[mix(self.thread, call) % 12].astype(np.int64)
        ret[moves] = np.where(r.random(n) < 0.55, own, np.exp(r.uniform(0, 11, n)).astype(np.int64))[moves]
        of = lambda *names: np.isin(call, [c.index[name] for name in names])
        waits, opens, maps = of("epoll_wait", "poll"), of("openat", "accept4"), of("mmap")
        ret[waits] = r.geometric(0.6, waits.sum()) - 1
        ret[opens] = 3 + r.geometric(0.05, opens.sum())
        ret[maps] = self.somewhere(maps, 12)
        u = r.random(n)
        for which, error in [
            (c.has_path[call] & (u < 0.15), -2), (c.has_path[call] & (u > 0.995), -13), ((moves | of("recvmsg")) & (u < 0.08), -11),
            (of("connect") & (u < 0.3), -115), (of("connect") & (u > 0.97), -111), (of("futex") & (u < 0.07), -11),
            (of("futex") & (u > 0.96), -110), (~moves & (u > 0.9985), -22), (~moves & (u < 0.0006), -1),
        ]:  # fmt: skip
            ret[which] = error
        self.ret, self.args = ret, np.zeros((n, 6), np.uint64)
        for i in range(6):
            kind, own, arg = c.args[call, i], mix(self.thread, call, np.full(1, i)), self.args[:, i]
            fd, pointer, size, flags = (kind == k for k in (1, 2, 3, 4))
            arg[fd] = np.where(r.random(fd.sum()) < 0.85, 3 + own[fd] % 24, r.integers(0, 1024, fd.sum()).astype(np.uint64))
            near = t.stack[self.thread[pointer]] + own[pointer] % 16 * 64
            arg[pointer] = np.where(r.random(pointer.sum()) < 0.6, near, self.somewhere(pointer, 4).astype(np.uint64))
            arg[size] = np.where(r.random(size.sum()) < 0.7, SIZES[own[size] % 12], r.integers(1, 65536, size.sum()).astype(np.uint64))
            arg[flags] = FLAGS[own[flags] % 12]

    def somewhere(self, which, bits):
        """Returns addresses in the process's memory."""
        t = self.world.threads
        page = self.rng.integers(0, 4096, which.sum()).astype(np.uint64) << np.uint64(bits)
        return (t.memory[t.process[self.thread[which]]] + page).astype(np.int64)

    def choose_paths(self):
        """Chooses common files and the container's own files, programs for execve, and occasionally a secret."""
        r, w, c = self.rng, self.world, self.world.calls
        self.path = np.full(self.n, -1, np.int32)
        which = c.has_path[self.call]
        rank = np.searchsorted(w.file_weight, r.random(which.sum())).clip(0, w.files - 1)
        own = (rank + self.container[which] * 5003 - 500) % (w.files - 501) + 501
        self.path[which] = np.where(rank > 500, own, rank)
        which = self.call == c.index["execve"]
        self.path[which] = w.files + np.searchsorted(w.program_weight, r.random(which.sum())).clip(0, w.programs - 1)
        opens = np.flatnonzero(self.call == c.index["openat"])
        secret = opens[r.random(len(opens)) < 0.01]
        self.path[secret] = w.files + w.programs + (mix(self.container[secret]) % w.secrets).astype(np.int64)
        for number, container in w.shadow:
            mine = opens[self.container[opens] == container]
            if number == self.number and len(mine):
                i = mine[r.integers(len(mine))]
                self.path[i] = model.PATHS - 1
                self.ret[i] = 3 + r.integers(0, 9) if r.random() < 0.7 else -13

    def choose_peers(self):
        """Chooses peers: clients call the next containers, servers see the previous ones, and other peers are external."""
        r, w, c = self.rng, self.world, self.world.calls
        which = c.has_peer[self.call]
        n, call, containers = which.sum(), self.call[which], model.CONTAINERS
        accepts, receives = call == c.index["accept4"], call == c.index["recvfrom"]
        inside = r.random(n) < 0.6
        step = 1 + np.searchsorted(np.cumsum([0.5, 0.3, 0.1, 0.06, 0.04]), r.random(n)).clip(0, 4)
        other = (self.container[which] + np.where(accepts | receives, -1, 1) * step) % containers
        outside = containers + np.searchsorted(w.outside_weight, r.random(n)).clip(0, w.outside - 1)
        self.peer, self.port = np.full(self.n, -1, np.int32), np.zeros(self.n, np.uint16)
        self.peer[which] = np.where(inside, other, outside)
        served = np.where(inside, w.ports[other % containers], 443)
        self.port[which] = np.where(accepts, r.integers(32768, 60999, n).astype(np.uint16), served)

    def frames(self):
        """Yields the records in the order in which calls return; definitions of a call come just before its record."""
        returned = BOOT + self.number * self.span + self.time + self.duration
        order = np.argsort(returned, kind="stable")
        room = 4 * np.arange(self.n)
        time = np.maximum.accumulate(returned[order] - room) + room
        w, c, tid = self.world, self.world.calls, self.tid[order]
        calls = records(SYSCALL, REC_SYSCALL, time, tid, c.numbers[self.call[order]])
        calls["duration"], calls["ret"], calls["args"] = self.duration[order], self.ret[order], self.args[order]
        new = np.flatnonzero(self.short[order])
        new = new[np.unique(tid[new], return_index=True)[1]]
        new.sort()
        who = tasks(w, time[new] - 2, tid[new], self.pid[order][new], self.container[order][new], self.comm[order][new])
        at = np.flatnonzero(self.path[order] >= 0)
        texts = np.array(w.paths, "S")
        named = np.dtype(HEAD + [("base", "<u8"), ("path", f"S{texts.dtype.itemsize + 1}")])
        files = records(named, REC_DATA, time[at] - 1, tid[at], DATA_PATH)
        files["base"], files["path"] = ROOT, texts[self.path[order][at]]
        at = np.flatnonzero(self.peer[order] >= 0)
        peers = records(ADDRESS, REC_DATA, time[at] - 1, tid[at], DATA_ADDR)
        addresses = np.array([[int(part) for part in address.split(".")] for address in w.addresses], np.uint8)
        peers["family"], peers["port"], peers["addr"] = AF_INET, self.port[order][at], addresses[self.peer[order][at]]
        for cpu, rows in enumerate([who, calls, files, peers]):
            yield ring(cpu, rows)
        for until in time[self.n // 8 :: self.n // 8]:
            yield note({"advance": {"boot": int(until)}})
        yield note({"advance": {"boot": int(time[-1])}})


WORLD = None


def chunk(job):
    global WORLD
    WORLD = WORLD or model.World()
    return packed(list(Chunk(WORLD, *job).frames()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=int, help="number of chunks of --rows events in the hour")
    parser.add_argument("--rows", type=int, default=1_000_000, help="events per chunk")
    parser.add_argument("--containers", help="file for the table of containers")
    options = parser.parse_args()
    world = model.World()
    if options.containers:
        table = {"container": world.names, "ip": world.addresses[: model.CONTAINERS]}
        pq.write_table(pa.table(table), options.containers)
    out = sys.stdout.buffer
    out.write(b"ctrace-raw-1\n" + beginning(world))
    jobs = [(number, options.millions, options.rows) for number in range(options.millions)]
    with multiprocessing.Pool(min(2, os.cpu_count())) as pool:
        for content in pool.imap(chunk, jobs):
            out.write(content)


if __name__ == "__main__":
    main()
