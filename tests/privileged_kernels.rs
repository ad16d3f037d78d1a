//! The recorder on other kernels: each of Debian's boots in a virtual machine, and what is recorded there is compared
//! with what strace says of the same run, and with what the programs counted. Needs root, as the other tests that record.
//!
//! Linux 7 is not among them: it may preempt the programs (docs/limits.md), and on so slow a processor a call is now and
//! then not seen.

// A test that cannot go on stops with the reason.
#![allow(clippy::unwrap_used)]
#![cfg(target_arch = "x86_64")]

mod common;
#[path = "kernels/machine.rs"]
mod machine;
mod truth;

use common::require_root;
use machine::{Outcome, Workload};
use std::collections::BTreeMap;
use truth::recording::{self, Row};
use truth::{check, strace};

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

/// Run under strace: name, command, and how many calls must have been compared at least. None of them kills: of a call
/// that a kill meets on so slow a processor strace does not tell the end.
const TRACED: &[(&str, &str, usize)] = &[
    ("messages", "messages", 150),
    ("net", "net", 90),
    ("paths", "paths /tmp/p", 60),
    ("places", "places /tmp/p", 600),
    ("messages32", "messages32", 150),
    ("places32", "places32 /tmp/p", 600),
];

/// Run at full speed: they count what they do.
const COUNTED: &[&str] = &["calls", "calls32"];

/// How often each call is made: primes, so that no sum of some is another's.
const COUNTS: &[(&str, i64)] = &[
    ("getppid", 1009),
    ("getuid", 503),
    ("sched_yield", 127),
    ("getcwd", 157),
    ("faccessat", 163),
    ("chdir", 167),
    ("flock", 179),
];

/// So many requests to io_uring do nothing, and succeed.
const REQUESTS: usize = 512;

/// Records all workloads on a kernel, and compares.
fn on(series: &str) {
    require_root();
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
    ]
    .map(|(name, command)| Workload { name, command });
    let workloads: Vec<_> = traced.chain(counted).chain(other).collect();
    let outcome = machine::boot(series, &workloads);
    let kernel = outcome.text("kernel");
    assert!(kernel.starts_with(&format!("{series}.")), "{kernel}");
    assert_eq!(outcome.text("code"), "0\n", "{}", outcome.text("recorder"));
    for workload in &workloads {
        let name = workload.name;
        let told = outcome.text(&format!("{name}/stderr"));
        assert_eq!(
            outcome.text(&format!("{name}/code")),
            "0\n",
            "{name}: {told}"
        );
        let rows = recording::read(&outcome.path("rows"), &workload.id()[..12]);
        match TRACED.iter().find(|(traced, _, _)| *traced == name) {
            Some((_, _, least)) => check(name, *least, &outcome.path(name), rows),
            // Before 5.17 its tracepoints do not say which request they are about.
            None if name == "uring" && series == "5.10" => check_requests(&rows, 0),
            None if name == "uring" => check_requests(&rows, REQUESTS),
            None if name == "dns" => check_names(&rows),
            None => check_counts(name, &outcome, &rows),
        }
    }
}

/// Each request is a row, where they are recorded.
fn check_requests(rows: &[Row], expected: usize) {
    let requests = rows.iter().filter(|r| r.syscall == "io_uring:nop");
    let results: Vec<_> = requests.map(|r| r.ret).collect();
    assert_eq!(results, vec![Some(0); expected]);
}

/// Connections have the names that the program asked for; of one address the newest.
fn check_names(rows: &[Row]) {
    let connects = rows
        .iter()
        .filter(|r| r.syscall == "connect" && r.peer_port == Some(7));
    let names: Vec<_> = connects.map(|r| r.dns_name.as_deref().unwrap()).collect();
    let expected: Vec<_> = (101..=110)
        .map(|n| format!("n{n}.test"))
        .chain(["m101.test".into()])
        .collect();
    assert_eq!(names, expected);
}

/// What the program says that it did is what the recording counts.
fn check_counts(name: &str, outcome: &Outcome, rows: &[Row]) {
    let told = outcome.text(&format!("{name}/stdout"));
    let told: BTreeMap<&str, i64> = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(call, count)| (call, count.parse().unwrap()))
        .collect();
    assert_eq!(told, COUNTS.iter().copied().collect(), "{name}");
    let mut recorded = BTreeMap::new();
    for row in rows {
        assert_eq!(row.lost, None, "{row:?}");
        if row.comm != "runc" && told.contains_key(row.syscall.as_str()) {
            *recorded.entry(row.syscall.as_str()).or_insert(0) += 1;
            assert_eq!(row.compat, name.ends_with("32"), "{row:?}");
        }
    }
    assert_eq!(recorded, told, "{name}");
}
