//! Formats calls as strace does.

mod line;
mod names;
mod socket;

pub use line::Event;
pub use names::signal;
pub use socket::{End, Socket};

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use linux_raw_sys::{general, prctl};

use crate::errno;
use crate::syscalls::{self, Abi, Arg, Names, Ret, Spec};
use crate::text::{printable, shell_split};

/// A call, which is displayed as a line in the format of strace(1):
/// `openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3</etc/hosts>`.
///
/// The texts come from the columns of the same names. All texts are escaped ([`crate::text`]), so the line cannot control a
/// terminal. User memory and pointers are not recorded, not even whether a pointer was null, and are displayed as `...`. The
/// file or both ends of the socket follow an fd, as with the option `-yy` of strace.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name of the call: the value of the column `syscall`.
    pub name: &'a str,
    /// Arguments and result on `abi`: [`crate::syscalls::spec_of`].
    pub spec: &'a Spec,
    /// ABI of the caller, which determines the values of constants and the width of registers.
    pub abi: Abi,
    /// Arguments, or `None` for an argument that was not stored.
    pub args: [Option<i64>; 6],
    /// Result: a negative errno if the call failed, `None` if the call did not return.
    pub ret: Option<i64>,
    /// Path of the file that the call used.
    pub path: Option<&'a str>,
    /// Path that the caller passed.
    pub path_arg: Option<&'a str>,
    /// Second path or text.
    pub path2: Option<&'a str>,
    /// Socket that the call used.
    pub socket: Socket<'a>,
    /// Arguments of an exec, quoted for a shell.
    pub argv: Option<&'a str>,
    /// True if seccomp refused the call.
    pub denied: bool,
}

impl<'a> Call<'a> {
    /// Creates a call without arguments and result. All fields are public, so the caller can fill them in.
    pub fn new(name: &'a str, spec: &'a Spec, abi: Abi) -> Self {
        Call {
            name,
            spec,
            abi,
            args: [None; 6],
            ret: None,
            path: None,
            path_arg: None,
            path2: None,
            socket: Socket::default(),
            argv: None,
            denied: false,
        }
    }

    /// Creates a call from the columns `syscall` and `compat`, for a recording from `machine` (the output of `uname -m`). An unknown
    /// machine is treated like x86-64.
    pub fn of_machine(name: &'a str, machine: &str, compat: bool) -> Self {
        let abi = Abi::of_machine(machine, compat).unwrap_or(Abi::X86_64);
        let spec = match syscalls::number(abi, name) {
            Some(nr) => syscalls::spec_of(abi, nr),
            None => syscalls::spec(name),
        };
        Call::new(name, spec, abi)
    }

    /// Returns the name of the call without `io_uring:`. An operation of io_uring has the arguments of the call with
    /// the same name.
    fn base_name(&self) -> &'a str {
        self.name.strip_prefix("io_uring:").unwrap_or(self.name)
    }

    /// Returns the low 32 bits of an argument.
    fn low(&self, i: usize) -> Option<u32> {
        self.args[i].map(|v| v as u32)
    }

    /// Returns the value of a register as an unsigned number.
    fn unsigned(&self, v: i64) -> u64 {
        if self.abi.is_32bit() {
            u64::from(v as u32)
        } else {
            v as u64
        }
    }

    /// Returns the value of a register as a signed number.
    fn signed(&self, v: i64) -> i64 {
        if self.abi.is_32bit() {
            i64::from(v as i32)
        } else {
            v
        }
    }

    /// Returns whether the call uses argument `i`. Some calls use their last arguments only if others have certain
    /// values.
    fn uses(&self, i: usize) -> bool {
        match (self.base_name(), i) {
            ("open", 2) | ("openat", 3) => {
                let creates = general::O_CREAT | general::__O_TMPFILE;
                self.low(i - 1).is_none_or(|flags| flags & creates != 0)
            }
            ("mq_open", 2 | 3) => self.low(1).is_none_or(|f| f & general::O_CREAT != 0),
            ("mknod", 2) | ("mknodat", 3) => self.low(i - 1).is_none_or(is_device),
            ("mremap", 4) => {
                let with_address = general::MREMAP_FIXED | general::MREMAP_DONTUNMAP;
                self.low(3).is_none_or(|flags| flags & with_address != 0)
            }
            ("fcntl" | "fcntl64", 2) => self.low(1).is_none_or(|op| !fcntl_has_no_argument(op)),
            ("futex" | "futex_time64", 3..) => self.low(1).is_none_or(|op| futex_uses(op, i)),
            ("prctl", 1..) => self.low(0).is_none_or(|op| i <= prctl_arguments(op)),
            _ => true,
        }
    }

    fn argument(&self, i: usize, arg: Arg) -> Cow<'a, str> {
        match (arg, self.base_name(), i) {
            (Arg::Path, ..) => self.path_argument(i),
            (Arg::Text, ..) => self.path2.map_or_else(|| self.pointer(i), quoted),
            (Arg::Argv, ..) => self.argv.map_or_else(|| self.pointer(i), words),
            (Arg::SockAddrIn | Arg::SockAddrOut, ..) => {
                self.address(i).map_or_else(|| self.pointer(i), Cow::Owned)
            }
            (arg, ..) if arg.is_pointer() => self.pointer(i),
            _ => self.args[i].map_or("?".into(), |v| self.number(i, arg, v).into()),
        }
    }

    /// Returns the path argument `i`: the first is `path_arg` or `path`, the second is `path2`.
    fn path_argument(&self, i: usize) -> Cow<'a, str> {
        let first = self.spec.paths().next().is_some_and(|(_, p)| p == i);
        let text = if first {
            self.path_arg.or(self.path)
        } else {
            self.path2
        };
        text.map_or_else(|| self.pointer(i), quoted)
    }

    /// Returns the address that argument `i` points to, for calls that always have one. accept(2), recvfrom(2) and
    /// similar calls accept a null pointer, and recordings do not distinguish null from other pointers.
    fn address(&self, i: usize) -> Option<String> {
        match self.base_name() {
            "bind" => self.socket.local_argument(self.path),
            "getsockname" if self.ret? >= 0 => self.socket.local_argument(self.path),
            "connect" => self.socket.peer_argument(),
            "getpeername" if self.ret? >= 0 => self.socket.peer_argument(),
            "sendto" if self.has_address(i) => self.socket.peer_argument(),
            _ => None,
        }
    }

    /// Returns whether the argument after the address, its length, is not 0.
    fn has_address(&self, i: usize) -> bool {
        self.low(i + 1).is_some_and(|length| length != 0)
    }

    fn pointer(&self, i: usize) -> Cow<'a, str> {
        match self.args[i] {
            Some(0) => "NULL".into(),
            _ => "...".into(),
        }
    }

    fn number(&self, i: usize, arg: Arg, v: i64) -> String {
        match arg {
            Arg::Fd | Arg::DirFd => self.fd(i, arg, v as i32),
            Arg::Flags(names) | Arg::Const(names) => self.named(i, names, v),
            Arg::Signal => signal(i64::from(v as i32)),
            Arg::Mode => mode(v as u32, self.base_name().starts_with("mknod")),
            Arg::UInt if self.spec.args[i].0 == "dev" && self.base_name().starts_with("mknod") => {
                device(v as u32)
            }
            Arg::Id if v as i32 == -1 => "-1".into(),
            Arg::UInt | Arg::Id => (v as u32).to_string(),
            Arg::Size => self.unsigned(v).to_string(),
            Arg::Hex | Arg::Bits
                if self.base_name().starts_with("futex")
                    && v as u32 == general::FUTEX_BITSET_MATCH_ANY =>
            {
                "FUTEX_BITSET_MATCH_ANY".into()
            }
            Arg::Hex => hex(self.unsigned(v)),
            Arg::Bits => hex((v as u32).into()),
            Arg::Long if self.base_name().starts_with("fcntl") => self.fcntl_argument(v),
            Arg::Long if self.base_name() == "prctl" => self.prctl_argument(i, v),
            Arg::Long => self.signed(v).to_string(),
            Arg::Low => match self.args.get(i + 1) {
                Some(Some(high)) => ((high << 32) | i64::from(v as u32)).to_string(),
                _ => "?".into(),
            },
            _ => (v as i32).to_string(),
        }
    }

    fn fd(&self, i: usize, arg: Arg, fd: i32) -> String {
        // The column `path` belongs to the fd only if the call has no path, or an empty path (AT_EMPTY_PATH).
        let is_object = match self.spec.object_arg() {
            // Before bind(2), the socket had no address.
            Some(object) => object == i && self.base_name() != "bind",
            None => arg == Arg::DirFd && i == 0 && self.path_arg == Some(""),
        };
        match self.path.filter(|_| is_object && fd >= 0) {
            _ if fd == general::AT_FDCWD => "AT_FDCWD".into(),
            Some(path) => format!("{fd}<{path}>"),
            None => match self.ends().filter(|_| is_object) {
                Some(ends) => format!("{fd}<{ends}>"),
                None => fd.to_string(),
            },
        }
    }

    /// Returns the ends of the socket whose fd is passed, or `None` if the call changes the ends, or its columns
    /// describe another socket.
    fn ends(&self) -> Option<String> {
        match self.base_name() {
            "bind" | "connect" | "accept" | "accept4" => None,
            // Either of the two fds may be the socket.
            "splice" => None,
            // A socket that is used with a destination address is most likely not connected.
            "sendto" => self.socket.ends(self.has_address(4)),
            // The address that getsockname(2) returned may be in the columns of the peer as well.
            "getsockname" => self.socket.ends(self.socket.peer == self.socket.local),
            _ => self.socket.ends(false),
        }
    }

    fn named(&self, i: usize, names: Names, v: i64) -> String {
        let context = match names {
            Names::Protocol => self.args[0],
            Names::SockOpt => self.args[i - 1],
            _ => None,
        };
        let Some(table) = names::table(names, self.abi.is_arm(), context) else {
            return (v as i32).to_string();
        };
        match names {
            Names::Clone => clone_flags(table, v as u32),
            Names::IpcGet => ipc_flags(table, v as u32),
            Names::Ioctl => table
                .name(v as u32)
                .map_or_else(|| ioctl_number(v as u32), Into::into),
            _ => table.text(v as u32),
        }
    }

    fn fcntl_argument(&self, v: i64) -> String {
        let named = |names| self.named(2, names, v);
        match self.low(1).unwrap_or(u32::MAX) {
            general::F_SETFD => named(Names::FdFlags),
            general::F_SETFL => named(Names::Open),
            general::F_DUPFD
            | general::F_DUPFD_CLOEXEC
            | general::F_DUPFD_QUERY
            | general::F_SETOWN
            | general::F_SETPIPE_SZ => (v as i32).to_string(),
            general::F_SETSIG => signal(v),
            general::F_ADD_SEALS | general::F_SETLEASE | general::F_NOTIFY => hex(self.unsigned(v)),
            // The argument of other commands is the address of a struct.
            _ => "...".into(),
        }
    }

    fn prctl_argument(&self, i: usize, v: i64) -> String {
        match self.low(0).unwrap_or(u32::MAX) {
            prctl::PR_SET_PDEATHSIG => signal(v),
            prctl::PR_SET_NAME
            | prctl::PR_GET_NAME
            | prctl::PR_GET_PDEATHSIG
            | prctl::PR_GET_CHILD_SUBREAPER
            | prctl::PR_GET_TID_ADDRESS
            | prctl::PR_GET_TSC => "...".into(),
            prctl::PR_SET_SECCOMP if i == 2 => "...".into(),
            _ => self.signed(v).to_string(),
        }
    }

    fn result(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(ret) = self.ret else {
            return f.write_str("?");
        };
        let ret = self.signed(ret);
        if (-4095..0).contains(&ret) {
            return failure(f, -ret as i32);
        }
        match self.spec.ret {
            Ret::Ptr => write!(f, "{}", hex(self.unsigned(ret))),
            Ret::Fd => match self.path.filter(|_| self.result_has_path()) {
                Some(path) => write!(f, "{ret}<{path}>"),
                None => match self.returned_ends() {
                    Some(ends) => write!(f, "{ret}<{ends}>"),
                    None => write!(f, "{ret}"),
                },
            },
            _ if self.base_name() == "umask" => f.write_str(&mode(ret as u32, false)),
            _ => write!(f, "{ret}"),
        }
    }

    /// Returns the ends of the socket whose fd the call returned.
    fn returned_ends(&self) -> Option<String> {
        match self.base_name() {
            "accept" | "accept4" | "dup" | "dup2" | "dup3" => self.socket.ends(false),
            _ => None,
        }
    }

    /// Returns whether the column `path` belongs to the fd that the call returned.
    fn result_has_path(&self) -> bool {
        self.spec.fd_arg().is_none()
            || self.spec.paths().next().is_some()
            || matches!(self.base_name(), "dup" | "dup2" | "dup3")
    }
}

impl Call<'_> {
    /// Writes the line, with texts as they are.
    fn line(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        let shown = |&(i, arg): &(usize, Arg)| !matches!(arg, Arg::High | Arg::Pad) && self.uses(i);
        let args = self.spec.args.iter().map(|a| a.1).enumerate();
        for (n, (i, arg)) in args.filter(shown).enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{}", self.argument(i, arg))?;
        }
        if self.spec.name.is_empty() {
            f.write_str("...")?;
        }
        f.write_str(") = ")?;
        self.result(f)?;
        if self.denied {
            f.write_str(" (refused by seccomp)")?;
        }
        Ok(())
    }
}

impl Display for Call<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A recording from anyone may have texts that nobody has escaped.
        let line = fmt::from_fn(|f| self.line(f)).to_string();
        f.write_str(&printable(&line))
    }
}

/// Writes a failed result: `-1 ENOENT (No such file or directory)`. Callers never see the kernel's internal errnos 512 to 516: the
/// kernel restarts the call or returns EINTR, so the result is not known yet.
fn failure(f: &mut Formatter<'_>, errno: i32) -> fmt::Result {
    let value = if (512..=516).contains(&errno) {
        "?"
    } else {
        "-1"
    };
    match (errno::name(errno), errno::text(errno)) {
        (Some(name), Some(text)) => write!(f, "{value} {name} ({text})"),
        _ => write!(f, "-1 (errno {errno})"),
    }
}

/// Puts a text that is already escaped into quotes.
fn quoted<'a>(text: &str) -> Cow<'a, str> {
    format!("\"{}\"", text.replace('"', "\\\"")).into()
}

/// Puts each argument of an exec into quotes.
fn words<'a>(argv: &str) -> Cow<'a, str> {
    let words: Vec<_> = shell_split(argv).iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", ")).into()
}

/// Formats a number like C's `%#x`, which writes zero as `0`.
fn hex(v: u64) -> String {
    if v == 0 {
        "0".into()
    } else {
        format!("{v:#x}")
    }
}

/// Formats mode bits in octal with at least three digits, like strace's `%#03o`. With `has_type`, the type of the file is printed
/// by name, as in mknod.
fn mode(v: u32, has_type: bool) -> String {
    let bits = if has_type { v & !general::S_IFMT } else { v };
    let octal = format!("{:0>3}", format!("0{bits:o}"));
    let kind = match v & general::S_IFMT {
        general::S_IFREG => "S_IFREG|",
        general::S_IFCHR => "S_IFCHR|",
        general::S_IFBLK => "S_IFBLK|",
        general::S_IFIFO => "S_IFIFO|",
        general::S_IFSOCK => "S_IFSOCK|",
        _ => "",
    };
    if has_type {
        format!("{kind}{octal}")
    } else {
        octal
    }
}

fn is_device(mode: u32) -> bool {
    matches!(mode & general::S_IFMT, general::S_IFCHR | general::S_IFBLK)
}

/// Formats a device number: 12 bits of major, 20 bits of minor number (new_decode_dev in include/linux/kdev_t.h).
fn device(v: u32) -> String {
    let major = (v & 0xfff00) >> 8;
    let minor = (v & 0xff) | ((v >> 12) & 0xfff00);
    format!("makedev({}, {})", hex(major.into()), hex(minor.into()))
}

/// Formats clone's flags. The low byte of the flags is the signal that the parent receives when the child exits.
fn clone_flags(table: &names::Table, v: u32) -> String {
    let signal = v & general::CSIGNAL;
    let flags = table.text(v & !general::CSIGNAL);
    match (v & !general::CSIGNAL, signal) {
        (_, 0) => flags,
        (0, signal) => names::signal(signal.into()),
        (_, signal) => format!("{flags}|{}", names::signal(signal.into())),
    }
}

/// Formats the flags of shmget, semget and msgget. The low nine bits of the flags are a mode.
fn ipc_flags(table: &names::Table, v: u32) -> String {
    match (v & !0o777, v & 0o777) {
        (0, 0) => "0".into(),
        (0, bits) => mode(bits, false),
        (flags, 0) => table.text(flags),
        (flags, bits) => format!("{}|{}", table.text(flags), mode(bits, false)),
    }
}

/// Formats the parts of an ioctl command without a name (include/uapi/asm-generic/ioctl.h).
fn ioctl_number(v: u32) -> String {
    let direction = match v >> 30 {
        0 => "_IOC_NONE",
        1 => "_IOC_WRITE",
        2 => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let field = |shift: u32, mask: u32| hex(u64::from((v >> shift) & mask));
    format!(
        "_IOC({direction}, {}, {}, {})",
        field(8, 0xff),
        field(0, 0xff),
        field(16, 0x3fff)
    )
}

fn fcntl_has_no_argument(op: u32) -> bool {
    matches!(
        op,
        general::F_GETFD
            | general::F_GETFL
            | general::F_GETOWN
            | general::F_GETSIG
            | general::F_GETLEASE
            | general::F_GETPIPE_SZ
            | general::F_GET_SEALS
            | general::F_CREATED_QUERY
    )
}

/// Returns whether an operation of futex(2) uses argument `i`: 3 (timeout or second value), 4 (second address) or 5
/// (third value).
fn futex_uses(op: u32, i: usize) -> bool {
    match op & !(general::FUTEX_PRIVATE_FLAG | general::FUTEX_CLOCK_REALTIME) {
        general::FUTEX_WAIT | general::FUTEX_LOCK_PI | general::FUTEX_LOCK_PI2 => i == 3,
        general::FUTEX_WAKE
        | general::FUTEX_UNLOCK_PI
        | general::FUTEX_TRYLOCK_PI
        | general::FUTEX_FD => false,
        general::FUTEX_WAIT_BITSET => i == 3 || i == 5,
        general::FUTEX_WAKE_BITSET => i == 5,
        general::FUTEX_REQUEUE | general::FUTEX_WAIT_REQUEUE_PI => i == 3 || i == 4,
        _ => true,
    }
}

/// Returns the number of arguments of an operation of prctl(2), without the operation itself.
fn prctl_arguments(op: u32) -> usize {
    match op {
        prctl::PR_GET_DUMPABLE
        | prctl::PR_GET_KEEPCAPS
        | prctl::PR_GET_SECCOMP
        | prctl::PR_GET_SECUREBITS
        | prctl::PR_GET_TIMERSLACK
        | prctl::PR_TASK_PERF_EVENTS_DISABLE
        | prctl::PR_TASK_PERF_EVENTS_ENABLE => 0,
        prctl::PR_SET_NAME
        | prctl::PR_GET_NAME
        | prctl::PR_SET_PDEATHSIG
        | prctl::PR_GET_PDEATHSIG
        | prctl::PR_SET_DUMPABLE
        | prctl::PR_SET_KEEPCAPS
        | prctl::PR_CAPBSET_READ
        | prctl::PR_CAPBSET_DROP
        | prctl::PR_SET_SECUREBITS
        | prctl::PR_SET_TIMERSLACK
        | prctl::PR_SET_CHILD_SUBREAPER
        | prctl::PR_GET_CHILD_SUBREAPER
        | prctl::PR_SET_PTRACER
        | prctl::PR_GET_TID_ADDRESS
        | prctl::PR_GET_TSC
        | prctl::PR_SET_TSC => 1,
        prctl::PR_SET_SECCOMP => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests;
