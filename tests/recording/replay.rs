//! The pipeline above the kernel, over the raw capture in `fixtures/`: no privileges, the same rows every time.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]

#[path = "common/programs.rs"]
mod programs;

use programs::{ask, ctrace_query, ctrace_rec, fixture, succeeds};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn replay(raw: &Path, args: &[&str]) -> Output {
    let mut command = ctrace_rec();
    let output = command.arg("--from-raw").arg(raw).args(args).output();
    output.unwrap()
}

#[test]
fn a_replay_gives_the_whole_story() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    let replayed = replay(&fixture(), &["--out", out.to_str().unwrap()]);
    assert!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );

    let containers = "select distinct container from events where kind = 'container' order by 1";
    assert_eq!(ask(&out, containers), ["demo-client", "demo-web"]);
    let shadow = "select container, comm, error from events where path = '/etc/shadow' and syscall = 'openat'";
    assert_eq!(ask(&out, shadow), ["demo-client,cat,"]);
    let missing =
        "select container, comm, error from events where path = '/etc/payment.conf' and ret < 0";
    assert_eq!(ask(&out, missing), ["demo-client,cat,ENOENT"]);
    let nameless =
        "select count(*) from events where container is null or (kind = 'syscall' and pid is null)";
    assert_eq!(ask(&out, nameless), ["0"]);
    let exits =
        "select container, count(*) from events where action = 'exit' and exe is null group by 1";
    assert_eq!(ask(&out, exits), Vec::<String>::new());
}

#[test]
fn the_same_capture_gives_the_same_rows() {
    let first = replay(&fixture(), &["--format", "json", "--quiet"]);
    let second = replay(&fixture(), &["--format", "json", "--quiet"]);
    assert!(first.status.success() && !first.stdout.is_empty());
    assert!(first.stdout == second.stdout, "two replays differ");
}

#[test]
fn what_was_damaged_is_an_error_and_never_another_answer() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    let replayed = replay(&fixture(), &["--out", out.to_str().unwrap()]);
    assert!(replayed.status.success());
    let all = || {
        let mut command = ctrace_query();
        let sql = "select * from events order by seq";
        command.args(["--no-rollups", "--format", "csv", sql, "-r"]);
        command.arg(&out).output().unwrap()
    };
    let (whole, right) = (std::fs::read(&out).unwrap(), all());
    assert!(right.status.success());
    let mut found = 0;
    // Not the footer, which has no checksum.
    for at in (100..whole.len() / 2).step_by(whole.len() / 32) {
        let mut damaged = whole.clone();
        damaged[at..at + 8]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x55);
        std::fs::write(&out, damaged).unwrap();
        let answer = all();
        if answer.status.code() == Some(2) {
            let error = String::from_utf8(answer.stderr).unwrap();
            assert!(error.contains("demo.parquet is damaged"), "{at}: {error}");
            found += 1;
        } else {
            assert!(answer.stdout == right.stdout, "another answer, from {at}");
        }
    }
    assert!(found > 4, "{found} places");
}

#[test]
fn calls_in_sql_are_those_of_the_live_table() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    assert!(
        replay(&fixture(), &["--out", out.to_str().unwrap()])
            .status
            .success()
    );
    let live = replay(&fixture(), &["--format", "table", "--quiet"]);
    let live = String::from_utf8(live.stdout).unwrap();
    // Columns of a fixed width, but for names that are longer; what is no call begins with a sign.
    let mut live: Vec<_> = live
        .lines()
        .filter(|line| !line.contains(" +++ ") && !line.contains(" --- "))
        .collect();
    let sql = "select rpad(to_char(time, '%H:%M:%S%.6f'), 15) || ' ' || container
            || repeat(' ', greatest(15 - length(container), 0)) || ' ' || comm
            || repeat(' ', greatest(15 - length(comm), 0)) || ' ' || lpad(cast(tid as varchar), 7) || ' ' || strace()
            || coalesce(' <' || human_duration(duration) || '>', '') as line
        from events where syscall is not null";
    let output = Command::new(env!("CARGO_BIN_EXE_ctrace-query"))
        .arg("-r")
        .arg(&out)
        .args(["--format", "ndjson", sql])
        .output()
        .unwrap();
    let asked: Vec<serde_json::Value> = output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let mut asked: Vec<&str> = asked
        .iter()
        .filter_map(|row| row["line"].as_str())
        .collect();
    live.sort_unstable();
    asked.sort_unstable();
    assert!(live.len() > 2000, "{}", live.len());
    assert_eq!(asked, live);
}

#[test]
fn a_capture_that_breaks_off_gives_what_it_holds() {
    let whole = std::fs::read(fixture()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let torn = dir.path().join("torn.raw");
    for part in [whole.len() / 2, whole.len() - 1] {
        std::fs::write(&torn, &whole[..part]).unwrap();
        let replayed = replay(&torn, &["--format", "json"]);
        assert!(replayed.status.success());
        assert!(
            String::from_utf8_lossy(&replayed.stderr).contains("breaks off"),
            "cut at {part}"
        );
    }
}

#[test]
fn garbage_is_refused_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("garbage.raw");
    let mut bytes = std::fs::read(fixture()).unwrap();
    std::fs::write(&file, b"not a capture").unwrap();
    let refused = replay(&file, &["--format", "json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no raw capture"));

    // Flipped bytes anywhere: an error or a warning, but no panic (101) and no signal.
    for i in (13..bytes.len()).step_by(bytes.len() / 50) {
        bytes[i] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        let replayed = replay(&file, &["--format", "json"]);
        assert!(
            matches!(replayed.status.code(), Some(0 | 2)),
            "byte {i}: {:?}",
            replayed.status
        );
        bytes[i] ^= 0x55;
    }
}

/// The fixture with notes of losses at its end, as JSON.
fn with_gaps(dir: &Path, gaps: &[&str]) -> PathBuf {
    let whole = std::fs::read(fixture()).unwrap();
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut frames = zstd::decode_all(&whole[line..]).unwrap();
    for gap in gaps {
        let note = format!(r#"{{"gap":{gap}}}"#);
        frames.push(b'N');
        frames.extend((note.len() as u32).to_le_bytes());
        frames.extend(note.as_bytes());
    }
    let raw = dir.join("gaps.raw");
    let frames = zstd::encode_all(&frames[..], 1).unwrap();
    std::fs::write(&raw, [&whole[..line], &frames].concat()).unwrap();
    raw
}

#[test]
fn losses_are_told_by_cpu_and_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let gaps = [
        r#"{"cgroup":0,"class":"file","lost":5,"since":7000,"until":9000,"why":"ring","cpu":0}"#,
        r#"{"cgroup":0,"class":"file","lost":7,"since":7000,"until":9000,"why":"ring","cpu":3}"#,
        // As recorders before the column wrote it.
        r#"{"cgroup":0,"class":"network","lost":2,"since":7000,"until":9000}"#,
    ];
    let raw = with_gaps(dir.path(), &gaps);
    let path = |name: &str| dir.path().join(name);
    for name in ["a.parquet", "b.sqlite"] {
        let out = path(name);
        succeeds(ctrace_rec().args(["--quiet", "--from-raw"]).args([
            &raw,
            Path::new("--out"),
            &out,
        ]));
    }
    let sqlite3 =
        |path: &Path, sql: &str| succeeds(Command::new("sqlite3").arg(path).arg(sql)).stdout;
    for (from, to) in [
        ("a.parquet", "a.sqlite"),
        ("b.sqlite", "b.parquet"),
        ("b.parquet", "old.sqlite"),
    ] {
        succeeds(ctrace_query().arg("convert").args([path(from), path(to)]));
    }
    let by_cpu = "select cpu, sum(lost) as lost from gaps group by cpu order by cpu desc";
    for name in ["a.parquet", "b.sqlite", "a.sqlite", "b.parquet"] {
        let mut rows = ask(&path(name), by_cpu);
        rows.sort_unstable();
        assert_eq!(rows, [",2", "0,5", "3,7"], "{name}");
        // From the sums beside the events, and together in the ready question.
        let by_class = "select class, sum(lost) from gaps group by class order by class";
        assert_eq!(ask(&path(name), by_class), ["file,12", "network,2"]);
        let listed = ask(&path(name), "gaps");
        let ends = ["file,12,ring full", "network,2,ring full"];
        assert!(
            listed.len() == 2 && listed.iter().zip(ends).all(|(row, end)| row.ends_with(end)),
            "{listed:?}"
        );
    }
    let plain = String::from_utf8(sqlite3(&path("b.sqlite"), by_cpu)).unwrap();
    assert_eq!(plain, "3|7\n0|5\n|2\n");

    // Recordings of before have no such column.
    let views = ctrace_schema::views::VIEWS.iter().map(|view| view.name);
    let drop: String = views
        .chain(["events"])
        .map(|view| format!("drop view {view};"))
        .collect();
    let alter = format!("{drop} alter table detail drop column cpu;");
    sqlite3(&path("old.sqlite"), &alter);
    let old = path("old.parquet");
    succeeds(
        ctrace_query()
            .arg("-r")
            .arg(path("a.parquet"))
            .args(["--format", "parquet", "--output"])
            .args([
                &old,
                Path::new("select * exclude (cpu, recording) from events"),
            ]),
    );
    for old in [old, path("old.sqlite")] {
        assert_eq!(ask(&old, by_cpu), [",14"], "{}", old.display());
    }
}
