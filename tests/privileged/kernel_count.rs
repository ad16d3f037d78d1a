//! The kernel's own word: what bpftrace counts of a container is what was recorded and what was lost, exactly.

use crate::common::containers::{Container, Running, Runtime};
use crate::common::recorder::{Recorder, Recording};
use crate::common::{LIMIT, require_root, run, wait_for};
use ctrace_schema::syscalls::{Abi, Class, spec_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A plain counter, by cgroup of either hierarchy and syscall number: every return, but for that of a new thread from
/// its parent's call, and the calls that never return. `ready` is told when each probe is at work,
/// and again and again: a signal that comes just before bpftrace sleeps does not wake it.
const COUNTER: &str = r#"
tracepoint:raw_syscalls:sys_exit {
    if (args->ret != 0 || (FORKS)) {
        $set = curtask->cgroups;
        @calls[$set->subsys[PIDS]->cgroup->kn->id, $set->dfl_cgrp->kn->id, args->id] = count();
    }
    @left = 1;
}
tracepoint:raw_syscalls:sys_enter / EXITS / {
    $set = curtask->cgroups;
    @calls[$set->subsys[PIDS]->cgroup->kn->id, $set->dfl_cgrp->kn->id, args->id] = count();
}
tracepoint:sched:sched_process_exit / curtask->signal->live.counter == 0 / {
    $set = curtask->cgroups;
    @ends[$set->subsys[PIDS]->cgroup->kn->id, $set->dfl_cgrp->kn->id] = count();
    @ended = 1;
}
interval:ms:50 / @left && @ended / { printf("ready\n"); }
"#;

/// Events by class.
type Counts = BTreeMap<String, i64>;

fn abi() -> Abi {
    Abi::of_machine(std::env::consts::ARCH, false).unwrap()
}

/// bpftrace at work.
struct Counter {
    child: Child,
    dir: TempDir,
}

impl Counter {
    fn start() -> Self {
        // tracefs, where bpftrace looks for tracepoints, is not mounted everywhere.
        let tracing =
            "test -e /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing";
        run(Command::new("sh").args(["-c", tracing]));
        let ask = run(Command::new("bpftrace")
            .args(["-e", "BEGIN { printf(\"%d\\n\", pids_cgrp_id); exit(); }"]));
        let pids = ask.lines().find(|l| l.parse::<u32>().is_ok()).unwrap();
        let numbers = |names: &[&str], sign: &str, and: &str| {
            let all = names
                .iter()
                .filter_map(|n| ctrace_schema::syscalls::number(abi(), n));
            all.map(|n| format!("args->id {sign} {n}"))
                .collect::<Vec<_>>()
                .join(and)
        };
        let program = COUNTER
            .replace("PIDS", pids)
            .replace(
                "FORKS",
                &numbers(&["clone", "fork", "vfork", "clone3"], "!=", " && "),
            )
            .replace("EXITS", &numbers(&["exit", "exit_group"], "==", " || "));
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(dir.path().join(name)).unwrap();
        let child = Command::new("bpftrace")
            .args(["-B", "none", "-f", "json", "-e", &program])
            .env("BPFTRACE_MAP_KEYS_MAX", "65536")
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        let mut counter = Counter { child, dir };
        wait_for("bpftrace counts", LIMIT, || {
            run(&mut Command::new("true")); // a process that ends
            let gone = counter.child.try_wait().unwrap();
            assert!(gone.is_none(), "{}", counter.said("err"));
            counter.said("out").contains("ready").then_some(())
        });
        counter
    }

    fn said(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    /// Ends it; gives what it counted of the cgroups.
    fn stop(mut self, cgroups: &[Cgroup]) -> Vec<Counts> {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        assert!(self.child.wait().unwrap().success(), "{}", self.said("err"));
        let out = self.said("out");
        let maps: Vec<Value> = out
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        let of = |name: &str| {
            maps.iter()
                .find_map(|m| m["data"][name].as_object())
                .unwrap()
        };
        let mut counts = vec![Counts::new(); cgroups.len()];
        for (map, is_call) in [(of("@calls"), true), (of("@ends"), false)] {
            for (key, n) in map {
                let key: Vec<i64> = key.split(',').map(|k| k.parse().unwrap()).collect();
                let class = if is_call { class(key[2]) } else { "process" };
                for (cgroup, counts) in cgroups.iter().zip(&mut counts) {
                    if cgroup.is(key[0], key[1]) {
                        *counts.entry(class.to_owned()).or_default() += n.as_i64().unwrap();
                    }
                }
            }
        }
        counts
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The class of a call. A return from a signal handler has put back the number -1.
fn class(number: i64) -> &'static str {
    match u32::try_from(number) {
        Ok(nr) => spec_of(abi(), nr).class.as_str(),
        Err(_) => ctrace_schema::syscalls::spec("rt_sigreturn").class.as_str(),
    }
}

/// A container's cgroup.
enum Cgroup {
    Pids(i64),
    Unified(i64),
}

impl Cgroup {
    fn of(container: &Running) -> Self {
        let format = "--format={{.State.Pid}}";
        let pid = run(Command::new("docker").args(["inspect", format, &container.id]));
        let lines = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).unwrap();
        let find = |controller: &str| {
            let path = lines
                .lines()
                .find_map(|l| l.split_once(&format!(":{controller}:")))?
                .1;
            (path != "/").then(|| path.to_owned())
        };
        let id = |dir: String| fs::metadata(dir).unwrap().ino() as i64;
        match find("pids") {
            Some(path) => Cgroup::Pids(id(format!("/sys/fs/cgroup/pids{path}"))),
            None => Cgroup::Unified(id(format!("/sys/fs/cgroup{}", find("").unwrap()))),
        }
    }

    fn is(&self, pids: i64, unified: i64) -> bool {
        match self {
            Cgroup::Pids(id) => *id == pids,
            Cgroup::Unified(id) => *id == unified,
        }
    }
}

/// What was recorded of a container, and what was lost of it.
fn recorded(recording: &Recording, container: &str) -> (Counts, Counts) {
    let counts = |sql: &str| -> Counts {
        let rows = recording.query(&format!(
            "select class, {sql} and container = '{container}' group by 1"
        ));
        let class = |r: &Value| r["class"].as_str().unwrap().to_owned();
        rows.iter()
            .map(|r| (class(r), r["n"].as_i64().unwrap()))
            .collect()
    };
    (
        counts("count(*) as n from events where kind in ('syscall', 'process')"),
        counts("sum(lost) as n from events where kind = 'gap'"),
    )
}

const UNCONFINED: Option<&str> = Some("--security-opt=seccomp=unconfined");

/// Many things of every class, in three containers at once, of which one floods. The last one's calls pass a filter of
/// seccomp's, which refuses some.
const COMMANDS: [(Option<&str>, &str); 3] = [
    (
        UNCONFINED,
        "calls getppid=$1 chdir=$2 sched_yield=$2 faccessat=$2",
    ),
    (
        UNCONFINED,
        "net; messages; tasks; limits new_call; paths /tmp/p; ls -lR /bin; for i in 1 2 3; do cat /etc/motd | sort | uniq; done; sleep 0.1",
    ),
    (
        None,
        "calls getppid=1009 getuid=503 times=20011 flock=503 capget=101 getitimer=103 sysinfo=107; messages; net; \
         unshare -U true || unshare -n true || true",
    ),
];

/// Records the three, the first making so many calls of one kind and so many of each other; gives of each what
/// happened, what was recorded and what was lost. With `rings`, tiny ones, the recorder is hampered as well.
fn counted(rings: &[(&str, &str)], flood: [&str; 2]) -> Vec<(Counts, Counts, Counts)> {
    counted_of(COMMANDS, rings, flood, !rings.is_empty())
}

/// Likewise, of other commands.
fn counted_of<const N: usize>(
    commands: [(Option<&str>, &str); N],
    rings: &[(&str, &str)],
    flood: [&str; 2],
    hampered: bool,
) -> Vec<(Counts, Counts, Counts)> {
    require_root();
    let counter = Counter::start();
    let containers = commands.map(|(option, command)| {
        let container = Container::new(Runtime::Docker, "counted");
        let container = match option {
            Some(option) => container.option(option),
            None => container,
        };
        (container, format!("echo up; read x; {command}"))
    });
    // What else the machine does fills no ring.
    let names = containers.each_ref().map(|(container, _)| container.name());
    let args = ["--container", &names.join(",")];
    let recorder = Recorder::start_with("run.parquet", &args, rings);
    let mut containers = containers.map(|(container, script)| {
        container.start(&["sh", "-c", &script, "sh", flood[0], flood[1]])
    });
    let cgroups = containers.each_mut().map(|c| {
        assert_eq!(c.line(), "up");
        Cgroup::of(c)
    });
    containers.iter_mut().for_each(|c| c.tell("go"));
    let ended = if hampered {
        recorder.hampered(|| containers.map(Running::finish))
    } else {
        containers.map(Running::finish)
    };
    let recording = recorder.stop();
    let happened = counter.stop(&cgroups);
    let both = ended.iter().map(|c| {
        assert_eq!(c.code, 0, "{}", c.stdout);
        recorded(&recording, &c.name)
    });
    let all = happened.into_iter().zip(both);
    all.map(|(all, (rows, lost))| (all, rows, lost)).collect()
}

fn total(counts: &Counts) -> i64 {
    counts.values().sum()
}

/// Recorded and lost together.
fn sum(rows: &Counts, lost: &Counts) -> Counts {
    let mut all = rows.clone();
    for (class, n) in lost {
        *all.entry(class.clone()).or_default() += n;
    }
    all
}

#[test]
fn what_is_recorded_is_all_that_happened() {
    let counted = counted(&[], ["40000", "7000"]);
    for (happened, rows, lost) in &counted {
        assert_eq!((rows, lost), (happened, &Counts::new()));
    }
    for class in Class::ALL {
        let in_it = |(happened, ..): &(Counts, _, _)| happened.contains_key(class.as_str());
        assert!(counted.iter().any(in_it), "no call of the class {class:?}");
    }
}

#[test]
fn what_is_recorded_and_what_is_lost_is_all_that_happened() {
    // Hardly anything fits the one, and the other holds a moment of a flood.
    for ring in ["4096", "65536"] {
        let counted = counted(&[("CTRACE_RING_BYTES", ring)], ["400000", "100000"]);
        for (happened, rows, lost) in &counted {
            assert_eq!(sum(rows, lost), *happened, "rings of {ring} bytes");
        }
        let (happened, _, lost) = &counted[0];
        assert!(
            total(lost) > total(happened) / 2,
            "rings of {ring} bytes: {lost:?} of {happened:?}"
        );
    }
}

/// Many calls of some classes.
const FLOOD: &str = "calls getppid=200000 chdir=50000 sched_yield=50000";

/// Of a container that is as others are: it reads, writes, connects, runs programs and waits.
const QUIET: &str =
    "net; for i in $(seq 20); do cat /etc/motd | sort | uniq; ls -lR /etc; sleep 0.05; done";

#[test]
fn a_container_that_floods_loses_its_own_events_first() {
    let flood = COMMANDS[0].1;
    let commands = [flood, QUIET, QUIET, QUIET, QUIET].map(|command| (UNCONFINED, command));
    let rings = [("CTRACE_RING_BYTES", "1048576")];
    let counted = counted_of(commands, &rings, ["800000", "200000"], true);
    for (happened, rows, lost) in &counted {
        assert_eq!(sum(rows, lost), *happened);
    }
    let share =
        |(happened, _, lost): &(Counts, _, Counts)| total(lost) as f64 / total(happened) as f64;
    let shares: Vec<f64> = counted.iter().map(share).collect();
    assert!(shares[0] > 0.05, "{shares:?} lost: the flood was none");
    for other in &shares[1..] {
        assert!(*other < 0.01, "{shares:?} lost");
    }
}

#[test]
fn what_is_lost_is_told_by_the_cpu_on_which_it_was() {
    require_root();
    // Each stays on a CPU, from before the recording begins.
    let script = |cpu| {
        format!(
            "exec taskset {:x} sh -c 'echo up; read x; {}'",
            1 << cpu,
            FLOOD
        )
    };
    let mut containers = [0, 1].map(|cpu| {
        let container =
            Container::new(Runtime::Docker, "pinned").start(&["sh", "-c", &script(cpu)]);
        (cpu, container)
    });
    let cgroups = containers.each_mut().map(|(_, c)| {
        assert_eq!(c.line(), "up");
        Cgroup::of(c)
    });
    let counter = Counter::start();
    let names = containers.each_ref().map(|(_, c)| c.name.clone()).join(",");
    let rings = [("CTRACE_RING_BYTES", "65536")];
    let recorder = Recorder::start_with("run.parquet", &["--container", &names], &rings);
    containers.iter_mut().for_each(|(_, c)| c.tell("go"));
    let ended = recorder.hampered(|| containers.map(|(cpu, c)| (cpu, c.finish())));
    let recording = recorder.stop();
    let happened = counter.stop(&cgroups);
    for ((cpu, ended), happened) in ended.iter().zip(happened) {
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        let (rows, lost) = recorded(&recording, &ended.name);
        assert_eq!(sum(&rows, &lost), happened, "of CPU {cpu}");
        assert!(total(&lost) > 10_000, "{lost:?}: the flood was none");
        let sql = "select cpu, class, sum(lost) as n from gaps where container =";
        let sql = format!("{sql} '{}' group by cpu, class", ended.name);
        for row in recording.query(&sql) {
            assert_eq!(row["cpu"], *cpu, "{row}");
            assert_eq!(row["n"], lost[row["class"].as_str().unwrap()], "{row}");
        }
    }
}

/// How many programs with these arguments a container is recorded to have run, and how many of them to have ended.
fn programs(recording: &Recording, container: &str, argv: &str) -> (i64, i64) {
    let of = |what: &str| {
        let sql = format!("select count(*) from events where container = '{container}' and {what}");
        recording.count(&sql)
    };
    let exec = format!("syscall = 'execve' and argv = '{argv}'");
    let ends = format!(
        "kind = 'process' and pid in (select pid from events where {exec} and container = '{container}')"
    );
    (of(&exec), of(&ends))
}

#[test]
fn exec_connect_and_the_end_of_a_process_are_the_last_to_be_lost() {
    require_root();
    let container = Container::new(Runtime::Docker, "last");
    let rings = [("CTRACE_RING_BYTES", "131072")];
    let args = ["--container", container.name()];
    let recorder = Recorder::start_with("run.parquet", &args, &rings);
    let script = "calls getppid=600000 & for i in $(seq 30); do cat /etc/motd; wget http://127.0.0.1:1/; done; wait";
    let ended = recorder.hampered(|| container.run(&["sh", "-c", script]));
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    let recording = recorder.stop();
    let (_, lost) = recorded(&recording, &ended.name);
    assert!(total(&lost) > 100_000, "{lost:?}: the flood was none");
    let count = |what: &str| {
        let name = &ended.name;
        recording.count(&format!(
            "select count(*) from events where container = '{name}' and {what}"
        ))
    };
    for argv in ["cat /etc/motd", "wget http://127.0.0.1:1/"] {
        assert_eq!(programs(&recording, &ended.name, argv), (30, 30), "{argv}");
    }
    let connect = "syscall = 'connect' and peer_addr = '127.0.0.1' and peer_port = 1";
    assert_eq!(count(connect), 30);
}

#[test]
fn a_fork_bomb_leaves_room_for_the_processes_of_others() {
    require_root();
    let bomb = Container::new(Runtime::Docker, "bomb").option("--pids-limit=300");
    let other = Container::new(Runtime::Docker, "beside");
    let rings = [("CTRACE_RING_BYTES", "131072")];
    let names = format!("{},{}", bomb.name(), other.name());
    let recorder = Recorder::start_with("run.parquet", &["--container", &names], &rings);
    let (bomb, ended) = recorder.hampered(|| {
        let bomb = bomb.start(&["bounds", "forks", "6"]);
        let script = "for i in $(seq 40); do cat /etc/motd; done";
        let ended = other.run(&["sh", "-c", script]);
        (bomb.finish(), ended)
    });
    assert_eq!((bomb.code, ended.code), (0, 0), "{}", ended.stdout);
    let recording = recorder.stop();
    let (_, lost) = recorded(&recording, &bomb.name);
    assert!(lost["process"] > 100, "{lost:?}: the bomb was none");
    assert_eq!(programs(&recording, &ended.name, "cat /etc/motd"), (40, 40));
}

#[test]
fn a_container_that_starts_in_a_flood_is_known() {
    require_root();
    let rings = [("CTRACE_RING_BYTES", "4096")];
    let recorder = Recorder::start_with("run.parquet", &[], &rings);
    let flood = "while :; do ls / >/dev/null; done & while :; do ls / >/dev/null; done";
    let flooder = Container::new(Runtime::Docker, "flooder").start(&["sh", "-c", flood]);
    let names: Vec<_> = (0..3)
        .map(|_| {
            Container::new(Runtime::Docker, "late")
                .run(&["ls", "/"])
                .name
        })
        .collect();
    flooder.kill();
    let recording = recorder.stop();
    for name in names {
        let (rows, lost) = recorded(&recording, &name);
        assert!(
            total(&rows) + total(&lost) > 20,
            "{name}: {rows:?}, {lost:?}"
        );
        assert!(total(&lost) > 0, "{name}: nothing was lost in the flood");
        for action in ["started", "stopped"] {
            let known = format!(
                "select count(*) from events where container = '{name}' and action = '{action}'"
            );
            assert_eq!(recording.count(&known), 1, "{name} {action}");
        }
    }
}
