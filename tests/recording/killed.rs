//! A recorder that is killed at any instant leaves a recording that opens, and lacks a second at most. It replays a
//! capture that never ends, which needs no privileges; `tests/privileged/killed.rs` does it with the kernel.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

#[path = "common/capture.rs"]
mod capture;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use capture::{Capture, EVENTS, Recorder};
use serde_json::Value;
use tempfile::TempDir;

fn ctrace_query() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ctrace-query"))
}

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output
}

/// Number of events and of numbers of events, and the last number, of each recording of a directory that has events.
fn held(dir: &Path) -> Vec<(PathBuf, [u64; 3])> {
    let sql =
        "select recording, count(*) as events, count(distinct seq) as numbers, max(seq) + 1 as end
        from events group by recording";
    let mut command = ctrace_query();
    command.arg("-r").arg(dir).args(["--format", "json", sql]);
    let rows: Vec<Value> = serde_json::from_slice(&output(&mut command).stdout).unwrap();
    let row = |row: &Value| {
        let numbers = ["events", "numbers", "end"].map(|key| row[key].as_u64().unwrap());
        (row["recording"].as_str().unwrap().into(), numbers)
    };
    rows.iter().map(row).collect()
}

/// Kills `kills` recorders at random instants, `at_once` of them at a time, and returns by how much of what they had been
/// fed a second before each recording falls short, in events. Each opens, and has no hole.
fn kills(kills: usize, at_once: usize, pause: Duration, longest: Duration) -> Vec<i64> {
    let dir = tempfile::tempdir().unwrap();
    let capture = Arc::new(Capture::read());
    let mut fed = vec![];
    let workers: Vec<_> = (0..at_once)
        .map(|worker| {
            let (capture, dir) = (capture.clone(), dir.path().to_path_buf());
            std::thread::spawn(move || {
                let mut random = worker as u64 + 1;
                let mut killed = vec![];
                for i in 0..kills.div_ceil(at_once) {
                    // Knuth's MMIX generator.
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let name = format!("{worker}-{i}");
                    let recorder = Recorder::start(&capture, &dir, &name, pause);
                    std::thread::sleep(
                        longest.mul_f64((random >> 33) as f64 / (1u64 << 31) as f64),
                    );
                    killed.push(recorder.kill());
                }
                killed
            })
        })
        .collect();
    for worker in workers {
        fed.extend(worker.join().unwrap());
    }
    let held = held(dir.path());
    assert!(
        held.len() > kills / 10,
        "{} recordings have events",
        held.len()
    );
    for (path, [count, distinct, end]) in &held {
        assert!(
            count == distinct && count == end,
            "{path:?}: {count} events, {distinct} numbers, up to {end}"
        );
    }
    let short = |(path, rounds): &(PathBuf, u64)| {
        let held = held.iter().find(|(name, _)| name == path);
        (rounds * EVENTS) as i64 - held.map_or(0, |(_, [count, ..])| *count as i64)
    };
    fed.iter().map(short).collect()
}

#[test]
fn no_kill_costs_more_than_a_second() {
    let short = kills(
        150,
        5,
        Duration::from_millis(100),
        Duration::from_millis(2500),
    );
    assert!(short.iter().all(|short| *short <= 0), "{short:?}");
}

#[test]
fn a_recorder_that_is_killed_while_it_writes_as_fast_as_it_can_leaves_no_hole() {
    kills(60, 2, Duration::ZERO, Duration::from_millis(2000));
}

/// A recording in the directory that its recorder was killed of.
fn killed(dir: &TempDir) -> PathBuf {
    let capture = Arc::new(Capture::read());
    let recorder = Recorder::start(&capture, dir.path(), "killed", Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(1500));
    recorder.kill().0
}

fn count(path: &Path) -> (u64, String) {
    let mut command = ctrace_query();
    command
        .arg("-r")
        .arg(path)
        .args(["--format", "tsv", "select count(*) from events"]);
    let output = output(&mut command);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let number = stdout.lines().nth(1).unwrap().parse().unwrap();
    (number, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_was_not_closed_is_recovered_into_a_plain_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed(&dir);
    let (events, said) = count(&path);
    assert!(
        events > EVENTS && said.contains("was not closed"),
        "{events}: {said}"
    );

    let copy = dir.path().join("copy.parquet");
    let recover = |args: &[&Path]| {
        let mut command = ctrace_query();
        output(command.arg("recover").args(args)).stderr
    };
    let recovered = recover(&[&path, Path::new("--output"), &copy]);
    let recovered = String::from_utf8(recovered).unwrap();
    // It does not advise what it does.
    assert!(recovered.starts_with("recovered: "), "{recovered}");
    assert_eq!(count(&copy), (events, String::new()));
    assert_eq!(count(&path), (events, said));
    recover(&[&path]);
    assert_eq!(count(&path), (events, String::new()));
    assert!(!dir.path().join("killed.parquet.journal").exists());

    // Other programs read it, with the pages' index and the metadata.
    let reader =
        parquet::file::serialized_reader::SerializedFileReader::new(File::open(&path).unwrap())
            .unwrap();
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
    let answers = |path: &Path| {
        let mut command = ctrace_query();
        let sql = "select * from events order by seq";
        output(command.arg("-r").arg(path).args(["--format", "csv", sql])).stdout
    };
    let without_name = |path: &Path| {
        let text = String::from_utf8(answers(path)).unwrap();
        text.replace(path.to_str().unwrap(), "")
    };
    assert_eq!(without_name(&path), without_name(&copy));
}

#[test]
fn a_recording_is_read_while_it_is_written_and_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let capture = Arc::new(Capture::read());
    let recorder = Recorder::start(&capture, dir.path(), "live", Duration::from_millis(20));
    let path = recorder.path.clone();
    let began = Instant::now();
    recorder.wait(50);
    let (first, said) = count(&path);
    assert!(said.contains("is still being written"), "{said}");
    let mut more = first;
    while more <= first {
        assert!(began.elapsed() < Duration::from_secs(60));
        more = count(&path).0;
    }
    for force in ["--force", "--quiet"] {
        let second = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
            .args([force, "--from-raw"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw"))
            .arg("--out")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(2), "{said}");
        assert!(
            said.contains("is being written by another ctrace-rec"),
            "{said}"
        );
    }
    let mut recover = ctrace_query();
    let refused = recover.arg("recover").arg(&path).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    recorder.kill();
    assert!(count(&path).0 >= more);
}

/// The files of a directory and of all below it that are not hidden, by name.
fn files(dir: &Path) -> Vec<String> {
    let found = output(
        Command::new("find")
            .arg(dir)
            .args(["-type", "f", "-name", "[!.]*"]),
    );
    let found = String::from_utf8(found.stdout).unwrap();
    let mut files: Vec<String> = found
        .lines()
        .map(|line| Path::new(line).strip_prefix(dir).unwrap())
        .map(|path| path.to_str().unwrap().to_string())
        .collect();
    files.sort();
    files
}

/// Feeds a recorder of segments until `done`.
fn segments(dir: &Path, name: &str, flags: &[&str], done: impl Fn(&[String]) -> bool) -> Recorder {
    let (capture, out) = (Arc::new(Capture::read()), dir.join("out/"));
    let pause = Duration::from_millis(50);
    let recorder = Recorder::start_to(&capture, out.clone(), dir.join(name), pause, flags);
    let began = Instant::now();
    while !out.is_dir() || !done(&files(&out)) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            files(&out)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    recorder
}

#[test]
fn a_directory_holds_segments_that_sort_by_time_and_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let finished = |files: &[String]| files.iter().filter(|f| f.ends_with(".parquet")).count();
    let open = |files: &[String]| files.iter().any(|f| f.ends_with(".parquet.open"));

    let flags = ["--rotate", "400ms"];
    let first = segments(dir.path(), "first", &flags, |files| {
        finished(files) >= 3 && open(files)
    });
    let second = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"))
        .arg("--from-raw")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("is being written by another ctrace-rec"),
        "{said}"
    );
    let (live, _) = count(&out);
    first.kill();
    let (events, said) = count(&out);
    assert!(events >= live, "{events} of {live}");
    // Rows of one segment after the other, with no hole between them.
    let sql =
        "select count(distinct seq) = count(*) and max(seq) + 1 = count(*) as whole from events";
    let mut command = ctrace_query();
    command.arg("-r").arg(&out).args(["--format", "tsv", sql]);
    assert_eq!(
        String::from_utf8(output(&mut command).stdout).unwrap(),
        "whole\ntrue\n"
    );

    let before = files(&out);
    for file in before.iter().filter(|file| !file.ends_with(".journal")) {
        let parts: Vec<&str> = file.split('/').collect();
        assert!(
            parts[0] == "host=vm" && parts[1].starts_with("date=2"),
            "{file}"
        );
    }
    for file in before.iter().filter(|file| file.ends_with(".open")) {
        // One that was ended and not named yet needs no warning.
        assert!(said.is_empty() || said.contains(file.as_str()), "{said}");
        output(ctrace_query().arg("recover").arg(out.join(file)));
    }
    assert_eq!(count(&out), (events, String::new()));
    assert!(files(&out).iter().all(|file| file.ends_with(".parquet")));

    // After a restart names come after those of before; what is too much goes, the oldest first.
    let before = files(&out);
    let flags = ["--rotate", "1kB,300ms", "--keep", "150kB"];
    let third = segments(dir.path(), "third", &flags, |files| {
        finished(files) > 0 && !before.iter().any(|file| files.contains(file))
    });
    third.kill();
    let after = files(&out);
    assert!(
        after.iter().min() > before.iter().max(),
        "{before:?} {after:?}"
    );
}

/// A directory with a segment whose recorder was killed after it had written a row group and more: its file in it.
fn left(dir: &TempDir) -> PathBuf {
    let capture = Arc::new(Capture::read().with_losses());
    let (out, fifo) = (dir.path().join("out/"), dir.path().join("fifo"));
    std::fs::create_dir(&out).unwrap();
    let recorder = Recorder::start_to(&capture, out.clone(), fifo, Duration::from_millis(20), &[]);
    let begun = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 200_000);
    let open = wait_for(|| {
        let left = files(&out).into_iter().map(|file| out.join(file));
        left.filter(|path| path.extension() == Some("open".as_ref()))
            .find(begun)
    });
    let journal = PathBuf::from(format!("{}.journal", open.display()));
    let bytes = || journal.metadata().unwrap().len();
    // Rows that are in no row group yet.
    let before = bytes();
    wait_for(|| (bytes() > 0 && bytes() != before).then_some(()));
    recorder.kill();
    open
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Replays the fixture into a directory, and returns what the recorder says.
fn replay_into(out: &Path) -> String {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.raw");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrace-rec"));
    let command = command.arg("--from-raw").arg(fixture);
    String::from_utf8(output(command.arg("--out").arg(out)).stderr).unwrap()
}

/// How many rows a recording has, every twentieth of them, and what it says about them.
fn rows(path: &Path) -> [String; 3] {
    let ask = |sql: &str| {
        let mut command = ctrace_query();
        command.arg("-r").arg(path).args(["--format", "csv", sql]);
        String::from_utf8(output(&mut command).stdout).unwrap()
    };
    let meta = "select key, value from meta where key not in ('ctrace.missed', 'ctrace.clocks') order by key";
    [
        ask("select count(*), count(distinct seq), sum(lost) from events"),
        ask("select * exclude (recording) from events where seq % 20 = 0 order by seq"),
        ask(meta),
    ]
}

#[test]
fn the_next_recorder_finishes_what_one_that_was_killed_has_left() {
    let dir = tempfile::tempdir().unwrap();
    let open = left(&dir);
    let copy = dir.path().join("copy.parquet");
    let mut recover = ctrace_query();
    let recover = recover.arg("recover").arg(&open).arg("--output").arg(&copy);
    output(recover);
    // Recorders that are killed as they finish it change nothing.
    let capture = Arc::new(Capture::read());
    let (out, mut kills) = (dir.path().join("out/"), 0);
    while open.exists() && kills < 20 {
        let fifo = dir.path().join(format!("kill-{kills}"));
        let recorder =
            Recorder::start_to(&capture, out.clone(), fifo, Duration::from_millis(5), &[]);
        std::thread::sleep(Duration::from_millis(20 + 10 * kills));
        recorder.kill();
        kills += 1;
    }
    replay_into(&out);
    let finished = open.with_extension("");
    let closed = |file: &String| file.ends_with(".parquet");
    assert!(files(&out).iter().all(closed), "{:?}", files(&out));

    let (there, expected) = (rows(&finished), rows(&copy));
    assert_eq!(there[0], expected[0]);
    assert!(there[1] == expected[1], "rows differ");
    assert_eq!(there[2], expected[2]);
    let meta = &there[2];
    assert!(
        meta.contains("ctrace.lost") && meta.contains("file"),
        "{meta}"
    );
    // Any program reads it.
    let file = File::open(&finished).unwrap();
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader);
    assert!(metadata.num_row_groups() > 1);
    assert_eq!(metadata.file_metadata().num_rows() as u64, count(&copy).0);
}

#[test]
fn what_is_finished_has_its_name_and_what_somebody_writes_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    replay_into(&out);
    let only = files(&out).remove(0);
    let day = out.join(only).parent().unwrap().to_path_buf();
    let path = |name: &str| day.join(name);
    let finished = day.read_dir().unwrap().next().unwrap().unwrap().path();
    // Its recorder was killed between its end and its name; another one writes the second; the third is nothing.
    std::fs::copy(&finished, path("a.parquet.open")).unwrap();
    std::fs::copy(&finished, path("b.parquet.open")).unwrap();
    std::fs::write(path("c.parquet.open"), b"nothing of ours").unwrap();
    // A recorder was killed as it began this one.
    std::fs::write(path("d.parquet.open.partial"), b"").unwrap();
    std::fs::write(path("d.parquet.open.journal"), b"").unwrap();
    let written = File::open(path("b.parquet.open")).unwrap();
    written.lock().unwrap();
    let said = replay_into(&out);
    assert!(path("a.parquet").exists() && !path("a.parquet.open").exists());
    assert!(path("b.parquet.open").exists() && path("c.parquet.open").exists());
    assert!(files(&out).iter().all(|file| !file.contains("d.parquet")));
    assert!(
        said.contains("a.parquet, which a recorder that was killed has left: 3,113 events")
            && said.contains("c.parquet.open cannot be finished: nothing in it is whole")
            && !said.contains("b.parquet"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(path("c.parquet.open")).unwrap(),
        b"nothing of ours"
    );
    drop(written);
    assert!(replay_into(&out).contains("b.parquet, which"));
}
