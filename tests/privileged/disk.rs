//! A disk that fills up and has room again, for real: on a small tmpfs.

use crate::common::containers::{Container, Runtime};
use crate::common::recorder::{Recorder, Recording, ctrace_rec, query};
use crate::common::{metrics, output, require_root, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The default of --memory, bytes.
const MEMORY: u64 = 128_000_000;
/// And how much of it waits at least before something is given up while the disk is full.
const WAITING: u64 = 6_000_000;

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

/// Reads and writes so many bytes one by one, in a container whose name begins so. Returns how many calls that is.
fn calls(stem: &str, count: u64) -> u64 {
    let dd = format!("dd if=/dev/zero of=/dev/null bs=1 count={count} 2>/dev/null");
    Container::new(Runtime::Runc, stem).run(&["sh", "-c", &dd]);
    2 * count
}

fn number(path: &Path, sql: &str) -> u64 {
    let row = query(path, sql).remove(0);
    row["n"].as_u64().unwrap_or_else(|| panic!("{sql}: {row}"))
}

/// Records within [`MEMORY`] to `out` on a disk that so many bytes of [`calls`]
/// fill up, a few times over; then `more`, which is told where the metrics are, makes the calls that it counts; then there is
/// room, and it goes on. Returns what was recorded and what was lost for want of room; all that was recorded and lost is all
/// that happened.
fn fill(
    stem: &str,
    out: &str,
    first: u64,
    more: impl FnOnce(&str) -> u64,
    flags: &[&str],
) -> (Recording, u64) {
    require_root();
    let disk = Disk::new(60_000_000, 400_000);
    let address = metrics::free_address();
    let own = format!("{stem}-*");
    let mut all = vec!["--event", "read,write,access", "--container", &own];
    all.extend(["--metrics", &address]);
    all.extend(flags);
    let recorder = Recorder::start_to(disk.path.join(out).to_str().unwrap(), &all);
    let is_full = || metrics::wait_for(&address, |_| true)["ctrace_disk_full"] == 1.0;
    let full = |wanted: f64| metrics::wait_for(&address, |m| m["ctrace_disk_full"] == wanted);
    // Files compress so well that nobody knows how many calls fill the disk.
    let mut made = 0;
    while !is_full() {
        assert!(made < 200 * first, "the disk does not fill up");
        made += calls(stem, first);
        std::thread::sleep(Duration::from_secs(1));
    }
    made += more(&address);
    let most = recorder.memory();
    assert!(most < MEMORY, "{most} bytes of memory beside a full disk");
    fs::remove_file(disk.filler()).unwrap();
    full(0.0);
    made += calls(stem, 1000);
    let recording = recorder.stop_within(MEMORY);
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
        "select count(*) as n from events where kind = 'syscall'",
    );
    let lost = number(&path, "select coalesce(sum(lost), 0) as n from gaps");
    let beside = (recorded + lost).checked_sub(made);
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
    let (recording, lost) = fill(
        "file",
        "run.parquet",
        100_000,
        |_| calls("file", 300_000),
        &[],
    );
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn segments_go_on_when_there_is_room() {
    let flags = ["--rotate", "1s"];
    let (recording, lost) = fill(
        "segments",
        "out/",
        100_000,
        |_| calls("segments", 50_000),
        &flags,
    );
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn a_database_goes_on_when_there_is_room() {
    let (recording, lost) = fill(
        "database",
        "run.sqlite",
        20_000,
        |_| calls("database", 20_000),
        &[],
    );
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn a_flood_beside_a_full_disk_is_counted() {
    const PATHS: u64 = 400_000;
    let flood = || {
        let container = Container::new(Runtime::Runc, "flood");
        container.run(&["bounds", "paths", &PATHS.to_string()]);
        PATHS
    };
    // Twice more where there is room for little more: what comes may not be compressed yet.
    let flood = |address: &str| {
        let mut made = 0;
        let waiting = || metrics::wait_for(address, |_| true)["ctrace_waiting_bytes"];
        while waiting() < WAITING as f64 * 0.9 {
            assert!(made < 40 * PATHS, "memory does not fill up");
            made += flood();
            std::thread::sleep(Duration::from_secs(1));
        }
        made + flood() + flood()
    };
    let (recording, lost) = fill("flood", "run.parquet", 100_000, flood, &[]);
    assert!(lost > 0, "{}", recording.stderr);
}

#[test]
fn a_ring_goes_on_where_its_dump_has_no_room() {
    require_root();
    let disk = Disk::new(30_000_000, 100_000);
    let path = disk.path.join("run.parquet");
    let only = &["--event", "read,write", "--container", "ringed-*"][..];
    let ring = &["--ring", "1h,4MB", "--memory", "90MB", "--after", "0s"][..];
    let recorder = Recorder::start_to(path.to_str().unwrap(), &[only, ring].concat());
    let pid = recorder.pid().to_string();
    let dump = || output(ctrace_rec().args(["dump", "--quiet", "--pid", &pid]));
    // What is evicted counts where something older is there: this is, for it is another's and little.
    let mut made = calls("ringed", 10);
    made += calls("ringed", 3_000_000);
    let refused = dump();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    fs::remove_file(disk.filler()).unwrap();
    made += calls("ringed", 1000);
    let dumped = dump();
    assert!(dumped.status.success(), "{dumped:?}");
    let path = PathBuf::from(String::from_utf8(dumped.stdout).unwrap().trim_end());
    let rows = "select count(*) as n from events where syscall in ('read', 'write')";
    let lost = number(&path, "select sum(lost) as n from gaps");
    let beside = (number(&path, rows) + lost).checked_sub(made);
    assert!(beside.is_some_and(|n| n < 2000), "{lost} lost, {beside:?}");
    let evicted = "select sum(lost) as n from gaps where reason = 'evicted'";
    assert!(number(&path, evicted) > 0);
    recorder.stop_within(90_000_000);
}
