//! Files that containers share, as the view `links` finds them.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::story::{Story, footer};
use crate::support::transcript::{ctrace_query_in, transcript};

/// A recording of calls on files.
struct Files(Story);

impl Files {
    fn new() -> Files {
        let mut story = Story::default();
        footer(&mut story);
        Files(story)
    }

    fn add(&mut self, ms: i64, container: &str, syscall: &str, more: Value) -> &mut Files {
        let who = json!({ "container": container, "container_id": container, "pid": 1, "tid": 1, "comm": "app" });
        self.0
            .call(ms, &who, syscall, 0, json!({ "class": "file" }));
        for (column, value) in more.as_object().unwrap() {
            self.0.last(column, value.clone());
        }
        self
    }

    /// Adds a `read` or `write` of 5 bytes of an inode.
    fn used(
        &mut self,
        ms: i64,
        container: &str,
        syscall: &str,
        path: &str,
        inode: i64,
    ) -> &mut Files {
        let file = json!({ "ret": 5, "bytes": 5, "path": path, "dev": "0:31", "inode": inode });
        self.add(ms, container, syscall, file)
    }

    /// Returns `source,target,address` of each link.
    fn links(&self) -> Vec<String> {
        let dir = TempDir::new().unwrap();
        self.0.write(dir.path(), "run.parquet");
        let sql = "select source, target, address, bytes_sent from links order by 1, 2, 3";
        let args = ["-r", "run.parquet", "--format", "csv", sql];
        let answer = transcript(ctrace_query_in(dir.path()).args(args));
        assert!(answer.starts_with("exit code 0"), "{answer}");
        answer.lines().skip(3).map(str::to_owned).collect()
    }
}

#[test]
fn a_file_that_one_container_writes_and_the_other_reads_is_a_link() {
    let mut files = Files::new();
    files
        .used(0, "a", "write", "/data/x", 7)
        .used(1, "b", "read", "/mnt/y", 7)
        // Both paths of a reader are one link.
        .used(2, "b", "read", "/mnt/z", 7)
        // Deleted after the last use.
        .add(3, "a", "unlink", json!({ "path": "/data/x" }));
    assert_eq!(files.links(), ["a,b,/data/x,5"]);
}

#[test]
fn a_reused_inode_is_no_link() {
    // The path is deleted by its writer, or replaced, or deleted by the reader, before the other file has the inode.
    for (container, syscall, gone) in [
        ("a", "unlink", json!({ "path": "/run/a" })),
        ("a", "unlinkat", json!({ "path": "/run/a" })),
        (
            "a",
            "rename",
            json!({ "path": "/run/new", "path2": "/run/a" }),
        ),
        ("b", "unlink", json!({ "path": "/run/b" })),
    ] {
        let mut files = Files::new();
        files
            .used(0, "a", "write", "/run/a", 7)
            .add(1, container, syscall, gone)
            .used(2, "b", "read", "/run/b", 7);
        assert!(files.links().is_empty(), "{container} {syscall}");
    }
    // The same name in both containers: deleted between the write and the read.
    let mut files = Files::new();
    files
        .used(0, "a", "write", "/run/exec.fifo", 7)
        .add(1, "a", "unlink", json!({ "path": "/run/exec.fifo" }))
        .used(2, "b", "read", "/run/other/exec.fifo", 7);
    assert!(files.links().is_empty());
}

#[test]
fn other_changes_of_names_leave_a_link() {
    // A failed deletion, an exchange of names, and a file that is written under another name and renamed.
    let mut files = Files::new();
    files
        .used(0, "a", "write", "/data/x.tmp", 7)
        .add(
            1,
            "a",
            "unlink",
            json!({ "path": "/data/x.tmp", "ret": -1, "error": "EACCES" }),
        )
        .add(
            1,
            "a",
            "renameat2",
            json!({ "path": "/data/y", "path2": "/data/x.tmp", "flags": 2 }),
        )
        .add(
            2,
            "a",
            "rename",
            json!({ "path": "/data/x.tmp", "path2": "/data/x" }),
        )
        .used(3, "b", "read", "/data/x", 7);
    assert_eq!(files.links(), ["a,b,/data/x.tmp,5"]);
    // A spool file that is deleted after each use has a link, although the name is used again.
    let mut files = Files::new();
    files
        .used(0, "a", "write", "/spool/1", 7)
        .used(1, "b", "read", "/in/1", 7)
        .add(2, "b", "unlink", json!({ "path": "/in/1" }))
        .used(3, "a", "write", "/spool/1", 7)
        .used(4, "b", "read", "/in/1", 7);
    assert_eq!(files.links(), ["a,b,/spool/1,10"]);
}

#[test]
fn the_files_of_runc_are_no_link() {
    let mut files = Files::new();
    let fifo = "/run/docker/runtime-runc/moby/1/exec.fifo";
    files.used(0, "a", "write", fifo, 7);
    files.0.last("comm", "runc:[2:INIT]");
    files.used(1, "b", "read", fifo, 7);
    assert!(files.links().is_empty());
}
