//! A disk that fills up and has room again, for real: on a small tmpfs.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::{Recorder, Recording, query};
use crate::common::{metrics, require_root, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A file system of its own, all but a part of which a file fills.
struct Disk {
    dir: TempDir,
    path: PathBuf,
}

impl Disk {
    fn new(bytes: u64, free: u64) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::create_dir(&path).unwrap();
        let size = format!("size={bytes}");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path));
        let disk = Disk { dir, path };
        let filler = (bytes - free).to_string();
        run(Command::new("fallocate")
            .args(["-l", &filler])
            .arg(disk.filler()));
        disk
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever a test that failed has left open there.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        assert!(self.dir.path().exists());
    }
}

/// Reads and writes so many bytes one by one, in a container whose name begins so.
fn calls(stem: &str, count: u64) {
    let dd = format!("dd if=/dev/zero of=/dev/null bs=1 count={count} 2>/dev/null");
    Container::new(Runtime::Runc, stem).run(&["sh", "-c", &dd]);
}

fn number(path: &Path, sql: &str) -> u64 {
    let row = query(path, sql).remove(0);
    row["n"].as_u64().unwrap_or_else(|| panic!("{sql}: {row}"))
}

/// Records to `out` on a disk that the first of these numbers of calls fills up and on which the second finds it full, makes room,
/// and goes on. Returns what was recorded and what was lost; together they are all that happened.
fn fill(stem: &str, out: &str, calls_made: [u64; 2], flags: &[&str]) -> (Recording, u64) {
    let [first, more] = calls_made;
    require_root();
    let disk = Disk::new(60_000_000, 400_000);
    let address = metrics::free_address();
    let own = format!("{stem}-*");
    let mut all = vec![
        "--event",
        "read,write",
        "--container",
        &own,
        "--memory",
        "68MB",
    ];
    all.extend(["--metrics", &address]);
    all.extend(flags);
    let recorder = Recorder::start_to(disk.path.join(out).to_str().unwrap(), &all);
    let is_full = || metrics::wait_for(&address, |_| true)["ctrace_disk_full"] == 1.0;
    let full = |wanted: f64| metrics::wait_for(&address, |m| m["ctrace_disk_full"] == wanted);
    // Files compress so well that nobody knows how many calls fill the disk.
    let mut made = 1000 + more;
    while !is_full() {
        assert!(made < 100 * first, "the disk does not fill up");
        calls(stem, first);
        made += first;
        std::thread::sleep(Duration::from_secs(1));
    }
    calls(stem, more);
    fs::remove_file(disk.filler()).unwrap();
    full(0.0);
    calls(stem, 1000);
    let recording = recorder.stop();
    assert_eq!(recording.code, 0, "{}", recording.stderr);
    let said = &recording.stderr;
    assert!(
        said.contains("goes on in memory") && said.contains("room on the disk again"),
        "{said}"
    );
    // A database that is closed is one file.
    assert!(!disk.path.join("run.sqlite-wal").exists());
    // What is left goes with the disk.
    let kept = recording.beside("kept");
    run(Command::new("cp")
        .arg("-r")
        .arg(disk.path.join(out))
        .arg(&kept));
    let ending = Path::new(out).extension().map(|e| e.to_str().unwrap());
    let path = ending.map_or(kept.clone(), |ending| kept.with_extension(ending));
    if path != kept {
        fs::rename(&kept, &path).unwrap();
    }

    let recorded = number(
        &path,
        "select count(*) as n from events where syscall in ('read', 'write')",
    );
    let lost = number(&path, "select coalesce(sum(lost), 0) as n from gaps");
    let beside = (recorded + lost).checked_sub(2 * made);
    assert!(
        beside.is_some_and(|n| n < 2000),
        "{recorded} recorded, {lost} lost, {beside:?}"
    );
    let whole = "select count(*) - count(distinct seq) as n from events";
    assert_eq!(number(&path, whole), 0);
    let told = number(
        &path,
        "select sum(cast(value as bigint)) as n from meta where key = 'ctrace.events'",
    );
    assert_eq!(told, number(&path, "select count(*) as n from events"));
    let mut recording = recording;
    recording.path = path;
    let reason = "select coalesce(sum(lost), 0) as n from gaps where reason = 'disk full'";
    let unwritten = number(&recording.path, reason);
    (recording, unwritten)
}

#[test]
fn a_file_goes_on_when_there_is_room() {
    let (recording, lost) = fill("file", "run.parquet", [100_000, 300_000], &[]);
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn segments_go_on_when_there_is_room() {
    let flags = ["--rotate", "1s"];
    let (recording, lost) = fill("segments", "out/", [100_000, 50_000], &flags);
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn a_database_goes_on_when_there_is_room() {
    let (recording, lost) = fill("database", "run.sqlite", [20_000, 20_000], &[]);
    assert_eq!(lost, 0, "{}", recording.stderr);
}
