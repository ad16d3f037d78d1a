//! The service under a real systemd, which is the first process of a machine: as `make install` installs it, with all that
//! its unit forbids it.

use crate::common::recorder::query;
use crate::common::{require_root, run};
use crate::machine::{Outcome, Root, Workload, container_id};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

/// How often each workload makes a call that nothing else makes: primes.
const CALLS: [(&str, i64); 3] = [("first", 1009), ("second", 503), ("third", 127)];

/// The units of systemd that a service of default dependencies needs.
const UNITS: [&str; 3] = ["basic.target", "sysinit.target", "shutdown.target"];

/// What systemd starts, and nothing else: the script, which says on the console what goes wrong.
const SESSION: &str = "[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/session
StandardError=tty
";

/// There is no journal: what the recorder says is kept like everything else.
const MESSAGES: &str = "[Service]
StandardError=append:/run/out/recorder
";

/// The machine: systemd as it is installed here, the service, and containers, of which a runtime knows the first by a name.
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
    // What PrivateTmp= asks for.
    std::fs::create_dir_all(root.path("/var/tmp")).unwrap();
    run(Command::new("make")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "install-service"])
        .args(["PREFIX=/usr/local", "-s"])
        .arg(format!("DESTDIR={}", root.path("/").display()))
        .env_remove("MAKEFLAGS"));
    // Another user's, and nobody else's to read.
    let state = format!("/var/lib/docker/containers/{named}/config.v2.json");
    root.text(&state, r#"{"Name": "/payment"}"#);
    run(Command::new("chmod").arg("600").arg(root.path(&state)));
    chown(root.path(&state), Some(1000), None).unwrap();
    root
}

/// What systemd knew of the service when the script asked.
fn state(outcome: &Outcome, name: &str) -> Vec<String> {
    let mut lines: Vec<_> = outcome.text(name).lines().map(String::from).collect();
    lines.sort_unstable();
    lines
}

/// The value of a line `NAME: VALUE`, as /proc/PID/status has them.
fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.strip_prefix(':')).unwrap().trim()
}

/// What the unit forbids was forbidden.
fn check_rights(outcome: &Outcome) {
    let rights = outcome.text("rights");
    // CAP_DAC_READ_SEARCH, CAP_PERFMON and CAP_BPF: their numbers in linux/capability.h.
    let allowed: u64 = 1 << 2 | 1 << 38 | 1 << 39;
    for set in ["CapBnd", "CapEff"] {
        assert_eq!(value(&rights, set), format!("{allowed:016x}"));
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
    let told = status.strip_prefix("StatusText=1 containers, ").unwrap();
    assert!(told.ends_with(" events, 0 lost"), "{status}");
    check_rights(&outcome);
    assert!(outcome.text("metrics").contains("ctrace_events_total"));
    let restarted = state(&outcome, "restarted");
    assert!(restarted.contains(&"NRestarts=1".into()), "{restarted:?}");
    let stopped = state(&outcome, "stopped");
    assert!(stopped.contains(&"ActiveState=inactive".into()));
    assert!(stopped.contains(&"Result=success".into()));
    check_recordings(&outcome);
}

/// Every call is recorded, with the name that the container has; those from before the reload are in the file that it ended,
/// those from before the kill in one that the next recorder has finished.
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
    // The recorder that came after the kill has finished what that left.
    assert!(!files.iter().any(|f| f.ends_with(".open")), "{files:?}");
    let reloaded = outcome.text("reloaded");
    assert!(reloaded.trim_end().ends_with(files[0]), "{reloaded}");
}
