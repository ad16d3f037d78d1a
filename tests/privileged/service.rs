//! The recorder as a service: notifications to a service manager, metrics, and the rights of its unit.

use crate::support::command::run;
use crate::support::containers::{Container, Runtime};
use crate::support::metrics;
use crate::support::programs::ctrace_rec;
use crate::support::query::query;
use crate::support::recorder::{KillOnDrop, Recorder};
use crate::support::root::require_root;
use crate::support::wait::{LIMIT, wait_for};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

const UNIT: &str = include_str!("../../packaging/ctrace-rec.service");

/// Returns the values of a setting of the unit.
fn setting(name: &str) -> Vec<&'static str> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(name));
    let values = line.and_then(|rest| rest.strip_prefix('=')).unwrap();
    values.split_whitespace().collect()
}

#[test]
fn the_unit_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("ctrace-rec.service");
    // The unit runs the built program, which need not be installed.
    let installed = "/usr/local/bin/ctrace-rec";
    assert!(UNIT.contains(installed));
    let here = UNIT.replace(installed, env!("CARGO_BIN_EXE_ctrace-rec"));
    fs::write(&unit, here).unwrap();
    let verify = ["verify", "--man=no"];
    run(Command::new("systemd-analyze").args(verify).arg(&unit));
    // The exposure level of systemd-analyze: 10 for all rights of root, 0 for none. The threshold is in tenths.
    let security = ["security", "--offline=true", "--threshold=20"];
    run(Command::new("systemd-analyze").args(security).arg(&unit));
}

#[test]
fn the_service_manager_is_notified_of_start_watchdog_and_stop() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let receive = || {
        let mut state = [0; 256];
        let bytes = socket.recv(&mut state).unwrap();
        String::from_utf8(state[..bytes].to_vec()).unwrap()
    };
    let name = path.to_str().unwrap();
    let recorder = Recorder::start_with(
        "run.parquet",
        &[],
        &[("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "1000000")],
    );
    assert_eq!(receive(), "READY=1");
    let mut watchdogs = 0;
    let mut status = None;
    while watchdogs < 2 || status.is_none() {
        match receive() {
            watchdog if watchdog == "WATCHDOG=1" => watchdogs += 1,
            state => status = Some(state),
        }
    }
    let status = status.unwrap();
    assert!(
        status.starts_with("STATUS=") && status.ends_with(" 0 lost"),
        "{status}"
    );
    assert_eq!(recorder.stop().code, 0);
    let last = std::iter::repeat_with(receive).find(|state| state != "WATCHDOG=1");
    assert_eq!(last.unwrap(), "STOPPING=1");
}

#[test]
fn the_rights_of_the_unit_are_enough_to_record() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.parquet");
    let address = metrics::free_address();
    let config = dir.path().join("rec.toml");
    fs::write(
        &config,
        format!("out = {path:?}\nmetrics = '{address}'\nquiet = true\ncontainer = 'service-*'\n"),
    )
    .unwrap();
    let mut bounds = "-all".to_string();
    for capability in setting("CapabilityBoundingSet") {
        let name = capability.strip_prefix("CAP_").unwrap();
        bounds += &format!(",+{}", name.to_lowercase());
    }
    let recorder = ctrace_rec();
    let child = Command::new("setpriv")
        .args([
            "--bounding-set",
            &bounds,
            "--inh-caps=-all",
            "--no-new-privs",
        ])
        .arg(recorder.get_program())
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .spawn();
    let mut child = KillOnDrop(child.unwrap());
    let mut running = Container::new(Runtime::Runc, "service").start(&["cat"]);
    metrics::wait_until(&address, |m| m["ctrace_containers"] == 1.0);
    running.write("hello");
    assert_eq!(running.line(), "hello");
    let name = running.name.clone();
    running.finish();
    metrics::wait_until(&address, |m| m["ctrace_containers"] == 0.0);
    run(Command::new("kill").arg(child.0.id().to_string()));
    assert!(child.0.wait().unwrap().success());
    let sql = format!(
        "select count(*) as n from events where container = '{name}' and syscall = 'write'"
    );
    assert!(query(&path, &sql)[0]["n"].as_i64().unwrap() >= 1);
}

#[test]
fn sighup_begins_the_next_file() {
    require_root();
    let mut container = Container::new(Runtime::Runc, "reload").start(&["cat"]);
    let name = container.name.clone();
    let recorder = Recorder::start_to("out/", &["--event", "write"]);
    let mut write = |line: &str| {
        container.write(line);
        assert_eq!(container.line(), line);
    };
    write("first");
    let pid = recorder.pid().to_string();
    run(Command::new("kill").args(["-HUP", &pid]));
    let out = recorder.beside("out");
    let files = |ending: &str| {
        let pattern = format!("*{ending}");
        let found = run(Command::new("find").arg(&out).args(["-name", &pattern]));
        found
            .lines()
            .map(std::path::PathBuf::from)
            .collect::<Vec<_>>()
    };
    wait_for("a finished file", || files(".parquet").pop());
    write("second");
    let recording = recorder.stop();
    assert_eq!(recording.code, 0);
    let (finished, open) = (files(".parquet"), files(".open"));
    assert!(
        finished.len() == 2 && open.is_empty(),
        "{finished:?} {open:?}: {}",
        recording.stderr
    );
    let sql = format!(
        "select count(*) as n, count(distinct recording) as files, count(distinct seq) as numbers from events
        where container = '{name}' and syscall = 'write'"
    );
    let row = query(&out, &sql).remove(0);
    assert!(
        row["n"].as_i64() >= Some(2) && row["n"] == row["numbers"],
        "{row}"
    );
    assert_eq!(row["files"], 2, "{row}");
}
