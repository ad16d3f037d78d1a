//! The start, the end and the output of a recording, and refused command lines.

use crate::support::command::{output, run};
use crate::support::containers::{Container, Runtime};
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::Recorder;
use crate::support::refusal::refused;
use crate::support::root::require_root;
use crate::support::wait::wait_for;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_duration_ends_the_recording() {
    require_root();
    let start = Instant::now();
    let recording = Recorder::start(&["--duration", "2s"]).finish();
    assert_eq!(recording.code, 0, "{}", recording.stderr);
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert!(recording.count("select count(*) from events") >= 0);
}

#[test]
fn a_signal_ends_the_recording() {
    require_root();
    for signal in ["-INT", "-TERM"] {
        let recorder = Recorder::start(&[]);
        let ended = Container::new(Runtime::Runc, "signal").run(&["true"]);
        run(Command::new("kill").args([signal, &recorder.pid().to_string()]));
        let recording = recorder.finish();
        assert_eq!(recording.code, 0, "{}", recording.stderr);
        let exit = format!(
            "select count(*) from events where container = '{}' and action = 'exit' and comm = 'true'",
            ended.name
        );
        assert_eq!(
            recording.count(&exit),
            1,
            "events just before the end are recorded"
        );
    }
}

#[test]
fn a_recording_without_events_names_what_else_can_be_recorded() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let ended = output(
        ctrace_rec()
            .arg("--out")
            .arg(dir.path().join("nothing.parquet"))
            .args(["--container", "no-such-container", "--", "true"]),
    );
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("`--host` records other processes too"),
        "{stderr}"
    );
}

#[test]
fn the_end_of_the_command_ends_the_recording_with_its_exit_code() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    for (script, code) in [("exit 5", 5), ("exit 0", 0), ("kill -TERM $$", 128 + 15)] {
        let file = dir.path().join(format!("{code}.parquet"));
        let ended = output(
            ctrace_rec()
                .arg("--out")
                .arg(&file)
                .args(["--host", "--", "sh", "-c", script]),
        );
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{stderr}");
        let sql = "select count(*) as n from events where syscall = 'execve' and argv like 'sh -c %' and ret = 0";
        assert!(
            query(&file, sql)[0]["n"].as_i64().unwrap() >= 1,
            "the command's own exec is recorded"
        );
    }
    let file = dir.path().join("missing.parquet");
    let ended = output(
        ctrace_rec()
            .arg("--out")
            .arg(&file)
            .args(["--", "/no/such/command"]),
    );
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("/no/such/command"), "{stderr}");
}

#[test]
fn quiet_prints_nothing() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let ended = output(
        ctrace_rec()
            .args(["--quiet", "--duration", "1s", "--out"])
            .arg(dir.path().join("run.parquet")),
    );
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        ended.stderr.is_empty() && ended.stdout.is_empty(),
        "{ended:?}"
    );
}

/// Records a container that reads /etc/motd to stdout. Returns the output of `filter`, which reads the recorder's stdout.
fn streamed(args: &[&str], filter: &mut Command) -> String {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let stdout = fs::File::create(dir.path().join("stdout")).unwrap();
    let mut recorder = ctrace_rec()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut filter = filter
        .stdin(recorder.stdout.take().unwrap())
        .stdout(stdout)
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(recorder.stderr.take().unwrap());
    let mut message = String::new();
    while !message.lines().any(|line| line.starts_with("recording to")) {
        assert_ne!(stderr.read_line(&mut message).unwrap(), 0, "{message}");
    }
    let ended = Container::new(Runtime::Docker, "stream").run(&["md5sum", "/etc/motd"]);
    run(Command::new("kill").args(["-INT", &recorder.id().to_string()]));
    stderr.read_to_string(&mut message).unwrap();
    let status = wait_for("ctrace-rec ends", || recorder.try_wait().unwrap());
    assert!(status.success(), "{status}: {message}");
    assert!(filter.wait().unwrap().success());
    let streamed = fs::read_to_string(dir.path().join("stdout")).unwrap();
    streamed.replace(&ended.name, "CONTAINER")
}

#[test]
fn jq_reads_the_json_lines() {
    let filter = r#"select(.syscall == "read" and .path == "/etc/motd" and .ret == 6) | [.container, .comm, .bytes]"#;
    for args in [&["--out", "-"][..], &["--out", "-", "--format", "json"]] {
        let lines = streamed(args, Command::new("jq").args(["-c", filter]));
        assert_eq!(lines, "[\"CONTAINER\",\"md5sum\",6]\n", "{args:?}");
    }
}

#[test]
fn a_table_reads_like_strace() {
    let lines = streamed(&["--format", "table"], &mut Command::new("cat"));
    let calls: Vec<&str> = lines
        .lines()
        .filter(|l| l.contains("CONTAINER") && l.contains(" md5sum ") && l.contains("motd"))
        .collect();
    let opened = calls.iter().any(|l| {
        l.contains(r#"open"#) && l.contains(r#""/etc/motd", O_RDONLY"#) && l.contains(" = 3")
    });
    let read = calls
        .iter()
        .any(|l| l.contains("read(3</etc/motd>, ") && l.contains(" = 6 <"));
    assert!(opened && read, "{calls:#?}");
}

#[test]
fn an_output_that_exists_is_kept_unless_forced() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.parquet");
    fs::write(&file, "mine").unwrap();
    let message = refused(ctrace_rec().args(["--duration", "1s", "--out"]).arg(&file));
    assert!(message.contains("--force"), "{message}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // A recording that cannot begin leaves no other file either.
    let new = dir.path().join("new.parquet");
    let message = refused(ctrace_rec().arg("--raw").arg(&file).arg("--out").arg(&new));
    assert!(message.contains("run.parquet exists"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    run(ctrace_rec()
        .args(["--duration", "1s", "--force", "--out"])
        .arg(&file));
    assert_eq!(
        query(&file, "select 1 as one from events limit 0"),
        Vec::<Value>::new()
    );
}

#[test]
fn a_directory_that_is_missing_is_named() {
    require_root();
    let message = refused(ctrace_rec().args([
        "--duration",
        "1s",
        "--out",
        "/no/such/directory/run.parquet",
    ]));
    assert!(message.contains("/no/such/directory"), "{message}");
}

#[test]
fn an_unknown_flag_is_refused() {
    let message = refused(ctrace_rec().arg("--durration"));
    assert!(message.contains("--duration"), "{message}");
}

#[test]
fn missing_permissions_are_reported_with_the_remedy() {
    require_root();
    // Another user may not have access to the build directory.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = dir.path().join("ctrace-rec");
    fs::copy(ctrace_rec().get_program(), &program).unwrap();
    let file = dir.path().join("run.parquet");
    let message = refused(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["--duration", "1s", "--out"])
            .arg(&file),
    );
    assert!(
        message.contains("root") || message.contains("sudo"),
        "{message}"
    );
    assert!(!file.exists());
}

#[test]
fn the_summary_names_what_was_recorded() {
    require_root();
    let recorder = Recorder::start(&[]);
    Container::new(Runtime::Runc, "summary").run(&["calls", "getppid=10007"]);
    let recording = recorder.stop();
    let events = recording.count("select count(*) from events where kind <> 'gap'");
    let digits: String = recording
        .stderr
        .chars()
        .filter(|c| !",_'".contains(*c))
        .collect();
    assert!(
        events > 10_007 && digits.contains(&events.to_string()),
        "{events}: {}",
        recording.stderr
    );
}

#[test]
fn the_metadata_names_kernel_boot_and_filters() {
    require_root();
    let recording = Recorder::start(&["--set", "fs", "--duration", "1s"]).finish();
    let file = fs::read(&recording.path).unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for text in [
        kernel.trim(),
        boot.trim(),
        "ctrace.clocks",
        "ctrace.filters",
        "ctrace.lost",
    ] {
        assert!(
            file.windows(text.len()).any(|w| w == text.as_bytes()),
            "{text}"
        );
    }
}
