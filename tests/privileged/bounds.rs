//! The recorder stays within `--memory` under every load, and counts the events that it does not record.

use crate::support::containers::{Container, Runtime, unique};
use crate::support::recorder::{MEMORY, Recorder, Recording};
use crate::support::root::require_root;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Records `--event CALLS` and the ends of processes while `bounds ARGS` runs in a container. Returns how many calls and how
/// many ends of processes the program reports, and the recording, in which all of these are recorded or counted as lost.
fn run(container: Container, calls: &str, args: &[&str], flags: &[&str]) -> ([i64; 2], Recording) {
    let only = [
        "--container",
        container.name(),
        "--event",
        calls,
        "--comm",
        "bounds",
    ];
    let recorder = Recorder::start(&[&only, flags].concat());
    let ended = container.run(&[&["bounds"], args].concat());
    assert_eq!(ended.code, 0);
    let mut numbers = ended.stdout.split_whitespace().map(|n| n.parse().unwrap());
    let reported = [numbers.next().unwrap(), numbers.next().unwrap()];
    let recording = recorder.stop_within(MEMORY);
    let counted = recording
        .count("select count(*) from events where kind in ('syscall', 'process')")
        + recording.count("select coalesce(sum(lost), 0) from gaps");
    assert_eq!(counted, reported[0] + reported[1]);
    (reported, recording)
}

#[test]
fn a_million_paths() {
    require_root();
    let container = Container::new(Runtime::Runc, "paths");
    let ([calls, _], recording) = run(container, "access", &["paths", "1000000"], &[]);
    assert_eq!(calls, 1_000_000);
    let paths = recording.count("select count(distinct path_arg) from events");
    assert!(paths > 100_000, "{paths}");
}

#[test]
fn a_hundred_thousand_fds() {
    require_root();
    let container = Container::new(Runtime::Runc, "fds");
    let ([calls, _], _) = run(container, "openat,socket", &["fds", "6", "17000"], &[]);
    assert_eq!(calls, 102_000);
}

#[test]
fn a_fork_bomb() {
    require_root();
    let container = Container::new(Runtime::Docker, "bomb").option("--pids-limit=200");
    let ([calls, ends], _) = run(container, "clone", &["forks", "2"], &[]);
    assert!(ends > 100 && calls > 1000, "{ends} {calls}");
}

/// Runs the loads of the other tests in four containers at the same time and records everything: once with the smallest
/// `--memory`, and once with the default.
#[test]
fn all_loads_at_once() {
    require_root();
    for max_bytes in [80_000_000, MEMORY] {
        let stem = unique("once");
        let (own, memory) = (format!("{stem}-*"), format!("{}MB", max_bytes / 1_000_000));
        let recorder = Recorder::start(&["--container", &own, "--memory", &memory]);
        std::thread::scope(|scope| {
            let loads: [&[&str]; 4] = [
                &["paths", "2000000"],
                &["fds", "6", "17000"],
                &["forks", "2"],
                &["mix", "3"],
            ];
            for load in loads {
                let name = format!("{stem}-{}", load[0]);
                scope.spawn(move || {
                    let container = Container::new(Runtime::Docker, &name);
                    let ran = container
                        .option("--pids-limit=200")
                        .run(&[&["bounds"], load].concat());
                    assert_eq!(ran.code, 0);
                });
            }
        });
        let recording = recorder.stop_within(max_bytes);
        let containers = "select count(distinct container) from events where kind = 'syscall'";
        assert_eq!(recording.count(containers), 4);
    }
}

#[test]
fn events_above_max_cpu_are_dropped_and_counted() {
    require_root();
    let container = Container::new(Runtime::Runc, "shed");
    let name = container.name().to_owned();
    let calls = "clock_gettime,pread64,access,clone";
    let (_, recording) = run(container, calls, &["mix", "6"], &["--max-cpu", "1%"]);
    let lost = |what: &str| {
        recording.count(&format!(
            "select coalesce(sum(lost), 0) from gaps where reason = 'max-cpu' and container = '{name}' and {what}"
        ))
    };
    assert!(lost("class = 'time'") > lost("class = 'file'"));
    assert!(lost("class = 'file'") > 0);
    assert_eq!(
        lost("class not in ('time', 'file')"),
        0,
        "classes that must not be dropped"
    );
    let shed = recording.query("select value from meta where key = 'ctrace.shed'");
    let shed: serde_json::Value = serde_json::from_str(shed[0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(shed["time"].as_i64().unwrap(), lost("class = 'time'"));
    assert!(
        recording
            .stderr
            .contains("events were lost to keep within --max-cpu")
    );
}

/// A cgroup named like those of Docker, which is removed when this value is dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(id: &str) -> Cgroup {
        let pids = Path::new("/sys/fs/cgroup/pids");
        let root = if pids.exists() {
            pids
        } else {
            Path::new("/sys/fs/cgroup")
        };
        let path = root.join("docker").join(id);
        fs::create_dir_all(&path).unwrap();
        Cgroup(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_thousand_containers_that_come_and_go() {
    require_root();
    const CONTAINERS: usize = 1000;
    let stem = format!(
        "{:0>8x}",
        unique("x")
            .bytes()
            .fold(0u32, |h, b| h.wrapping_mul(31) + u32::from(b))
    );
    let recorder = Recorder::start(&["--container", &stem, "--set", "fs,proc"]);
    for i in 0..CONTAINERS {
        let cgroup = Cgroup::new(&format!("{stem}{i:056x}"));
        let procs = cgroup.0.join("cgroup.procs");
        let mut cat = Command::new("cat");
        // Cargo adds directories to the search path of libraries, and each of them would add dozens of failed calls.
        cat.env_remove("LD_LIBRARY_PATH");
        // SAFETY: between fork and exec only a file is opened and written.
        unsafe { cat.pre_exec(move || fs::write(&procs, "0")) };
        let ran = cat.arg("/etc/hostname").output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    let recording = recorder.stop_within(MEMORY);
    for what in [
        "kind = 'container' and action = 'started'",
        "kind = 'container' and action = 'stopped'",
        "action = 'exit' and comm = 'cat'",
        "syscall = 'execve' and argv like 'cat %'",
    ] {
        let sql = format!("select count(distinct container_id) from events where {what}");
        assert_eq!(recording.count(&sql), CONTAINERS as i64, "{what}");
    }
    assert_eq!(
        recording.count("select coalesce(sum(lost), 0) from gaps"),
        0
    );
}
