//! The syscalls of the recorded machine: the name and specification of each number, and how its record becomes a row.
//!
//! Records and rows identify a call by its number. After the numbers of the ABI come the calls that socketcall(2) and
//! ipc(2) of 32-bit callers multiplex, and then the operations of io_uring.

use std::borrow::Cow;
use std::sync::Arc;

use ctrace_schema::syscalls::rules::When;
use ctrace_schema::syscalls::{self, Abi, Arg, Names, Ret, Spec, uring};

use crate::wire::types::{limits, payload_how};

pub(crate) const COUNT: usize = limits::MAX_SYSCALLS.0 as usize;
/// The number of io_uring operations. In a row, the numbers of operations follow those of the calls.
pub(crate) const OPERATIONS: usize = limits::URING_OPS.0 as usize;

/// Returns the number of an io_uring operation in a row.
pub(crate) fn operation(op: u16) -> u16 {
    (COUNT as u16).saturating_add(op)
}

/// The properties of a call that turn its record into a row. Arguments count from 0.
#[derive(Clone, Debug)]
pub(crate) struct CallInfo {
    /// The name; `syscall_N` for a call that the tables do not contain, `syscall_unknown` for an impossible number.
    pub(crate) name: Arc<str>,
    /// The value of the column `class`.
    pub(crate) class: &'static str,
    /// True if the result is a number of bytes.
    pub(crate) moves_bytes: bool,
    /// True if the call transfers several messages, whose bytes the kernel side announces.
    pub(crate) moves_messages: bool,
    /// True if the call sends bytes that the kernel side may read.
    pub(crate) sends: bool,
    /// True if the call receives bytes that the kernel side may read.
    pub(crate) receives: bool,
    /// The meaning of the address argument.
    pub(crate) address: AddressRole,
    /// The argument with the length of the address that the caller passes.
    pub(crate) address_length: Option<usize>,
    /// The condition under which the result is the length of a message, although fewer bytes may have been copied.
    pub(crate) result_is_length: When,
    /// The argument with the size of the buffer of a call that receives into a single buffer.
    pub(crate) size: Option<usize>,
    /// The argument with the fd of the object of the call.
    pub(crate) fd: Option<usize>,
    /// The argument with a second fd.
    pub(crate) second_fd: Option<usize>,
    /// The condition under which the kernel ignores the fd.
    pub(crate) ignores_fd: When,
    /// The condition under which the kernel ignores the path.
    pub(crate) ignores_path: When,
    /// The path arguments.
    pub(crate) paths: [PathRule; 2],
    /// The argument with the flags.
    pub(crate) flags: Option<usize>,
    /// The argument with the mode.
    pub(crate) mode: Option<usize>,
    open_flags: Option<usize>,
    widths: [Width; 6],
    /// The index of each argument among the arguments that are values. Only values are stored.
    value_indices: [usize; 6],
}

/// The meaning of an address that a call passes or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressRole {
    /// No address.
    None,
    /// The local address of the socket: bind(2), getsockname(2).
    Local,
    /// The address to connect to.
    Connect,
    /// The destination of a message.
    Destination,
    /// The address of the peer or the source of a message, from the kernel.
    Source,
}

impl AddressRole {
    fn of(spec: &Spec) -> AddressRole {
        use Arg::{MmsgIn, MmsgOut, MsgIn, MsgOut, SockAddrIn, SockAddrOut};
        match spec.name {
            "bind" | "getsockname" => return AddressRole::Local,
            "connect" => return AddressRole::Connect,
            _ => {}
        }
        let roles = spec.args.iter().map(|(_, arg)| match arg {
            SockAddrOut | MsgOut | MmsgOut => AddressRole::Source,
            SockAddrIn | MsgIn | MmsgIn => AddressRole::Destination,
            _ => AddressRole::None,
        });
        let mut roles = roles.filter(|role| *role != AddressRole::None);
        roles.next().unwrap_or(AddressRole::None)
    }
}

/// A path argument: how a path that is empty or null is understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathRule {
    /// The argument with the directory fd.
    pub(crate) dir: Option<usize>,
    /// The condition under which an empty path means the directory fd itself.
    pub(crate) empty: When,
    /// The condition under which a null path means the directory fd itself.
    pub(crate) null: When,
}

impl PathRule {
    /// Returns the rules of the first and the second path of a call.
    fn of(spec: &Spec) -> [PathRule; 2] {
        let mut paths = spec.paths();
        [0, 1].map(|n| PathRule {
            dir: paths.next().and_then(|(dir, _)| dir),
            empty: spec.empty_path(n),
            null: if n == 0 {
                spec.null_path()
            } else {
                When::Never
            },
        })
    }
}

/// The width of an argument in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// No argument, or a pointer, which is meaningless after the call.
    Absent,
    /// `umode_t` of linux/types.h.
    Unsigned16,
    Signed32,
    Unsigned32,
    Register,
}

impl Width {
    fn from_arg(arg: Arg) -> Width {
        match arg {
            arg if arg.is_pointer() => Width::Absent,
            Arg::Pad => Width::Absent,
            Arg::Fd | Arg::DirFd | Arg::Int | Arg::Signal | Arg::Pid | Arg::Id => Width::Signed32,
            Arg::Mode => Width::Unsigned16,
            Arg::UInt | Arg::Bits | Arg::Flags(_) | Arg::Const(_) => Width::Unsigned32,
            _ => Width::Register,
        }
    }

    fn value(self, register: u64) -> Option<i64> {
        match self {
            Width::Absent => None,
            Width::Unsigned16 => Some(i64::from(register as u16)),
            Width::Signed32 => Some(i64::from(register as i32)),
            Width::Unsigned32 => Some(i64::from(register as u32)),
            Width::Register => Some(register as i64),
        }
    }
}

/// O_CREAT, and the bit of O_TMPFILE that is not O_DIRECTORY. Both are the same on all supported architectures.
const CREATES: i64 = 0o100 | 0o20_000_000;

impl CallInfo {
    fn new(abi: Abi, nr: u32) -> CallInfo {
        let (name, spec) = find(abi, nr);
        let mut widths = [Width::Absent; 6];
        for (width, (_, arg)) in widths.iter_mut().zip(spec.args) {
            *width = Width::from_arg(*arg);
        }
        let fds = spec.args.iter().enumerate();
        let mut fds = fds.filter(|(_, (_, arg))| *arg == Arg::Fd).map(|(i, _)| i);
        let has_payload = payload(spec) != payload_how::PAYLOAD_NONE;
        let sends =
            has_payload && (spec.name.starts_with("send") || spec.name.starts_with("write"));
        let truncates = spec.result_is_length() != When::Never;
        let size = |arg: &(&str, Arg)| truncates && *arg == ("size", Arg::Size);
        let address = |(_, arg): &(&str, Arg)| *arg == Arg::SockAddrIn;
        let before = |i: usize| widths[..i].iter().filter(|w| **w != Width::Absent).count();
        CallInfo {
            name: name.into(),
            class: spec.class.as_str(),
            moves_bytes: spec.ret == Ret::Bytes,
            moves_messages: payload(spec) == payload_how::PAYLOAD_MESSAGES,
            sends,
            receives: has_payload && !sends,
            address: AddressRole::of(spec),
            address_length: spec.args.iter().position(address).map(|i| i + 1),
            result_is_length: spec.result_is_length(),
            size: spec.args.iter().position(size),
            fd: spec.fd_arg(),
            second_fd: fds.nth(1),
            ignores_fd: spec.ignores_fd(),
            ignores_path: spec.ignores_path(),
            paths: PathRule::of(spec),
            flags: spec.flags_arg(),
            mode: spec.mode_arg(),
            open_flags: spec
                .args
                .iter()
                .position(|(_, arg)| *arg == Arg::Flags(Names::Open)),
            widths,
            value_indices: std::array::from_fn(before),
        }
    }

    /// Returns whether the call receives a struct open_how: openat2(2).
    pub(crate) fn receives_open_how(&self) -> bool {
        matches!(&*self.name, "openat2" | "io_uring:openat2")
    }

    /// Returns the flags and the mode of a call that receives them in a struct: openat2(2), clone3(2).
    pub(crate) fn struct_flags(&self, flags: u64, mode: u64) -> (Option<i64>, Option<i32>) {
        let creates = self.receives_open_how() && flags as i64 & CREATES != 0;
        let mode = creates.then_some((mode & 0o7777) as i32);
        (Some(flags as i64), mode)
    }

    /// Returns whether argument `i` of the call is a value.
    pub(crate) fn has_arg(&self, i: usize) -> bool {
        self.widths[i] != Width::Absent
    }

    /// Selects the arguments of a record that are values. Pointers are meaningless after the call.
    pub(crate) fn values(&self, args: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let args = args.zip(self.widths);
        args.filter_map(|(arg, width)| (width != Width::Absent).then_some(arg))
    }

    /// Returns argument `i` from the result of [`CallInfo::values`], or `None` for a pointer.
    pub(crate) fn arg(&self, i: usize, values: &[u64]) -> Option<i64> {
        let value = |i: usize| self.widths[i].value(*values.get(self.value_indices[i])?);
        // An open that creates no file passes no mode, and the register contains an unrelated value.
        if self.mode == Some(i)
            && let Some(flags) = self.open_flags
            && value(flags).is_some_and(|flags| flags & CREATES == 0)
        {
            return None;
        }
        value(i)
    }
}

/// The calls by their number in a row: those of the machine's own ABI, and those of 32-bit callers. Both lists end with
/// the operations of io_uring.
#[derive(Debug)]
pub(crate) struct Calls {
    own: Vec<CallInfo>,
    compat: Vec<CallInfo>,
}

impl Calls {
    /// Creates the tables for `machine`, an architecture as in `uname -m`.
    ///
    /// # Errors
    /// The architecture cannot be recorded.
    pub(crate) fn new(machine: &str) -> anyhow::Result<Calls> {
        let table = |compat| -> anyhow::Result<Vec<CallInfo>> {
            let abi = abi(machine, compat)?;
            Ok((0..(COUNT + OPERATIONS) as u32)
                .map(|nr| CallInfo::new(abi, nr))
                .collect())
        };
        Ok(Calls {
            own: table(false)?,
            compat: table(true)?,
        })
    }

    /// Returns the call with the number `nr`, or `None` for a number that is too large for any call.
    pub(crate) fn get(&self, compat: bool, nr: u16) -> Option<&CallInfo> {
        let table = if compat { &self.compat } else { &self.own };
        table.get(usize::from(nr))
    }
}

/// Returns the ABI of `machine`, or with `compat` the ABI of its 32-bit callers.
///
/// # Errors
/// The architecture cannot be recorded.
pub(crate) fn abi(machine: &str, compat: bool) -> anyhow::Result<Abi> {
    Abi::of_machine(machine, compat).ok_or_else(|| {
        anyhow::anyhow!("ctrace cannot record the architecture {machine}, only x86_64 and aarch64")
    })
}

/// The calls that socketcall(2) multiplexes, from number 1 on: SYS_SOCKET and the following numbers of linux/net.h.
const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls that ipc(2) multiplexes: SEMOP and the following numbers of linux/ipc.h, renumbered from 1 without gaps.
const IPC_CALLS: [&str; 12] = [
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

/// Returns the name and the specification of the call with a number of the kernel side: first the numbers of the ABI,
/// then the calls that ipc(2) and socketcall(2) multiplex, then the operations of io_uring.
pub(crate) fn find(abi: Abi, nr: u32) -> (Cow<'static, str>, &'static Spec) {
    if let Some(op) = nr.checked_sub(COUNT as u32) {
        let name = uring::name(op).map_or_else(|| format!("io_uring:{op}").into(), Cow::from);
        return (name, uring::spec(op));
    }
    if nr == limits::NO_CALL.0 {
        return ("syscall_unknown".into(), syscalls::spec_of(abi, nr));
    }
    if let Some(name) = unfolded(abi, nr) {
        return (name.into(), syscalls::spec(name));
    }
    let name = syscalls::name(abi, nr);
    let name = name.map_or_else(|| format!("syscall_{nr}").into(), Cow::from);
    (name, syscalls::spec_of(abi, nr))
}

/// Returns the call that ipc(2) or socketcall(2) multiplexes under the number `nr`.
pub(crate) fn unfolded(abi: Abi, nr: u32) -> Option<&'static str> {
    let call = |calls: &'static [&str], base: limits| {
        let i = nr.checked_sub(base.0 + 1)?;
        calls.get(i as usize).copied()
    };
    let ipc = call(&IPC_CALLS, limits::IPC_BASE);
    let name = ipc.or_else(|| call(&SOCKETCALLS, limits::SOCKETCALL_BASE));
    name.filter(|_| abi == Abi::X86)
}

/// Returns the structure in which the second argument of a call contains the transferred bytes.
pub(crate) fn payload(spec: &Spec) -> payload_how {
    match spec.name {
        "read" | "write" | "send" | "recv" | "sendto" | "recvfrom" => payload_how::PAYLOAD_BUFFER,
        "readv" | "writev" => payload_how::PAYLOAD_VECTORS,
        "sendmsg" | "recvmsg" => payload_how::PAYLOAD_MESSAGE,
        "sendmmsg" | "recvmmsg" | "recvmmsg_time64" => payload_how::PAYLOAD_MESSAGES,
        _ => payload_how::PAYLOAD_NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socketcall_and_ipc_have_the_names_of_the_multiplexed_calls() {
        let (ipc, base) = (limits::IPC_BASE.0, limits::SOCKETCALL_BASE.0);
        assert_eq!(find(Abi::X86, ipc + 1).0, "semop");
        assert_eq!(find(Abi::X86, ipc + 12).0, "shmctl");
        assert_eq!(find(Abi::X86, base + 1).0, "socket");
        assert_eq!(find(Abi::X86, base + 20).0, "sendmmsg");
        assert_eq!(find(Abi::X86_64, base + 3).0, "syscall_494");
        assert!(
            SOCKETCALLS
                .iter()
                .chain(&IPC_CALLS)
                .all(|name| !syscalls::spec(name).name.is_empty())
        );
        // The numbers of the ABI must not reach the multiplexed calls, and these must not reach the end of the table.
        let last = syscalls::iter(Abi::X86).map(|(nr, _)| nr).max();
        assert!(last < Some(ipc) && ipc + 12 < base && base + 20 < limits::MAX_SYSCALLS.0);
    }
}
