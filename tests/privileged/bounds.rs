//! Whatever containers do, the recorder keeps within `--memory`, and what it has not recorded it has counted.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::{Recorder, Recording};
use crate::common::{require_root, unique};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The default of --memory, bytes.
const BOUND: u64 = 128_000_000;

/// Ends the recorder; its memory at its highest, to the end, is within the bound.
fn stop_within_bound(recorder: Recorder) -> Recording {
    let status = format!("/proc/{}/status", recorder.pid());
    let highest = move || {
        let status = fs::read_to_string(&status).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let before = highest().unwrap();
    let watch = std::thread::spawn(move || {
        let mut most = before;
        while let Some(now) = highest() {
            most = most.max(now);
            std::thread::sleep(Duration::from_millis(2));
        }
        most * 1024
    });
    let recording = recorder.stop();
    let most = watch.join().unwrap();
    assert!(most < BOUND, "{most} bytes of memory");
    eprintln!("{} MB of memory at most", most / 1_000_000);
    recording
}

/// What `bounds ARGS` says that it did in a container: calls, and processes that ended; and what is recorded of `--event
/// CALLS` there and of the ends of processes, and what is counted as lost.
fn run(container: Container, calls: &str, args: &[&str]) -> ([i64; 2], [i64; 3]) {
    let flags = [
        "--container",
        container.name(),
        "--event",
        calls,
        "--comm",
        "bounds",
    ];
    let recorder = Recorder::start(&flags);
    let ended = container.run(&[&["bounds"], args].concat());
    assert_eq!(ended.code, 0);
    let mut said = ended.stdout.split_whitespace().map(|n| n.parse().unwrap());
    let did = [said.next().unwrap(), said.next().unwrap()];
    let recording = stop_within_bound(recorder);
    let recorded = [
        "select count(*) from events where kind = 'syscall'",
        "select count(*) from events where action = 'exit'",
        "select coalesce(sum(lost), 0) from gaps",
    ]
    .map(|sql| recording.count(sql));
    (did, recorded)
}

#[test]
fn a_million_paths() {
    require_root();
    let container = Container::new(Runtime::Runc, "paths");
    let ([calls, ends], [recorded, ended, lost]) = run(container, "access", &["paths", "1000000"]);
    assert_eq!((calls, ends), (1_000_000, 1));
    assert_eq!(recorded + ended + lost, calls + ends);
    assert!(recorded > 100_000, "{recorded}");
}

#[test]
fn a_hundred_thousand_fds() {
    require_root();
    let container = Container::new(Runtime::Runc, "fds");
    let args = ["fds", "6", "17000"];
    let ([calls, _], [recorded, ended, lost]) = run(container, "openat,socket", &args);
    assert_eq!(calls, 102_000);
    // The program and its processes.
    assert_eq!(recorded + ended + lost, calls + 7);
}

#[test]
fn a_fork_bomb() {
    require_root();
    let container = Container::new(Runtime::Docker, "bomb").option("--pids-limit=200");
    let ([calls, ends], [recorded, ended, lost]) = run(container, "clone", &["forks", "2"]);
    assert!(ends > 100 && calls > 1000, "{ends} {calls}");
    assert_eq!(recorded + ended + lost, calls + ends);
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
    let recording = stop_within_bound(recorder);
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
