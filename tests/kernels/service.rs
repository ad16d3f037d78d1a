//! The service under a real systemd, which is the first process of a machine: as installed by `make install`, and with all
//! restrictions of its unit.

use crate::machine::{Outcome, Root, Workload, container_id};
use crate::support::command::run;
use crate::support::query::query;
use crate::support::root::require_root;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

/// The number of calls of getppid by each workload: primes. No other program makes this call.
const CALLS: [(&str, i64); 3] = [("first", 1009), ("second", 503), ("third", 127)];

/// The units of systemd that a service with default dependencies needs.
const UNITS: [&str; 3] = ["basic.target", "sysinit.target", "shutdown.target"];

/// The only unit besides the service: it runs the script, which reports errors on the console.
const SESSION: &str = "[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/session
StandardError=tty
";

/// A file for the messages of the recorder, because there is no journal.
const MESSAGES: &str = "[Service]
StandardError=append:/run/out/recorder
";

/// Creates the machine: systemd as installed here, the service, and containers, the first of which has a name in a runtime.
fn machine() -> Root {
    let idle = Workload {
        name: "idle",
        command: "sleep 1000".into(),
    };
    let busy = CALLS.map(|(name, calls)| Workload {
        name,
        command: format!("calls getppid={calls}"),
    });
    let named = container_id("first");
    let workloads: Vec<_> = busy.into_iter().chain([idle]).collect();
    let root = Root::new("/usr/local/bin/ctrace-rec", &workloads);
    root.program(Path::new("/lib/systemd/systemd"), "/main");
    root.program(Path::new("/bin/systemctl"), "/bin/systemctl");
    for unit in UNITS {
        let path = format!("/lib/systemd/system/{unit}");
        root.text(&path, &std::fs::read_to_string(&path).unwrap());
    }
    root.text("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let units = "/etc/systemd/system";
    root.text(&format!("{units}/session.service"), SESSION);
    root.text(
        &format!("{units}/ctrace-rec.service.d/stderr.conf"),
        MESSAGES,
    );
    root.text(
        &format!("{units}/default.target"),
        "[Unit]\nWants=session.service\n",
    );
    root.script("service.sh", "/usr/bin/session");
    // PrivateTmp= needs /var/tmp.
    std::fs::create_dir_all(root.path("/var/tmp")).unwrap();
    run(Command::new("make")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "install-service"])
        .args(["PREFIX=/usr/local", "-s"])
        .arg(format!("DESTDIR={}", root.path("/").display()))
        .env_remove("MAKEFLAGS"));
    // The state of the runtime belongs to another user, and nobody else may read it.
    let state = format!("/var/lib/docker/containers/{named}/config.v2.json");
    root.text(&state, r#"{"Name": "/payment"}"#);
    run(Command::new("chmod").arg("600").arg(root.path(&state)));
    chown(root.path(&state), Some(1000), None).unwrap();
    root
}

/// Returns the properties of the service that the script wrote to a file.
fn state(outcome: &Outcome, name: &str) -> Vec<String> {
    let mut lines: Vec<_> = outcome.text(name).lines().map(String::from).collect();
    lines.sort_unstable();
    lines
}

/// Returns the value of a line `NAME: VALUE` of /proc/PID/status.
fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.strip_prefix(':')).unwrap().trim()
}

/// Checks that the restrictions of the unit were in force, and that the recorder has given up what it needs only to begin.
fn check_rights(outcome: &Outcome) {
    let rights = outcome.text("rights");
    // CAP_DAC_READ_SEARCH, CAP_PERFMON and CAP_BPF: their numbers in linux/capability.h.
    let read: u64 = 1 << 2;
    let begin = read | 1 << 38 | 1 << 39;
    let bounds = u64::from_str_radix(value(&rights, "CapBnd"), 16).unwrap();
    assert_eq!(bounds & !begin, 0, "{bounds:x}");
    for set in ["CapPrm", "CapEff"] {
        assert_eq!(value(&rights, set), format!("{read:016x}"));
    }
    assert_eq!(value(&rights, "NoNewPrivs"), "1");
    assert_eq!(value(&rights, "Seccomp"), "2");
    let mounts = outcome.text("mounts");
    let options = |at: &str| {
        let fields = mounts.lines().map(|line| line.split(' '));
        let mut of = fields.filter_map(|mut f| (f.nth(4) == Some(at)).then(|| f.next().unwrap()));
        of.next_back().unwrap().split(',').next().unwrap()
    };
    assert_eq!(options("/"), "ro");
    assert_eq!(options("/var/lib/ctrace"), "rw");
}

#[test]
fn a_service_under_systemd() {
    require_root();
    let outcome = machine().boot("6.12");
    let [active, restarts, result, status, sub] = &state(&outcome, "started")[..] else {
        panic!("{}", outcome.text("started"))
    };
    assert_eq!([active, sub], ["ActiveState=active", "SubState=running"]);
    assert_eq!([restarts, result], ["NRestarts=0", "Result=success"]);
    let numbers = status.strip_prefix("StatusText=1 containers, ").unwrap();
    assert!(numbers.ends_with(" events, 0 lost"), "{status}");
    check_rights(&outcome);
    assert!(outcome.text("metrics").contains("ctrace_events_total"));
    let restarted = state(&outcome, "restarted");
    assert!(restarted.contains(&"NRestarts=1".into()), "{restarted:?}");
    let stopped = state(&outcome, "stopped");
    assert!(stopped.contains(&"ActiveState=inactive".into()));
    assert!(stopped.contains(&"Result=success".into()));
    check_recordings(&outcome);
}

/// Checks that every call is recorded with the name of its container: calls before the reload are in the file that the reload
/// ended, and calls before the kill are in a file that the next recorder has finished.
fn check_recordings(outcome: &Outcome) {
    let rows = query(
        &outcome.path("recordings"),
        "select container, count(*) as calls, min(recording) as file from events
        where syscall = 'getppid' group by container order by calls desc",
    );
    assert_eq!(rows.len(), CALLS.len(), "{rows:?}");
    for (row, (name, calls)) in rows.iter().zip(CALLS) {
        let id = container_id(name);
        let name = if name == "first" {
            "payment"
        } else {
            &id[..12]
        };
        assert_eq!(row["container"], name);
        assert_eq!(row["calls"], calls);
    }
    let files = rows.iter().map(|row| row["file"].as_str().unwrap());
    let files: Vec<_> = files.map(|f| f.rsplit('/').next().unwrap()).collect();
    assert!(files.is_sorted_by(|a, b| a < b), "{files:?}");
    // The recorder after the kill has finished the open file.
    assert!(!files.iter().any(|f| f.ends_with(".open")), "{files:?}");
    let reloaded = outcome.text("reloaded");
    assert!(reloaded.trim_end().ends_with(files[0]), "{reloaded}");
}
