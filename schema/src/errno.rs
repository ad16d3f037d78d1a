//! Names and texts of errnos.

use syscalls::Errno;

/// The name of an errno (2 is `ENOENT`), also of those that the kernel keeps to itself and tracers see
/// (512 to 516, include/linux/errno.h).
pub fn name(errno: i32) -> Option<&'static str> {
    Errno::new(errno).name()
}

/// What an errno means (2 is `No such file or directory`).
pub fn text(errno: i32) -> Option<&'static str> {
    Errno::new(errno).description()
}
