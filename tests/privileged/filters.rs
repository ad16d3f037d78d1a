//! A filter passes the selected events and no others.

use crate::support::command::output;
use crate::support::containers::{Container, Runtime, image_name, unique};
use crate::support::docker;
use crate::support::programs::ctrace_rec;
use crate::support::recorder::{Recorder, Recording, number};
use crate::support::refusal::refused;
use crate::support::root::require_root;
use std::collections::BTreeSet;

/// Records a container that reads a file and makes other calls.
fn recorded(args: &[&str]) -> (Recording, String) {
    require_root();
    let recorder = Recorder::start(args);
    let ended = Container::new(Runtime::Runc, "filter").run(&[
        "sh",
        "-c",
        "cat /etc/motd; calls getppid=7 chdir=5; ls /tmp",
    ]);
    assert_eq!(ended.code, 0);
    (recorder.stop(), ended.name)
}

/// Returns the distinct values of a column in the rows of calls.
fn values(recording: &Recording, container: &str, column: &str) -> BTreeSet<String> {
    recording
        .query(&format!(
            "select distinct {column} as value from events where container = '{container}' and kind = 'syscall'"
        ))
        .iter()
        .map(|row| row["value"].as_str().unwrap_or("null").to_owned())
        .collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

#[test]
fn event_selects_calls() {
    let (recording, container) = recorded(&["--event", "getppid,chdir", "--event", "read"]);
    assert_eq!(
        values(&recording, &container, "syscall"),
        set(&["chdir", "getppid", "read"])
    );
    let count = |call| {
        recording.count(&format!(
            "select count(*) from events where container = '{container}' and syscall = '{call}' and comm = 'exe'"
        ))
    };
    assert_eq!((count("getppid"), count("chdir")), (7, 5));
}

#[test]
fn exclude_event_leaves_out_calls() {
    let (recording, container) = recorded(&["--exclude-event", "getppid,read"]);
    let calls = values(&recording, &container, "syscall");
    assert!(
        calls.contains("chdir") && calls.contains("write") && calls.contains("execve"),
        "{calls:?}"
    );
    assert!(
        !calls.contains("getppid") && !calls.contains("read"),
        "{calls:?}"
    );
}

#[test]
fn an_event_is_excluded_from_a_set() {
    let (recording, container) = recorded(&["--set", "fs", "--exclude-event", "read"]);
    assert_eq!(values(&recording, &container, "class"), set(&["file"]));
    let calls = values(&recording, &container, "syscall");
    assert!(
        calls.contains("chdir") && calls.contains("write"),
        "{calls:?}"
    );
    assert!(!calls.contains("read"), "{calls:?}");
}

#[test]
fn exclude_set_leaves_out_a_set() {
    let (recording, container) = recorded(&["--exclude-set", "fs,memory"]);
    let classes = values(&recording, &container, "class");
    assert!(classes.contains("process"), "{classes:?}");
    assert!(
        !classes.contains("file") && !classes.contains("memory"),
        "{classes:?}"
    );
}

#[test]
fn an_event_is_added_to_a_set() {
    let (recording, container) = recorded(&["--set", "signal", "--event", "getppid,chdir"]);
    let sets = recording.query(&format!(
        "select distinct class from events where container = '{container}' and kind = 'syscall' \
         and syscall not in ('getppid', 'chdir')"
    ));
    assert_eq!(sets, [serde_json::json!({"class": "signal"})]);
    let calls = values(&recording, &container, "syscall");
    assert!(
        calls.contains("getppid") && calls.contains("chdir"),
        "{calls:?}"
    );
}

#[test]
fn comm_selects_threads() {
    let (recording, container) = recorded(&["--comm", "cat"]);
    assert_eq!(values(&recording, &container, "comm"), set(&["cat"]));
    let (recording, container) = recorded(&["--exclude-comm", "cat,ls"]);
    let comms = values(&recording, &container, "comm");
    assert!(comms.contains("calls") && comms.contains("sh"), "{comms:?}");
    assert!(!comms.contains("cat") && !comms.contains("ls"), "{comms:?}");
}

/// Starts two containers before the recorder, whose `flag` names one of them, and another container after it. Checks which
/// of the three are recorded.
fn chosen(runtime: Runtime, flag: &str, choose: impl Fn(&str, &str) -> String) {
    require_root();
    let mut both = ["chosen", "other"].map(|stem| {
        Container::new(runtime, stem).start(&["sh", "-c", "echo up; read x; cat /etc/motd"])
    });
    both.iter_mut().for_each(|c| assert_eq!(c.line(), "up"));
    let recorder = Recorder::start(&[flag, &choose(&both[0].name, &both[0].id)]);
    // A later container, whose name the recorder has to learn, and which is not selected.
    let later = Container::new(runtime, "later").run(&["cat", "/etc/motd"]);
    both.iter_mut().for_each(|c| c.write("go"));
    let [chosen, other] = both.map(|c| c.finish().name);
    let recording = recorder.stop();
    let calls = |name: &str| {
        recording.count(&format!(
            "select count(*) from events where container = '{name}' and kind = 'syscall' and path = '/etc/motd'"
        ))
    };
    let recorded = [
        calls(&chosen) > 0,
        calls(&other) > 0,
        calls(&later.name) > 0,
    ];
    let include = flag == "--container";
    assert_eq!(recorded, [include, !include, !include], "{flag}");
}

#[test]
fn a_container_is_chosen_by_name() {
    chosen(Runtime::Docker, "--container", |name, _| name.to_owned());
}

#[test]
fn a_container_is_chosen_by_the_beginning_of_its_id() {
    chosen(Runtime::Podman, "--container", |_, id| id[..12].to_owned());
}

#[test]
fn a_container_is_chosen_by_a_pattern() {
    chosen(Runtime::Runc, "--container", |name, _| {
        format!("chos*{}", &name[6..])
    });
}

#[test]
fn a_container_is_excluded_by_name() {
    chosen(Runtime::Docker, "--exclude-container", |name, _| {
        name.to_owned()
    });
}

#[test]
fn a_command_whose_containers_match_no_filter_has_no_rows_and_a_warning() {
    require_root();
    docker::daemon();
    let dir = tempfile::tempdir().unwrap();
    let image = image_name(Runtime::Docker);
    for (flag, wanted) in [("--container", "nosuch"), ("--label", "nosuch=1")] {
        let file = dir.path().join(format!("{wanted}.parquet"));
        let name = unique("bridged");
        // Docker stores the addresses of a container on a bridge after the start, so that its description changes.
        let ended = output(
            ctrace_rec()
                .args([flag, wanted, "--out"])
                .arg(&file)
                .args(["--", "docker", "run", "--rm", "--network=bridge", "--name"])
                .args([&name, &image, "true"]),
        );
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{stderr}");
        let warning = format!("that ran matches `{flag} {wanted}`");
        assert!(stderr.contains(&warning), "{stderr}");
        assert_eq!(number(&file, "select count(*) from events"), 0, "{flag}");
    }
}

#[test]
fn a_container_that_comes_later_is_chosen_by_name() {
    require_root();
    for runtime in Runtime::ALL {
        let wanted = Container::new(runtime, "awaited");
        let name = wanted.name().to_owned();
        let recorder = Recorder::start(&["--container", &name]);
        let other = Container::new(runtime, "unawaited").run(&["true"]);
        wanted.run(&["true"]);
        let recording = recorder.stop();
        let calls = |name: &str, more: &str| {
            recording.count(&format!(
                "select count(*) from events where container = '{name}' and {more}"
            ))
        };
        assert_eq!(
            calls(&name, "syscall = 'execve' and argv = 'true' and ret = 0"),
            1,
            "{runtime:?}: its first exec"
        );
        assert_eq!(calls(&other.name, "true"), 0, "{runtime:?}");
    }
}

#[test]
fn an_unknown_name_is_refused_with_a_suggestion() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("run.parquet");
    for (flag, wrong, right) in [
        ("--event", "opennat", "openat"),
        ("--exclude-event", "raed", "read"),
        ("--set", "netwrok", "network"),
        ("--exclude-set", "memry", "memory"),
    ] {
        let message = refused(ctrace_rec().args([flag, wrong, "--out"]).arg(&file));
        assert!(
            message.contains(wrong) && message.contains(right),
            "{message}"
        );
        assert!(!file.exists());
    }
}
