//! Compares the rows of the plan's calls with the plan itself, and with what the kernel says about each fd.

use super::named;
use super::plan::Group;
use crate::support::compare::rows::Row;
use ctrace_schema::syscalls::{self, Abi, Arg, Ret, Spec};
use ctrace_schema::text::escape;
use std::collections::{BTreeSet, HashMap};

/// What the kernel says about an fd: /proc/self/fd, fstat(2), getsockname(2) and getpeername(2).
#[derive(Debug, Default)]
struct Fd {
    kind: String,
    dev: String,
    inode: i64,
    link: String,
    local: Option<(String, i64)>,
    peer: Option<(String, i64)>,
    name: Option<String>,
}

/// The output of the program.
#[derive(Debug, Default)]
struct Said {
    fds: HashMap<i64, Fd>,
    /// The process of each group.
    children: Vec<i64>,
}

impl Said {
    fn parse(stdout: &str) -> Said {
        let mut said = Said::default();
        for line in stdout.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |i: usize| words[i].parse::<i64>().unwrap();
            match words[0] {
                "fd" => {
                    let fd = Fd {
                        kind: words[2].to_owned(),
                        dev: words[3].to_owned(),
                        inode: number(4),
                        link: words[5..].join(" "),
                        ..Fd::default()
                    };
                    said.fds.insert(number(1), fd);
                }
                "end" => {
                    let fd = said.fds.get_mut(&number(1)).unwrap();
                    let end = Some((words[3].to_owned(), number(4)));
                    *(if words[2] == "local" {
                        &mut fd.local
                    } else {
                        &mut fd.peer
                    }) = end;
                }
                "name" if words[2] == "local" => {
                    said.fds.get_mut(&number(1)).unwrap().name = Some(words[3].to_owned());
                }
                "child" => said.children.push(number(1)),
                _ => {}
            }
        }
        said
    }
}

/// Fails if a row of the plan's calls differs from the plan or from what the kernel says about the fds.
pub(crate) fn check(abi: Abi, plan: &[Group], stdout: &str, rows: &[Row]) {
    let said = Said::parse(stdout);
    assert_eq!(said.children.len(), plan.len(), "groups");
    let mut by_pid: HashMap<i64, Vec<&Row>> = HashMap::new();
    for row in rows.iter().filter(|r| r.kind == "syscall") {
        by_pid.entry(row.tid).or_default().push(row);
    }
    let (mut calls, mut fds, mut differences) = (0, 0, vec![]);
    let mut cut_short = BTreeSet::new();
    // The rows of these two have the names of the calls that they multiplex.
    let groups = plan.iter().zip(&said.children);
    for (group, pid) in groups.filter(|(g, _)| !matches!(g.name, "socketcall" | "ipc")) {
        let spec = syscalls::spec_of(abi, group.number);
        let name = group.name;
        let made = by_pid
            .get(pid)
            .map_or(&[][..], |rows| behind_preparation(rows));
        let made = made
            .iter()
            .filter(|r| r.syscall == name && is_from_the_plan(r));
        let made: Vec<_> = made.collect();
        if made.len() < group.calls.len() {
            cut_short.insert(name);
        }
        for (call, row) in group.calls.iter().zip(made) {
            calls += 1;
            let mut differ = |what: &str| differences.push(format!("{what}: {call:?}: {row:?}"));
            compare_numbers(spec, call, row, &mut differ);
            compare_passed(spec, call, row, &mut differ);
            if !group.options.contains("fresh") && !named::ONCE.contains(&name) {
                fds += usize::from(compare_fd(spec, row, &said, &mut differ));
            }
        }
    }
    println!(
        "{calls} calls compared with the plan, {fds} fds with the kernel; {} differences",
        differences.len()
    );
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(40)].join("\n")
    );
    assert!(
        cut_short.is_empty(),
        "a call ended the child before the others: {cut_short:?}"
    );
    assert!(fds > 1000, "only {fds}");
}

/// Returns the rows behind the last call of the preparation of a group.
fn behind_preparation<'a, 'b>(rows: &'a [&'b Row]) -> &'a [&'b Row] {
    let last = rows.iter().position(|r| r.syscall == "setitimer");
    last.map_or(&[], |i| &rows[i + 1..])
}

/// Returns whether a row may be of the plan: the program drops pages by madvise(2) with MADV_DONTNEED.
fn is_from_the_plan(row: &Row) -> bool {
    row.syscall != "madvise" || (row.arg1, row.arg2) != (Some(4096), Some(4))
}

/// Compares arguments that are numbers, in the width of the kernel.
fn compare_numbers(spec: &Spec, call: &[String], row: &Row, differ: &mut impl FnMut(&str)) {
    for (i, ((name, arg), token)) in spec.args.iter().zip(call).enumerate() {
        let Some(value) = number(token) else { continue };
        let expected = match arg {
            arg if arg.is_pointer() || *arg == Arg::Pad => None,
            // Without O_CREAT there is no mode.
            Arg::Mode if row.arg(i).is_none() && spec.name.contains("open") => None,
            Arg::Mode => Some(i64::from(value as u16)),
            Arg::Fd | Arg::DirFd | Arg::Int | Arg::Signal | Arg::Pid | Arg::Id => {
                Some(i64::from(value as i32))
            }
            Arg::UInt | Arg::Bits | Arg::Flags(_) | Arg::Const(_) => Some(i64::from(value as u32)),
            _ if row.compat => Some(i64::from(value as u32)),
            _ => Some(value),
        };
        let ours = row.arg(i).map(|v| {
            if row.compat && expected.is_some_and(|e| e > 0) {
                v & 0xffff_ffff
            } else {
                v
            }
        });
        if ours != expected {
            differ(&format!("{name} is {ours:?}, not {expected:?}"));
        }
    }
}

/// Returns the value of a token that is a number.
fn number(token: &str) -> Option<i64> {
    if let Some(hex) = token.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(|v| v as i64);
    }
    if token.len() > 1 && token.starts_with('0') {
        return i64::from_str_radix(token, 8).ok();
    }
    token.parse().ok()
}

/// Compares the path that was passed.
fn compare_passed(spec: &Spec, call: &[String], row: &Row, differ: &mut impl FnMut(&str)) {
    let Some((_, path)) = spec.paths().next() else {
        return;
    };
    let expected = match call[path].split_once(':') {
        Some(("s" | "end" | "cold", text)) => Some(escape(text.as_bytes()).into_owned()),
        _ => None,
    };
    // Memory that the kernel has not read is not there at the return either: see docs/limits.md.
    let unread = call[path].starts_with("cold:") && row.path_arg.is_none() && row.error.is_some();
    if call[path] != "long" && !unread && row.path_arg != expected {
        differ(&format!("path_arg is not {expected:?}"));
    }
}

/// Compares the file or socket of the fd that was passed. Returns whether the kernel has said something about it.
fn compare_fd(spec: &Spec, row: &Row, said: &Said, differ: &mut impl FnMut(&str)) -> bool {
    let Some(arg) = spec.object_arg() else {
        return false;
    };
    let returned = spec.ret == Ret::Fd && row.ret >= Some(0);
    let two = spec.args.iter().filter(|a| a.1 == Arg::Fd).count() > 1;
    if returned || two || spec.ignores_fd().holds(|i| row.arg(i)) {
        return false;
    }
    let Some(fd) = row.arg(arg).and_then(|fd| said.fds.get(&fd)) else {
        if row.path.is_some() || row.inode.is_some() {
            differ("an fd that is not open has a file");
        }
        return true;
    };
    if row.inode != Some(fd.inode) {
        differ(&format!("inode is not {}", fd.inode));
    }
    let end = |end: &Option<(String, i64)>, addr: &Option<String>, port: Option<i64>| {
        // The kernel shows the protocol of a raw socket in place of a port.
        let known = end
            .as_ref()
            .filter(|(_, port)| *port != 0 && fd.kind != "raw");
        known.is_none_or(|(a, p)| addr.as_ref() == Some(a) && port == Some(*p))
    };
    if !end(&fd.local, &row.local_addr, row.local_port)
        || !end(&fd.peer, &row.peer_addr, row.peer_port)
    {
        differ(&format!("ends are not {:?} and {:?}", fd.local, fd.peer));
    }
    if fd.link.starts_with("socket:") {
        let name = row.path.as_deref();
        let ends = fd
            .name
            .as_deref()
            .is_none_or(|told| name.is_some_and(|ours| ours.ends_with(told)));
        if !ends || row.dev.is_some() || row.family.is_none() {
            differ(&format!("not the socket {fd:?}"));
        }
        return true;
    }
    // A file of a mount without a place has no path, whatever the kernel shows: see docs/limits.md.
    let path = (!fd.kind.starts_with("detached")).then(|| fd.link.trim_end_matches(" (deleted)"));
    if row.path.as_deref() != path || row.dev.as_ref() != Some(&fd.dev) {
        differ(&format!("not the file {fd:?}"));
    }
    true
}
