//! Comparisons of sides that the tests compose.

use ctrace_schema::histogram::Histogram;

use super::facts::SLICES;
use super::*;

const SECOND: i64 = 1_000_000_000;

/// A side of 200 seconds with a container that lives longer.
fn side() -> SideFacts {
    SideFacts {
        span: (0, 200 * SECOND),
        containers: vec![ContainerFacts {
            id: "1".into(),
            name: "web".into(),
            general_name: "web".into(),
            has_id: true,
            started: Some(-SECOND),
            addresses: vec!["172.17.0.2".into()],
            ..ContainerFacts::default()
        }],
        addresses: vec![("10.9.9.8".into(), "other".into())],
        subjects: vec![],
        peers: vec![],
        calls: vec![],
        records: Box::new(|_| true),
    }
}

/// The same side, with a container that starts and ends in it.
fn job() -> SideFacts {
    let mut side = side();
    side.containers[0].started = Some(SECOND);
    side.containers[0].stopped = Some(9 * SECOND);
    side
}

fn subject(aspect: Aspect, subject: &str, action: Option<&str>, count: u64) -> SubjectFacts {
    SubjectFacts {
        aspect,
        container: "1".into(),
        subject: subject.into(),
        action: action.map(String::from),
        example: subject.into(),
        alias: None,
        rank: 1,
        count,
        first_seen: 7,
    }
}

fn file(path: &str, action: &str) -> SubjectFacts {
    subject(Aspect::File, path, Some(action), 100)
}

/// Adds `count` calls of `duration_ns` to each slice.
fn calls(side: &mut SideFacts, name: &str, error: Option<&str>, count: u64, duration_ns: f64) {
    for slice in 0..SLICES {
        let mut durations = Histogram::default();
        durations.add_times(duration_ns * (1.0 + slice as f64 / 1000.0), count);
        side.calls.push(CallFacts {
            container: "1".into(),
            name: name.into(),
            error: error.map(String::from),
            is_denied: error == Some("EPERM"),
            slice,
            count,
            first_seen: 7,
            durations,
        });
    }
}

/// Returns the changes as lines.
fn lines(good: &SideFacts, bad: &SideFacts) -> Vec<String> {
    let changes = compare(good, bad, DiffSettings::default());
    let line = |c: &Change| {
        let action = c
            .action
            .as_ref()
            .map_or(String::new(), |action| format!(" ({action})"));
        format!(
            "{} {} {}{action}",
            c.kind.name(),
            c.aspect.name(),
            c.subject
        )
    };
    changes.iter().map(line).collect()
}

#[test]
fn equal_sides_have_no_changes() {
    let mut both = [side(), side()];
    for side in &mut both {
        calls(side, "read", None, 50, 1e6);
        side.subjects.push(file("/etc/hosts", "read"));
    }
    assert!(lines(&both[0], &both[1]).is_empty());
}

#[test]
fn the_most_severe_news_come_first() {
    let (good, mut bad) = (side(), side());
    bad.subjects = vec![
        subject(Aspect::Name, "evil.example", Some("NOERROR"), 1),
        subject(Aspect::Error, "/etc/shadow", Some("openat EACCES"), 2),
        subject(Aspect::Exit, "/app", Some("SIGSEGV"), 1),
        subject(Aspect::Executable, "/tmp/x", None, 1),
    ];
    calls(&mut bad, "ptrace", Some("EPERM"), 1, 0.0);
    assert_eq!(
        lines(&good, &bad),
        [
            "new denied call ptrace (EPERM)",
            "new exit /app (SIGSEGV)",
            "new executable /tmp/x",
            "new error /etc/shadow (openat EACCES)",
            "new dns name evil.example (NOERROR)",
        ]
    );
}

#[test]
fn files_below_a_new_directory_are_one_line() {
    let (mut good, mut bad) = (side(), side());
    good.subjects = vec![file("/etc/hosts", "read"), file("/opt/app/main.py", "read")];
    bad.subjects = good.subjects.clone();
    bad.subjects.extend([
        file("/opt/new/a/1.py", "open"),
        file("/opt/new/a/1.py", "read"),
        file("/opt/new/b/2.py", "write"),
        file("/opt/app/other.py", "read"),
        // Of a known file, only changes count.
        file("/etc/hosts", "open"),
        file("/etc/hosts", "write"),
    ]);
    let lines = lines(&good, &bad);
    let mut sorted = lines.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "new file /etc/hosts (write)",
            "new file /opt/app/other.py (read)",
            "new file /opt/new/** (read, write)",
        ]
    );
}

#[test]
fn a_link_to_the_same_program_is_not_new_and_another_applet_is() {
    let program = |link: &str, file: &str| SubjectFacts {
        alias: Some(file.into()),
        ..subject(Aspect::Executable, link, None, 1)
    };
    let (mut good, mut bad) = (side(), side());
    good.subjects = vec![
        program("/usr/bin/python3.12", "/usr/bin/python3.12"),
        program("/bin/sh", "/bin/busybox"),
    ];
    bad.subjects = vec![
        program("/usr/bin/python3", "/usr/bin/python3.12"),
        program("/bin/wget", "/bin/busybox"),
    ];
    let lines = lines(&good, &bad);
    let new: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("new"))
        .collect();
    assert_eq!(new, ["new executable /bin/wget"]);
}

#[test]
fn peers_are_known_by_container_name_and_network() {
    let peer = |address: &str, port: Option<i64>, name: Option<&str>, direction: &str| PeerFacts {
        container: "1".into(),
        protocol: Some("tcp".into()),
        address: Some(address.into()),
        path: None,
        name: name.map(String::from),
        dns_name: name.map(String::from),
        local_port: (direction == "in").then_some(80),
        peer_port: port,
        direction: Some(direction.into()),
        count: 1,
        first_seen: 7,
    };
    let (mut good, mut bad) = (side(), side());
    good.peers = vec![
        peer("10.1.2.3", Some(5432), Some("db.example"), "out"),
        peer("172.17.0.9", None, None, "in"),
    ];
    bad.peers = vec![
        // Another address of the same name.
        peer("10.1.2.4", Some(5432), Some("db.example"), "out"),
        peer("10.9.9.9", Some(443), None, "out"),
        peer("172.17.0.8", None, None, "in"),
        peer("203.0.113.5", None, None, "in"),
        peer("172.17.0.2", Some(80), None, "out"),
        peer("10.9.9.8", Some(81), None, "out"),
    ];
    let mut lines = lines(&good, &bad);
    lines.sort();
    assert_eq!(
        lines,
        [
            "new peer 10.9.9.9:443 (tcp out)",
            "new peer other:81 (tcp out)",
            "new peer port 80 from the internet (tcp in)",
            "new peer web:80 (tcp out)",
        ]
    );
}

#[test]
fn what_a_side_did_not_record_is_neither_new_nor_gone() {
    let (mut good, mut bad) = (side(), side());
    calls(&mut bad, "connect", None, 1, 1e3);
    calls(&mut bad, "mkdir", None, 1, 1e3);
    bad.subjects = vec![file("/srv/a", "create")];
    good.records = Box::new(|call| call == "mkdir");
    assert_eq!(lines(&good, &bad), ["new call mkdir"]);
    assert_eq!(lines(&bad, &good), ["vanished call mkdir"]);
}

#[test]
fn what_was_rare_has_not_vanished() {
    let (mut good, mut bad) = (side(), side());
    good.subjects = vec![
        subject(Aspect::Executable, "/bin/rare", None, 2),
        subject(Aspect::Executable, "/bin/often", None, 50),
    ];
    assert_eq!(lines(&good, &bad), ["vanished executable /bin/often"]);
    // A run repeats everything.
    (good.containers, bad.containers) = (job().containers, job().containers);
    assert_eq!(lines(&good, &bad).len(), 2);
}

#[test]
fn a_call_that_changed_is_told_with_its_rate_or_its_duration() {
    let (mut good, mut bad) = (side(), side());
    for call in ["openat", "close", "fstat", "mmap", "brk"] {
        calls(&mut good, call, None, 100, 2e3);
        calls(&mut bad, call, None, 103, 2e3);
    }
    calls(&mut good, "fsync", None, 40, 1e6);
    calls(&mut bad, "fsync", None, 40, 9e6);
    calls(&mut good, "getpid", None, 100, 200.0);
    calls(&mut bad, "getpid", None, 300, 900.0);
    // A wait depends on others.
    calls(&mut good, "futex", None, 100, 1e6);
    calls(&mut bad, "futex", None, 900, 9e6);
    assert_eq!(
        lines(&good, &bad),
        ["slower call fsync", "more call getpid"]
    );
    assert_eq!(
        lines(&bad, &good),
        ["faster call fsync", "less call getpid"]
    );
    let changes = compare(&good, &bad, DiffSettings::default());
    assert_eq!(changes[1].measure, Measure::PerSecond);
    assert!((changes[1].good - 10.0).abs() < 0.1 && (changes[1].bad - 30.0).abs() < 0.1);
}

#[test]
fn more_load_is_one_line() {
    let (mut good, mut bad) = (side(), side());
    for (i, call) in ["openat", "close", "fstat", "mmap", "brk", "read", "write"]
        .iter()
        .enumerate()
    {
        calls(&mut good, call, None, 100 + i as u64, 2e3);
        calls(&mut bad, call, None, 300 + i as u64, 2e3);
    }
    calls(&mut good, "fsync", None, 100, 2e3);
    calls(&mut bad, "fsync", None, 900, 2e3);
    assert_eq!(
        lines(&good, &bad),
        ["more call fsync", "more call all calls"]
    );
}

#[test]
fn runs_are_compared_by_their_counts_and_not_by_their_time() {
    let (mut good, mut bad) = (job(), job());
    // The bad run takes three times as long for the same work, and opens twice as many files.
    bad.containers[0].stopped = Some(27 * SECOND);
    calls(&mut good, "write", None, 30, 2e3);
    calls(&mut bad, "write", None, 30, 2e3);
    calls(&mut good, "openat", None, 30, 2e3);
    calls(&mut bad, "openat", None, 60, 2e3);
    assert_eq!(lines(&good, &bad), ["more call openat"]);
}

#[test]
fn containers_of_one_side_are_told_as_a_whole() {
    let (good, mut bad) = (side(), side());
    let mut other = bad.containers[0].clone();
    (other.id, other.name, other.general_name) = ("2".into(), "miner".into(), "miner".into());
    other.image = Some("evil/miner:1".into());
    bad.containers.push(other);
    bad.subjects = vec![SubjectFacts {
        container: "2".into(),
        ..subject(Aspect::Executable, "/miner", None, 1)
    }];
    assert_eq!(
        lines(&good, &bad),
        ["new container evil/miner:1 (container)"]
    );
}
