//! Syscall tables: numbers and names of each architecture, and what each argument means.

/// Whose syscall numbers: the machine's own and its 32-bit callers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// x86-64.
    X86_64,
    /// 32-bit callers on x86-64.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit callers on 64-bit ARM (EABI).
    Arm,
}

/// What a call is about; the value of the column `class`, and the names that `--set` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Class {
    File,
    Network,
    Process,
    Memory,
    Ipc,
    Signal,
    Time,
    Poll,
    Credential,
    System,
    Other,
}

/// What one argument of a call means. Decides what the kernel side resolves, and how the call is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arg {
    /// A file descriptor that the call is about.
    Fd,
    /// A directory that the next path is relative to; AT_FDCWD allowed.
    DirFd,
    /// Pointer to a path. The first becomes `path`, the second `path2` (see [`Spec`]).
    Path,
    /// Pointer to other text that belongs in `path2`, not a path to resolve (symlink's target, mount's source).
    Text,
    /// Pointer to a sockaddr that the caller filled in; its length is the next argument.
    SockAddrIn,
    /// Pointer to a sockaddr that the kernel fills in; pointer to its length is the next argument.
    SockAddrOut,
    /// Pointer to a struct msghdr, with an address that the caller filled in (sendmsg).
    MsgIn,
    /// Pointer to a struct msghdr, with an address that the kernel fills in (recvmsg).
    MsgOut,
    /// Pointer to an array of struct mmsghdr, caller's (sendmmsg).
    MmsgIn,
    /// Pointer to an array of struct mmsghdr, kernel's (recvmmsg).
    MmsgOut,
    /// Any other pointer or address: not stored, it means nothing later.
    Ptr,
    /// A number: signed 32 bits.
    Int,
    /// A number: unsigned 32 bits.
    UInt,
    /// A size, an offset or other 64-bit number.
    Long,
    /// Flags or a constant, and the table that names it.
    Flags(Names),
    /// File mode bits.
    Mode,
    /// A signal number.
    Signal,
    /// A process or thread id.
    Pid,
}

/// Tables of named constants, for printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Names {
    Open,
    At,
}

/// What the result of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// Zero or a number.
    Num,
    /// A new file descriptor: what it refers to is resolved when the call returns.
    Fd,
    /// The number of bytes moved, which becomes `bytes`.
    Bytes,
    /// An address.
    Ptr,
    /// A process or thread id.
    Pid,
}

/// One syscall.
#[derive(Debug)]
pub struct Spec {
    /// Its name, as in its man page.
    pub name: &'static str,
    /// What it is about.
    pub class: Class,
    /// Its arguments, at most six.
    pub args: &'static [(&'static str, Arg)],
    /// Its result.
    pub ret: Ret,
}
