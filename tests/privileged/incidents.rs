//! The first question of a person on call: its first lines name the cause of an incident in a real container.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::name_server::NameServer;
use crate::support::programs::ctrace_query;
use crate::support::recorder::{Recorder, Recording};
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use std::process::Command;

/// An incident: what runs in the container, and what the answers say about it.
struct Incident {
    name: &'static str,
    options: &'static [&'static str],
    script: &'static str,
    /// Words of one of the first five lines of `errors`, if a call failed.
    error: &'static [&'static str],
    /// Words of one of the first five lines of `summary`.
    summary: &'static [&'static str],
}

const INCIDENTS: &[Incident] = &[
    Incident {
        name: "config",
        options: &[],
        script: "cat /etc/app/config.yaml; exit 3",
        error: &["openat", "ENOENT", "/etc/app/config.yaml"],
        summary: &["openat ENOENT"],
    },
    Incident {
        name: "refused",
        options: &[],
        script: "for i in 1 2 3; do nc -w 1 127.0.0.1 5432 </dev/null; done; exit 1",
        error: &["connect", "ECONNREFUSED", "127.0.0.1:5432"],
        summary: &["connect ECONNREFUSED"],
    },
    Incident {
        name: "full",
        options: &["--tmpfs=/data:size=64k"],
        script: "dd if=/dev/zero of=/data/x bs=4k count=64; exit 1",
        error: &["write", "ENOSPC", "/data/x"],
        summary: &["write ENOSPC"],
    },
    Incident {
        name: "readonly",
        options: &["--read-only"],
        script: "echo 1 > /var.pid; exit 1",
        error: &["openat", "EROFS", "/var.pid"],
        summary: &["openat EROFS"],
    },
    Incident {
        name: "rights",
        options: &["--user=1000"],
        script: "echo x > /etc/passwd; exit 1",
        error: &["openat", "EACCES", "/etc/passwd"],
        summary: &["openat EACCES"],
    },
    Incident {
        name: "memory",
        options: &["--memory=16m", "--memory-swap=16m"],
        script: "head -c 100000000 /dev/zero | sort; exit 1",
        error: &[],
        summary: &["killed by a signal", "SIGKILL"],
    },
    Incident {
        name: "crash",
        options: &[],
        script: "sh -c 'kill -SEGV $$'; exit 139",
        error: &[],
        summary: &["killed by a signal", "SIGSEGV"],
    },
];

#[test]
fn the_first_lines_name_the_cause() {
    require_root();
    for incident in INCIDENTS {
        let container = incident.options.iter().fold(
            Container::new(Runtime::Docker, incident.name),
            |container, option| container.option(*option),
        );
        let recorder = Recorder::start(&["--container", container.name()]);
        assert_ne!(container.run(&["sh", "-c", incident.script]).code, 0);
        let recording = recorder.stop();
        for (question, words) in [("errors", incident.error), ("summary", incident.summary)] {
            let answer = run(ctrace_query().arg("-r").arg(&recording.path).arg(question));
            // Behind the two lines of the heading.
            let mut lines = answer.lines().skip(2).take(5);
            assert!(
                words.is_empty() || lines.any(|line| words.iter().all(|word| line.contains(word))),
                "{question} of {}: {words:?}\n{answer}",
                incident.name
            );
        }
    }
}

/// An incident of names that cannot be resolved: a script, and words of the first lines of `errors`, `summary` and `dns`.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("missing", "ping -c 1 nx.test", &["NXDOMAIN", "nx.test"]),
    (
        "broken",
        "ping -c 1 broken.test",
        &["SERVFAIL", "broken.test"],
    ),
    (
        "silent",
        "ping -c 1 silent.test",
        &["no answer", "silent.test"],
    ),
    (
        "nobody",
        "echo nameserver 127.0.0.9 > /etc/resolv.conf; nslookup -type=a db.test",
        &["ECONNREFUSED", "db.test"],
    ),
];

#[test]
fn the_first_lines_name_the_name_that_could_not_be_resolved() {
    require_root();
    for (name, script, words) in NAMES {
        let container = Container::new(Runtime::Docker, name);
        let recorder = Recorder::start(&["--container", container.name()]);
        let options = "options timeout:1 attempts:2";
        let script = format!(
            "read x; (echo nameserver 127.0.0.1; echo {options}) > /etc/resolv.conf; {script}; exit 1"
        );
        let mut container = container.start(&["sh", "-c", &script]);
        let server = NameServer::start(&container);
        container.write("go");
        assert_ne!(container.finish().code, 0);
        drop(server);
        let recording = recorder.stop();
        for question in ["errors", "summary", "dns"] {
            let answer = run(ctrace_query().arg("-r").arg(&recording.path).arg(question));
            let mut lines = answer.lines().skip(2).take(5);
            assert!(
                lines.any(|line| words.iter().all(|word| line.contains(word))),
                "{question} of {name}: {words:?}\n{answer}"
            );
        }
    }
}

#[test]
fn what_is_routine_is_one_line_at_the_end() {
    require_root();
    let container = Container::new(Runtime::Docker, "search");
    let recorder = Recorder::start(&["--container", container.name()]);
    let script = "PATH=/nowhere:/elsewhere:/bin; for i in 1 2 3; do calls getppid=1; done; cat /missing; exit 1";
    assert_ne!(container.run(&["sh", "-c", script]).code, 0);
    let recording = recorder.stop();
    let ask = |args: &[&str]| run(ctrace_query().arg("-r").arg(&recording.path).args(args));
    let rows = ask(&["errors", "--format", "csv"]);
    let lines: Vec<_> = rows.lines().skip(1).collect();
    assert!(lines[0].contains("/missing"), "{rows}");
    assert_eq!(
        rows.matches("routine: found elsewhere").count(),
        1,
        "{rows}"
    );
    assert!(!rows.contains("/nowhere"), "{rows}");
    let all = ask(&["errors", "--all"]);
    assert!(
        all.contains("/nowhere/calls") && !all.contains("routine"),
        "{all}"
    );
}

/// Returns the rows of a ready question, as CSV without the heading.
fn rows(recording: &Recording, args: &[&str]) -> Vec<String> {
    let mut command = ctrace_query();
    command.arg("-r").arg(&recording.path).args(args);
    let answer = run(command.args(["--format", "csv"]));
    answer.lines().skip(1).map(String::from).collect()
}

#[test]
fn a_start_that_fails_is_told_as_set_up() {
    require_root();
    for runtime in [Runtime::Docker, Runtime::Runc] {
        let container = Container::new(runtime, "start");
        let recorder = Recorder::start(&["--container", container.name()]);
        assert_ne!(container.run(&["/no/such/program"]).code, 0);
        let recording = recorder.stop();
        let errors = rows(&recording, &["errors"]);
        assert!(
            errors[0].contains(",ENOENT,set-up failed: /no/such/program,"),
            "{runtime:?}: {errors:#?}"
        );
        let summary = rows(&recording, &["summary"]);
        assert!(summary[0].starts_with("set-up failed,"), "{summary:#?}");
        let why = rows(&recording, &["why"]);
        let told = why.iter().any(|row| row.starts_with("set-up failed,"));
        assert!(told, "{why:#?}");
    }
}

#[test]
fn a_thread_name_hides_nothing() {
    require_root();
    let container = Container::new(Runtime::Docker, "forged");
    let recorder = Recorder::start(&["--container", container.name()]);
    let script = "printf 'runc:[2:INIT]' > /proc/self/comm; read secret < /nothing; echo > /made";
    container.run(&["sh", "-c", script]);
    let recording = recorder.stop();
    assert!(rows(&recording, &["errors"])[0].contains("/nothing"));
    let files = rows(&recording, &["files"]);
    assert!(
        files.iter().any(|row| row.contains(",/made,")),
        "{files:#?}"
    );
    // What runc did is left out.
    assert!(
        !files.iter().any(|row| row.contains("exec.fifo")),
        "{files:#?}"
    );
}

#[test]
fn a_program_that_hangs_tells_what_it_waits_for() {
    require_root();
    let container = Container::new(Runtime::Docker, "hang");
    let recorder = Recorder::start(&["--container", container.name()]);
    let mut running = container.start(&["sh", "-c", "mkfifo /fifo; echo made; exec cat /fifo"]);
    assert_eq!(running.line(), "made");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let recording = recorder.stop();
    running.kill();
    let stuck = rows(&recording, &["stuck"]);
    assert!(
        stuck[0].contains(",cat,openat,/fifo,has not returned,"),
        "{stuck:#?}"
    );
}

#[test]
fn a_program_that_a_container_wrote_is_drift() {
    require_root();
    let container = Container::new(Runtime::Docker, "drift");
    let recorder = Recorder::start(&["--container", container.name()]);
    let script = "cp /bin/calls /tmp/miner; /tmp/miner getppid=1; printf '#!/bin/sh\\nexit 3\\n' > /tmp/s; chmod +x /tmp/s; cd /tmp; ./s; exit 7";
    assert_eq!(container.run(&["sh", "-c", script]).code, 7);
    let recording = recorder.stop();
    let drift = rows(&recording, &["drift"]);
    let of = |path: &str| drift.iter().find(|row| row.contains(path)).cloned();
    let miner = of(",/tmp/miner,").unwrap_or_else(|| panic!("{drift:#?}"));
    assert!(miner.contains(",cp,"), "{drift:#?}");
    let script = of(",/tmp/s,").unwrap_or_else(|| panic!("{drift:#?}"));
    assert!(script.contains(",sh,"), "{drift:#?}");
    let why = rows(&recording, &["why"]);
    assert!(why[1].contains("exit code 7"), "{why:#?}");
}

#[test]
fn secrets_that_are_read_from_outside_tell_who_came_in() {
    require_root();
    let container = Container::new(Runtime::Docker, "secrets");
    let name = container.name().to_owned();
    let recorder = Recorder::start(&["--container", &name]);
    let mut running = container.start(&["sh", "-c", "echo started; read line"]);
    assert_eq!(running.line(), "started");
    run(Command::new("docker").args(["exec", &name, "cat", "/etc/passwd"]));
    running.write("end");
    running.finish();
    let recording = recorder.stop();
    let processes = rows(&recording, &["processes"]);
    let intruder = processes
        .iter()
        .take(5)
        .find(|row| row.contains("cat /etc/passwd"));
    assert!(
        intruder.is_some_and(|row| row.contains(",true,")),
        "{processes:#?}"
    );
    let files = rows(&recording, &["files"]);
    // The file of the container's own layers has no path on the machine.
    let read = files.iter().find(|row| row.contains(",/etc/passwd,,"));
    assert!(read.is_some_and(|row| row.contains(",cat,")), "{files:#?}");
}

#[test]
fn a_file_of_the_machine_is_told_by_its_path_there() {
    require_root();
    let container = Container::new(Runtime::Docker, "escape").option("--volume=/:/h");
    let recorder = Recorder::start(&["--container", container.name()]);
    container.run(&["cat", "/h/etc/shadow"]);
    let recording = recorder.stop();
    let files = rows(&recording, &["files"]);
    let read = files
        .iter()
        .take(5)
        .find(|row| row.contains(",/h/etc/shadow,/etc/shadow,"));
    assert!(read.is_some(), "{files:#?}");
    let powers = rows(&recording, &["powers"]);
    assert!(powers[0].contains(",/,"), "{powers:#?}");
}

#[test]
fn a_container_that_restarts_tells_how_often_and_why() {
    require_root();
    let image = Container::new(Runtime::Docker, "restarts");
    let name = image.name().to_owned();
    let recorder = Recorder::start(&["--container", &name]);
    let image = image.image();
    let script = "cat /etc/app/config.yaml; exit 3";
    run(Command::new("docker")
        .args([
            "run",
            "--detach",
            "--restart=on-failure:2",
            "--network=none",
            "--name",
            &name,
        ])
        .args([&image, "sh", "-c", script]));
    let state = [
        "inspect",
        "--format={{.State.Running}} {{.RestartCount}}",
        &name,
    ];
    wait_for("the container has given up", || {
        let state = run(Command::new("docker").args(state));
        (state.trim() == "false 2").then_some(())
    });
    let recording = recorder.stop();
    run(Command::new("docker").args(["rm", &name]));
    let why = rows(&recording, &["why", &name]);
    assert!(why[0].contains("restarted 2 times"), "{why:#?}");
    assert!(why[1].contains("exit code 3"), "{why:#?}");
    assert!(
        why[2].contains("openat ENOENT /etc/app/config.yaml"),
        "{why:#?}"
    );
}
