//! The rights that a recorder keeps: capabilities, `no_new_privs`, and the filter of its system calls.

use crate::support::containers::{Container, Runtime};
use crate::support::metrics::get;
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::{KillOnDrop, Recorder};
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use ctrace_common::confine::calls::AllowedCalls;
use ctrace_common::confine::files::{Enforced, FileRules};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

/// Numbers of capabilities in linux/capability.h.
const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const BPF: u32 = 39;

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// The name and the contents of `/proc/PID/task/TID/status` of each thread of a process, without threads that end meanwhile.
fn threads(pid: u32) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read = |task: std::io::Result<fs::DirEntry>| {
        let task = task.ok()?.path();
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let status = fs::read_to_string(task.join("status")).ok()?;
        Some((name.trim().to_string(), status))
    };
    tasks.filter_map(read).collect()
}

/// Returns the number in a line of a status.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

/// Waits until all threads of a recorder have the filter: the recorder says that it records before it confines itself.
fn wait_for_filter(pid: u32) {
    wait_for("the filter", || {
        let all = threads(pid);
        // SECCOMP_MODE_FILTER of linux/seccomp.h.
        let has_filter = |(_, status): &(String, String)| field(status, "Seccomp:") == 2;
        (!all.is_empty() && all.iter().all(has_filter)).then_some(())
    });
}

/// Checks that each thread of a recorder keeps only the rights for its work. Returns the names of the threads.
fn check_threads(pid: u32) -> Vec<String> {
    let threads = threads(pid);
    for (name, status) in &threads {
        let kept: &[u32] = match name.as_str() {
            "metrics" | "sync" | "names" => &[],
            "encoder" | "finish" => &[DAC_OVERRIDE],
            "runtimes" | "user-runtimes" => &[DAC_OVERRIDE, DAC_READ_SEARCH],
            // Kernels before 5.19 need CAP_BPF for maps that are open.
            _ if has_old_bpf() => &[DAC_OVERRIDE, DAC_READ_SEARCH, BPF],
            _ => &[DAC_OVERRIDE, DAC_READ_SEARCH],
        };
        let kept = kept.iter().fold(0, |all, bit| all | 1u64 << bit);
        for set in ["CapEff:", "CapPrm:"] {
            assert_eq!(field(status, set) & !kept, 0, "{name}: {status}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(status, set), 0, "{name}: {status}");
        }
        assert_eq!(field(status, "NoNewPrivs:"), 1, "{name}");
        // A filter: SECCOMP_MODE_FILTER of linux/seccomp.h.
        assert_eq!(field(status, "Seccomp:"), 2, "{name}");
    }
    threads.into_iter().map(|(name, _)| name).collect()
}

/// Returns whether this kernel is older than Linux 5.19.
fn has_old_bpf() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let numbers: Vec<u32> = release
        .split(['.', '-'])
        .map_while(|n| n.parse().ok())
        .collect();
    (numbers[0], numbers[1]) < (5, 19)
}

#[test]
fn the_recorder_keeps_the_rights_that_it_needs() {
    require_root();
    // A port below 1024 is bound before the right to do so is dropped.
    let recorder = Recorder::start(&["--metrics", "127.0.0.1:979"]);
    let (status, _) = get("127.0.0.1:979", "/metrics").unwrap();
    assert_eq!(status, 200);
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", recorder.pid())).unwrap();
    wait_for_filter(recorder.pid());
    let names = check_threads(recorder.pid());
    for name in ["metrics", "sync", "encoder", "runtimes", "user-runtimes"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    let limits = read("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(
        core.unwrap().split_whitespace().nth(4),
        Some("0"),
        "{limits}"
    );
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<&str> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
    // It works with these rights.
    Container::new(Runtime::Runc, "rights").run(&["cat", "/etc/hostname"]);
    let recording = recorder.stop();
    let sql = "select count(*) from events where path like '%/etc/hostname'";
    assert!(recording.count(sql) > 0);
}

#[test]
fn a_user_with_three_capabilities_records() {
    require_root();
    // A directory that the user can reach, with the program and the output.
    let dir = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = dir.path().join("ctrace-rec");
    fs::copy(ctrace_rec().get_program(), &program).unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    chown(&out, Some(NOBODY), Some(NOBODY)).unwrap();
    let capabilities = "-all,+bpf,+perfmon,+dac_read_search";
    let recorder = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(format!("--inh-caps={capabilities}"))
        .arg(format!("--ambient-caps={capabilities}"))
        .arg(format!("--bounding-set={capabilities}"))
        .arg(&program)
        .arg("--out")
        .arg(out.join("run.parquet"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = recorder.id();
    let mut recorder = KillOnDrop(recorder);
    wait_for_filter(pid);
    check_threads(pid);
    assert!(!is_traced_by(pid, NOBODY), "its own user can trace it");
    let ended = Container::new(Runtime::Docker, "three").run(&["cat", "/etc/hostname"]);
    assert_eq!(ended.code, 0);
    let process = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(recorder.0.wait().unwrap().code(), Some(0));
    // The name is in the state of the runtime, which belongs to root.
    let sql = format!(
        "select container, image, count(*) as calls from events where comm = 'cat' and container_id = '{}' \
         group by container, image",
        ended.id
    );
    let rows = query(&out.join("run.parquet"), &sql);
    assert_eq!(rows[0]["container"], ended.name, "{rows:?}");
    assert!(rows[0]["calls"].as_i64().unwrap() > 0, "{rows:?}");
}

/// Returns whether a user can attach strace(1) to a process.
fn is_traced_by(pid: u32, user: u32) -> bool {
    // timeout(1) ends strace, which then exits with 128 + 15.
    let status = Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .args([
            "--clear-groups",
            "--reset-env",
            "timeout",
            "--preserve-status",
            "1",
        ])
        .args([
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-p",
            &pid.to_string(),
        ])
        .stderr(Stdio::null())
        .status();
    match status.unwrap().code() {
        Some(0) | Some(143) => true,
        Some(1) => false,
        other => panic!("strace: {other:?}"),
    }
}

#[test]
fn root_traces_a_confined_recorder() {
    require_root();
    let recorder = Recorder::start(&[]);
    wait_for_filter(recorder.pid());
    assert!(is_traced_by(recorder.pid(), 0));
    assert_eq!(recorder.stop().code, 0);
}

/// Names the process that a test starts to be confined.
const CONFINED: &str = "CTRACE_TEST_CONFINED";

/// Returns the records of refused calls of a process in the log of the kernel or, if auditd takes them, in that of auditd.
fn refused_calls(pid: u32) -> Vec<String> {
    let kernel = Command::new("dmesg").output().unwrap().stdout;
    let kernel = String::from_utf8_lossy(&kernel).into_owned();
    let audit = fs::read_to_string("/var/log/audit/audit.log").unwrap_or_default();
    let is_refusal = |line: &&str| {
        (line.contains("type=1326") || line.contains("type=SECCOMP"))
            && line.contains(&format!(" pid={pid} "))
    };
    let lines = kernel.lines().chain(audit.lines()).filter(is_refusal);
    lines.map(String::from).collect()
}

#[test]
fn the_kernel_logs_what_a_filter_refuses() {
    require_root();
    if std::env::var_os(CONFINED).is_some() {
        AllowedCalls::default().confine().unwrap();
        // A C library tries clone3(2) first.
        std::thread::spawn(|| ()).join().unwrap();
        let changed = fs::set_permissions("/dev/null", fs::Permissions::from_mode(0o666));
        let refused = changed.is_err_and(|e| e.raw_os_error() == Some(libc::ENOSYS));
        std::process::exit(i32::from(!refused));
    }
    // The kernel logs a few records in a second, and not more.
    let records = wait_for("a record", || {
        let test = "rights::the_kernel_logs_what_a_filter_refuses";
        let mut confined = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(CONFINED, "1")
            .spawn()
            .unwrap();
        assert_eq!(confined.wait().unwrap().code(), Some(0));
        let records = refused_calls(confined.id());
        (!records.is_empty()).then_some(records)
    });
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    // The answer of the filter: SECCOMP_RET_ERRNO of linux/seccomp.h.
    assert!(record.contains("code=0x5"), "{record}");
}

#[test]
fn rules_on_proc_stay_when_the_kernel_is_short_of_memory() {
    require_root();
    let steps = Arc::new(Barrier::new(2));
    let confined = std::thread::spawn({
        let steps = steps.clone();
        move || {
            let rules = FileRules {
                read: vec!["/proc/self".into()],
                ..FileRules::default()
            };
            assert_eq!(rules.confine().unwrap(), Enforced::Files);
            let before = fs::read("/proc/self/statm");
            steps.wait();
            steps.wait();
            (before.is_ok(), fs::read("/proc/self/statm").is_ok())
        }
    });
    steps.wait();
    // Forgets names and inodes that are not in use: Documentation/admin-guide/sysctl/vm.rst of the kernel.
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    steps.wait();
    assert_eq!(confined.join().unwrap(), (true, true));
}

#[test]
fn a_command_has_the_rights_of_the_shell() {
    require_root();
    let limit = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let is_right = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
        status
            .lines()
            .filter(is_right)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let dir = tempfile::tempdir().unwrap();
    let mut command = ctrace_rec();
    command
        .args(["--quiet", "--out"])
        .arg(dir.path().join("run.parquet"));
    let shell = "ulimit -n; grep -e ^Cap -e ^NoNewPrivs /proc/self/status";
    let output = command.args(["--", "sh", "-c", shell]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let own = Command::new("sh").args(["-c", shell]).output().unwrap();
    assert_eq!(stdout, String::from_utf8(own.stdout).unwrap());
    assert!(stdout.contains(&limit()), "{stdout}");
}

#[test]
fn a_recorder_with_a_command_is_confined_too() {
    require_root();
    let recorder = Recorder::start(&["--", "sleep", "1000"]);
    wait_for_filter(recorder.pid());
    check_threads(recorder.pid());
    // A signal ends the command, although no other process can be signalled.
    assert_eq!(recorder.stop().code, 128 + 15);
}
