//! Files that are written: no recording is replaced without `--force`, and nothing is written through a link.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::{ask, recording};

/// The arguments that write an answer to `a.csv`.
const AS_CSV: &[&str] = &[
    "--format",
    "csv",
    "--output",
    "a.csv",
    "select pid from events",
];

#[test]
fn a_recording_is_replaced_only_with_force() {
    let dir = recording();
    let precious = dir.path().join("precious.parquet");
    fs::copy(dir.path().join("run.parquet"), &precious).unwrap();
    let before = fs::read(&precious).unwrap();
    // A recording that is damaged is not replaced either.
    fs::write(dir.path().join("half.parquet"), &before[..before.len() / 2]).unwrap();
    for args in [
        &["--output", "precious.parquet", "select 1"][..],
        &[
            "--output",
            "precious.parquet",
            "--format",
            "parquet",
            "select * from events",
        ],
        &["files", "--output", "precious.parquet"],
        &["report", "--output", "precious.parquet"],
        &["seccomp", "--output", "precious.parquet"],
        &["--output", "half.parquet", "select 1"],
    ] {
        let said = ask(dir.path(), args);
        assert!(
            said.starts_with("exit code 2\n--- stderr\nerror: "),
            "{args:?}\n{said}"
        );
        assert!(
            said.contains("is a recording: add --force"),
            "{args:?}\n{said}"
        );
        assert_eq!(fs::read(&precious).unwrap(), before, "{args:?}");
    }
    // Other files are replaced.
    for _ in 0..2 {
        let said = ask(
            dir.path(),
            &["--format", "csv", "--output", "answer.csv", "select 1"],
        );
        assert!(said.starts_with("exit code 0"), "{said}");
    }
    let said = ask(
        dir.path(),
        &["--force", "--output", "precious.parquet", "select 1"],
    );
    assert!(said.starts_with("exit code 0"), "{said}");
    assert_ne!(fs::read(&precious).unwrap(), before);
    // The recording that is read is never replaced.
    let said = ask(
        dir.path(),
        &[
            "--force",
            "--output",
            "run.parquet",
            "select pid from events",
        ],
    );
    assert!(said.contains("is the recording that is read"), "{said}");
}

#[test]
fn a_part_of_a_recording_has_its_permissions() {
    let dir = recording();
    let run = dir.path().join("run.parquet");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o600)).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
    for (name, args) in [
        ("a.csv", AS_CSV),
        (
            "a.parquet",
            &[
                "--format",
                "parquet",
                "--output",
                "a.parquet",
                "select * from events",
            ],
        ),
        ("a.html", &["report", "--output", "a.html"]),
        ("b.sqlite", &["convert", "run.parquet", "b.sqlite"]),
        ("b.parquet", &["convert", "b.sqlite", "b.parquet"]),
    ] {
        let said = ask(dir.path(), args);
        assert!(said.starts_with("exit code 0"), "{name}\n{said}");
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let dir = recording();
    let victim = dir.path().join("victim");
    for (name, args) in [
        ("a.csv", AS_CSV),
        ("b.sqlite", &["convert", "run.parquet", "b.sqlite"]),
        ("b.parquet", &["convert", "run.parquet", "b.parquet"]),
    ] {
        fs::write(&victim, "precious").unwrap();
        symlink("victim", dir.path().join(format!("{name}.partial"))).unwrap();
        let said = ask(dir.path(), args);
        assert!(said.starts_with("exit code 0"), "{name}\n{said}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
        let written = fs::symlink_metadata(dir.path().join(name)).unwrap();
        assert!(written.is_file(), "{name}");
    }
}

#[test]
fn recover_replaces_a_finished_segment_only_with_force() {
    let dir = recording();
    let path = |name: &str| dir.path().join(name);
    fs::copy(path("run.parquet"), path(".a.parquet.open")).unwrap();
    fs::write(path("a.parquet"), "precious").unwrap();
    let said = ask(dir.path(), &["recover", ".a.parquet.open"]);
    assert!(said.starts_with("exit code 2"), "{said}");
    assert!(said.contains("a.parquet exists: add --force"), "{said}");
    assert_eq!(fs::read(path("a.parquet")).unwrap(), b"precious");
    let said = ask(dir.path(), &["recover", "--force", ".a.parquet.open"]);
    assert!(said.starts_with("exit code 0"), "{said}");
    let [recovered, run] = ["a.parquet", "run.parquet"].map(|name| fs::read(path(name)).unwrap());
    assert_eq!(recovered, run);
}
