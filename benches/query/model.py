"""The model of the synthetic recording: containers, threads, calls, paths and peers, all from one seed.

Forty containers of very different load on two machines' networks; threads that repeat a loop of calls; 200,000 paths, a few
of which are opened again and again; peers that are other containers or 5,000 external addresses."""

import hashlib
import re

import numpy as np

SEED = 20260509
CONTAINERS = 40
PATHS = 200_000
NETWORKS = 2
CPUS = 16
START = 1_778_000_000_000_000_000  # ns since 1970 UTC
SPAN = 3600 * 10**9
INDEPENDENT = 0.30  # share of calls outside the thread's loop

COMMON = {
    "read": .13, "write": .11, "futex": .11, "epoll_wait": .09, "clock_nanosleep": .02, "close": .05, "fstat": .02, "mmap": .02,
    "munmap": .012, "mprotect": .01, "rt_sigprocmask": .03, "rt_sigaction": .015, "poll": .03, "ioctl": .02, "lseek": .02,
    "pread64": .02, "pwrite64": .01, "getpid": .01, "epoll_ctl": .02, "recvmsg": .04, "sendmsg": .02, "writev": .03,
    "sched_yield": .02, "madvise": .015, "nanosleep": .01, "fcntl": .012, "brk": .006, "getrandom": .004, "dup": .003,
    "setsockopt": .006, "getsockname": .003, "fsync": .002,
}  # fmt: skip
WITH_PATH = {"openat": .022, "newfstatat": .014, "statx": .006, "access": .004, "readlink": .003, "execve": .0008, "unlink": .001}
WITH_PEER = {"recvfrom": .012, "sendto": .009, "accept4": .003, "connect": .005}
MOVES = ["read", "write", "recvfrom", "sendto", "recvmsg", "sendmsg", "writev", "pread64", "pwrite64", "readv", "sendfile"]
BLOCKS = ["futex", "epoll_wait", "poll", "clock_nanosleep", "nanosleep", "accept4", "recvmsg", "fsync"]
# Kind of each argument: 1 fd, 2 pointer, 3 size, 4 flags.
ARGS = {
    "read": [1, 2, 3], "write": [1, 2, 3], "futex": [2, 4, 4, 2, 2, 4], "epoll_wait": [1, 2, 3, 4], "close": [1], "fstat": [1, 2],
    "mmap": [2, 3, 4, 4, 1, 3], "munmap": [2, 3], "rt_sigprocmask": [4, 2, 2, 4], "poll": [2, 4, 4], "ioctl": [1, 4, 2],
    "lseek": [1, 3, 4], "pread64": [1, 2, 3, 3], "recvmsg": [1, 2, 4], "sendmsg": [1, 2, 4], "writev": [1, 2, 4], "getpid": [],
    "sched_yield": [], "openat": [4, 2, 4, 4], "newfstatat": [4, 2, 2, 4], "connect": [1, 2, 4], "accept4": [1, 2, 2, 4],
    "recvfrom": [1, 2, 3, 4, 2, 2], "sendto": [1, 2, 3, 4, 2, 4], "execve": [2, 2, 2], "epoll_ctl": [1, 4, 1, 2],
    "clock_nanosleep": [4, 4, 2, 2], "nanosleep": [2, 2],
}  # fmt: skip
APPS = [
    "nginx", "api", "auth", "postgres", "redis", "kafka", "worker", "web", "search", "billing", "etcd", "prom", "grafana",
    "envoy", "mongo", "minio", "gitea", "vault", "coredns", "ingest",
]  # fmt: skip
SIZES = np.array([1, 8, 16, 64, 128, 512, 1024, 4096, 8192, 16384, 32768, 65536], np.uint64)
FLAGS = np.array([0, 0, 0, 1, 2, 128, 0x80000, 0xFFFFFFFFFFFFFF9C, 0x2000, 3, 34, 129], np.uint64)


def mix(*parts):
    """Hashes its arguments, so that a thread behaves differently from others and the same in each run."""
    h = np.uint64(0x9E3779B97F4A7C15)
    for part in parts:
        h = (h ^ np.asarray(part).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
    return h >> np.uint64(16)


def cumulative(weights):
    return np.cumsum(weights / np.sum(weights))


class Calls:
    """The x86-64 calls: frequency, duration and kinds of arguments."""

    def __init__(self, rng):
        header = open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").read()
        numbers = {name: int(number) for name, number in re.findall(r"define __NR_(\w+) (\d+)", header)}
        self.names = list(numbers)[:350]
        self.numbers = np.array([numbers[name] for name in self.names], np.uint16)
        self.index = {name: i for i, name in enumerate(self.names)}
        n = len(self.names)
        special = {**COMMON, **WITH_PATH, **WITH_PEER}
        rare = [i for i, name in enumerate(self.names) if name not in special]
        weight = np.zeros(n)
        tail = 1 / np.arange(1, len(rare) + 1) ** 1.2
        weight[rng.permutation(rare)] = 0.05 * tail / tail.sum()
        for name, share in COMMON.items():
            weight[self.index[name]] = share
        self.looped = cumulative(weight)
        weight = weight / weight.sum() * (1 - (0.0508 + 0.029) / INDEPENDENT)
        for name, share in {**WITH_PATH, **WITH_PEER}.items():
            weight[self.index[name]] = share / INDEPENDENT
        self.independent = cumulative(weight)
        self.has_path, self.has_peer = self.mask(WITH_PATH), self.mask(WITH_PEER)
        self.moves, self.blocks = self.mask(MOVES), self.mask(BLOCKS)
        self.args = np.zeros((n, 6), np.int8)
        for i in range(n):
            count = rng.integers(0, 7)
            self.args[i, :count] = rng.choice([1, 2, 3, 4], count, p=[0.25, 0.35, 0.2, 0.2])
        for name, kinds in ARGS.items():
            self.args[self.index[name]] = 0
            self.args[self.index[name], : len(kinds)] = kinds
        self.mean = rng.normal(7.2, 0.7, n)
        self.mean[self.blocks] = rng.normal(12.5, 1.0, self.blocks.sum())
        self.spread = np.where(self.blocks, 1.8, 0.6)

    def mask(self, names):
        out = np.zeros(len(self.names), bool)
        out[[self.index[name] for name in names]] = True
        return out


class Threads:
    """Threads by index: container, process, name, and loop of calls."""

    def __init__(self, rng, calls):
        self.network = rng.integers(0, NETWORKS, CONTAINERS)
        weight = cumulative(rng.permutation(1 / np.arange(1, CONTAINERS + 1) ** 1.1))
        weight = np.diff(weight, prepend=0)
        endings = ("", "-worker", "-gc", "-io", "d")
        tools = {"sh", "bash", "curl", "cat", "ls", "ps", "runc:[2:INIT]", "java", "python3", "node", "sshd", "crond", "sleep", "grep"}
        self.comms = sorted({f"{app}{ending}" for app in APPS for ending in endings} | tools)
        rows, pid, process = [], 1000, 0
        for container in range(CONTAINERS):
            shares = rng.permutation(1 / np.arange(1, rng.integers(3, 20) + 1))
            for share in shares / shares.sum():
                pid += int(rng.integers(1, 400))
                count = int(rng.integers(1, 24))
                parts = 1 / np.arange(1, count + 1) ** 0.7
                comm = rng.integers(0, len(self.comms))
                for i, part in enumerate(parts / parts.sum()):
                    own = comm if rng.random() < 0.7 else rng.integers(0, len(self.comms))
                    rows.append((container, pid, pid + i, own, process, weight[container] * share * part))
                process += 1
                pid += count
        self.container, self.pid, self.tid, self.comm, self.process, weight = map(np.array, zip(*rows))
        self.count = len(rows)
        self.memory = rng.integers(0x7F0000, 0x7FFFFF, process).astype(np.uint64) << np.uint64(24)
        offset = rng.integers(0, 1 << 16, self.count).astype(np.uint64) << np.uint64(12)
        self.stack = self.memory[self.process] + offset
        self.loop_length = rng.integers(2, 13, self.count)
        self.loop = np.searchsorted(calls.looped, rng.random((self.count, 12)))
        on = self.network[self.container]
        self.chosen = [cumulative(np.where(on == network, weight, 0)) for network in range(NETWORKS)]


def paths():
    """Returns the paths (common files, programs, secrets, and /etc/shadow last), and the number of each of the first three."""
    rng, seen = np.random.default_rng(SEED + 1), {}
    words = (
        "core util http auth cache index model view config main test lib proto client server metrics queue job user order event "
        "data log tmp base common shared api db net"
    ).split()
    endings = [".py", ".so.6", ".js", ".json", ".conf", ".log", ".sst", ".pyc", ".map", ".yaml", ""]
    pairs = [f"{a}{b}" for a in words for b in words]
    while len(seen) < PATHS:
        kind, pair, word = rng.random(), pairs[rng.integers(len(pairs))], words[rng.integers(30)]
        ending, n = endings[rng.integers(len(endings))], int(rng.integers(0, 1 << 20))
        if kind < 0.25:
            path = f"/usr/lib/python3.11/site-packages/{pair}/{word}/{words[rng.integers(30)]}_{n % 4096}{ending}"
        elif kind < 0.45:
            path = f"/app/node_modules/{pair}/dist/{word}-{n:05x}{ending}"
        elif kind < 0.6:
            path = f"/proc/{n % 65536}/{['stat', 'status', 'cmdline', 'maps', f'fd/{n % 64}'][rng.integers(5)]}"
        elif kind < 0.75:
            path = f"/var/lib/postgresql/data/base/16384/{n}"
        elif kind < 0.85:
            path = f"/var/log/{pair}/{word}.{n % 512}.log"
        elif kind < 0.95:
            path = f"/tmp/{word}-{hashlib.md5(str(n).encode()).hexdigest()[:16]}"
        else:
            path = f"/etc/{pair}/{word}{ending}"
        seen[path] = None
    common = (
        "/etc/ld.so.cache /lib/x86_64-linux-gnu/libc.so.6 /etc/hosts /etc/resolv.conf /etc/passwd /proc/self/status /dev/null "
        "/etc/localtime /proc/meminfo /sys/fs/cgroup/cpu.max"
    ).split()
    tools = "sh bash curl cat ls ps python3 node java grep sleep env id tar wget nc".split()
    verbs = "run ctl agent hook probe init migrate check".split()
    programs = [f"/usr/bin/{tool}" for tool in tools] + [f"/opt/{app}/bin/{verb}" for app in APPS for verb in verbs]
    secrets = ["/var/run/secrets/kubernetes.io/serviceaccount/token"]
    secrets += [f"/run/secrets/app-{i}/secret-key-{i:03d}" for i in range(40)]
    files = (common + list(seen))[: PATHS - 1 - len(secrets) - len(programs)]
    return files + programs + secrets + ["/etc/shadow"], len(files), len(programs), len(secrets)


class World:
    """The whole model."""

    def __init__(self):
        rng = np.random.default_rng(SEED)
        self.calls = Calls(rng)
        self.threads = Threads(rng, self.calls)
        self.paths, self.files, self.programs, self.secrets = paths()
        self.file_weight = cumulative(1 / np.arange(1, self.files + 1) ** 1.05)
        self.program_weight = cumulative(1 / np.arange(1, self.programs + 1) ** 1.1)
        self.names = [f"{APPS[i % 20]}-{i // 20}" for i in range(CONTAINERS)]
        self.ids = [hashlib.sha256(b"c%d" % i).hexdigest() for i in range(CONTAINERS)]
        own = [f"10.42.{self.threads.network[i]}.{10 + i}" for i in range(CONTAINERS)]
        rng = np.random.default_rng(SEED + 2)
        self.addresses = own + [".".join(map(str, address)) for address in rng.integers(1, 255, (5000, 4))]
        self.outside = len(self.addresses) - CONTAINERS
        self.outside_weight = cumulative(1 / np.arange(1, self.outside + 1) ** 1.1)
        ports = [80, 443, 5432, 6379, 9092, 8080, 9090, 27017, 2379, 50051]
        self.ports = np.random.default_rng(SEED + 3).choice(ports, CONTAINERS).astype(np.uint16)
        readers = np.random.default_rng(SEED + 4).choice([7, 19, 33], 24)
        self.shadow = [(i % 50, int(container)) for i, container in enumerate(readers)]
