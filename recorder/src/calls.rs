//! The syscalls of the machine that is recorded: what to do for each in the kernel, and how its record becomes a row.

use std::borrow::Cow;
use std::sync::Arc;

use ctrace_schema::syscalls::{self, Abi, Arg, Names, Ret, Spec, uring};

use crate::wire::types::{limits, payload_how};

pub const COUNT: usize = limits::MAX_SYSCALLS.0 as usize;
/// Operations of io_uring, whose numbers in a row follow those of calls.
pub const OPERATIONS: usize = limits::URING_OPS.0 as usize;

/// The number that an operation of io_uring has in a row.
pub fn operation(op: u16) -> u16 {
    (COUNT as u16).saturating_add(op)
}

/// How the record of one call becomes a row.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Its name; `syscall_N` where the tables do not know it, `syscall_unknown` where no call has such a number.
    pub name: Arc<str>,
    /// The value of the column `class`.
    pub class: &'static str,
    /// Whether its result is a number of bytes.
    pub moves_bytes: bool,
    /// Whether it moves several messages, whose bytes are announced.
    pub moves_messages: bool,
    /// Whether the address that it takes is that of its own end.
    pub own_end: bool,
    /// The argument that is the fd which it is about, from 0.
    pub fd: Option<usize>,
    /// The argument that is its flags.
    pub flags: Option<usize>,
    /// The argument that is its mode.
    pub mode: Option<usize>,
    open_flags: Option<usize>,
    widths: [Width; 6],
    /// Where each argument stands among those that are values, which alone are kept.
    places: [usize; 6],
}

/// The width in which the kernel takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// None, or a pointer, which means nothing later.
    Absent,
    Signed32,
    Unsigned32,
    Register,
}

impl Width {
    fn of(arg: Arg) -> Width {
        match arg {
            arg if arg.is_pointer() => Width::Absent,
            Arg::Pad => Width::Absent,
            Arg::Fd | Arg::DirFd | Arg::Int | Arg::Signal | Arg::Pid | Arg::Id => Width::Signed32,
            Arg::UInt | Arg::Flags(_) | Arg::Const(_) | Arg::Mode => Width::Unsigned32,
            _ => Width::Register,
        }
    }

    fn value(self, register: u64) -> Option<i64> {
        match self {
            Width::Absent => None,
            Width::Signed32 => Some(i64::from(register as i32)),
            Width::Unsigned32 => Some(i64::from(register as u32)),
            Width::Register => Some(register as i64),
        }
    }
}

/// O_CREAT, and the bit that O_TMPFILE has beside O_DIRECTORY: the same on every architecture here.
const CREATES: i64 = 0o100 | 0o20_000_000;

impl CallInfo {
    fn new(abi: Abi, nr: u32) -> CallInfo {
        let (name, spec) = find(abi, nr);
        let mut widths = [Width::Absent; 6];
        for (width, (_, arg)) in widths.iter_mut().zip(spec.args) {
            *width = Width::of(*arg);
        }
        let before = |i: usize| widths[..i].iter().filter(|w| **w != Width::Absent).count();
        CallInfo {
            name: name.into(),
            class: spec.class.as_str(),
            moves_bytes: spec.ret == Ret::Bytes,
            moves_messages: payload(spec) == payload_how::PAYLOAD_MESSAGES,
            own_end: matches!(spec.name, "bind" | "getsockname"),
            fd: spec.fd_arg(),
            flags: spec.flags_arg(),
            mode: spec.mode_arg(),
            open_flags: spec
                .args
                .iter()
                .position(|(_, arg)| *arg == Arg::Flags(Names::Open)),
            widths,
            places: std::array::from_fn(before),
        }
    }

    /// The flags, and the mode, of a call that takes them in a struct: openat2(2), clone3(2).
    pub fn struct_flags(&self, flags: u64, mode: u64) -> (Option<i64>, Option<i32>) {
        let creates = &*self.name == "openat2" && flags as i64 & CREATES != 0;
        let mode = creates.then_some((mode & 0o7777) as i32);
        (Some(flags as i64), mode)
    }

    /// Whether argument `i` of the call, from 0, is a value.
    pub fn has_arg(&self, i: usize) -> bool {
        self.widths[i] != Width::Absent
    }

    /// Of all arguments that a record has those that are values: a pointer means nothing later.
    pub fn values(&self, args: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let args = args.zip(self.widths);
        args.filter_map(|(arg, width)| (width != Width::Absent).then_some(arg))
    }

    /// Argument `i`, from [`CallInfo::values`]; None for a pointer.
    pub fn arg(&self, i: usize, values: &[u64]) -> Option<i64> {
        let value = |i: usize| self.widths[i].value(*values.get(self.places[i])?);
        // An open that creates nothing passes no mode: what stands in the register is somebody else's.
        if self.mode == Some(i)
            && let Some(flags) = self.open_flags
            && value(flags).is_some_and(|flags| flags & CREATES == 0)
        {
            return None;
        }
        value(i)
    }
}

/// Calls by number, those of the machine's own ABI and those of 32-bit callers: each with the operations of io_uring.
#[derive(Debug)]
pub struct Calls {
    own: Vec<CallInfo>,
    compat: Vec<CallInfo>,
}

impl Calls {
    /// The calls of a machine, named as `uname -m` does.
    ///
    /// # Errors
    /// The architecture is none that can be recorded.
    pub fn new(machine: &str) -> anyhow::Result<Calls> {
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

    /// The call with a number; None: the number is above those of any kernel.
    pub fn get(&self, compat: bool, nr: u16) -> Option<&CallInfo> {
        let table = if compat { &self.compat } else { &self.own };
        table.get(usize::from(nr))
    }
}

pub fn abi(machine: &str, compat: bool) -> anyhow::Result<Abi> {
    Abi::of_machine(machine, compat).ok_or_else(|| {
        anyhow::anyhow!("{machine} is no architecture that ctrace records: x86_64 and aarch64 are")
    })
}

/// What socketcall(2) can be asked for, from 1 on: SYS_SOCKET and so on of linux/net.h.
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

/// What ipc(2) can be asked for, from 1 on: SEMOP and so on of linux/ipc.h, without the gaps between its numbers.
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

/// Name and meaning of a number of the kernel side's: those of the ABI, above them what ipc(2) and socketcall(2) were
/// asked for, and
/// above that the operations of io_uring.
pub fn find(abi: Abi, nr: u32) -> (Cow<'static, str>, &'static Spec) {
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

/// What ipc(2) or socketcall(2) was asked for.
pub fn unfolded(abi: Abi, nr: u32) -> Option<&'static str> {
    let of = |calls: &'static [&str], base: limits| {
        let i = nr.checked_sub(base.0 + 1)?;
        calls.get(i as usize).copied()
    };
    let name =
        of(&IPC_CALLS, limits::IPC_BASE).or_else(|| of(&SOCKETCALLS, limits::SOCKETCALL_BASE));
    name.filter(|_| abi == Abi::X86)
}

/// Where the second argument of a call has the bytes that it moves.
pub fn payload(spec: &Spec) -> payload_how {
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
    fn socketcall_and_ipc_are_told_as_what_they_ask_for() {
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
        // The numbers of the ABI itself must not reach so far, nor ours past the end.
        let last = syscalls::iter(Abi::X86).map(|(nr, _)| nr).max();
        assert!(last < Some(ipc) && ipc + 12 < base && base + 20 < limits::MAX_SYSCALLS.0);
    }
}
