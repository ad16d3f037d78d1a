//! Containers are distinguished, and have their names from the first event on.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime, unique};
use crate::support::programs::ctrace_rec;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn a_container_that_is_renamed_has_its_new_name_from_then_on() {
    require_root();
    let recorder = Recorder::start(&["--container", "*rename-*"]);
    let mut running = Container::new(Runtime::Docker, "rename").start(&[
        "sh",
        "-c",
        "echo ready; read x; cat /etc/motd",
    ]);
    assert_eq!(running.line(), "ready");
    let renamed = format!("other-{}", running.name);
    run(std::process::Command::new("docker").args(["rename", &running.name, &renamed]));
    // The recorder looks for new names once a second.
    std::thread::sleep(Duration::from_secs(3));
    running.write("go");
    let ended = running.finish();
    let recording = recorder.stop();
    let name_of = |condition: &str| {
        recording.query(&format!(
            "select distinct container from events where container_id = '{}' and {condition}",
            ended.id
        ))
    };
    let is = |name: &str| [serde_json::json!({ "container": name })];
    assert_eq!(
        name_of("kind = 'container' and action = 'started'"),
        is(&ended.name)
    );
    assert_eq!(name_of("comm = 'cat'"), is(&renamed));
    assert_eq!(
        name_of("kind = 'container' and action = 'stopped'"),
        is(&renamed)
    );
}

#[test]
fn a_renamed_container_is_filtered_by_its_new_name() {
    require_root();
    let recorder = Recorder::start(&["--container", "shown-*"]);
    let script = "echo up; for f in motd passwd group; do read x; cat /etc/$f > /dev/null; done";
    let mut running = Container::new(Runtime::Docker, "hidden").start(&["sh", "-c", script]);
    assert_eq!(running.line(), "up");
    let (hidden, shown) = (running.name.clone(), format!("shown-{}", running.name));
    let rename = |from: &str, to: &str| {
        run(std::process::Command::new("docker").args(["rename", from, to]));
        // The recorder looks for new names once a second.
        std::thread::sleep(Duration::from_secs(3));
    };
    let pause = || std::thread::sleep(Duration::from_millis(500));
    running.write("motd");
    pause();
    rename(&hidden, &shown);
    running.write("passwd");
    pause();
    rename(&shown, &hidden);
    running.write("group");
    let ended = running.finish();
    let recording = recorder.stop();
    let read = "select distinct container, container_id, path from events where comm = 'cat' \
                and path in ('/etc/motd', '/etc/passwd', '/etc/group') and syscall in ('open', 'openat')";
    assert_eq!(
        recording.query(read),
        [
            serde_json::json!({ "container": shown, "container_id": ended.id, "path": "/etc/passwd" })
        ]
    );
    let rows = "select action from events where kind = 'container' order by time";
    assert_eq!(
        recording.query(rows),
        [serde_json::json!({ "action": "found" })]
    );
}

#[test]
fn a_filter_that_nothing_matches_yet_has_a_warning() {
    require_root();
    let mut running =
        Container::new(Runtime::Docker, "typo").start(&["sh", "-c", "echo up; read x"]);
    assert_eq!(running.line(), "up");
    let wrong = running.name.replace("typo", "tpyo");
    let recording = Recorder::start(&["--container", &wrong, "--duration", "1s"]).finish();
    let right = Recorder::start(&["--container", &running.name, "--duration", "1s"]).finish();
    let warning = format!(
        "warning: no container that runs now matches `--container {wrong}`: did you mean `{}`?; running: ",
        running.name
    );
    assert!(recording.stderr.contains(&warning), "{}", recording.stderr);
    assert!(!right.stderr.contains("no container"), "{}", right.stderr);
    running.finish();
}

/// Records a container that reads one file and misses another, and asks for both.
fn record_and_query(runtime: Runtime) {
    require_root();
    let recorder = Recorder::start(&[]);
    let ended = Container::new(runtime, "work").run(&["cat", "/etc/motd", "/missing"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "hello\n"));
    let recording = recorder.stop();

    let sql = format!(
        "select path, error, ret from events where container = '{}' and comm = 'cat' and syscall in ('open', 'openat') \
         and path in ('/etc/motd', '/missing') order by time",
        ended.name
    );
    let rows = recording.query(&sql);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0]["path"], "/etc/motd");
    assert!(rows[0]["ret"].as_i64().unwrap() > 2, "{rows:?}");
    assert_eq!(
        (&rows[1]["path"], &rows[1]["error"]),
        (&"/missing".into(), &"ENOENT".into())
    );
    named_throughout(&recording, &ended.name, &ended.id);

    let sql = format!(
        "select distinct runtime from events where container_id = '{}' and kind = 'container'",
        ended.id
    );
    assert_eq!(
        recording.query(&sql),
        [serde_json::json!({"runtime": runtime.program()})]
    );
}

/// Checks that every row of a container has its name, from the exec of its program to its end.
fn named_throughout(recording: &Recording, name: &str, id: &str) {
    let here = format!("from events where container_id = '{id}'");
    let rows = recording.query(&format!("select distinct container {here}"));
    assert_eq!(rows, [serde_json::json!({ "container": name })]);

    for (what, filter) in [
        ("exec", "syscall = 'execve' and ret = 0"),
        ("exit", "kind = 'process' and action = 'exit'"),
        ("start", "kind = 'container' and action = 'started'"),
        ("stop", "kind = 'container' and action = 'stopped'"),
    ] {
        assert!(
            recording.count(&format!("select count(*) {here} and {filter}")) >= 1,
            "no {what} of {name}"
        );
    }
    let others = format!(
        "select count(*) from events where container = '{name}' and container_id is distinct from '{id}'"
    );
    assert_eq!(recording.count(&others), 0);
}

#[test]
fn docker_is_recorded_and_queried() {
    record_and_query(Runtime::Docker);
}

#[test]
fn podman_is_recorded_and_queried() {
    record_and_query(Runtime::Podman);
}

#[test]
fn runc_is_recorded_and_queried() {
    record_and_query(Runtime::Runc);
}

#[test]
fn a_short_lived_container_has_its_name_in_every_row() {
    require_root();
    for runtime in Runtime::ALL {
        let recorder = Recorder::start(&[]);
        let ended: Vec<_> = (0..3)
            .map(|_| Container::new(runtime, "brief").run(&["true"]))
            .collect();
        let recording = recorder.stop();
        let mut lives = Vec::new();
        for ended in ended {
            named_throughout(&recording, &ended.name, &ended.id);
            let life = format!(
                "select cast(max(time) as bigint) - cast(min(time) as bigint) from events where container_id = '{}' \
                 and (argv = 'true' or kind = 'process' and action = 'exit' and comm = 'true')",
                ended.id
            );
            lives.push(recording.count(&life));
        }
        assert!(
            lives.iter().any(|ns| *ns < 100_000_000),
            "{runtime:?}: no container was short-lived: {lives:?} ns"
        );
    }
}

#[test]
fn a_container_that_ran_before_is_recorded_too() {
    require_root();
    for runtime in Runtime::ALL {
        let mut container = Container::new(runtime, "before").start(&[
            "sh",
            "-c",
            "echo up; read x; md5sum /etc/motd",
        ]);
        assert_eq!(container.line(), "up");
        let recorder = Recorder::start(&[]);
        container.write("go");
        let ended = container.finish();
        let recording = recorder.stop();
        let found = format!(
            "select count(*) from events where container = '{}' and container_id = '{}' and kind = 'container' and action = 'found'",
            ended.name, ended.id
        );
        assert_eq!(recording.count(&found), 1, "{runtime:?}");
        let read = format!(
            "select count(*) from events where container = '{}' and path = '/etc/motd' and syscall = 'read' and ret = 6",
            ended.name
        );
        assert_eq!(recording.count(&read), 1, "{runtime:?}");
    }
}

#[test]
fn the_containers_command_lists_running_containers() {
    require_root();
    let mut running: Vec<_> = Runtime::ALL
        .map(|runtime| Container::new(runtime, "listed").start(&["sh", "-c", "echo up; read x"]))
        .into();
    for container in &mut running {
        assert_eq!(container.line(), "up");
    }
    let json = run(ctrace_rec().args(["containers", "--format", "json"]));
    let table = run(ctrace_rec().arg("containers"));
    for (container, runtime) in running.iter().zip(Runtime::ALL) {
        let line = json
            .lines()
            .find(|l| l.contains(&container.id))
            .unwrap_or_else(|| panic!("{json}"));
        assert!(
            line.contains(&container.name) && line.contains(runtime.program()),
            "{line}"
        );
        assert!(table.contains(&container.name), "{table}");
    }
}

/// Directories of one cgroup in each hierarchy, which are removed at the end.
struct CgroupDirectories(Vec<PathBuf>);

impl CgroupDirectories {
    fn create(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = ["", "unified", "pids"].map(|hierarchy| root.join(hierarchy));
        let is_hierarchy = |dir: &PathBuf| dir.join("cgroup.procs").exists();
        let directories = hierarchies.into_iter().filter(is_hierarchy);
        let directories: Vec<_> = directories.map(|dir| dir.join(name)).collect();
        assert!(!directories.is_empty(), "there is no cgroup hierarchy");
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        CgroupDirectories(directories)
    }
}

impl Drop for CgroupDirectories {
    fn drop(&mut self) {
        for directory in &self.0 {
            let _ = fs::remove_dir(directory);
        }
    }
}

#[test]
fn a_cgroup_that_waited_for_its_container_is_the_containers() {
    require_root();
    let name = unique("ctrace-waiting");
    let recorder = Recorder::start(&[]);
    let _directories = CgroupDirectories::create(&name);
    // Longer than an entered cgroup stays undecided.
    std::thread::sleep(Duration::from_secs(12));
    let ended = Container::new(Runtime::Runc, "late")
        .cgroup(&format!("/{name}"))
        .run(&["sh", "-c", "cat /etc/motd; sleep 0.5"]);
    let recording = recorder.stop();
    named_throughout(&recording, &ended.name, &ended.id);
    let read = format!(
        "select count(*) from events where container = '{}' and path = '/etc/motd' and syscall in ('open', 'openat')",
        ended.name
    );
    assert_eq!(recording.count(&read), 1);
}

#[test]
fn the_host_is_recorded_only_on_request_and_the_recorder_never() {
    require_root();
    let without = Recorder::start(&["--duration", "1s"]).finish();
    let host = "select count(*) from events where container = 'host'";
    assert_eq!(without.count(host), 0);

    let recorder = Recorder::start(&["--host"]);
    let pid = recorder.pid();
    let marker = tempfile::NamedTempFile::with_prefix("ctrace-host").unwrap();
    run(std::process::Command::new("cat").arg(marker.path()));
    let with = recorder.stop();
    let opened = format!(
        "select count(*) from events where container = 'host' and container_id is null and comm = 'cat' and path = '{}'",
        marker.path().display()
    );
    assert!(
        with.count(&opened) >= 3,
        "open, read, close of the host's cat"
    );
    assert_eq!(
        with.count(&format!("select count(*) from events where pid = {pid}")),
        0
    );
}

/// Checks a flood of containers that the recorder identifies late, when their events are already in many small batches.
#[test]
fn events_before_a_container_is_known_are_all_recorded() {
    require_root();
    const COUNT: i64 = 200_000;
    let flags = ["--event", "read,write", "--container", "early-*"];
    let recorder = Recorder::start_to("run.sqlite", &flags);
    let dd = format!("dd if=/dev/zero of=/dev/null bs=1 count={COUNT} 2>/dev/null");
    let run = |_| Container::new(Runtime::Runc, "early").run(&["sh", "-c", &dd]);
    let ended: Vec<_> = recorder.slowed_down(|| (0..8).map(run).collect());
    let recording = recorder.stop();
    let extra = ended.iter().map(|container| {
        let of = format!("from events where container = '{}'", container.name);
        let recorded = recording.count(&format!("select count(*) {of} and kind = 'syscall'"));
        let lost = recording.count(&format!("select coalesce(sum(lost), 0) {of}"));
        recorded + lost - 2 * COUNT
    });
    let extra: Vec<_> = extra.collect();
    // runc and the shell make a few more calls.
    let few = 0..1000;
    assert!(extra.iter().all(|n| few.contains(n)), "{extra:?}");
}
