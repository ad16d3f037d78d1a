//! Whatever containers do, the recorder keeps within `--memory`, and what it has not recorded it has counted.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::{Recorder, Recording};
use crate::common::{require_root, unique};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The default of --memory, bytes.
const BOUND: u64 = 128_000_000;

/// What `bounds ARGS` says that it did in a container: calls, and processes that ended; and the recording of `--event CALLS`
/// there and of the ends of processes, in which all of them are recorded or counted as lost.
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
    let mut said = ended.stdout.split_whitespace().map(|n| n.parse().unwrap());
    let did = [said.next().unwrap(), said.next().unwrap()];
    let recording = recorder.stop_within(BOUND);
    let whole = recording.count("select count(*) from events where kind in ('syscall', 'process')")
        + recording.count("select coalesce(sum(lost), 0) from gaps");
    assert_eq!(whole, did[0] + did[1]);
    (did, recording)
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

/// What each of the others does, in four containers at the same time, of which everything is recorded; once within
/// the least that --memory takes, and once within its default.
#[test]
fn all_of_it_at_once() {
    require_root();
    for bound in [80_000_000, BOUND] {
        let stem = unique("once");
        let (own, memory) = (format!("{stem}-*"), format!("{}MB", bound / 1_000_000));
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
        let recording = recorder.stop_within(bound);
        let containers = "select count(distinct container) from events where kind = 'syscall'";
        assert_eq!(recording.count(containers), 4);
    }
}

#[test]
fn what_costs_too_much_cpu_is_given_up_and_counted() {
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
        "processes are never given up"
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

/// A cgroup that has the form of one of Docker's, and is removed in the end.
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
        // SAFETY: between fork and exec a file is opened and written, and nothing else.
        unsafe { cat.pre_exec(move || fs::write(&procs, "0")) };
        let ran = cat.arg("/etc/hostname").output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    let recording = recorder.stop_within(BOUND);
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
