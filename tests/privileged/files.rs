//! Each row about a file has the path that the kernel used, however the file was reached.

use crate::support::containers::{Container, Runtime};
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use serde_json::Value;

/// Calls of the program `paths` with the directory /tmp/p: the names of the call, for the C library may choose between
/// several, the path as passed, the path as recorded, and the second path.
#[rustfmt::skip]
const CALLS: &[(&[&str], &str, &str, Option<&str>)] = &[
    (&["mkdir", "mkdirat"], "/tmp/p", "/tmp/p", None),
    (&["chdir"], "/tmp/p", "/tmp/p", None),
    (&["open", "openat"], "before", "/tmp/p/before", None),
    (&["open", "openat"], "dup", "/tmp/p/dup", None),
    (&["mkdir", "mkdirat"], "sub", "/tmp/p/sub", None),
    (&["open", "openat"], "sub", "/tmp/p/sub", None),
    (&["openat"], "../sub/./y", "/tmp/p/sub/y", None),
    (&["openat"], "link", "/tmp/p/sub/x", None),
    (&["openat2"], "x", "/tmp/p/sub/x", None),
    (&["creat", "openat"], "created", "/tmp/p/created", None),
    (&["openat"], "missing", "/tmp/p/sub/missing", None),
    (&["newfstatat", "fstatat64"], "x", "/tmp/p/sub/x", None),
    (&["fchmodat"], "x", "/tmp/p/sub/x", None),
    (&["renameat", "renameat2"], "y", "/tmp/p/sub/y", Some("/tmp/p/moved")),
    (&["link", "linkat"], "moved", "/tmp/p/moved", Some("/tmp/p/sub/linked")),
    (&["mkdir", "mkdirat"], "below", "/tmp/p/sub/below", None),
    (&["unlinkat"], "below", "/tmp/p/sub/below", None),
    (&["unlink", "unlinkat"], "moved", "/tmp/p/moved", None),
    (&["chdir"], "sub", "/tmp/p/sub", None),
    (&["unlink", "unlinkat"], "link", "/tmp/p/sub/link", None),
    (&["unlink", "unlinkat"], "created", "/tmp/p/created", None),
];

/// The length of each write and the path of its fd.
const WRITES: &[(i64, &str)] = &[
    (100, "/tmp/p/before"),
    (101, "/tmp/p/dup"),
    (102, "/tmp/p/dup"),
    (103, "/tmp/p/dup"),
    (104, "/tmp/p/passed"),
    (105, "/tmp/p/inherited"),
    (106, "/tmp/p/second"),
];

/// Records the program to its end, from its beginning or, if `late`, after it has opened a file.
fn recorded(runtime: Runtime, late: bool) -> (Recording, String) {
    require_root();
    let early = (!late).then(|| Recorder::start(&[]));
    let mut container = Container::new(runtime, "paths").start(&["paths", "/tmp/p"]);
    assert_eq!(container.line(), "ready");
    let recorder = early.unwrap_or_else(|| Recorder::start(&[]));
    container.write("go");
    let ended = container.finish();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"));
    (recorder.stop(), ended.name)
}

fn check_writes(recording: &Recording, container: &str) {
    for (length, path) in WRITES {
        let rows = recording.query(&format!(
            "select path, inode, dev, bytes from events where container = '{container}' and syscall = 'write' and ret = {length}"
        ));
        assert_eq!(rows.len(), 1, "write of {length}: {rows:?}");
        assert_eq!(
            (&rows[0]["path"], &rows[0]["bytes"]),
            (&(*path).into(), &(*length).into()),
            "write of {length}"
        );
        assert!(
            rows[0]["inode"].is_i64() && rows[0]["dev"].is_string(),
            "{rows:?}"
        );
    }
    // A deleted file keeps its former path.
    let rows = recording
        .query(&format!("select path from events where container = '{container}' and syscall = 'write' and ret = 107"));
    assert!(
        rows.len() == 1
            && rows[0]["path"]
                .as_str()
                .is_some_and(|p| p.starts_with("/tmp/p/gone")),
        "{rows:?}"
    );
}

fn check_calls(recording: &Recording, container: &str) {
    let rows = recording.query(&format!(
        "select syscall, path_arg, path, path2, error from events where container = '{container}' and comm in ('paths', 'exe') \
         and path_arg is not null order by time, seq"
    ));
    for (syscalls, arg, path, path2) in CALLS {
        let here: Vec<&Value> = rows
            .iter()
            .filter(|r| r["path_arg"] == *arg && syscalls.iter().any(|s| r["syscall"] == *s))
            .collect();
        let found = here
            .iter()
            .any(|r| r["path"] == *path && path2.is_none_or(|p| r["path2"] == p));
        assert!(
            found,
            "{syscalls:?} of `{arg}` has not the paths {path}, {path2:?}: {here:#?}"
        );
    }
}

#[test]
fn every_way_to_a_file_in_docker() {
    let (recording, container) = recorded(Runtime::Docker, false);
    check_writes(&recording, &container);
    check_calls(&recording, &container);
}

#[test]
fn every_way_to_a_file_in_runc() {
    let (recording, container) = recorded(Runtime::Runc, false);
    check_writes(&recording, &container);
    check_calls(&recording, &container);
}

#[test]
fn a_file_that_was_open_before_in_podman() {
    let (recording, container) = recorded(Runtime::Podman, true);
    check_writes(&recording, &container);
}

#[test]
fn a_file_that_was_open_before_in_runc() {
    let (recording, container) = recorded(Runtime::Runc, true);
    check_writes(&recording, &container);
}

#[test]
fn the_same_inode_has_the_same_identity_in_every_row() {
    let (recording, container) = recorded(Runtime::Runc, false);
    let rows = recording.query(&format!(
        "select count(distinct dev || ' ' || cast(inode as varchar)) as n, count(*) as calls from events \
         where container = '{container}' and path = '/tmp/p/dup' and inode is not null"
    ));
    assert_eq!(rows[0]["n"], 1, "{rows:?}");
    assert!(rows[0]["calls"].as_i64().unwrap() >= 4, "{rows:?}");
}
