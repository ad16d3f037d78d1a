//! Rules for arguments whose meaning depends on another argument of the call, and for arguments that the kernel then
//! ignores.
//!
//! The rules are those of the kernel up to Linux 6.18: fs/namei.c (`getname_flags`, `getname_maybe_null`), fs/utimes.c,
//! fs/notify/fanotify/fanotify_user.c, fs/namespace.c, mm/mmap.c and io_uring/.

use super::Spec;

/// `AT_EMPTY_PATH` and `OPEN_TREE` flags of the same value: an empty path means the directory fd itself.
const AT_EMPTY_PATH: i64 = 0x1000;
/// `AT_EXECVE_CHECK` (Linux 6.14): execveat(2) only checks whether the program may be run.
pub const AT_EXECVE_CHECK: i64 = 0x10000;
/// `FSPICK_EMPTY_PATH`
const FSPICK_EMPTY_PATH: i64 = 0x8;
/// `MOVE_MOUNT_F_EMPTY_PATH` and `MOVE_MOUNT_T_EMPTY_PATH`
const MOVE_MOUNT_EMPTY_PATHS: [i64; 2] = [0x4, 0x40];
/// `MAP_ANONYMOUS`, the same on x86 and ARM.
const MAP_ANONYMOUS: i64 = 0x20;
/// `IORING_ENTER_REGISTERED_RING`: the fd is an index of the thread's registered rings.
const ENTER_REGISTERED_RING: i64 = 1 << 4;
/// `IORING_REGISTER_USE_REGISTERED_RING`: the same, in the opcode of io_uring_register(2).
const REGISTER_REGISTERED_RING: i64 = 1 << 31;
/// `KEXEC_FILE_UNLOAD`
const KEXEC_FILE_UNLOAD: i64 = 1;
/// `FAN_MARK_FLUSH`
const FAN_MARK_FLUSH: i64 = 0x80;
/// `MSG_TRUNC`: the result is the length of the message, even if the buffer is shorter.
const MSG_TRUNC: i64 = 0x20;

/// A condition on the arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The rule does not apply to the call.
    Never,
    /// The rule always applies to the call.
    Always,
    /// The rule applies if argument `arg`, counted from 0, has one of the bits of `bits`.
    IfSet {
        /// Index of the argument.
        arg: usize,
        /// Bits of the argument.
        bits: i64,
    },
}

impl When {
    /// Returns whether the condition holds. `arg` returns the value of an argument.
    pub fn holds(self, arg: impl Fn(usize) -> Option<i64>) -> bool {
        match self {
            When::Never => false,
            When::Always => true,
            When::IfSet { arg: i, bits } => arg(i).is_some_and(|value| value & bits != 0),
        }
    }
}

impl Spec {
    fn if_flag_set(&self, bits: i64) -> When {
        self.flags_arg()
            .map_or(When::Never, |arg| When::IfSet { arg, bits })
    }

    /// Returns the condition under which an empty path means the directory fd itself. Otherwise an empty path is the
    /// error `ENOENT`. `n` is 0 for the first path of the call and 1 for the second.
    pub fn empty_path(&self, n: usize) -> When {
        match (self.name, n) {
            ("readlinkat", 0) => When::Always,
            ("fspick", 0) => When::IfSet {
                arg: 2,
                bits: FSPICK_EMPTY_PATH,
            },
            ("move_mount", 0 | 1) => self.if_flag_set(MOVE_MOUNT_EMPTY_PATHS[n]),
            (
                "newfstatat" | "fstatat64" | "statx" | "faccessat2" | "fchmodat2" | "fchownat"
                | "utimensat" | "utimensat_time64" | "setxattrat" | "getxattrat" | "listxattrat"
                | "removexattrat" | "file_getattr" | "file_setattr" | "linkat"
                | "name_to_handle_at" | "execveat" | "open_tree" | "open_tree_attr"
                | "mount_setattr",
                0,
            ) => self.if_flag_set(AT_EMPTY_PATH),
            _ => When::Never,
        }
    }

    /// Returns the condition under which a null pointer as the first path means the directory fd itself. Before Linux
    /// 6.11 to 6.17, depending on the call, a null pointer is the error `EFAULT` even with the flag.
    pub fn null_path(&self) -> When {
        match self.name {
            "utimensat" | "utimensat_time64" | "futimesat" | "fanotify_mark" => When::Always,
            "newfstatat" | "fstatat64" | "statx" | "setxattrat" | "getxattrat" | "listxattrat"
            | "removexattrat" | "file_getattr" | "file_setattr" | "move_mount" => {
                self.empty_path(0)
            }
            _ => When::Never,
        }
    }

    /// Returns the condition under which the kernel ignores the fd argument, or does not use it as an fd.
    pub fn ignores_fd(&self) -> When {
        match self.name {
            "mmap" | "mmap2" if self.fd_arg().is_some() => When::IfSet {
                arg: 3,
                bits: MAP_ANONYMOUS,
            },
            "io_uring_enter" => When::IfSet {
                arg: 3,
                bits: ENTER_REGISTERED_RING,
            },
            "io_uring_register" => When::IfSet {
                arg: 1,
                bits: REGISTER_REGISTERED_RING,
            },
            "kexec_file_load" => When::IfSet {
                arg: 4,
                bits: KEXEC_FILE_UNLOAD,
            },
            _ => When::Never,
        }
    }

    /// Returns the condition under which the kernel ignores the path.
    pub fn ignores_path(&self) -> When {
        match self.name {
            "fanotify_mark" => When::IfSet {
                arg: 1,
                bits: FAN_MARK_FLUSH,
            },
            _ => When::Never,
        }
    }

    /// Returns the condition under which the result may be larger than the number of bytes that were copied to the
    /// caller.
    pub fn result_is_length(&self) -> When {
        match self.name {
            "recv" | "recvfrom" | "recvmsg" | "recvmmsg" | "recvmmsg_time64" => {
                self.if_flag_set(MSG_TRUNC)
            }
            _ => When::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::{Arg, spec};

    #[test]
    fn the_flags_of_a_rule_are_an_argument_of_the_call() {
        let mut rules = 0;
        for name in crate::syscalls::names() {
            let spec = spec(name);
            let all = [
                spec.empty_path(0),
                spec.empty_path(1),
                spec.null_path(),
                spec.ignores_fd(),
                spec.ignores_path(),
                spec.result_is_length(),
            ];
            for rule in all {
                if let When::IfSet { arg, .. } = rule {
                    let kind = spec.args[arg].1;
                    let holds_bits =
                        matches!(kind, Arg::Flags(_) | Arg::Hex | Arg::Bits | Arg::UInt);
                    assert!(holds_bits, "{name}: {kind:?}");
                    rules += 1;
                }
            }
        }
        assert!(rules > 30, "{rules}");
    }

    #[test]
    fn an_empty_path_needs_its_flag() {
        let stat = spec("newfstatat").empty_path(0);
        assert!(stat.holds(|i| (i == 3).then_some(0x1100)));
        assert!(!stat.holds(|i| (i == 3).then_some(0x100)));
        assert_eq!(spec("openat").empty_path(0), When::Never);
        assert_eq!(spec("linkat").empty_path(1), When::Never);
        assert_eq!(spec("readlinkat").empty_path(0), When::Always);
    }
}
