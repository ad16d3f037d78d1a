//! A recorder that is killed at any time leaves a recording that opens and lacks a second at most. The recorder replays
//! an endless capture, which needs no privileges; `tests/privileged/killed.rs` has tests with the kernel's events.

use super::count;
use crate::support::capture::{Capture, EVENTS, ReplayingRecorder};
use crate::support::command::{run, succeeds};
use crate::support::programs::ctrace_query;
use crate::support::random::Random;
use crate::support::refusal::refused;
use crate::support::replay::{fixture, record_fixture, replay};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Returns each recording of a directory that has events, with three numbers: its events, its distinct values of `seq`,
/// and its greatest `seq` plus one.
fn sequence_numbers(dir: &Path) -> Vec<(PathBuf, [u64; 3])> {
    let sql =
        "select recording, count(*) as events, count(distinct seq) as numbers, max(seq) + 1 as end
        from events group by recording";
    let mut command = ctrace_query();
    command.arg("-r").arg(dir).args(["--format", "json", sql]);
    let rows: Vec<Value> = serde_json::from_str(&run(&mut command)).unwrap();
    let row = |row: &Value| {
        let numbers = ["events", "numbers", "end"].map(|key| row[key].as_u64().unwrap());
        (row["recording"].as_str().unwrap().into(), numbers)
    };
    rows.iter().map(row).collect()
}

/// The moments at which recorders are killed.
#[derive(Clone, Copy)]
struct Kills {
    kills: usize,
    /// The number of recorders that run at the same time.
    at_once: usize,
    /// The pause between rounds of the capture.
    pause: Duration,
    /// The longest time until a kill.
    longest: Duration,
}

/// Kills recorders at random moments. Returns for each kill the number of events by which its recording falls short of the
/// events that were fed a second before. Checks that each recording opens and has no hole.
fn kill(kills: Kills) -> Vec<i64> {
    let dir = tempfile::tempdir().unwrap();
    let capture = Arc::new(Capture::read());
    let workers: Vec<_> = (0..kills.at_once)
        .map(|worker| {
            let (capture, dir) = (capture.clone(), dir.path().to_path_buf());
            std::thread::spawn(move || kill_in_turn(kills, worker, &capture, &dir))
        })
        .collect();
    let workers = workers.into_iter().map(|worker| worker.join().unwrap());
    let fed: Vec<_> = workers.flatten().collect();
    let recordings = sequence_numbers(dir.path());
    assert!(
        recordings.len() > kills.kills / 10,
        "{} recordings have events",
        recordings.len()
    );
    for (path, [count, distinct, end]) in &recordings {
        assert!(
            count == distinct && count == end,
            "{path:?}: {count} events, {distinct} numbers, up to {end}"
        );
    }
    let short = |(path, rounds): &(PathBuf, u64)| {
        let found = recordings.iter().find(|(name, _)| name == path);
        (rounds * EVENTS) as i64 - found.map_or(0, |(_, [count, ..])| *count as i64)
    };
    fed.iter().map(short).collect()
}

/// Kills one recorder after the other. Returns what [`ReplayingRecorder::kill`] returns for each.
fn kill_in_turn(
    kills: Kills,
    worker: usize,
    capture: &Arc<Capture>,
    dir: &Path,
) -> Vec<(PathBuf, u64)> {
    let mut random = Random(worker as u64 + 1);
    let mut killed = vec![];
    for i in 0..kills.kills.div_ceil(kills.at_once) {
        let part = random.below(1 << 31) as f64 / (1u64 << 31) as f64;
        let recorder =
            ReplayingRecorder::start(capture, dir, &format!("{worker}-{i}"), kills.pause);
        std::thread::sleep(kills.longest.mul_f64(part));
        killed.push(recorder.kill());
    }
    killed
}

#[test]
fn no_kill_costs_more_than_a_second() {
    let short = kill(Kills {
        kills: 150,
        at_once: 5,
        pause: Duration::from_millis(100),
        longest: Duration::from_millis(2500),
    });
    assert!(short.iter().all(|short| *short <= 0), "{short:?}");
}

#[test]
fn a_recorder_killed_at_full_speed_leaves_no_hole() {
    kill(Kills {
        kills: 60,
        at_once: 2,
        pause: Duration::ZERO,
        longest: Duration::from_millis(2000),
    });
}

/// Makes a recording whose recorder was killed.
fn killed(dir: &TempDir) -> PathBuf {
    let capture = Arc::new(Capture::read());
    let recorder =
        ReplayingRecorder::start(&capture, dir.path(), "killed", Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(1500));
    recorder.kill().0
}

#[test]
fn recover_turns_an_unclosed_recording_into_a_plain_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed(&dir);
    let (events, message) = count(&path);
    assert!(
        events > EVENTS && message.contains("was not closed"),
        "{events}: {message}"
    );

    let copy = dir.path().join("copy.parquet");
    let recover = |args: &[&Path]| {
        let mut command = ctrace_query();
        succeeds(command.arg("recover").args(args)).stderr
    };
    let recovered = recover(&[&path, Path::new("--output"), &copy]);
    let recovered = String::from_utf8(recovered).unwrap();
    // `recover` does not advise to run `recover`.
    assert!(recovered.starts_with("recovered: "), "{recovered}");
    assert_eq!(count(&copy), (events, String::new()));
    assert_eq!(count(&path), (events, message));
    recover(&[&path]);
    assert_eq!(count(&path), (events, String::new()));
    assert!(!dir.path().join("killed.parquet.journal").exists());
    check_metadata(&path, events);

    let answers = |path: &Path| {
        let mut command = ctrace_query();
        let sql = "select * from events order by seq";
        run(command.arg("-r").arg(path).args(["--format", "csv", sql]))
    };
    let without_name = |path: &Path| answers(path).replace(path.to_str().unwrap(), "");
    assert_eq!(without_name(&path), without_name(&copy));
}

#[test]
fn recover_writes_through_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed(&dir);
    let link = dir.path().join("link.parquet");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let before = std::fs::read(&path).unwrap();
    let message = refused(ctrace_query().arg("recover").arg(&link));
    assert!(message.contains("cannot write"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn recover_removes_the_journal_of_a_segment_that_was_closed_but_not_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("segment.parquet");
    record_fixture(&closed, &[]);
    let open = dir.path().join("segment.parquet.open");
    std::fs::rename(&closed, &open).unwrap();
    let journal = dir.path().join("segment.parquet.open.journal");
    std::fs::write(&journal, "").unwrap();
    succeeds(ctrace_query().arg("recover").arg(&open));
    assert!(closed.exists() && !open.exists() && !journal.exists());
}

/// Checks that another Parquet reader finds the page index and the metadata.
fn check_metadata(path: &Path, events: u64) {
    let file = File::open(path).unwrap();
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader);
    assert_eq!(metadata.file_metadata().num_rows() as u64, events);
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| {
        pairs
            .iter()
            .find(|p| p.key == key)
            .and_then(|p| p.value.clone())
    };
    assert_eq!(value("ctrace.events"), Some(events.to_string()));
    for key in [
        "ctrace.schema",
        "ctrace.host",
        "ctrace.filters",
        "ctrace.start",
        "ctrace.end",
        "ctrace.lost",
    ] {
        assert!(value(key).is_some(), "{key}");
    }
}

#[test]
fn a_recording_is_read_while_it_is_written_and_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let capture = Arc::new(Capture::read());
    let recorder =
        ReplayingRecorder::start(&capture, dir.path(), "live", Duration::from_millis(20));
    let path = recorder.path.clone();
    let began = Instant::now();
    recorder.wait(50);
    let (first, message) = count(&path);
    assert!(message.contains("is still being written"), "{message}");
    let mut more = first;
    while more <= first {
        assert!(began.elapsed() < Duration::from_secs(60));
        more = count(&path).0;
    }
    for force in ["--force", "--quiet"] {
        let message = refused(replay(&fixture(), &path).arg(force));
        assert!(
            message.contains("is being written by another ctrace-rec"),
            "{message}"
        );
    }
    refused(ctrace_query().arg("recover").arg(&path));
    recorder.kill();
    assert!(count(&path).0 >= more);
}
