//! Recorded and lost events of a container are exactly the events that bpftrace counts in the kernel.

use crate::support::command::run;
use crate::support::containers::{Container, Running, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use ctrace_schema::syscalls::{Abi, Class, spec_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A bpftrace program that counts by cgroup of either hierarchy and by syscall number: each return, except the return of a
/// new thread from its parent's call, and each call that never returns. The program prints `ready` when all probes work, and
/// repeats the line every 50 ms, because a signal that comes just before bpftrace sleeps does not wake it.
///
/// A runtime moves its own threads into the container's cgroup while these threads make calls. `@moved` counts the calls
/// after whose return a thread was found in another cgroup: the recorder, which runs a moment later than bpftrace, may have
/// found the thread there already.
const COUNTER: &str = r#"
tracepoint:raw_syscalls:sys_exit {
    if (args->ret != 0 || (FORKS)) {
        $set = curtask->cgroups;
        $pids = $set->subsys[PIDS]->cgroup->kn->id;
        @calls[$pids, $set->dfl_cgrp->kn->id, args->id] = count();
        if (strncmp(comm, "runc", 4) == 0) {
            @place[tid] = $pids + $set->dfl_cgrp->kn->id;
            @returned[tid] = args->id;
        }
    }
    @left = 1;
}
tracepoint:raw_syscalls:sys_enter / @place[tid] / {
    $set = curtask->cgroups;
    $pids = $set->subsys[PIDS]->cgroup->kn->id;
    if (@place[tid] != $pids + $set->dfl_cgrp->kn->id) {
        @moved[$pids, $set->dfl_cgrp->kn->id, @returned[tid]] = count();
    }
    delete(@place[tid]);
    delete(@returned[tid]);
}
tracepoint:raw_syscalls:sys_enter / EXITS / {
    $set = curtask->cgroups;
    @calls[$set->subsys[PIDS]->cgroup->kn->id, $set->dfl_cgrp->kn->id, args->id] = count();
}
tracepoint:sched:sched_process_exit / curtask->signal->live.counter == 0 / {
    $set = curtask->cgroups;
    $leader = curtask->group_leader;
    @ends[$set->subsys[PIDS]->cgroup->kn->id, $set->dfl_cgrp->kn->id, $leader->tgid, $leader->start_time] = 1;
    @ended = 1;
}
interval:ms:50 / @left && @ended / { printf("ready\n"); }
"#;

/// Numbers of events by class.
type Counts = BTreeMap<String, i64>;

fn abi() -> Abi {
    Abi::of_machine(std::env::consts::ARCH, false).unwrap()
}

/// Returns the sums of two counts, class by class.
fn sum(a: &Counts, b: &Counts) -> Counts {
    let mut sum = a.clone();
    for (class, n) in b {
        *sum.entry(class.clone()).or_default() += n;
    }
    sum
}

/// What bpftrace counted in a container.
#[derive(Debug)]
struct Happened {
    events: Counts,
    /// Calls of other cgroups that the recorder may have seen in this one: see [`COUNTER`].
    moved: Counts,
}

impl Happened {
    /// Returns whether these are all events.
    fn is(&self, events: &Counts) -> bool {
        let most = sum(&self.events, &self.moved);
        let is_between = |class| {
            let number = |counts: &Counts| counts.get(class).copied().unwrap_or(0);
            (number(&self.events)..=number(&most)).contains(&number(events))
        };
        sum(&most, events).keys().all(is_between)
    }
}

/// A running bpftrace.
struct Counter {
    child: Child,
    dir: TempDir,
}

impl Counter {
    fn start() -> Self {
        // bpftrace needs tracefs, which is not mounted everywhere.
        let tracing =
            "test -e /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing";
        run(Command::new("sh").args(["-c", tracing]));
        let ask = run(Command::new("bpftrace")
            .args(["-e", "BEGIN { printf(\"%d\\n\", pids_cgrp_id); exit(); }"]));
        let pids = ask.lines().find(|l| l.parse::<u32>().is_ok()).unwrap();
        // A condition on the numbers of some calls.
        let numbers = |names: &[&str], operator: &str, join: &str| {
            let all = names
                .iter()
                .filter_map(|n| ctrace_schema::syscalls::number(abi(), n));
            all.map(|n| format!("args->id {operator} {n}"))
                .collect::<Vec<_>>()
                .join(join)
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
        wait_for("bpftrace counts", || {
            // The probe of process ends needs a process that ends.
            run(&mut Command::new("true"));
            let gone = counter.child.try_wait().unwrap();
            assert!(gone.is_none(), "{}", counter.text("err"));
            counter.text("out").contains("ready").then_some(())
        });
        counter
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    /// Ends bpftrace and returns what happened in each of the cgroups, without the calls `excluded`.
    fn stop(mut self, cgroups: &[Cgroup], excluded: &[&str]) -> Vec<Happened> {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        assert!(self.child.wait().unwrap().success(), "{}", self.text("err"));
        let out = self.text("out");
        let maps: Vec<Value> = out
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        let of = |name: &str| maps.iter().find_map(|m| m["data"][name].as_object());
        let excluded: Vec<i64> = excluded
            .iter()
            .filter_map(|name| ctrace_schema::syscalls::number(abi(), name))
            .map(i64::from)
            .collect();
        let count = |map: &str| {
            let mut counts = vec![Counts::new(); cgroups.len()];
            for (key, n) in of(map).into_iter().flatten() {
                let key: Vec<i64> = key.split(',').map(|k| k.parse().unwrap()).collect();
                if map != "@ends" && excluded.contains(&key[2]) {
                    continue;
                }
                let class = if map == "@ends" {
                    "process"
                } else {
                    class(key[2])
                };
                for (cgroup, counts) in cgroups.iter().zip(&mut counts) {
                    if cgroup.is(key[0], key[1]) {
                        *counts.entry(class.to_owned()).or_default() += n.as_i64().unwrap();
                    }
                }
            }
            counts
        };
        let calls_and_ends = count("@calls").into_iter().zip(count("@ends"));
        let events = calls_and_ends.map(|(calls, ends)| sum(&calls, &ends));
        let moved = count("@moved");
        let happened = events.zip(moved);
        happened
            .map(|(events, moved)| Happened { events, moved })
            .collect()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the class of a call. rt_sigreturn returns with the number -1, which it has restored.
fn class(number: i64) -> &'static str {
    match u32::try_from(number) {
        Ok(nr) => spec_of(abi(), nr).class.as_str(),
        Err(_) => ctrace_schema::syscalls::spec("rt_sigreturn").class.as_str(),
    }
}

/// The id of a container's cgroup, in the hierarchy of the controller `pids` or in the unified hierarchy.
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

/// The events of a container.
struct Counted {
    happened: Happened,
    recorded: Counts,
    lost: Counts,
}

impl Counted {
    /// Checks that every event is recorded or lost.
    fn check(&self, what: &str) {
        let seen = sum(&self.recorded, &self.lost);
        assert!(
            self.happened.is(&seen),
            "{what}: {seen:?} of {:?}",
            self.happened
        );
    }

    /// Checks that every event is recorded.
    fn check_recorded(&self) {
        assert_eq!(self.lost, Counts::new());
        self.check("recorded");
    }
}

/// Returns the recorded and the lost events of a container.
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
        counts(
            "count(*) as n from events where kind in ('syscall', 'process') and action is distinct from 'found'",
        ),
        counts("sum(lost) as n from events where kind = 'gap'"),
    )
}

const UNCONFINED: Option<&str> = Some("--security-opt=seccomp=unconfined");

/// Commands with calls of every class, for three containers at the same time. The first makes a flood. The calls of the
/// last pass a seccomp filter, which refuses some.
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

/// The calls with which rows of connections and signals are recorded. bpftrace does not count what these rows stand for,
/// so a recording that loses events excludes them.
const WITH_OTHER_ROWS: &[&str] = &["connect", "accept", "accept4", "kill"];

/// Records a container for each of `commands`, whose arguments $1 and $2 are `flood`. With `slow`, the recorder is slowed
/// down.
fn count<const N: usize>(
    commands: [(Option<&str>, &str); N],
    rings: &[(&str, &str)],
    flood: [&str; 2],
    slow: bool,
) -> Vec<Counted> {
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
    // Other processes of the machine are not recorded and fill no ring.
    let names = containers.each_ref().map(|(container, _)| container.name());
    let excluded = if slow { WITH_OTHER_ROWS } else { &[] };
    let (names, calls) = (names.join(","), excluded.join(","));
    let mut args = vec!["--container", &names];
    if slow {
        args.extend(["--exclude-event", &calls]);
    }
    let recorder = Recorder::start_with("run.parquet", &args, rings);
    let mut containers = containers.map(|(container, script)| {
        container.start(&["sh", "-c", &script, "sh", flood[0], flood[1]])
    });
    let cgroups = containers.each_mut().map(|c| {
        assert_eq!(c.line(), "up");
        Cgroup::of(c)
    });
    containers.iter_mut().for_each(|c| c.write("go"));
    let ended = if slow {
        recorder.slowed_down(|| containers.map(Running::finish))
    } else {
        containers.map(Running::finish)
    };
    let recording = recorder.stop();
    let happened = counter.stop(&cgroups, excluded);
    let each = happened.into_iter().zip(&ended).map(|(happened, c)| {
        assert_eq!(c.code, 0, "{}", c.stdout);
        let (recorded, lost) = recorded(&recording, &c.name);
        Counted {
            happened,
            recorded,
            lost,
        }
    });
    each.collect()
}

fn total(counts: &Counts) -> i64 {
    counts.values().sum()
}

#[test]
fn every_event_is_recorded() {
    let counted = count(COMMANDS, &[], ["40000", "7000"], false);
    for container in &counted {
        container.check_recorded();
    }
    for class in Class::ALL {
        let has_class = |c: &Counted| c.happened.events.contains_key(class.as_str());
        assert!(
            counted.iter().any(has_class),
            "no call of the class {class:?}"
        );
    }
}

/// Other kernels lack what the rings of CPUs and the slots of threads need.
#[test]
fn every_event_is_recorded_without_rings_of_cpus_and_slots() {
    let variables = [("CTRACE_NO_CPU_RINGS", "1"), ("CTRACE_NO_SLOTS", "1")];
    for container in count(COMMANDS, &variables, ["4000", "700"], false) {
        container.check_recorded();
    }
}

/// Checks 700 threads that live at the same time, several of which share a slot with another thread.
#[test]
fn threads_that_share_a_slot_are_recorded() {
    let many = "for i in $(seq 700); do sleep 8 & done; wait";
    for container in count([(UNCONFINED, many)], &[], ["", ""], false) {
        container.check_recorded();
    }
}

#[test]
fn recorded_and_lost_events_are_all_events() {
    // Hardly any record fits the small ring, and the large one holds a moment of a flood.
    for ring in ["4096", "65536"] {
        let rings = [("CTRACE_RING_BYTES", ring)];
        let counted = count(COMMANDS, &rings, ["400000", "100000"], true);
        for container in &counted {
            container.check(&format!("rings of {ring} bytes"));
        }
        let flood = &counted[0];
        assert!(
            total(&flood.lost) > total(&flood.happened.events) / 2,
            "rings of {ring} bytes: {:?} of {:?}",
            flood.lost,
            flood.happened.events
        );
    }
}

/// A command with many calls of a few classes.
const FLOOD: &str = "calls getppid=200000 chdir=50000 sched_yield=50000";

/// The command of an ordinary container, which reads, writes, connects, runs programs and waits.
const QUIET: &str =
    "net; for i in $(seq 20); do cat /etc/motd | sort | uniq; ls -lR /etc; sleep 0.05; done";

#[test]
fn a_container_that_floods_loses_its_own_events_first() {
    let flood = COMMANDS[0].1;
    let commands = [flood, QUIET, QUIET, QUIET, QUIET].map(|command| (UNCONFINED, command));
    let rings = [("CTRACE_RING_BYTES", "2097152")];
    let counted = count(commands, &rings, ["800000", "200000"], true);
    for container in &counted {
        container.check("rings of 2 MiB");
    }
    let share = |c: &Counted| total(&c.lost) as f64 / total(&c.happened.events) as f64;
    let shares: Vec<f64> = counted.iter().map(share).collect();
    assert!(shares[0] > 0.05, "{shares:?} lost: the flood was too small");
    for other in &shares[1..] {
        assert!(*other < 0.01, "{shares:?} lost");
    }
}

#[test]
fn losses_are_counted_per_cpu() {
    require_root();
    // Each container stays on one CPU from before the recording.
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
    containers.iter_mut().for_each(|(_, c)| c.write("go"));
    let ended = recorder.slowed_down(|| containers.map(|(cpu, c)| (cpu, c.finish())));
    let recording = recorder.stop();
    let happened = counter.stop(&cgroups, &[]);
    for ((cpu, ended), happened) in ended.iter().zip(happened) {
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        let (recorded, lost) = recorded(&recording, &ended.name);
        assert!(total(&lost) > 10_000, "{lost:?}: the flood was too small");
        let counted = Counted {
            happened,
            recorded,
            lost,
        };
        counted.check(&format!("CPU {cpu}"));
        let sql = "select cpu, class, sum(lost) as n from gaps where container =";
        let sql = format!("{sql} '{}' group by cpu, class", ended.name);
        for row in recording.query(&sql) {
            assert_eq!(row["cpu"], *cpu, "{row}");
            let class = row["class"].as_str().unwrap();
            assert_eq!(row["n"], counted.lost[class], "{row}");
        }
    }
}

/// Returns how many programs with the arguments `argv` a container has executed and how many of these have ended, by the
/// recording.
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
    let rings = [("CTRACE_RING_BYTES", "262144")];
    let args = ["--container", container.name()];
    let recorder = Recorder::start_with("run.parquet", &args, &rings);
    let script = "calls getppid=600000 & for i in $(seq 30); do cat /etc/motd; wget http://127.0.0.1:1/; done; wait";
    let ended = recorder.slowed_down(|| container.run(&["sh", "-c", script]));
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    let recording = recorder.stop();
    let (_, lost) = recorded(&recording, &ended.name);
    assert!(total(&lost) > 100_000, "{lost:?}: the flood was too small");
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
    let (bomb, ended) = recorder.slowed_down(|| {
        let bomb = bomb.start(&["bounds", "forks", "6"]);
        let script = "for i in $(seq 40); do cat /etc/motd; done";
        let ended = other.run(&["sh", "-c", script]);
        (bomb.finish(), ended)
    });
    assert_eq!((bomb.code, ended.code), (0, 0), "{}", ended.stdout);
    let recording = recorder.stop();
    let (_, lost) = recorded(&recording, &bomb.name);
    assert!(lost["process"] > 100, "{lost:?}: the bomb was too small");
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
