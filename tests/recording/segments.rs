//! Directories of segments: their names, and the segments that killed recorders leave.

use super::count;
use crate::support::capture::{Capture, ReplayingRecorder};
use crate::support::command::{run, succeeds};
use crate::support::programs::ctrace_query;
use crate::support::python::script;
use crate::support::refusal::refused;
use crate::support::replay::{ask, fixture, record_fixture, replay};
use crate::support::wait::wait_for;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Returns the sorted names of all files below a directory, without the lock and the manifest. Unfinished segments are hidden.
fn files(dir: &Path) -> Vec<String> {
    let mut find = Command::new("find");
    find.arg(dir).args(["-type", "f", "-not", "-name", ".lock"]);
    let found = run(find.args(["-not", "-name", "*manifest.jsonl*"]));
    let mut files: Vec<String> = found
        .lines()
        .map(|line| Path::new(line).strip_prefix(dir).unwrap())
        .map(|path| path.to_str().unwrap().to_string())
        .collect();
    files.sort();
    files
}

/// Starts a recorder of segments and waits until `done` accepts their names.
fn segments(
    dir: &Path,
    name: &str,
    flags: &[&str],
    done: impl Fn(&[String]) -> bool,
) -> ReplayingRecorder {
    let (capture, out) = (Arc::new(Capture::read()), dir.join("out/"));
    let pause = Duration::from_millis(50);
    let recorder = ReplayingRecorder::start_to(&capture, out.clone(), dir.join(name), pause, flags);
    wait_for("segments", || {
        (out.is_dir() && done(&files(&out))).then_some(())
    });
    recorder
}

fn finished(files: &[String]) -> usize {
    files.iter().filter(|f| f.ends_with(".parquet")).count()
}

/// Checks the names of segments, recovers those that are open, and checks that no event is lost. `warning` is the stderr of
/// a question about the directory.
fn recover_all(out: &Path, warning: &str) {
    let before = files(out);
    let (events, _) = count(out);
    for file in before.iter().filter(|file| !file.ends_with(".journal")) {
        let parts: Vec<&str> = file.split('/').collect();
        assert!(
            parts[0] == "node=node-1" && parts[1].starts_with("date=2"),
            "{file}"
        );
    }
    for file in before.iter().filter(|file| file.ends_with(".open")) {
        // A segment that is complete but not renamed yet needs no warning.
        assert!(
            warning.is_empty() || warning.contains(file.as_str()),
            "{warning}"
        );
        succeeds(ctrace_query().arg("recover").arg(out.join(file)));
    }
    assert_eq!(count(out), (events, String::new()));
    let after = files(out);
    // A recorder that is killed while it begins a segment leaves a file without an event, and a journal.
    let has_begun = |file: &&String| {
        let segment = file.trim_end_matches(".partial");
        let segment = segment.trim_end_matches(".journal").to_string();
        segment.ends_with(".parquet") || before.contains(&segment)
    };
    let begun = after.iter().filter(has_begun).count();
    assert_eq!(finished(&after), begun, "{before:?} {after:?}");
}

#[test]
fn a_directory_holds_segments_that_sort_by_time_and_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let open = |files: &[String]| files.iter().any(|f| f.ends_with(".parquet.open"));

    let flags = ["--rotate", "400ms"];
    let first = segments(dir.path(), "first", &flags, |files| {
        finished(files) >= 3 && open(files)
    });
    let message = refused(&mut replay(&fixture(), &out));
    assert!(
        message.contains("is being written by another ctrace-rec"),
        "{message}"
    );
    let (live, _) = count(&out);
    first.kill();
    let (events, warning) = count(&out);
    assert!(events >= live, "{events} of {live}");
    // The rows of one segment follow those of the segment before, without a hole.
    let sql =
        "select count(distinct seq) = count(*) and max(seq) + 1 = count(*) as whole from events";
    let mut command = ctrace_query();
    command.arg("-r").arg(&out).args(["--format", "tsv", sql]);
    assert_eq!(run(&mut command), "whole\ntrue\n");
    recover_all(&out, &warning);
    assert_eq!(count(&out).0, events);

    // After a restart the names sort after the earlier ones. `--keep` removes the oldest segments.
    let before = files(&out);
    let flags = ["--rotate", "1kB,300ms", "--keep", "150kB"];
    let third = segments(dir.path(), "third", &flags, |files| {
        finished(files) > 0 && !before.iter().any(|file| files.contains(file))
    });
    third.kill();
    let after = files(&out);
    // The name of the segment in progress begins with a dot.
    let mut finished = after.iter().filter(|file| file.ends_with(".parquet"));
    assert!(
        finished.all(|file| Some(file) > before.iter().max()),
        "{before:?} {after:?}"
    );
}

/// Makes a directory with a segment whose recorder was killed after it had written a row group and more. Returns the path
/// of the segment.
fn unfinished(dir: &TempDir) -> PathBuf {
    let capture = Arc::new(Capture::read().with_losses());
    let (out, fifo) = (dir.path().join("out/"), dir.path().join("fifo"));
    std::fs::create_dir(&out).unwrap();
    let recorder =
        ReplayingRecorder::start_to(&capture, out.clone(), fifo, Duration::from_millis(20), &[]);
    let begun = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 200_000);
    let open = wait_for("a segment", || {
        let segments = files(&out).into_iter().map(|file| out.join(file));
        segments
            .filter(|path| path.extension() == Some("open".as_ref()))
            .find(begun)
    });
    let journal = PathBuf::from(format!("{}.journal", open.display()));
    let bytes = || journal.metadata().unwrap().len();
    // Waits for rows that are in no row group yet.
    let before = bytes();
    wait_for("rows in the journal", || {
        (bytes() > 0 && bytes() != before).then_some(())
    });
    recorder.kill();
    open
}

/// Returns the counts of a recording, every twentieth row, and its metadata.
fn content(path: &Path) -> [String; 3] {
    let ask = |sql: &str| {
        let mut command = ctrace_query();
        command.arg("-r").arg(path).args(["--format", "csv", sql]);
        run(&mut command)
    };
    let meta = "select key, value from meta where key not in ('ctrace.missed', 'ctrace.clocks', 'ctrace.digest', 'ctrace.previous') order by key";
    [
        ask("select count(*), count(distinct seq), sum(lost) from events"),
        ask("select * exclude (recording) from events where seq % 20 = 0 order by seq"),
        ask(meta),
    ]
}

#[test]
fn the_next_recorder_finishes_the_segment_of_a_killed_one() {
    let dir = tempfile::tempdir().unwrap();
    let open = unfinished(&dir);
    let copy = dir.path().join("copy.parquet");
    let mut recover = ctrace_query();
    succeeds(recover.arg("recover").arg(&open).arg("--output").arg(&copy));
    // Recorders that are killed while they finish the segment change nothing.
    let capture = Arc::new(Capture::read());
    let (out, mut kills) = (dir.path().join("out/"), 0);
    while open.exists() && kills < 20 {
        let fifo = dir.path().join(format!("kill-{kills}"));
        let recorder =
            ReplayingRecorder::start_to(&capture, out.clone(), fifo, Duration::from_millis(5), &[]);
        std::thread::sleep(Duration::from_millis(20 + 10 * kills));
        recorder.kill();
        kills += 1;
    }
    record_fixture(&out, &[]);
    let finished = ctrace_format::names::finished(&open);
    let closed = |file: &String| file.ends_with(".parquet");
    assert!(files(&out).iter().all(closed), "{:?}", files(&out));

    let (actual, expected) = (content(&finished), content(&copy));
    assert_eq!(actual[0], expected[0]);
    assert!(actual[1] == expected[1], "rows differ");
    assert_eq!(actual[2], expected[2]);
    let meta = &actual[2];
    assert!(
        meta.contains("ctrace.lost") && meta.contains("file"),
        "{meta}"
    );
    // Another Parquet reader reads it.
    let file = File::open(&finished).unwrap();
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader);
    assert!(metadata.num_row_groups() > 1);
    assert_eq!(metadata.file_metadata().num_rows() as u64, count(&copy).0);
}

#[test]
fn unfinished_segments_are_finished_unless_locked_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    record_fixture(&out, &[]);
    let only = files(&out).remove(0);
    let day = out.join(only).parent().unwrap().to_path_buf();
    let path = |name: &str| day.join(name);
    let finished = day.read_dir().unwrap().next().unwrap().unwrap().path();
    // The recorder of the first was killed before it renamed the file, another recorder writes the second, and the third
    // is damaged. A recorder before format 1.3 was killed in the directory that it used.
    let old_day = PathBuf::from(day.to_str().unwrap().replace("/node=", "/host="));
    std::fs::create_dir_all(&old_day).unwrap();
    let old = |name: &str| old_day.join(name);
    std::fs::copy(&finished, path(".a.parquet.open")).unwrap();
    std::fs::copy(&finished, old("e.parquet.open")).unwrap();
    std::fs::copy(&finished, path(".b.parquet.open")).unwrap();
    std::fs::write(path(".c.parquet.open"), b"nothing of ours").unwrap();
    // A recorder was killed when it began this segment.
    std::fs::write(path(".d.parquet.open.partial"), b"").unwrap();
    std::fs::write(path(".d.parquet.open.journal"), b"").unwrap();
    let written = File::open(path(".b.parquet.open")).unwrap();
    written.lock().unwrap();
    let said = record_fixture(&out, &[]);
    assert!(path("a.parquet").exists() && !path(".a.parquet.open").exists());
    assert!(old("e.parquet").exists() && !old("e.parquet.open").exists());
    assert!(path(".b.parquet.open").exists() && !path(".c.parquet.open").exists());
    assert!(files(&out).iter().all(|file| !file.contains("d.parquet")));
    assert!(
        said.contains("a.parquet, left behind by a killed recorder: 3,975 events")
            && said.contains(".c.parquet.open: it has no complete block")
            && !said.contains("b.parquet"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(path(".c.parquet.open.damaged")).unwrap(),
        b"nothing of ours"
    );
    drop(written);
    assert!(record_fixture(&out, &[]).contains("b.parquet, left behind"));
}

/// Checks that other readers read a directory with a segment in progress as one table, with a column for the
/// directory's key.
#[test]
fn other_readers_take_the_directory_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let open = unfinished(&dir);
    let out = dir.path().join("out/");
    let lock = File::open(&open).unwrap();
    lock.lock().unwrap();
    record_fixture(&out, &[]);
    assert!(open.exists(), "{:?}", files(&out));
    let finished: Vec<_> = files(&out)
        .into_iter()
        .filter(|file| file.ends_with(".parquet"))
        .collect();
    let events: u64 = finished.iter().map(|file| count(&out.join(file)).0).sum();
    assert_eq!(
        run(script("readers.py").arg(&out)),
        format!("{events} rows of node-1: pandas, pyarrow, polars, duckdb, clickhouse\n")
    );
}

/// Records a capture into two segments or more: the second part arrives after the age of a segment.
fn in_two_parts(dir: &Path) -> PathBuf {
    let (out, fifo) = (dir.join("out/"), dir.join("fifo"));
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut command = replay(&fifo, &out);
    let recorder = command
        .args(["--quiet", "--rotate", "300ms"])
        .spawn()
        .unwrap();
    let mut pipe = File::options().write(true).open(&fifo).unwrap();
    for part in Capture::read().split(60) {
        pipe.write_all(&part).unwrap();
        std::thread::sleep(Duration::from_millis(900));
    }
    drop(pipe);
    assert!(recorder.wait_with_output().unwrap().status.success());
    out
}

/// Checks that each segment except the first begins with the rows about live containers and processes: deleting the
/// first segment loses no fact that the others need.
#[test]
fn each_segment_says_who_lives() {
    let dir = tempfile::tempdir().unwrap();
    let out = in_two_parts(dir.path());
    let names: Vec<PathBuf> = files(&out).iter().map(|file| out.join(file)).collect();
    let last = names.last().unwrap();
    assert!(names.len() > 1, "{names:?}");
    let containers = "select container, container_id, image, runtime from containers order by 1";
    let expected = ask(&out, containers);
    assert_eq!(expected.len(), 2);
    assert_eq!(ask(last, containers), expected);
    let server = "select argv from processes where argv like 'httpd %'";
    assert_eq!(ask(last, server), ["httpd -f -p 8080 -h /srv"]);
    let alive = "select cast(value as bigint) > 2 from meta where key = 'ctrace.alive'";
    assert_eq!(ask(last, alive), ["true"]);
    assert_eq!(ask(&names[0], alive), Vec::<String>::new());
    // The rollups of a segment are of its own rows, and answers have the others too.
    let counts = "select kind, count(*), min(time) from events group by 1 order by 1";
    for path in [last, &out] {
        let mut from_events = ctrace_query();
        from_events.arg("-r").arg(path);
        from_events.args(["--no-rollups", "--format", "csv", counts]);
        assert_eq!(ask(path, counts), run_lines(&mut from_events));
        let plan = ask(path, &format!("explain {counts}")).join("\n");
        assert!(plan.contains("rollup_"), "{plan}");
    }
    // Together they have each event once.
    let once = "select count(*), count(distinct seq), max(seq) from events";
    assert_eq!(ask(&out, once), ["3975,3975,3974"]);
    // Conversions keep the place of the rows.
    let copy = dir.path().join("copy.parquet");
    succeeds(ctrace_query().arg("convert").arg(last).arg(&copy));
    assert_eq!(ask(&copy, alive), ["true"]);
    assert_eq!(ask(&copy, counts), ask(last, counts));
    std::fs::remove_file(&names[0]).unwrap();
    assert_eq!(ask(&out, containers), expected);
    assert_eq!(ask(&out, server), ["httpd -f -p 8080 -h /srv"]);
    assert_eq!(
        ask(&out, "select count(*) = count(distinct seq) from events"),
        ["true"]
    );
}

/// Checks that a part of a recording has the facts about its containers and processes, whatever the filter leaves out.
#[test]
fn a_part_says_who_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (run, part) = (
        dir.path().join("run.parquet"),
        dir.path().join("part.parquet"),
    );
    record_fixture(&run, &[]);
    let half = "select to_timestamp_nanos(cast(avg(cast(time as bigint)) as bigint)) from events where kind = 'syscall'";
    let cut = format!(
        "select * from events where time > ({half}) and kind = 'syscall' and container is not null"
    );
    let mut command = ctrace_query();
    command.arg("-r").arg(&run).arg("--output").arg(&part);
    succeeds(command.args(["--format", "parquet", &cut]));
    let containers = "select distinct container, image, runtime from containers where container_id is not null order by 1";
    let of_part = ask(&part, containers);
    assert!(!of_part.is_empty());
    let of_run = ask(&run, containers);
    assert!(
        of_part.iter().all(|fact| of_run.contains(fact)),
        "{of_part:?} {of_run:?}"
    );
    let argv = "select pid, max(argv) from processes where argv is not null group by 1 order by 1";
    let (of_part, of_run) = (ask(&part, argv), ask(&run, argv));
    assert!(
        !of_part.is_empty() && of_part.iter().all(|fact| of_run.contains(fact)),
        "{of_part:?}"
    );
    // The metadata is that of the recording, with the origin of the part.
    let meta = |path: &Path| {
        ask(
            path,
            "select key, value from meta where key in ('ctrace.host', 'ctrace.boot_id', 'ctrace.kernel') order by 1",
        )
    };
    assert_eq!(meta(&part), meta(&run));
    let from = ask(&part, "select value from meta where key = 'ctrace.cut'");
    assert!(
        from[0].contains("run.parquet") && from[0].contains("select * from events"),
        "{from:?}"
    );
    // Beside its source it adds nothing.
    let count = |paths: &[&Path]| {
        let mut command = ctrace_query();
        for path in paths {
            command.arg("-r").arg(path);
        }
        run_lines(command.args([
            "--format",
            "csv",
            "select count(*), count(distinct seq) from events",
        ]))
    };
    assert_eq!(count(&[&run, &part]), ["3975,3975"]);
    assert_eq!(count(&[&part, &run]), ["3975,3975"]);
}

/// Returns the rows of an answer as CSV.
fn run_lines(command: &mut Command) -> Vec<String> {
    run(command).lines().skip(1).map(str::to_owned).collect()
}
