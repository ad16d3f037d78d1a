//! Kernel objects that are freed and reused for something else do not keep the old name.

use crate::support::image;
use crate::support::recorder::Recorder;
use crate::support::root::require_root;
use serde_json::json;
use std::process::Command;

#[test]
fn reused_ids_inodes_names_and_sockets_have_no_stale_name() {
    require_root();
    // Not in a container, because the test chooses process ids of the initial pid namespace.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let recorder = Recorder::start(&["--host", "--comm", "reuse"]);
    let output = Command::new(image::rootfs().join("bin/reuse"))
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let id = String::from_utf8(output.stdout).unwrap();
    let id = id.trim();
    let recording = recorder.stop();
    let here = dir.path().to_str().unwrap();

    let processes = recording.query(&format!(
        "select uid, max(path_arg) as path, max(exit_code) as code from events where pid = {id} and uid <> 0 group by 1 order by 1"
    ));
    let process = |id: i64, path: &str| json!({"uid": id, "path": path, "code": id});
    assert_eq!(
        processes,
        [
            process(11, "/proc/self/stat"),
            process(12, "/proc/self/status")
        ]
    );

    // The last two files have the same inode, and all files the same fd.
    let written = recording.query(&format!(
        "select path, count(*) as n from events where syscall = 'write' and path like '{here}/reuse.%' group by 1 order by 1"
    ));
    assert_eq!(written.len(), 2, "{written:?}");
    assert_eq!(
        written[0]["n"], written[1]["n"],
        "both files are written equally often"
    );

    let renamed = recording.query(&format!(
        "select syscall, path from events where syscall in ('pread64', 'pwrite64') and path like '{here}/%' order by seq"
    ));
    let at = |call: &str, path: &str| json!({"syscall": call, "path": format!("{here}/{path}")});
    assert_eq!(
        renamed,
        [
            at("pwrite64", "reuse.dir/file"),
            at("pread64", "reuse.renamed/file"),
            at("pwrite64", "reuse.dir/file")
        ]
    );

    let peers = recording.query(
        "select peer_path from events where syscall = 'sendto' and comm = 'reuse' and family = 'unix' order by seq",
    );
    let expected: Vec<_> = (0..20)
        .map(|i| json!({"peer_path": format!("{here}/reuse.{i}")}))
        .collect();
    assert_eq!(peers, expected);
}
