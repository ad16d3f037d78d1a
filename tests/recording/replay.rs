//! Replays of the capture in `fixtures/`: the pipeline above the kernel gives the same rows every time.

use crate::support::command::{run, succeeds};
use crate::support::programs::{ctrace_query, ctrace_rec};
use crate::support::replay::{ask, fixture, record_fixture, replay};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Replays a capture to stdout, with any exit code.
fn replay_to_stdout(capture: &Path, args: &[&str]) -> Output {
    let mut command = ctrace_rec();
    let output = command.arg("--from-raw").arg(capture).args(args).output();
    output.unwrap()
}

#[test]
fn a_replay_contains_the_events_of_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    record_fixture(&out, &[]);

    let containers = "select distinct container from events where kind = 'container' order by 1";
    assert_eq!(ask(&out, containers), ["demo-client", "demo-web"]);
    let shadow = "select container, comm, error from events where path = '/etc/shadow' and syscall = 'openat' order by 1";
    assert_eq!(ask(&out, shadow), ["demo-client,cat,", "demo-web,cat,"]);
    let missing =
        "select container, comm, error from events where path = '/etc/payment.conf' and ret < 0";
    assert_eq!(ask(&out, missing), ["demo-client,cat,ENOENT"]);
    let nameless =
        "select count(*) from events where container is null or (kind = 'syscall' and pid is null)";
    assert_eq!(ask(&out, nameless), ["0"]);
    let exits = "select container, count(*) from events where action = 'exit' and exe is null and not setup group by 1";
    assert_eq!(ask(&out, exits), Vec::<String>::new());
}

#[test]
fn the_same_capture_gives_the_same_rows() {
    let first = replay_to_stdout(&fixture(), &["--format", "json", "--quiet"]);
    let second = replay_to_stdout(&fixture(), &["--format", "json", "--quiet"]);
    assert!(first.status.success() && !first.stdout.is_empty());
    assert!(first.stdout == second.stdout, "two replays differ");
}

#[test]
fn damage_is_an_error_and_never_a_different_answer() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    record_fixture(&out, &[]);
    let all = || {
        let mut command = ctrace_query();
        let sql = "select * from events order by seq";
        command.args(["--no-rollups", "--format", "csv", sql, "-r"]);
        command.arg(&out).output().unwrap()
    };
    let (whole, right) = (std::fs::read(&out).unwrap(), all());
    assert!(right.status.success());
    let mut found = 0;
    // The footer is left out, because it has no checksum.
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
            assert!(
                answer.stdout == right.stdout,
                "a different answer, damaged at {at}"
            );
        }
    }
    assert!(found > 4, "damage was found at {found} places only");
}

#[test]
fn strace_in_sql_matches_the_live_table() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.parquet");
    record_fixture(&out, &[]);
    let live = replay_to_stdout(&fixture(), &["--format", "table", "--quiet"]);
    let live = String::from_utf8(live.stdout).unwrap();
    // Columns have a fixed width unless a name is longer. Lines with `+++` and `---` are no calls.
    let mut live: Vec<_> = live
        .lines()
        .filter(|line| !line.contains(" +++ ") && !line.contains(" --- "))
        .collect();
    let sql = "select rpad(to_char(time, '%H:%M:%S%.6f'), 15) || ' ' || container
            || repeat(' ', greatest(15 - length(container), 0)) || ' ' || comm
            || repeat(' ', greatest(15 - length(comm), 0)) || ' ' || lpad(cast(tid as varchar), 7) || ' ' || strace()
            || coalesce(' <' || human_duration(duration) || '>', '') as line
        from events where syscall is not null";
    let output = ctrace_query()
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
fn a_truncated_capture_is_replayed_up_to_the_cut() {
    let whole = std::fs::read(fixture()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.raw");
    for part in [whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cut, &whole[..part]).unwrap();
        let replayed = replay_to_stdout(&cut, &["--format", "json"]);
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
    let refused = replay_to_stdout(&file, &["--format", "json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a raw capture"));

    // Flipped bytes anywhere give an error or a warning, but no panic (101) and no signal.
    for i in (13..bytes.len()).step_by(bytes.len() / 50) {
        bytes[i] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        let replayed = replay_to_stdout(&file, &["--format", "json"]);
        assert!(
            matches!(replayed.status.code(), Some(0 | 2)),
            "byte {i}: {:?}",
            replayed.status
        );
        bytes[i] ^= 0x55;
    }
}

/// Writes the fixture with additional losses at its end, as JSON.
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
    let capture = dir.join("gaps.raw");
    let frames = zstd::encode_all(&frames[..], 1).unwrap();
    std::fs::write(&capture, [&whole[..line], &frames].concat()).unwrap();
    capture
}

/// Rewrites `b.sqlite` and `a.parquet` in `dir` as recorders wrote them before the column `cpu`.
fn remove_cpu(dir: &Path) -> [PathBuf; 2] {
    let [sqlite, parquet] = ["old.sqlite", "old.parquet"].map(|name| dir.join(name));
    convert(&dir.join("b.parquet"), &sqlite);
    let views = ctrace_schema::views::VIEWS.iter().map(|view| view.name);
    let drop: String = views
        .chain(["events"])
        .map(|view| format!("drop view {view};"))
        .collect();
    let alter = format!("{drop} alter table detail drop column cpu;");
    run(Command::new("sqlite3").arg(&sqlite).arg(alter));
    let mut command = ctrace_query();
    command.arg("-r").arg(dir.join("a.parquet"));
    command.args(["--format", "parquet", "--output"]);
    command.arg(&parquet);
    succeeds(command.arg("select * exclude (cpu, recording) from events"));
    [sqlite, parquet]
}

fn convert(from: &Path, to: &Path) {
    succeeds(ctrace_query().arg("convert").args([from, to]));
}

#[test]
fn losses_are_recorded_per_cpu_and_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let gaps = [
        r#"{"cgroup":0,"class":"file","lost":5,"since":7000,"until":9000,"why":"ring","cpu":0}"#,
        r#"{"cgroup":0,"class":"file","lost":7,"since":7000,"until":9000,"why":"ring","cpu":3}"#,
        // A loss from a recorder before the column.
        r#"{"cgroup":0,"class":"network","lost":2,"since":7000,"until":9000}"#,
    ];
    let capture = with_gaps(dir.path(), &gaps);
    let path = |name: &str| dir.path().join(name);
    for name in ["a.parquet", "b.sqlite"] {
        succeeds(replay(&capture, &path(name)).arg("--quiet"));
    }
    convert(&path("a.parquet"), &path("a.sqlite"));
    convert(&path("b.sqlite"), &path("b.parquet"));
    let by_cpu = "select cpu, sum(lost) as lost from gaps group by cpu order by cpu desc";
    for name in ["a.parquet", "b.sqlite", "a.sqlite", "b.parquet"] {
        let mut rows = ask(&path(name), by_cpu);
        rows.sort_unstable();
        assert_eq!(rows, [",2", "0,5", "3,7"], "{name}");
        // The sums from the rollups, and one row per class in the ready question.
        let by_class = "select class, sum(lost) from gaps group by class order by class";
        assert_eq!(ask(&path(name), by_class), ["file,12", "network,2"]);
        let listed = ask(&path(name), "gaps");
        let ends = ["file,12,ring full", "network,2,ring full"];
        assert!(
            listed.len() == 2 && listed.iter().zip(ends).all(|(row, end)| row.ends_with(end)),
            "{listed:?}"
        );
    }
    let plain = run(Command::new("sqlite3").arg(path("b.sqlite")).arg(by_cpu));
    assert_eq!(plain, "3|7\n0|5\n|2\n");
    for old in remove_cpu(dir.path()) {
        assert_eq!(ask(&old, by_cpu), [",14"], "{}", old.display());
    }
}
