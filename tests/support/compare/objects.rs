//! Compares the file or socket of a call with what strace prints beside the fd, and the addresses that the call passes.

use super::address::{self, Address, Socket};
use super::calls::State;
use super::report::Report;
use super::rows::Row;
use super::strace::{self, Call, Return};
use ctrace_schema::syscalls::{Arg, Ret, Spec};
use ctrace_schema::text::{escape, unescape};

/// Compares the file or socket of the fd that the call was passed or returned.
pub(super) fn compare_object(
    call: &Call,
    row: &Row,
    spec: &Spec,
    state: &State,
    report: &mut Report,
) {
    let returned = match &call.ret {
        Return::Value(fd, text) if spec.ret == Ret::Fd && *fd >= 0 => Some(text.as_deref()),
        _ => None,
    };
    if returned.is_none() && spec.object_arg().is_some() && spec.ignores_fd().holds(|i| row.arg(i))
    {
        report.rule("ignored");
        report.check(
            "fd ignored",
            &call.line,
            (None, None),
            (row.path.as_deref(), row.inode),
        );
        return;
    }
    let passed = || {
        let text = call.args.get(object_arg(call, spec)?)?;
        Some(strace::annotation(text))
    };
    let Some(text) = returned.or_else(passed) else {
        return;
    };
    let Some(text) = text else {
        report.rule("untold");
        return;
    };
    let line = call.line.as_str();
    if let Some(socket) = address::socket(text, report) {
        let passes = returned.is_none() && passes_address(call, spec);
        let passes = passes.then_some(call.name.as_str());
        compare_socket(&socket, row, passes, line, report);
        return;
    }
    compare_file(text, call, row, state, report);
}

/// Compares a file with what strace prints beside its fd.
fn compare_file(text: &str, call: &Call, row: &Row, state: &State, report: &mut Report) {
    let line = call.line.as_str();
    if text.starts_with("pid:") {
        report.rule("pidfd");
        let name = Some("anon_inode:[pidfd]");
        report.check("path of fd", line, name, row.path.as_deref());
        return;
    }
    let (text, deleted) = match text.strip_suffix("(deleted)") {
        Some(text) => (text.trim_end_matches('>'), true),
        None => (text.split('<').next().unwrap(), false),
    };
    if deleted {
        report.rule("deleted");
    }
    let told = strace::hex(text).unwrap_or_else(|| text.as_bytes().to_vec());
    if row.path.is_none() && (state.has_detached || state.is_detached(row) || is_clone(call)) {
        report.rule("detached");
        report.check("inode of fd", line, true, row.inode.is_some());
        state.detached.borrow_mut().paths.insert(told);
        return;
    }
    report.check("path of fd", line, show(Some(&told)), row.path.clone());
}

/// Returns whether a call has returned a copy of a mount that has no place: OPEN_TREE_CLONE of linux/mount.h.
fn is_clone(call: &Call) -> bool {
    let flags = call.args.get(2).and_then(|flags| strace::number(flags));
    call.name == "open_tree" && flags.is_some_and(|f| f & 1 != 0)
}

/// Returns the index of the fd that the row is about: of two fds that bytes move between, the socket. Then the other fd
/// has the column `path2`.
fn object_arg(call: &Call, spec: &Spec) -> Option<usize> {
    let first = spec.object_arg()?;
    let is_fd = |i: &usize| spec.args[*i].1 == Arg::Fd && *i != first;
    let second = (0..spec.args.len()).find(is_fd);
    let is_socket = |i: usize| {
        let text = call.args.get(i).and_then(|t| strace::annotation(t));
        text.is_some_and(|text| address::socket(text, &mut Report::default()).is_some())
    };
    match second.filter(|_| spec.ret == Ret::Bytes) {
        Some(second) if is_socket(second) && !is_socket(first) => Some(second),
        _ => Some(first),
    }
}

/// Returns whether the caller passes an address, which counts before that of the socket: see the rule `passed first`.
fn passes_address(call: &Call, spec: &Spec) -> bool {
    use Arg::{MmsgIn, MsgIn, SockAddrIn};
    let is_address = |arg: Arg| matches!(arg, SockAddrIn | MsgIn | MmsgIn);
    let index = spec.args.iter().position(|(_, arg)| is_address(*arg));
    let text = index.and_then(|i| call.args.get(i));
    text.is_some_and(|text| text.contains("sa_family=")) && !is_too_long(call, spec)
}

/// Returns bytes in the notation of the columns.
pub(super) fn show(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|b| escape(b).into_owned())
}

fn compare_socket(
    socket: &Socket,
    row: &Row,
    passes: Option<&str>,
    line: &str,
    report: &mut Report,
) {
    if socket.inode.is_some() {
        report.check("socket inode", line, socket.inode, row.inode);
    }
    if socket.family.is_empty() {
        report.rule("untold");
        return;
    }
    report.check("family", line, Some(socket.family), row.family.as_deref());
    if socket.protocol == "raw" {
        report.rule("raw");
    } else if !socket.protocol.is_empty() {
        report.check(
            "protocol",
            line,
            Some(socket.protocol.as_str()),
            row.protocol.as_deref(),
        );
    }
    let mut ours = local(row);
    if let Some(name) = ours.path.as_mut().filter(|n| n.contains(&0)) {
        report.rule("cut");
        name.truncate(name.iter().position(|b| *b == 0).unwrap());
    }
    if line.starts_with("connect(") && line.contains("{sa_family=0,") && row.ret == Some(0) {
        report.rule("disconnected");
        return;
    }
    if passes == Some("bind") {
        report.rule("passed first");
    } else {
        compare_end_of_socket("local", &socket.local, &ours, line, report);
    }
    if passes.is_some_and(|name| name != "bind") {
        report.rule("passed first");
        return;
    }
    if line.starts_with("connect(") && row.ret.is_some_and(|ret| ret < 0) {
        report.rule("no address");
        report.check("peer", line, Address::default(), peer(row));
        return;
    }
    // udp_sendmsg() of net/ipv4/udp.c and others look at the address before anything is sent.
    let refused = matches!(row.error.as_deref(), Some("EFAULT" | "EINVAL"));
    let is_connection = matches!(socket.protocol.as_str(), "tcp" | "stream" | "seqpacket");
    if line.starts_with("send") && refused && !is_connection && peer(row) == Address::default() {
        report.rule("no address");
        return;
    }
    compare_end_of_socket("peer", &socket.peer, &peer(row), line, report);
}

fn local(row: &Row) -> Address {
    Address {
        addr: row.local_addr.clone(),
        port: row.local_port,
        path: row.path.as_deref().map(unescape),
    }
}

fn peer(row: &Row) -> Address {
    Address {
        addr: row.peer_addr.clone(),
        port: row.peer_port,
        path: row.peer_path.as_deref().map(unescape),
    }
}

/// Compares the parts of one end that strace prints.
fn compare_end_of_socket(
    what: &'static str,
    strace: &Address,
    ours: &Address,
    line: &str,
    report: &mut Report,
) {
    if *strace == Address::default() {
        report.rule("untold");
    }
    if strace.addr.is_some() {
        report.check(what, line, &strace.addr, &ours.addr);
    }
    if strace.port.is_some_and(|p| p != 0) {
        report.check(what, line, strace.port, ours.port);
    }
    if let Some(path) = &strace.path {
        let (mut told, ours) = (show(Some(path)), show(ours.path.as_deref()));
        if !matches!(path.first(), None | Some(b'/' | b'@')) {
            report.rule("relative");
            let ends = told.as_ref().zip(ours.as_ref());
            if ends.is_some_and(|(told, ours)| {
                ours.starts_with('/') && ours.ends_with(&format!("/{told}"))
            }) {
                told.clone_from(&ours);
            }
        }
        report.check(what, line, told, ours);
    }
}

/// Returns whether the kernel refuses the address of a call because of its length: see the rule `length`.
fn is_too_long(call: &Call, spec: &Spec) -> bool {
    const ROOM: i64 = 128; // sizeof(struct sockaddr_storage)
    let index = spec
        .args
        .iter()
        .position(|(_, arg)| *arg == Arg::SockAddrIn);
    let length = index.and_then(|i| strace::number(call.args.get(i + 1)?));
    length.is_some_and(|length| !(0..=ROOM).contains(&length))
}

/// Compares the addresses that the call was passed or returned.
pub(super) fn compare_addresses(
    call: &Call,
    row: &Row,
    spec: &Spec,
    state: &State,
    report: &mut Report,
) {
    let Some((i, mut address)) = printed_address(call, spec, report) else {
        return;
    };
    let line = call.line.as_str();
    if is_too_long(call, spec) {
        report.rule("length");
        report.check("errno", line, Some("EINVAL"), row.error.as_deref());
        return;
    }
    if let (Some(path), true) = (&address.path, is_cut(call.args.get(i + 1))) {
        compare_cut_name(path, call, row, report);
        return;
    }
    if address.port == Some(0) {
        report.rule("any port");
    }
    let socket = spec
        .fd_arg()
        .and_then(|fd| strace::annotation(&call.args[fd]));
    let socket = socket.and_then(|text| address::socket(text, report));
    if socket.as_ref().is_some_and(|s| s.protocol == "raw") {
        report.rule("raw");
        address.port = None;
    }
    let sent = matches!(call.name.as_str(), "sendto" | "sendmsg" | "sendmmsg")
        && matches!(call.ret, Return::Value(..));
    if let Some(socket) = socket.filter(|s| sent && matches!(&*s.protocol, "tcp" | "stream")) {
        report.rule("connection");
        compare_end_of_socket("peer", &socket.peer, &peer(row), line, report);
        return;
    }
    if sent && state.is_corked && peer(row) == Address::default() {
        report.rule("corked");
        return;
    }
    match call.name.as_str() {
        "bind" | "getsockname" => {
            compare_end_of_socket("local passed", &address, &local(row), line, report);
            let both = address.addr.is_some() && peer(row) == local(row);
            report.check("peer equals local", line, false, both);
        }
        _ => compare_end_of_socket("peer passed", &address, &peer(row), line, report),
    }
}

/// Returns the address that strace prints as an argument, and the index of the argument.
fn printed_address(call: &Call, spec: &Spec, report: &mut Report) -> Option<(usize, Address)> {
    use Arg::{MmsgIn, MmsgOut, MsgIn, MsgOut, SockAddrIn, SockAddrOut};
    let name_of = |msg: &str| strace::member(msg, "msg_name");
    spec.args.iter().enumerate().find_map(|(i, (_, arg))| {
        let text = call.args.get(i)?;
        let text = match arg {
            SockAddrIn | SockAddrOut => text.clone(),
            MsgIn | MsgOut => name_of(text)?,
            MmsgIn | MmsgOut => {
                let first = strace::members(text).into_iter().next()?;
                name_of(&strace::member(&first, "msg_hdr")?)?
            }
            _ => return None,
        };
        Some((i, address::sockaddr(&text, report)?))
    })
}

/// Compares the name of a unix socket of which strace prints the beginning.
fn compare_cut_name(path: &[u8], call: &Call, row: &Row, report: &mut Report) {
    report.rule("room");
    let ours = match call.name.as_str() {
        "getsockname" => local(row).path,
        _ => peer(row).path,
    };
    // A relative name is recorded from its directory.
    let name = |ours: &[u8]| match ours.iter().rposition(|b| *b == b'/') {
        Some(slash) if path.first() != Some(&b'/') => ours[slash + 1..].to_vec(),
        _ => ours.to_vec(),
    };
    let begins = ours.is_none_or(|ours| name(&ours).starts_with(path));
    report.check("cut address", &call.line, true, begins);
}

/// Returns whether an address did not fit: `[16 => 24]`.
fn is_cut(length: Option<&String>) -> bool {
    let parts = length.and_then(|l| l.strip_prefix('[')?.strip_suffix(']')?.split_once(" => "));
    parts.is_some_and(|(room, whole)| strace::number(room) < strace::number(whole))
}
