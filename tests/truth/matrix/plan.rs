//! The plan: which calls the program makes, generated from the syscall tables.

use super::{named, values};
use ctrace_schema::syscalls::{self, Abi, Arg, Spec};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Calls of one name that a child makes one after the other.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    /// What the child has for itself: see `tests/programs/matrix.c`.
    pub(crate) options: String,
    /// The tokens of each call's arguments.
    pub(crate) calls: Vec<Vec<String>>,
}

/// Returns the calls of every syscall of an ABI, except those that are named as not harmless.
pub(crate) fn plan(abi: Abi) -> Vec<Group> {
    let made = syscalls::iter(abi).filter(|(_, name)| !is_named(name));
    made.flat_map(|(number, name)| groups(number, name, syscalls::spec_of(abi, number)))
        .collect()
}

pub(crate) fn is_named(name: &str) -> bool {
    named::NOT_HARMLESS.iter().any(|(n, _)| *n == name)
}

/// Returns the text that the program reads.
pub(crate) fn text(plan: &[Group]) -> String {
    let mut out = String::new();
    for group in plan {
        writeln!(out, "group {}", group.options).unwrap();
        for call in &group.calls {
            writeln!(out, "call {} {}", group.number, call.join(" ")).unwrap();
        }
    }
    out
}

/// At most so many calls are made by one child.
const BATCH: usize = 120;

fn groups(number: u32, name: &'static str, spec: &Spec) -> Vec<Group> {
    let is_in = |list: &[&str]| list.contains(&name);
    let mut options = vec![];
    options.extend(is_in(named::FRESH).then_some("fresh"));
    options.extend(is_in(named::MOUNTS).then_some("mounts"));
    let mut batches: Vec<Vec<Vec<String>>> = vec![];
    for call in calls(name, spec) {
        let once = spec
            .fd_arg()
            .map(|fd| &call[fd])
            .filter(|_| is_in(named::ONCE));
        let has_room = |batch: &Vec<Vec<String>>| match once {
            Some(fd) => batch.iter().all(|c| !c.contains(fd)),
            None => !is_in(named::ALONE) && batch.len() < BATCH,
        };
        match batches.iter_mut().find(|batch| has_room(batch)) {
            Some(batch) => batch.push(call),
            None => batches.push(vec![call]),
        }
    }
    let group = |calls| Group {
        name,
        number,
        options: options.join(" "),
        calls,
    };
    batches.into_iter().map(group).collect()
}

/// Returns the harmless call, the calls in which one argument has a special value, and the calls in which two arguments
/// that belong together have.
fn calls(name: &str, spec: &Spec) -> Vec<Vec<String>> {
    let base: Vec<String> = (0..spec.args.len())
        .map(|i| values::base(spec, name, i))
        .collect();
    let mut calls = vec![base.clone()];
    let mut add = |changes: &[(usize, String)]| {
        let mut call = base.clone();
        for (i, token) in changes {
            call[*i].clone_from(token);
        }
        calls.push(call);
    };
    for i in 0..spec.args.len() {
        for token in values::special(spec, name, i) {
            add(&[(i, token)]);
        }
    }
    for (dir, path) in spec.paths() {
        if let Some(dir) = dir {
            below_directories(spec, dir, path, &mut add);
        }
    }
    if name == "openat2" {
        with_resolve_flags(&mut add);
    }
    on_sockets(spec, &mut add);
    on_pairs_of_fds(spec, &mut add);
    let mut seen = BTreeSet::new();
    calls.retain(|call| seen.insert(call.clone()));
    calls
}

/// Combines directory fds, paths, and flags that give an empty path a meaning.
fn below_directories(
    spec: &Spec,
    dir: usize,
    path: usize,
    add: &mut impl FnMut(&[(usize, String)]),
) {
    const DIRS: &[&str] = &[
        "-100",
        "fd:dir",
        "fd:path",
        "fd:link",
        "fd:pipe",
        "fd:udp_bound",
        "fd:deleted_dir",
        "fd:detached_dir",
        "39",
    ];
    const BELOW: &[&str] = &[
        "null",
        "bad",
        "s:",
        "s:.",
        "s:..",
        "s:file",
        "s:/tmp/m/absolute",
    ];
    let flags = spec
        .args
        .iter()
        .position(|a| a.0 == "flags" && matches!(a.1, Arg::Flags(_) | Arg::Hex | Arg::Bits));
    // AT_EMPTY_PATH and the flags of fspick(2) and move_mount(2) that mean the same.
    let bits: &[&str] = match (spec.name, flags) {
        ("fspick", _) => &["0", "0x8"],
        ("move_mount", _) => &["0", "0x4", "0x40", "0x44"],
        ("fanotify_mark", _) => &["1", "2", "0x80"],
        (_, Some(_)) => &["0", "0x1000"],
        _ => &["0"],
    };
    for d in DIRS {
        for p in BELOW {
            for f in bits {
                let mut changes = vec![(dir, (*d).to_owned()), (path, (*p).to_owned())];
                changes.extend(flags.map(|i| (i, (*f).to_owned())));
                add(&changes);
            }
        }
    }
}

/// Combines each flag of `open_how.resolve` (openat2(2)) with relative and absolute paths, links, and paths that leave the
/// directory.
fn with_resolve_flags(add: &mut impl FnMut(&[(usize, String)])) {
    const PATHS: &[&str] = &[
        "s:",
        "s:.",
        "s:..",
        "s:../m/file",
        "s:file",
        "s:link",
        "s:dir/../file",
        "s:missing",
        "s:/",
        "s:/tmp/m/absolute",
        "s:/tmp/m/../m/link",
        "s:/proc/self/fd/40",
    ];
    // RESOLVE_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT, _CACHED, and the flags of two ways to be a root.
    const RESOLVE: &[u32] = &[0, 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x18];
    const O_PATH: u32 = 0x20_0000;
    for dir in ["-100", "fd:dir", "fd:path_dir", "fd:detached_dir", "39"] {
        for path in PATHS {
            for resolve in RESOLVE {
                for flags in [0, O_PATH] {
                    let how = format!("w:{flags:#x},0,{resolve:#x}");
                    add(&[(0, dir.to_owned()), (1, (*path).to_owned()), (2, how)]);
                }
            }
        }
    }
}

/// Combines sockets of each family with addresses of each family, and rooms of each length.
fn on_sockets(spec: &Spec, add: &mut impl FnMut(&[(usize, String)])) {
    let is = |arg: Arg| spec.args.iter().position(|a| a.1 == arg);
    let Some(fd) = spec.fd_arg() else { return };
    for kind in values::SOCKETS {
        let socket = (fd, format!("fd:{kind}"));
        for (name, length) in values::ADDRESSES {
            if let Some(i) = is(Arg::SockAddrIn) {
                add(&[
                    socket.clone(),
                    (i, format!("a:{name}")),
                    (i + 1, length.to_string()),
                ]);
            }
            for (arg, prefix) in [(Arg::MsgIn, "msg"), (Arg::MmsgIn, "mmsg")] {
                if let Some(i) = is(arg) {
                    add(&[socket.clone(), (i, format!("{prefix}:{name},{length}"))]);
                }
            }
        }
        for length in [0, 1, 2, 4, 8, 16, -1] {
            if let Some(i) = is(Arg::SockAddrOut) {
                add(&[socket.clone(), (i + 1, format!("len:{length}"))]);
            }
        }
    }
}

/// Combines two fds of a file, a pipe and a socket.
fn on_pairs_of_fds(spec: &Spec, add: &mut impl FnMut(&[(usize, String)])) {
    const KINDS: &[&str] = &[
        "fd:file",
        "fd:pipe",
        "fd:pipe_end",
        "fd:tcp_client",
        "fd:pair",
        "fd:detached",
        "39",
        "-1",
    ];
    let fds: Vec<usize> = (0..spec.args.len())
        .filter(|i| spec.args[*i].1 == Arg::Fd)
        .collect();
    if let [first, second] = fds[..] {
        for a in KINDS {
            for b in KINDS {
                add(&[(first, (*a).to_owned()), (second, (*b).to_owned())]);
            }
        }
    }
}
