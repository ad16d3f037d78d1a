//! Outputs that fail, are removed or are cut off while a recorder writes to them.

use crate::support::paused::{Ended, Paused, files_below};
use crate::support::replay::{ask, fixture, record_fixture, replay};
use std::fs::{self, File};
use std::path::PathBuf;

const COUNT: &str = "select count(*) from events";

#[test]
fn a_file_that_is_removed_is_written_again() {
    for name in ["run.parquet", "run.sqlite"] {
        for moved in [None, Some("moved"), Some("elsewhere/moved")] {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("out").join(name);
            fs::create_dir(dir.path().join("out")).unwrap();
            fs::create_dir(dir.path().join("elsewhere")).unwrap();
            let paused = Paused::recording(":", &out, &["--sync", "1ms"]);
            match moved {
                Some(to) => fs::rename(&out, dir.path().join(to)).unwrap(),
                None => fs::remove_file(&out).unwrap(),
            }
            let Ended {
                code,
                stderr,
                events,
            } = paused.resume();
            assert_eq!(code, Some(0), "{stderr}");
            assert!(stderr.contains("by another program"), "{stderr}");
            assert_eq!(ask(&out, COUNT), [events], "{name}, {moved:?}");
        }
    }
}

#[test]
fn a_name_that_another_file_has_taken_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.parquet");
    let paused = Paused::recording(":", &out, &[]);
    fs::remove_file(&out).unwrap();
    fs::write(&out, "precious").unwrap();
    let Ended {
        code,
        stderr,
        events,
    } = paused.resume();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    let is_recording =
        |path: &PathBuf| path.extension().is_some_and(|e| e == "parquet") && *path != out;
    let other = files_below(dir.path())
        .into_iter()
        .find(is_recording)
        .unwrap();
    assert!(stderr.contains(other.to_str().unwrap()), "{stderr}");
    assert_eq!(ask(&other, COUNT), [events]);
}

#[test]
fn a_file_that_is_truncated_is_told_and_fails() {
    for name in ["run.parquet", "run.sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join(name);
        let paused = Paused::recording(":", &out, &["--sync", "1ms"]);
        File::options()
            .write(true)
            .open(&out)
            .unwrap()
            .set_len(0)
            .unwrap();
        let Ended {
            code,
            stderr,
            events,
        } = paused.resume();
        // SQLite can have every event in its log still.
        if name == "run.parquet" || ask(&out, COUNT) != [events] {
            assert_eq!(code, Some(2), "{stderr}");
            assert!(stderr.contains("truncated by another program"), "{stderr}");
        }
    }
}

#[test]
fn a_segment_or_directory_that_is_removed_ends_nothing() {
    for whole_directory in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out/");
        let paused = Paused::recording(":", &out, &[]);
        match whole_directory {
            true => fs::remove_dir_all(&out).unwrap(),
            false => files_below(&out)
                .iter()
                .for_each(|file| fs::remove_file(file).unwrap()),
        }
        let Ended {
            code,
            stderr,
            events,
        } = paused.resume();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("removed by another program"), "{stderr}");
        assert_eq!(ask(&out, COUNT), [events]);
    }
}

#[test]
fn an_error_of_a_segment_ends_that_segment_only() {
    for fault in [
        "write:error=EIO:when=9",
        "write:error=ESTALE:when=20",
        "renameat2:error=EACCES:when=1",
        // The thread that syncs is another one for each segment, so each segment fails, also the last one.
        "fdatasync:error=EIO:when=1",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out/");
        // strace(1) lets system calls of the recorder fail.
        let shell = format!("set -- strace -f -qq -o /dev/null -e inject={fault} \"$@\"");
        let paused = Paused::recording(&shell, &out, &["--quiet", "--sync", "1ms"]);
        let Ended {
            code,
            stderr,
            events,
        } = paused.resume();
        let last_fails = fault.starts_with("fdatasync");
        assert_eq!(code == Some(0), !last_fails, "{fault}: {stderr}");
        assert!(
            stderr.contains("continues in the next segment"),
            "{fault}: {stderr}"
        );
        // The segment that failed is read as far as it was written, and the next one has the rest.
        assert_eq!(ask(&out, COUNT), [events], "{fault}: {stderr}");
    }
}

#[test]
fn the_segment_that_was_just_written_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    for _ in 0..2 {
        record_fixture(&out, &["--keep", "1KB"]);
        let files = files_below(&out);
        let segments = files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "parquet"));
        assert_eq!(segments.count(), 1);
    }
}

#[test]
fn a_damaged_segment_fails_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out/");
    record_fixture(&out, &[]);
    let segment = files_below(&out)
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "parquet"))
        .unwrap();
    let open = segment.with_file_name(".a.parquet.open");
    fs::write(&open, "no recording").unwrap();
    let said = record_fixture(&out, &[]);
    assert!(said.contains("cannot finish"), "{said}");
    let damaged = segment.with_file_name(".a.parquet.open.damaged");
    assert_eq!(fs::read(damaged).unwrap(), b"no recording");
    assert!(!open.exists());
    let said = record_fixture(&out, &[]);
    assert!(!said.contains("cannot finish"), "{said}");
}

#[test]
fn a_stderr_that_takes_nothing_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.parquet");
    let mut recorder = replay(&fixture(), &out);
    recorder.stderr(File::options().write(true).open("/dev/full").unwrap());
    assert!(recorder.status().unwrap().success());
    assert_eq!(ask(&out, COUNT), ["3975"]);
}

#[test]
fn a_trigger_that_does_not_end_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let condition = "(with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n) > 0";
    let flags = ["--ring", "1m", "--trigger", condition];
    let said = record_fixture(&dir.path().join("run.parquet"), &flags);
    assert!(
        said.contains("the condition takes longer than 2 s"),
        "{said}"
    );
    assert!(said.contains("replayed 3975 events"), "{said}");
}
