//! Compares the output of strace with the rows of the recorder, call by call.

use super::objects::{compare_addresses, compare_object, show};
use super::report::Report;
use super::rows::Row;
use super::strace::{self, Call, End, Return, Thread};
use ctrace_schema::syscalls::rules::AT_EXECVE_CHECK;
use ctrace_schema::syscalls::{self, Abi, Arg, Ret, Spec};
use ctrace_schema::text::{shell_join, unescape};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Compares a whole run. For `may_skip` see [`Report::may_skip`].
pub(crate) fn compare(threads: &[Thread], rows: Vec<Row>, may_skip: bool) -> Report {
    let mut report = Report {
        may_skip,
        ..Report::default()
    };
    let mut by_tid: HashMap<i64, Vec<Row>> = HashMap::new();
    let mut exits = Vec::new();
    for row in rows {
        match row.kind.as_str() {
            "gap" => report.differ(format!(
                "{:?} events of {:?} were lost",
                row.lost, row.class
            )),
            "process" => exits.push(row),
            "syscall" => by_tid.entry(row.tid).or_default().push(row),
            _ => {}
        }
    }
    let detached = Rc::new(RefCell::new(Detached {
        devices: detached_devices(by_tid.values().flatten()),
        ..Detached::default()
    }));
    // In the order in which they began: a child has the fds of its parent.
    let mut threads: Vec<_> = threads.iter().collect();
    threads.sort_by_key(|t| {
        by_tid
            .get(&t.tid)
            .and_then(|rows| rows.iter().map(|r| r.seq).min())
    });
    for thread in threads {
        let mut rows = by_tid.remove(&thread.tid).unwrap_or_default();
        rows.sort_by_key(|r| r.seq);
        compare_thread(thread, &rows, &detached, &mut report);
        if rows.iter().any(|r| r.pid == r.tid) {
            compare_end(thread, &exits, &mut report);
        }
    }
    for (tid, rows) in by_tid.into_iter() {
        if rows
            .iter()
            .all(|r| r.comm.starts_with("runc") || r.comm == "exe")
        {
            report.rule("runtime");
        } else {
            report.differ(format!("thread {tid} is unknown to strace: {:?}", rows[0]));
        }
    }
    report
}

/// Returns the devices of the mounts that fsmount(2) has made.
fn detached_devices<'a>(rows: impl Iterator<Item = &'a Row>) -> HashSet<String> {
    let made = rows.filter(|r| r.syscall == "fsmount" && r.ret >= Some(0));
    made.filter_map(|r| r.dev.clone()).collect()
}

fn compare_thread(
    thread: &Thread,
    rows: &[Row],
    detached: &Rc<RefCell<Detached>>,
    report: &mut Report,
) {
    let is_runtimes = |r: &&Row| r.comm.starts_with("runc");
    let calls: Vec<&Row> = rows.iter().filter(|r| !is_runtimes(r)).collect();
    let (mut i, mut j) = (0, 0);
    let mut state = State {
        detached: Rc::clone(detached),
        ..State::default()
    };
    while i < thread.calls.len() && j < calls.len() {
        if is_same(&thread.calls[i], calls[j]) {
            compare_call(&thread.calls[i], calls[j], &mut state, report);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // Finds the nearest place from which both agree again, so that one missing call is one difference.
        let ahead = (1..64).find_map(|n| {
            (0..=n).find_map(|a| {
                let (strace, row) = (thread.calls.get(i + a)?, calls.get(j + n - a)?);
                is_same(strace, row).then_some((a, n - a))
            })
        });
        let (a, b) = ahead.unwrap_or((thread.calls.len() - i, calls.len() - j));
        only_one(
            thread.tid,
            &thread.calls[i..i + a],
            &calls[j..j + b],
            report,
        );
        (i, j) = (i + a, j + b);
    }
    let rest = match calls[j..] {
        [row] if never_began(thread, row) => {
            report.rule("killed");
            &[]
        }
        _ => &calls[j..],
    };
    let calls = match &thread.calls[i..] {
        [_] if i > 0 && ends_by_seccomp(thread, &thread.calls[i - 1]) => {
            report.rule("strict");
            &[]
        }
        calls => calls,
    };
    only_one(thread.tid, calls, rest, report);
}

/// Returns whether the strict mode of seccomp has ended a thread in the call after `call`: see the rule `strict`.
fn ends_by_seccomp(thread: &Thread, call: &Call) -> bool {
    let is_strict = call.name == "seccomp" && call.args.first().is_some_and(|op| op == "0")
        || call.name == "prctl"
            && call
                .args
                .starts_with(&["0x16".to_owned(), "0x1".to_owned()]);
    is_strict && thread.end == Some(End::Killed(9))
}

/// Returns whether a row may be a call of strace. Calls that are newer than strace have a number: `syscall_0x1cf`.
fn is_same(call: &Call, row: &Row) -> bool {
    match call.name.strip_prefix("syscall_0x") {
        Some(number) => {
            u32::from_str_radix(number, 16).ok() == syscalls::number(abi(row), &row.syscall)
        }
        None => call.name == row.syscall,
    }
}

fn abi(row: &Row) -> Abi {
    Abi::of_machine(std::env::consts::ARCH, row.compat).unwrap()
}

/// Returns whether a row is a call that a kill prevented, which strace does not see: see the rule `killed`.
fn never_began(thread: &Thread, row: &Row) -> bool {
    const ENOSYS: i64 = -38;
    matches!(thread.end, Some(End::Killed(_))) && row.ret == Some(ENOSYS) && row.duration.is_none()
}

fn only_one(tid: i64, calls: &[Call], rows: &[&Row], report: &mut Report) {
    for call in calls {
        report.differ(format!("only strace has, in {tid}: {}", call.line));
    }
    for row in rows {
        report.differ(format!("only the recording has, in {tid}: {row:?}"));
    }
}

/// Compares the end of a process. wait(2) reports the end of the first thread; the recording has one row, by the last thread.
fn compare_end(thread: &Thread, exits: &[Row], report: &mut Report) {
    let ends: Vec<_> = exits
        .iter()
        .filter(|r| r.pid == thread.tid)
        .map(|r| match (r.exit_code, r.exit_signal) {
            (Some(code), None) => Some(End::Exited(code)),
            (None, Some(signal)) => Some(End::Killed(signal)),
            _ => None,
        })
        .collect();
    let process = format!("process {}", thread.tid);
    report.check("exit", &process, vec![thread.end], ends);
}

/// Mounts that were made without a place: their devices, and the paths inside of them that strace has printed.
#[derive(Debug, Default)]
pub(super) struct Detached {
    devices: HashSet<String>,
    pub(super) paths: HashSet<Vec<u8>>,
}

/// The effects of earlier calls of a thread on the meaning of the next call.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The thread's root directory, as a path in the container.
    root: Vec<u8>,
    /// The thread's working directory, if strace has printed it.
    cwd: Option<Vec<u8>>,
    /// The recorded path of the thread's last exec.
    exe: Option<String>,
    /// True if the last message was sent with MSG_MORE: a datagram waits for its other parts.
    pub(super) is_corked: bool,
    /// True if it has detached a mount, whose files may still be open.
    pub(super) has_detached: bool,
    /// The mounts of the whole run that were made without a place.
    pub(super) detached: Rc<RefCell<Detached>>,
}

impl State {
    /// Returns whether the file of a row is on a mount that was made without a place.
    pub(super) fn is_detached(&self, row: &Row) -> bool {
        row.dev
            .as_ref()
            .is_some_and(|dev| self.detached.borrow().devices.contains(dev))
    }

    /// Remembers whether a message leaves a datagram that waits for its other parts: udp(7), UDP_CORK.
    fn note_cork(&mut self, call: &Call, row: &Row, spec: &Spec) {
        const MSG_MORE: i64 = 0x8000;
        if matches!(call.name.as_str(), "sendto" | "sendmsg" | "sendmmsg") {
            let flags = spec.flags_arg().and_then(|i| row.arg(i)).unwrap_or(0);
            self.is_corked = flags & MSG_MORE != 0 && matches!(call.ret, Return::Value(..));
        }
    }

    /// Returns the directory from which a path is resolved.
    fn base(&mut self, call: &Call, dir: Option<usize>, path: &[u8]) -> Option<Vec<u8>> {
        let printed = dir.map(|d| call.args[d].as_str());
        if let Some(cwd) = printed.filter(|t| t.starts_with("-100<")) {
            self.cwd = strace::annotation(cwd).and_then(strace::hex);
        }
        if path.starts_with(b"/") {
            return Some(self.root.clone());
        }
        match printed {
            Some(dir) => strace::annotation(dir).and_then(strace::hex),
            None => self.cwd.clone(),
        }
    }

    /// Applies the effect of a successful call on a path.
    fn change(&mut self, call: &Call, meant: Vec<u8>, report: &mut Report) {
        match call.name.as_str() {
            // The result of `..` is known from the next call only.
            "chdir" => self.cwd = Some(meant).filter(|m| !m.ends_with(b"..")),
            "chroot" => {
                report.rule("root");
                self.root = meant;
            }
            _ => {}
        }
    }
}

fn compare_call(call: &Call, row: &Row, state: &mut State, report: &mut Report) {
    report.calls += 1;
    // An exec without a duration may be the one of the rule `tracer`.
    let execed = call.name == "execve" && row.ret == Some(0);
    if report.may_skip && row.duration.is_none() && call.ret != Return::Never && !execed {
        report.rule("half seen");
        // The effects of the call on the state are applied nevertheless.
        compare_whole_call(call, row, state, &mut Report::default());
    } else {
        compare_whole_call(call, row, state, report);
    }
}

fn compare_whole_call(call: &Call, row: &Row, state: &mut State, report: &mut Report) {
    let number = syscalls::number(abi(row), &row.syscall);
    let spec = number.map_or_else(
        || syscalls::spec(&row.syscall),
        |n| syscalls::spec_of(abi(row), n),
    );
    let line = call.line.as_str();
    compare_return(call, row, report);
    report.check("denied", line, false, row.denied);
    compare_arguments(call, row, spec, report);
    compare_object(call, row, spec, state, report);
    compare_paths(call, row, spec, state, report);
    compare_addresses(call, row, spec, state, report);
    state.note_cork(call, row, spec);
    compare_stat(call, row, report);
    if call.name == "fchdir" {
        state.cwd = None;
    }
    let flags = call.args.get(1).and_then(|flags| strace::number(flags));
    if call.name == "umount2" && flags == Some(i64::from(libc::MNT_DETACH)) {
        state.has_detached = true;
    }
    if call.name.starts_with("execve") && call.ret == Return::Value(0, None) {
        compare_argv(call, row, report);
        state.exe = row.path.clone();
    }
    compare_exe(call, state, report);
}

/// Returns whether a call may have returned without strace's notice. A thread that is killed inside a call still returns from
/// the call in the kernel, with any result, but does not stop for strace again. Only exit and exit_group never return.
fn may_return_unseen(call: &Call) -> bool {
    !matches!(call.name.as_str(), "exit" | "exit_group")
}

fn compare_return(call: &Call, row: &Row, report: &mut Report) {
    let line = call.line.as_str();
    match &call.ret {
        Return::Never if row.ret.is_some() && may_return_unseen(call) => {
            report.rule("killed");
        }
        Return::Never => report.check("result", line, None, row.ret),
        Return::Value(value, _) if matches!(call.name.as_str(), "sgetmask" | "ssetmask") => {
            report.rule("mask");
            let low = |value: i64| value as i32;
            report.check("result", line, Some(low(*value)), row.ret.map(low));
        }
        Return::Value(value, _) => {
            report.check("result", line, Some(*value), row.ret);
            report.check("errno", line, None, row.error.as_deref());
        }
        Return::Error(name) => {
            report.check("errno", line, Some(name.as_str()), row.error.as_deref());
            let named = row.ret.and_then(|r| i32::try_from(-r).ok());
            let named = named.and_then(ctrace_schema::errno::name);
            report.check("result", line, Some(name.as_str()), named);
        }
    }
    let child = matches!(call.name.as_str(), "fork" | "vfork" | "clone" | "clone3");
    if let (true, Return::Value(pid, _)) = (child, &call.ret) {
        report.check("child", line, Some(*pid), row.child_pid);
    }
}

/// Calls whose arguments strace groups, reorders or names.
const BY_NAME: &[&str] = &[
    "clone",
    "clone3",
    "rt_sigreturn",
    "sigreturn",
    "restart_syscall",
    "exit",
    "_llseek",
    "arch_prctl",
];

fn compare_arguments(call: &Call, row: &Row, spec: &Spec, report: &mut Report) {
    if BY_NAME.contains(&call.name.as_str()) {
        report.rule("by name");
        return;
    }
    let mut texts = call.args.iter();
    for (i, (_, arg)) in spec.args.iter().enumerate() {
        // A 64-bit number uses two 32-bit registers. Registers that the ABI leaves free have no argument.
        if matches!(arg, Arg::High | Arg::Pad) {
            continue;
        }
        let Some(text) = texts.next() else {
            return; // for example the mode of an open that creates nothing
        };
        if arg.is_pointer() {
            continue;
        }
        let Some(strace) = strace::number(text) else {
            report.rule("by name");
            continue;
        };
        let ours = match (arg, row.arg(i)) {
            (Arg::Low, Some(low)) => row
                .arg(i + 1)
                .map(|high| high << 32 | i64::from(low as u32)),
            (_, ours) => ours,
        };
        let wide = matches!(arg, Arg::Long | Arg::Size | Arg::Hex | Arg::Low) && !row.compat;
        if call.name == "mmap2" && i == 5 {
            report.rule("pages");
            let (pages, ours) = ((strace >> 12) as i32, ours.map(|v| v as i32));
            report.check("argument", &call.line, Some(pages), ours);
            continue;
        }
        let width = |v: i64| {
            if *arg == Arg::Mode {
                i64::from(v as u16)
            } else if wide || *arg == Arg::Low {
                v
            } else {
                i64::from(v as i32)
            }
        };
        let line = format!("argument {i} of {}", call.line);
        report.check("argument", &line, Some(width(strace)), ours.map(width));
    }
}

/// Compares the paths that the call was passed, and the paths that result from them.
fn compare_paths(call: &Call, row: &Row, spec: &Spec, state: &mut State, report: &mut Report) {
    let line = call.line.as_str();
    for (n, (dir, path)) in spec.paths().enumerate() {
        let Some(arg) = call.args.get(path).and_then(|t| strace::string(t)) else {
            report.rule("untold");
            continue;
        };
        if n == 0 && call.name == "execve" && row.duration.is_none() && row.ret == Some(0) {
            report.rule("tracer");
        } else if n == 0 {
            report.check("path passed", line, show(Some(&arg)), row.path_arg.clone());
        }
        let base = state.base(call, dir, &arg);
        let opened = spec.ret == Ret::Fd && row.ret.is_some_and(|r| r >= 0);
        if arg.is_empty() || (n == 0 && (opened || call.name.starts_with("execve"))) {
            continue; // compare_object has compared the file
        }
        let Some(base) = base else {
            report.rule("untold");
            continue;
        };
        let ours = if n == 0 { &row.path } else { &row.path2 };
        if n == 0 && spec.ignores_path().holds(|i| row.arg(i)) {
            report.rule("ignored");
            report.check("path ignored", line, None, ours.as_deref());
            continue;
        }
        if ours.is_none() && !arg.starts_with(b"/") && state.detached.borrow().paths.contains(&base)
        {
            report.rule("detached");
            continue;
        }
        if arg.starts_with(b"/") && is_in_another_root(call) {
            report.rule("root of openat2");
            report.check("path below another root", line, None, ours.as_deref());
            continue;
        }
        let expected = join(&base, &arg);
        report.check("path meant", line, show(Some(&expected)), ours.clone());
        if call.ret == Return::Value(0, None) {
            state.change(call, expected, report);
        }
    }
    if let Some(text) = spec.text_arg().and_then(|i| call.args.get(i)) {
        let mut printed = strace::string(text.trim_end_matches("..."));
        if let (true, Some(printed), Some(ours)) = (text.ends_with("..."), &mut printed, &row.path2)
        {
            report.rule("long");
            printed.truncate(ours.len());
        }
        report.check(
            "text passed",
            line,
            show(printed.as_deref()),
            row.path2.clone(),
        );
    }
}

/// Returns whether the directory of an openat2(2) is the root of its path.
fn is_in_another_root(call: &Call) -> bool {
    const RESOLVE_IN_ROOT: i64 = 0x10;
    let resolve = call.args.iter().find_map(|a| strace::member(a, "resolve"));
    let resolve = resolve.and_then(|resolve| strace::number(&resolve));
    call.name == "openat2" && resolve.is_some_and(|flags| flags & RESOLVE_IN_ROOT != 0)
}

/// Joins a path as documented for the column `path`: redundant slashes and dots are removed, `..` stays.
fn join(base: &[u8], arg: &[u8]) -> Vec<u8> {
    let mut out = base.strip_suffix(b"/").unwrap_or(base).to_vec();
    for part in arg
        .split(|b| *b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
    {
        out.push(b'/');
        out.extend(part);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Compares device and inode of a stat call.
fn compare_stat(call: &Call, row: &Row, report: &mut Report) {
    let names = match call.name.as_str() {
        "statx" => ["stx_ino", "stx_dev_major", "stx_dev_minor"],
        _ => ["st_ino", "st_dev", "st_dev"],
    };
    let found = call
        .args
        .iter()
        .find(|a| strace::member(a, names[0]).is_some());
    let value = |name| strace::number(&strace::member(found?, name)?);
    let [Some(inode), Some(major), Some(minor)] = names.map(value) else {
        return;
    };
    let dev = match call.name.as_str() {
        "statx" => format!("{major}:{minor}"),
        // new_encode_dev() of linux/kdev_t.h
        _ => format!(
            "{}:{}",
            (major & 0xfff00) >> 8,
            minor & 0xff | minor >> 12 & 0xfff00
        ),
    };
    if row.compat && call.name != "statx" && row.inode.is_none() {
        report.rule("stat of 32 bits");
        report.check("device", &call.line, None, row.dev.as_deref());
        return;
    }
    report.check("inode", &call.line, Some(inode), row.inode);
    if row.family.is_some() {
        report.rule("socket");
        return;
    }
    report.check("device", &call.line, Some(dev), row.dev.clone());
}

/// Compares the path of an exec, which strace does not print, with the answer of the kernel to a program that asks for it.
fn compare_exe(call: &Call, state: &State, report: &mut Report) {
    let string = |i: usize| call.args.get(i).and_then(|t| strace::string(t));
    if call.name != "readlink" || string(0).as_deref() != Some(b"/proc/self/exe") {
        return;
    }
    let (Some(exe), Some(printed)) = (&state.exe, string(1)) else {
        return;
    };
    let printed = match printed.strip_suffix(b" (deleted)") {
        Some(path) => {
            report.rule("deleted");
            path
        }
        None => &printed,
    };
    let printed = join(&state.root, printed);
    report.check(
        "path of exec",
        &call.line,
        show(Some(&printed)),
        Some(exe.clone()),
    );
}

fn compare_argv(call: &Call, row: &Row, report: &mut Report) {
    let index = usize::from(call.name == "execveat") + 1;
    let flags = call.args.get(4).and_then(|flags| strace::number(flags));
    if call.name == "execveat" && flags.is_some_and(|f| f & AT_EXECVE_CHECK != 0) {
        report.rule("check only");
        report.check("argv", &call.line, None, row.argv.as_deref());
        return;
    }
    let args = strace::members(&call.args[index]);
    let passed: Option<Vec<_>> = args.iter().map(|a| strace::string(a)).collect();
    let Some(mut argv) = passed else {
        report.rule("untold");
        return;
    };
    let words = |argv: &[Vec<u8>]| shell_join(&argv.join(&0));
    let (passed, ours) = (words(&argv), row.argv.clone().unwrap_or_default());
    if let (Some(first), Some(script)) = (argv.first_mut(), &row.path_arg) {
        *first = unescape(script);
    }
    if ours != passed && ours.ends_with(&format!(" {}", words(&argv))) {
        report.rule("script");
    } else {
        report.check("argv", &call.line, passed, ours);
    }
}
