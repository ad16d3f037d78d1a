//! Every call is one row: no call is missing, no call is there twice, and each row has the result.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use std::collections::BTreeMap;

/// The number of calls of each kind: primes, so that a wrong attribution changes the counts.
const COUNTS: [(&str, i64); 20] = [
    ("getppid", 1009),
    ("getuid", 503),
    ("geteuid", 101),
    ("getgid", 103),
    ("getegid", 107),
    ("getpgid", 109),
    ("getsid", 113),
    ("sched_yield", 127),
    ("umask", 131),
    ("times", 137),
    ("getpriority", 139),
    ("sched_getscheduler", 149),
    ("sysinfo", 151),
    ("getcwd", 157),
    ("faccessat", 163),
    ("chdir", 167),
    ("lseek", 173),
    ("flock", 179),
    ("capget", 181),
    ("getitimer", 191),
];

/// Records `program` in a container, and compares the counts of the recording with those that the program printed.
fn counted(runtime: Runtime, program: &str) -> (Recording, String) {
    require_root();
    let mut args = vec![program.to_owned()];
    args.extend(COUNTS.iter().map(|(name, count)| format!("{name}={count}")));
    let args: Vec<_> = args.iter().map(String::as_str).collect();

    let recorder = Recorder::start(&[]);
    let ended = Container::new(runtime, program).run(&args);
    let recording = recorder.stop();
    assert_eq!(ended.code, 0);
    let made: BTreeMap<String, i64> = ended
        .stdout
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect();
    assert_eq!(
        made,
        COUNTS.map(|(name, count)| (name.to_owned(), count)).into()
    );

    let names = COUNTS.map(|(name, _)| format!("'{name}'")).join(", ");
    // The child has the name of the link by which it was executed.
    let here = format!(
        "container = '{}' and kind = 'syscall' and comm in ('{program}', 'exe')",
        ended.name
    );
    let rows = recording.query(&format!(
        "select syscall, count(*) as n from events where {here} and syscall in ({names}) group by 1"
    ));
    let recorded: BTreeMap<String, i64> = rows
        .iter()
        .map(|row| {
            (
                row["syscall"].as_str().unwrap().to_owned(),
                row["n"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(recorded, made);
    (recording, here)
}

#[test]
fn every_call_is_counted_in_docker() {
    let (recording, here) = counted(Runtime::Docker, "calls");
    // Failed calls have their error.
    let failed = recording.query(&format!(
        "select syscall, error, count(*) as n from events where {here} and syscall in ('chdir', 'flock') group by 1, 2 order by 1"
    ));
    assert_eq!(
        failed,
        [
            serde_json::json!({"syscall": "chdir", "error": "ENOENT", "n": 167}),
            serde_json::json!({"syscall": "flock", "error": "EBADF", "n": 179}),
        ]
    );
    // The calls of a thread do not overlap.
    let overlaps = format!(
        "select count(*) from (select cast(time as bigint) as t, lag(cast(time as bigint) + duration) \
         over (partition by tid order by time, seq) as ended from events where {here}) where t < ended"
    );
    assert_eq!(recording.count(&overlaps), 0);
    assert_eq!(
        recording.count(&format!(
            "select count(*) from events where {here} and compat"
        )),
        0
    );
}

#[test]
fn every_call_is_counted_in_podman() {
    counted(Runtime::Podman, "calls");
}

#[test]
fn every_call_is_counted_in_runc() {
    counted(Runtime::Runc, "calls");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_caller_is_counted_and_marked() {
    let (recording, here) = counted(Runtime::Runc, "calls32");
    let compat = format!(
        "select count(*) from events where {here} and not compat and syscall not like 'exec%'"
    );
    assert_eq!(recording.count(&compat), 0);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn each_operation_of_ipc_is_a_call_of_its_own() {
    require_root();
    let recorder = Recorder::start(&["--set", "ipc"]);
    let ended = Container::new(Runtime::Runc, "ipc").run(&["ipc"]);
    assert_eq!(ended.code, 0);
    let rows = recorder.stop().query(&format!(
        "select syscall, arg1, arg2, arg3, arg4 from events where container = '{}' and comm = 'ipc' and compat and error is null \
         and regexp_like(syscall, '^(sem|msg|shm|ipc)') order by seq",
        ended.name
    ));
    let expected = [
        serde_json::json!({"syscall": "semget", "arg1": 3, "arg2": 0o600}),
        serde_json::json!({"syscall": "semop", "arg2": 1}),
        serde_json::json!({"syscall": "semctl", "arg1": 0, "arg2": 0}),
        serde_json::json!({"syscall": "msgget", "arg1": 0o600}),
        serde_json::json!({"syscall": "msgsnd", "arg2": 7, "arg3": 0o4000}),
        serde_json::json!({"syscall": "msgrcv", "arg2": 8, "arg3": 5, "arg4": 0o4000}),
        serde_json::json!({"syscall": "msgsnd", "arg2": 7, "arg3": 0o4000}),
        serde_json::json!({"syscall": "msgrcv", "arg2": 8, "arg3": 6, "arg4": 0o4000}),
        serde_json::json!({"syscall": "msgctl", "arg1": 0}),
        serde_json::json!({"syscall": "shmget", "arg1": 4096, "arg2": 0o600}),
        serde_json::json!({"syscall": "shmat", "arg2": 0}),
        serde_json::json!({"syscall": "shmdt"}),
        serde_json::json!({"syscall": "shmctl", "arg1": 0}),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_call_that_seccomp_refused_is_denied() {
    require_root();
    let profile = tempfile::NamedTempFile::new().unwrap();
    let rule = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    });
    std::fs::write(profile.path(), rule.to_string()).unwrap();
    for runtime in [Runtime::Docker, Runtime::Podman] {
        let recorder = Recorder::start(&[]);
        let ended = Container::new(runtime, "refused")
            .option(format!(
                "--security-opt=seccomp={}",
                profile.path().display()
            ))
            .run(&["sh", "-c", "mkdir /tmp/new; rmdir /tmp/new"]);
        assert_ne!(ended.code, 0);
        let recording = recorder.stop();
        let rows = recording.query(&format!(
            "select syscall, ret, error, denied from events where container = '{}' and comm in ('mkdir', 'rmdir') \
             and syscall in ('mkdir', 'mkdirat', 'rmdir', 'unlinkat') order by time, seq",
            ended.name
        ));
        assert_eq!(rows.len(), 2, "{runtime:?}: {rows:?}");
        assert_eq!(
            (&rows[0]["error"], &rows[0]["denied"]),
            (&"ENOSYS".into(), &true.into()),
            "{runtime:?}"
        );
        // A refusal by the kernel itself is not marked as denied.
        assert_eq!(
            (&rows[1]["error"], &rows[1]["denied"]),
            (&"ENOENT".into(), &false.into()),
            "{runtime:?}"
        );
    }
}

#[test]
fn a_call_that_has_not_returned_is_recorded() {
    require_root();
    let mut container = Container::new(Runtime::Runc, "blocked").start(&["blocked"]);
    let early = Recorder::start(&[]);
    assert_eq!(container.line(), "ready");
    // The first recorder has seen the calls begin, the second has not.
    let late = Recorder::start(&[]);
    for (recorder, when) in [(early, "before"), (late, "after")] {
        let recording = recorder.stop();
        let rows = recording.query(&format!(
            "select syscall from events where container = '{}' and kind = 'syscall' and ret is null \
             and duration is null and comm in ('blocked', 'stopped') order by 1",
            container.name
        ));
        let mut calls: Vec<_> = rows.iter().filter_map(|r| r["syscall"].as_str()).collect();
        // The C library implements epoll_wait with either call.
        calls
            .iter_mut()
            .filter(|c| **c == "epoll_pwait")
            .for_each(|c| *c = "epoll_wait");
        assert_eq!(
            calls,
            ["accept4", "clock_nanosleep", "epoll_wait", "read", "wait4"],
            "a recorder that began {when} the calls"
        );
    }
    container.kill();
}

#[test]
fn two_recorders_see_the_same() {
    require_root();
    let (one, two) = (Recorder::start(&[]), Recorder::start(&[]));
    let ended =
        Container::new(Runtime::Runc, "twice").run(&["calls", "getppid=5003", "chdir=4001"]);
    let counts = [one.stop(), two.stop()].map(|recording| {
        recording.query(&format!(
            "select syscall, count(*) as n from events where container = '{}' and comm = 'exe' group by 1 order by 1",
            ended.name
        ))
    });
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0].len() > 2, "{:?}", counts[0]);
}

/// Checks that the kernel side sends a path again when the recorder has evicted it. A replay must evict paths at the
/// same points of the capture.
#[test]
fn a_replay_forgets_at_the_same_points_as_its_recorder() {
    require_root();
    let raw = tempfile::tempdir().unwrap();
    let file = raw.path().join("run.raw");
    let flags = ["--event", "openat,socket", "--raw"];
    let recorder = Recorder::start(&[&flags, &[file.to_str().unwrap()][..]].concat());
    let ended = Container::new(Runtime::Runc, "forgets").run(&["bounds", "fds", "4", "17000"]);
    let live = recorder.stop();
    let bytes = std::fs::read(&file).unwrap();
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let frames = zstd::decode_all(&bytes[line..]).unwrap();
    let forgets = |at: &[u8]| at.starts_with(br#"{"forget""#);
    assert!(frames.windows(16).any(forgets), "nothing was forgotten");
    let sql = format!(
        "select syscall, path, family, count(*) as n from events where container = '{}' group by 1, 2, 3 order by 1, 2, 3",
        ended.name
    );
    let rows = live.query(&sql);
    assert!(rows.len() > 1, "{rows:?}");
    for memory in ["80MB", "1GB"] {
        let again = live.beside(&format!("{memory}.parquet"));
        let mut replay = ctrace_rec();
        let replay = replay.args(["--memory", memory, "--from-raw"]);
        run(replay.arg(&file).arg("--out").arg(&again));
        assert_eq!(query(&again, &sql), rows, "{memory}");
    }
}

#[test]
fn a_replayed_capture_gives_the_same_rows() {
    require_root();
    let raw = tempfile::tempdir().unwrap();
    let file = raw.path().join("run.raw");
    let file = file.to_str().unwrap();
    let recorder = Recorder::start(&["--raw", file]);
    let ended =
        Container::new(Runtime::Docker, "raw").run(&["calls", "getppid=1009", "faccessat=503"]);
    let live = recorder.stop();
    let again = live.beside("again.parquet");
    run(ctrace_rec().args(["--from-raw", file, "--out"]).arg(&again));
    let sql = format!(
        "select kind, syscall, comm, path, error, count(*) as n from events where container_id = '{}' \
         group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5",
        ended.id
    );
    let rows = live.query(&sql);
    assert!(rows.len() > 10, "{rows:?}");
    assert_eq!(query(&again, &sql), rows);
}
