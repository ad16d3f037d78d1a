//! The recorder on other kernels: each of Debian's kernels boots in a virtual machine. The recording made there is compared
//! with the output of strace for the same run, and with the counts of the programs. Needs root, like the other tests that
//! record.
//!
//! Linux 7 may preempt the programs (docs/limits.md), so that occasionally only the entry or only the return of a call is
//! seen: no more often than the recorder reports, and no call is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_arch = "x86_64")]

#[path = "../support"]
mod support {
    pub(crate) mod command;
    pub(crate) mod compare;
    pub(crate) mod image;
    pub(crate) mod programs;
    pub(crate) mod query;
    pub(crate) mod root;
}

mod machine;
mod service;

use machine::{Outcome, Root, Workload, container_id};
use std::collections::BTreeMap;
use std::path::Path;
use support::compare::rows::{self, Row};
use support::compare::{check, strace};
use support::root::require_root;

#[test]
fn linux_5_10() {
    on("5.10");
}

#[test]
fn linux_6_1() {
    on("6.1");
}

#[test]
fn linux_6_12() {
    on("6.12");
}

#[test]
fn linux_7_2() {
    on("7.2");
}

/// Workloads under strace: name, command, and the least number of compared calls. None of them kills a process: on such a
/// slow processor strace does not print the end of a call that a kill interrupts.
const TRACED: &[(&str, &str, usize)] = &[
    ("messages", "messages", 150),
    ("net", "net", 90),
    ("paths", "paths /tmp/p", 60),
    ("places", "places /tmp/p", 600),
    ("messages32", "messages32", 150),
    ("places32", "places32 /tmp/p", 600),
];

/// Workloads at full speed, which count their own calls.
const COUNTED: &[&str] = &["calls", "calls32"];

/// The number of calls of each kind: primes, so that a wrong attribution changes the counts.
const COUNTS: &[(&str, i64)] = &[
    ("getppid", 1009),
    ("getuid", 503),
    ("sched_yield", 127),
    ("getcwd", 157),
    ("faccessat", 163),
    ("chdir", 167),
    ("flock", 179),
];

/// Calls with their numbers. seccomp refuses the calls with `!`.
const REFUSED: &str = "calls !getuid=503 getppid=1009 !faccessat=163 getcwd=157 !flock=179";

/// The number of io_uring requests that do nothing and succeed.
const REQUESTS: usize = 512;

/// Returns all workloads.
fn workloads() -> Vec<Workload> {
    let strace = strace::COMMAND.join(" ");
    let counts: String = COUNTS.iter().map(|(n, c)| format!(" {n}={c}")).collect();
    let traced = TRACED.iter().map(|&(name, command, _)| Workload {
        name,
        command: format!("{strace} /run/out/{name}/t -- {command}"),
    });
    let counted = COUNTED.iter().map(|&name| Workload {
        name,
        command: format!("{name}{counts}"),
    });
    let other = [
        ("uring", format!("uring {REQUESTS}")),
        ("dns", "dns".into()),
        ("refused", REFUSED.into()),
    ]
    .map(|(name, command)| Workload { name, command });
    traced.chain(counted).chain(other).collect()
}

/// Records all workloads on a kernel, and compares.
fn on(series: &str) {
    require_root();
    let workloads = workloads();
    let root = Root::new("/usr/bin/ctrace-rec", &workloads);
    root.program(Path::new("/usr/bin/strace"), "/usr/bin/strace");
    root.script("record.sh", "/main");
    let outcome = root.boot(series);
    let kernel = outcome.text("kernel");
    assert!(kernel.starts_with(&format!("{series}.")), "{kernel}");
    let recorder = outcome.text("recorder");
    assert_eq!(outcome.text("code"), "0\n", "{recorder}");
    check_rights(series, &outcome.text("rights"), &recorder);
    check_harmless(&outcome);
    let skipped = skipped(&recorder);
    let may_skip = series.starts_with('7');
    assert!(may_skip || skipped == 0, "{recorder}");
    let mut half = 0;
    for workload in &workloads {
        let name = workload.name;
        let stderr = outcome.text(&format!("{name}/stderr"));
        assert_eq!(
            outcome.text(&format!("{name}/code")),
            "0\n",
            "{name}: {stderr}"
        );
        let rows = rows::read(&outcome.path("rows"), &container_id(name)[..12]);
        half += match TRACED.iter().find(|(traced, _, _)| *traced == name) {
            Some((_, _, least)) => check(name, *least, &outcome.path(name), rows, may_skip),
            // Before 5.17 the tracepoints of io_uring do not identify the request.
            None if name == "uring" && series == "5.10" => check_requests(&rows, 0),
            None if name == "uring" => check_requests(&rows, REQUESTS),
            None if name == "dns" => check_names(&rows, skipped),
            None if name == "refused" => check_refused(&rows, skipped > 0),
            None => check_counts(name, &outcome, &rows),
        };
    }
    assert!(half <= skipped, "{half} calls are half seen: {recorder}");
    println!("{half} calls are half seen, {skipped} programs were skipped");
}

/// Checks that the main thread of the recorder has kept only what it needs on this kernel, and says what the kernel lacks.
fn check_rights(series: &str, status: &str, recorder: &str) {
    let value = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name));
        rest.unwrap().trim()
    };
    // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; CAP_BPF is needed for open maps before Linux 5.19.
    let is_old = series == "5.10";
    let kept: u64 = 1 << 1 | 1 << 2 | u64::from(is_old) << 39;
    assert_eq!(value("CapEff:"), format!("{kept:016x}"));
    assert_eq!(value("CapPrm:"), format!("{kept:016x}"));
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Seccomp:"), "2");
    // Landlock is part of Linux since 5.13, and of all of Debian's kernels since then.
    assert_eq!(recorder.contains("has no Landlock"), is_old, "{recorder}");
}

/// Checks that the kernel has found no fault while the recorder ran: neither a warning in its log, which panics a machine with
/// `panic_on_warn`, nor a taint (Documentation/admin-guide/tainted-kernels.rst).
fn check_harmless(outcome: &Outcome) {
    let log = outcome.text("dmesg");
    assert!(log.contains("Linux version"), "the log is cut: {log}");
    for fault in ["[ cut here ]", "BUG:", "Call Trace:", "run-time allocation"] {
        assert!(!log.contains(fault), "{fault}\n{log}");
    }
    assert_eq!(outcome.text("tainted"), "0\n", "{log}");
}

/// Returns how often the kernel skipped a program, as reported by the recorder.
fn skipped(recorder: &str) -> usize {
    let parse = |line: &str| {
        let rest = line.strip_prefix("warning: the kernel skipped a BPF program ")?;
        let (n, _) = rest.split_once(" times")?;
        Some(n.replace(',', ""))
    };
    let number = recorder.lines().find_map(parse);
    number.map_or(0, |n| n.parse().unwrap())
}

/// Returns the number of calls without a duration that were not refused.
fn half_seen<'a>(calls: impl IntoIterator<Item = &'a Row>) -> usize {
    let half = |r: &&Row| !r.denied && r.duration.is_none();
    calls.into_iter().filter(half).count()
}

/// Checks that there is a row for each of `expected` requests.
fn check_requests(rows: &[Row], expected: usize) -> usize {
    let requests = rows.iter().filter(|r| r.syscall == "io_uring:nop");
    let results: Vec<_> = requests.map(|r| r.ret).collect();
    assert_eq!(results, vec![Some(0); expected]);
    0
}

/// Checks that connections have the names that the program resolved, and the newest name of an address. Each skipped program
/// may have hidden one answer.
fn check_names(rows: &[Row], skipped: usize) -> usize {
    let connects = rows
        .iter()
        .filter(|r| r.syscall == "connect" && r.peer_port == Some(7));
    let names: Vec<_> = connects.map(|r| r.dns_name.as_deref()).collect();
    let expected: Vec<_> = (101..=110)
        .map(|n| format!("n{n}.test"))
        .chain(["m101.test".into()])
        .collect();
    assert_eq!(names.len(), expected.len());
    let both = names.iter().zip(&expected);
    let others = both.filter(|(name, expected)| name.as_ref() != Some(&expected.as_str()));
    assert!(others.count() <= skipped, "{names:?}");
    0
}

/// Checks that refused calls are marked, and no others. After the kernel has skipped a program, refusals are not marked for a
/// moment, which on a busy machine may be longer than the whole run.
fn check_refused(rows: &[Row], skipped: bool) -> usize {
    let (mut unmarked, mut half) = (0, 0);
    for word in REFUSED.split(' ').skip(1) {
        let (call, count) = word.split_once('=').unwrap();
        let refused = call.strip_prefix('!');
        let call = refused.unwrap_or(call);
        let calls = || {
            rows.iter()
                .filter(|r| r.comm != "runc" && r.syscall == call)
        };
        assert_eq!(calls().count(), count.parse::<usize>().unwrap(), "{call}");
        for row in calls() {
            let error = refused.map(|_| "EPERM");
            assert!(
                row.error.as_deref() == error || row.ret.is_none(),
                "{row:?}"
            );
            match (refused, row.denied) {
                (Some(_), true) => {}
                (Some(_), false) => unmarked += 1,
                (None, denied) => assert!(!denied, "{row:?}"),
            }
        }
        if refused.is_none() {
            half += half_seen(calls());
        }
    }
    assert!(
        unmarked == 0 || skipped,
        "{unmarked} refusals are not marked"
    );
    half
}

/// Checks that the recording has the calls that the program counted.
fn check_counts(name: &str, outcome: &Outcome, rows: &[Row]) -> usize {
    let stdout = outcome.text(&format!("{name}/stdout"));
    let made: BTreeMap<&str, i64> = stdout
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(call, count)| (call, count.parse().unwrap()))
        .collect();
    assert_eq!(made, COUNTS.iter().copied().collect(), "{name}");
    let mut recorded = BTreeMap::new();
    for row in rows {
        assert_eq!(row.lost, None, "{row:?}");
        if row.comm != "runc" && made.contains_key(row.syscall.as_str()) {
            *recorded.entry(row.syscall.as_str()).or_insert(0) += 1;
            assert_eq!(row.compat, name.ends_with("32"), "{row:?}");
        }
    }
    assert_eq!(recorded, made, "{name}");
    half_seen(
        rows.iter()
            .filter(|r| made.contains_key(r.syscall.as_str())),
    )
}
