//! The limits of `docs/limits.md`: events that a recording does not show, or shows in a special way, the order of rows, and
//! memory.

use crate::support::containers::{Container, Ended, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A recording of the program `limits`.
struct Limits {
    recording: Recording,
    container: Ended,
}

/// Records one of the tasks of the program.
fn limits(task: &str) -> Limits {
    require_root();
    let container =
        Container::new(Runtime::Docker, "limits").option("--security-opt=seccomp=unconfined");
    let recorder = Recorder::start(&["--container", container.name()]);
    let container = container.run(&["limits", task]);
    let recording = recorder.stop();
    assert_eq!(container.code, 0, "{}", container.stdout);
    Limits {
        recording,
        container,
    }
}

impl Limits {
    /// Returns columns of the program's rows, in order. Rows of runc, which is also called `exe` for a while, are left out.
    fn rows(&self, select: &str, condition: &str) -> Vec<Value> {
        self.recording.query(&format!(
            "select {select} from events where container = '{}' and comm in ('limits', 'exe', 'true') \
             and coalesce(exe, '') not like '%/runc' and {condition} order by time, seq",
            self.container.name
        ))
    }

    fn count(&self, condition: &str) -> usize {
        self.rows("seq", condition).len()
    }

    /// Returns a count of `ctrace.missed`, which is JSON in the footer of the file.
    fn missed(&self, what: &str) -> i64 {
        let bytes = fs::read(&self.recording.path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (_, after) = text.rsplit_once("ctrace.missed").unwrap();
        let json = &after[after.find('{').unwrap()..=after.find('}').unwrap()];
        let counts: Value = serde_json::from_str(json).unwrap();
        counts[what].as_i64().unwrap_or(0)
    }
}

#[test]
fn the_vdso_answers_without_a_call() {
    let calls = limits("vdso").count("syscall = 'clock_gettime'");
    assert_eq!(calls, 1, "calls for 1,001 reads of the clock");
}

#[test]
fn memory_of_a_file_is_written_without_a_call() {
    let limits = limits("mapped");
    assert_eq!(limits.count("path = '/tmp/mapped' and syscall = 'mmap'"), 1);
    assert_eq!(
        limits.count("path = '/tmp/mapped' and syscall like '%write%'"),
        0
    );
}

#[test]
fn a_new_call_has_its_number_for_a_name() {
    let limits = limits("unknown");
    let rows = limits.rows("syscall, class, error", "error = 'ENOSYS'");
    let row = |name: &str| json!({"syscall": name, "class": "other", "error": "ENOSYS"});
    assert_eq!(
        rows,
        [row("syscall_500"), row("syscall_unknown")],
        "a number that no call can have is recorded too"
    );
}

#[test]
fn a_call_on_a_path_records_the_path_as_passed() {
    let rows = limits("dots").rows("path, inode", "syscall in ('unlink', 'unlinkat')");
    assert_eq!(rows, [json!({"path": "/tmp/a/link/../b/gone"})]);
}

#[test]
fn a_path_that_another_thread_has_changed_is_null() {
    let rows = limits("changed").rows("path, path_arg", "syscall = 'truncate'");
    let leased = "/tmp/leased";
    assert_eq!(
        rows,
        [
            json!({"path_arg": leased}),
            json!({"path": leased, "path_arg": leased})
        ]
    );
}

#[test]
fn a_chdir_in_a_thread_starts_from_the_previous_directory() {
    let rows = limits("threads_directory").rows("path", "path_arg = 'below' and syscall = 'chdir'");
    assert_eq!(rows, [json!({"path": "/tmp/below"})]);
}

#[test]
fn a_deleted_file_has_the_path_that_it_had() {
    let rows = limits("deleted").rows("path", "syscall = 'write' and ret = 7");
    assert_eq!(rows, [json!({"path": "/tmp/deleted"})]);
}

#[test]
fn a_path_in_a_chroot_starts_at_the_root_of_the_container() {
    let rows = limits("in_chroot").rows("path, path_arg", "path_arg = '/inside'");
    assert_eq!(
        rows,
        [json!({"path": "/tmp/jail/inside", "path_arg": "/inside"})]
    );
}

#[test]
fn a_path_of_more_than_256_components_lacks_the_first_ones() {
    let limits = limits("deep");
    let rows = limits.rows("path", "syscall = 'write' and ret = 7");
    let path = rows[0]["path"].as_str().unwrap();
    assert!(
        path.ends_with("/d/d/file") && !path.contains("deep"),
        "{path}"
    );
    assert!((250..=256).contains(&path.matches('/').count()), "{path}");
    assert!(limits.missed("path_depth") > 0);
}

#[test]
fn arguments_beyond_16_kib_are_cut() {
    let limits = limits("arguments");
    let rows = limits.rows(
        "argv",
        "syscall = 'execve' and ret = 0 and argv like 'limits nothing%'",
    );
    let length = rows[0]["argv"].as_str().unwrap().len();
    assert_eq!(length, 16384);
    assert!(limits.missed("argv") > 0);
}

#[test]
fn the_ends_of_a_socketpair_have_no_peer() {
    let rows = limits("pair").rows(
        "family, path, peer_path, peer_addr",
        "syscall = 'write' and ret = 7",
    );
    assert_eq!(rows, [json!({"family": "unix"})]);
}

#[test]
fn a_packet_socket_has_no_addresses() {
    let rows = limits("packet").rows("family, local_addr, peer_addr", "syscall = 'socket'");
    assert_eq!(rows, [json!({"family": "packet"})]);
}

#[test]
fn a_connect_that_does_not_wait_has_the_error_in_progress() {
    let rows = limits("nonblocking").rows("error, peer_port", "syscall = 'connect'");
    assert_eq!(rows, [json!({"error": "EINPROGRESS", "peer_port": 7})]);
}

#[test]
fn a_signal_and_the_end_of_a_thread_are_seen_as_calls_only() {
    let limits = limits("signals_and_threads");
    assert_eq!(limits.count("syscall = 'kill'"), 1);
    assert_eq!(limits.count("syscall in ('clone', 'clone3')"), 1);
    assert_eq!(limits.count("syscall = 'exit'"), 1, "the end of the thread");
    assert_eq!(
        limits.rows("kind, action", "kind <> 'syscall'"),
        [json!({"kind": "process", "action": "exit"})]
    );
}

#[test]
fn memory_that_is_not_resident_is_read_at_the_return() {
    let limits = limits("not_resident");
    for (path, calls) in [
        ("/etc/passwd", "('open', 'openat')"),
        ("/etc/group", "('stat', 'newfstatat')"),
        ("/etc/motd", "('access', 'faccessat')"),
        ("/etc/nowhere", "('unlink', 'unlinkat')"),
        ("/bin/true", "('execve')"),
    ] {
        let here = format!("syscall in {calls} and path_arg = '{path}'");
        assert_eq!(limits.count(&here), 1, "{here}");
    }
    assert_eq!(
        limits.rows(
            "syscall, path, path_arg, ret, error, comm, tid, fd, flags, dev",
            "path_arg = ''"
        ),
        Vec::<Value>::new()
    );
    // Memory that is not mapped is counted, and the columns are null.
    assert_eq!(
        limits.rows(
            "path, path_arg",
            "error = 'EFAULT' and syscall in ('open', 'openat')"
        ),
        [json!({})]
    );
    assert!(limits.missed("user_memory") > 0);
}

#[test]
fn a_path_read_at_the_return_starts_from_the_directory_at_the_entry() {
    let limits = limits("late_base");
    let rows = limits.rows(
        "syscall, path",
        "syscall in ('chdir', 'chroot') and path_arg in ('sub', '/tmp/base')",
    );
    assert_eq!(
        rows,
        [
            json!({"syscall": "chdir", "path": "/tmp/base"}),
            json!({"syscall": "chroot", "path": "/tmp/base"}),
            json!({"syscall": "chdir", "path": "/tmp/base/sub"}),
        ]
    );
    // The kernel's copy of the path of a program starts with the directory fd.
    let rows = limits.recording.query(&format!(
        "select path_arg, path from events where container = '{}' and syscall = 'execveat' and argv = 'true' \
         order by time, seq",
        limits.container.name
    ));
    let row = |path_arg: &str| json!({"path_arg": path_arg, "path": "/bin/busybox"});
    assert_eq!(rows, [row("true"), row("")]);
}

#[test]
fn threads_that_wait_for_each_other_are_in_their_order() {
    let limits = limits("token");
    let rows = limits.rows("tid", "syscall = 'write' and ret = 1 and tid <> pid");
    assert_eq!(rows.len(), 1000);
    let switches = rows
        .windows(2)
        .filter(|pair| pair[0]["tid"] != pair[1]["tid"]);
    assert_eq!(switches.count(), 999);
}

/// Checks that `module::test` in a page names a test of `tests/`.
#[test]
fn every_test_that_the_pages_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = [
        ("SECURITY.md", 25),
        ("docs/limits.md", 11),
        ("docs/recording.md", 3),
        ("docs/service.md", 3),
    ];
    for (page, least) in pages {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let code = text.split('`').skip(1).step_by(2);
        let mut tests = 0;
        for (module, test) in code.filter_map(|code| code.split_once("::")) {
            let files = ["privileged", "recording", "kernels", "query", "."]
                .map(|binary| root.join("tests").join(binary).join(module));
            let exists = files.iter().any(|file| {
                fs::read_to_string(file.with_extension("rs"))
                    .is_ok_and(|source| source.contains(&format!("#[test]\nfn {test}() {{")))
            });
            assert!(exists, "{page}: {module}::{test}");
            tests += 1;
        }
        assert!(tests >= least, "{page} names {tests} tests only");
    }
}
