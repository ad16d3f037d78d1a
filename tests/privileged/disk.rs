//! A disk that fills up and gets free space again: a small tmpfs.

use crate::support::command::{output, run};
use crate::support::containers::{Container, Runtime};
use crate::support::metrics;
use crate::support::programs::ctrace_rec;
use crate::support::recorder::{MEMORY, Recorder, Recording, number};
use crate::support::root::require_root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The part of [`MEMORY`] that holds events at least before any is dropped while the disk is full, in bytes.
const WAITING: f64 = 6e6;

/// A file system that a file fills, except for a given number of bytes.
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
        // Lazily, because a failed test may have left files open there.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        assert!(self.dir.path().exists());
    }
}

/// Reads and writes `count` bytes one by one in a container whose name begins with `stem`. Returns the number of calls.
fn calls(stem: &str, count: i64) -> i64 {
    let dd = format!("dd if=/dev/zero of=/dev/null bs=1 count={count} 2>/dev/null");
    Container::new(Runtime::Runc, stem).run(&["sh", "-c", &dd]);
    2 * count
}

/// The recording of a disk that fills up.
struct Fill<'a> {
    /// The beginning of the containers' names.
    stem: &'a str,
    /// The name of the recording on the disk.
    out: &'a str,
    /// The number of bytes of [`calls`] of which a few rounds fill the disk.
    first: i64,
    flags: &'a [&'a str],
}

impl Fill<'_> {
    /// Records within [`MEMORY`] until the disk is full, and while `more`, which gets the address of the metrics, makes more
    /// calls and returns their number. Then frees the disk and records a little more. Checks that recorded and lost events
    /// are all events. Returns the recording, and the number of events that were lost for want of space.
    fn run(&self, more: impl FnOnce(&str) -> i64) -> (Recording, i64) {
        require_root();
        let disk = Disk::new(60_000_000, 400_000);
        let address = metrics::free_address();
        let own = format!("{}-*", self.stem);
        let mut flags = vec!["--event", "read,write,access", "--container", &own];
        flags.extend(["--metrics", &address]);
        flags.extend(self.flags);
        let recorder = Recorder::start_to(disk.path.join(self.out).to_str().unwrap(), &flags);
        let mut made = self.fill_up(&address);
        made += more(&address);
        let peak = recorder.peak_memory();
        assert!(peak < MEMORY, "{peak} bytes of memory with a full disk");
        fs::remove_file(disk.filler()).unwrap();
        metrics::wait_until(&address, |m| m["ctrace_disk_full"] == 0.0);
        made += calls(self.stem, 1000);
        let mut recording = recorder.stop_within(MEMORY);
        assert_eq!(recording.code, 0, "{}", recording.stderr);
        let stderr = &recording.stderr;
        assert!(
            stderr.contains("are kept in memory")
                && stderr.contains("the disk has free space again"),
            "{stderr}"
        );
        // A closed database is one file.
        assert!(!disk.path.join("run.sqlite-wal").exists());
        recording.path = self.copy(&disk, recording.beside("kept"));
        check(&recording, made);
        let reason = "select coalesce(sum(lost), 0) from gaps where reason = 'disk full'";
        let unwritten = recording.count(reason);
        (recording, unwritten)
    }

    /// Makes calls until the disk is full, for the size of compressed events is not known. Returns the number of calls.
    fn fill_up(&self, address: &str) -> i64 {
        let mut made = 0;
        while metrics::wait_until(address, |_| true)["ctrace_disk_full"] != 1.0 {
            assert!(made < 200 * self.first, "the disk does not fill up");
            made += calls(self.stem, self.first);
            std::thread::sleep(Duration::from_secs(1));
        }
        made
    }

    /// Copies the recording from the disk, which is unmounted at the end, and returns the path of the copy.
    fn copy(&self, disk: &Disk, to: PathBuf) -> PathBuf {
        let ending = Path::new(self.out).extension();
        let to = ending.map_or(to.clone(), |ending| to.with_extension(ending));
        run(Command::new("cp")
            .arg("-r")
            .arg(disk.path.join(self.out))
            .arg(&to));
        to
    }
}

/// Checks that recorded and lost events are all `made` calls and a few more, that no `seq` occurs twice, and that the
/// metadata has the right number of events.
fn check(recording: &Recording, made: i64) {
    let recorded = recording.count("select count(*) from events where kind = 'syscall'");
    let lost = recording.count("select coalesce(sum(lost), 0) from gaps");
    let extra = recorded + lost - made;
    assert!(
        (0..2000).contains(&extra),
        "{recorded} recorded, {lost} lost, {extra} more than were made"
    );
    let twice = "select count(*) - count(distinct seq) from events";
    assert_eq!(recording.count(twice), 0);
    let events =
        recording.count("select sum(cast(value as bigint)) from meta where key = 'ctrace.events'");
    assert_eq!(events, recording.count("select count(*) from events"));
}

#[test]
fn a_file_is_continued_when_the_disk_has_space() {
    let fill = Fill {
        stem: "file",
        out: "run.parquet",
        first: 100_000,
        flags: &[],
    };
    let (recording, lost) = fill.run(|_| calls("file", 300_000));
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn segments_are_continued_when_the_disk_has_space() {
    let fill = Fill {
        stem: "segments",
        out: "out/",
        first: 100_000,
        flags: &["--rotate", "1s"],
    };
    let (recording, lost) = fill.run(|_| calls("segments", 50_000));
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn a_database_is_continued_when_the_disk_has_space() {
    let fill = Fill {
        stem: "database",
        out: "run.sqlite",
        first: 20_000,
        flags: &[],
    };
    let (recording, lost) = fill.run(|_| calls("database", 20_000));
    assert_eq!(lost, 0, "{}", recording.stderr);
}

#[test]
fn a_flood_beside_a_full_disk_is_counted() {
    const PATHS: i64 = 400_000;
    let flood = || {
        let container = Container::new(Runtime::Runc, "flood");
        container.run(&["bounds", "paths", &PATHS.to_string()]);
        PATHS
    };
    // Two floods more when little memory is left, because the last events may not be compressed yet.
    let flood = |address: &str| {
        let mut made = 0;
        let waiting = || metrics::wait_until(address, |_| true)["ctrace_waiting_bytes"];
        while waiting() < WAITING * 0.9 {
            assert!(made < 40 * PATHS, "memory does not fill up");
            made += flood();
            std::thread::sleep(Duration::from_secs(1));
        }
        made + flood() + flood()
    };
    let fill = Fill {
        stem: "flood",
        out: "run.parquet",
        first: 100_000,
        flags: &[],
    };
    let (recording, lost) = fill.run(flood);
    assert!(lost > 0, "{}", recording.stderr);
}

#[test]
fn a_ring_is_kept_when_the_disk_has_no_space_for_its_dump() {
    require_root();
    let disk = Disk::new(30_000_000, 100_000);
    let path = disk.path.join("run.parquet");
    let only = &["--event", "read,write", "--container", "ringed-*"][..];
    let ring = &["--ring", "1h,4MB", "--memory", "90MB", "--after", "0s"][..];
    let recorder = Recorder::start_to(path.to_str().unwrap(), &[only, ring].concat());
    let pid = recorder.pid().to_string();
    let dump = || output(ctrace_rec().args(["dump", "--quiet", "--pid", &pid]));
    // Evicted events are counted if an older event is still in the ring: this container has few events, which stay.
    let mut made = calls("ringed", 10);
    // More than twice what fills the ring, so that events are evicted even if a busy CPU loses many of them before.
    made += calls("ringed", 8_000_000);
    let refused = dump();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    fs::remove_file(disk.filler()).unwrap();
    made += calls("ringed", 1000);
    let dumped = dump();
    assert!(dumped.status.success(), "{dumped:?}");
    let path = PathBuf::from(String::from_utf8(dumped.stdout).unwrap().trim_end());
    let rows = "select count(*) from events where syscall in ('read', 'write')";
    let lost = number(&path, "select sum(lost) from gaps");
    let extra = number(&path, rows) + lost - made;
    assert!(
        (0..2000).contains(&extra),
        "{lost} lost, {extra} more than were made"
    );
    let evicted = "select sum(lost) from gaps where reason = 'evicted'";
    assert!(number(&path, evicted) > 0);
    recorder.stop_within(90_000_000);
}

#[test]
fn a_raw_capture_without_space_ends_and_the_recording_goes_on() {
    require_root();
    let disk = Disk::new(4_000_000, 100_000);
    let raw = disk.path.join("run.raw");
    let recorder = Recorder::start(&[
        "--event",
        "read,write,access",
        "--container",
        "rawfull-*",
        "--raw",
        raw.to_str().unwrap(),
    ]);
    let mut made = 0;
    while fs::metadata(&raw).unwrap().len() < 90_000 {
        made += calls("rawfull", 100_000);
    }
    made += calls("rawfull", 100_000);
    made += calls("rawfull", 100_000);
    let mut recording = recorder.stop();
    let code = std::mem::take(&mut recording.code);
    let stderr = &recording.stderr;
    assert!(
        stderr.contains("warning: the raw capture ends here, and the recording goes on"),
        "{stderr}"
    );
    assert_eq!(code, 2, "{stderr}");
    check(&recording, made);
}
