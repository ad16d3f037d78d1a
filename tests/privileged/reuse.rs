//! What the kernel has freed and uses again for something else has no old name.

use crate::common::image;
use crate::common::recorder::Recorder;
use crate::common::require_root;
use serde_json::json;
use std::process::Command;

#[test]
fn ids_inodes_names_and_sockets_that_are_used_again_have_no_old_name() {
    require_root();
    // In no container, for the id of a process in the machine's first namespace is to be chosen.
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

    // The last two files have one inode, and all of them one fd.
    let written = recording.query(&format!(
        "select path, count(*) as n from events where syscall = 'write' and path like '{here}/reuse.%' group by 1 order by 1"
    ));
    assert_eq!(written.len(), 2, "{written:?}");
    assert_eq!(
        written[0]["n"], written[1]["n"],
        "as many of the one as of the other"
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
        .map(|i| json!({"peer_path": format!("reuse.{i}")}))
        .collect();
    assert_eq!(peers, expected);
}
