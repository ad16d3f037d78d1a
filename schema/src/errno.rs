//! Names and texts of errnos.

use syscalls::Errno;

/// The last errno (ERESTART_RESTARTBLOCK).
pub const LAST: i32 = 516;

/// The name of an errno (2 is `ENOENT`), also of those that the kernel keeps to itself and tracers see
/// (512 to 516, include/linux/errno.h).
pub fn name(errno: i32) -> Option<&'static str> {
    Errno::new(errno).name()
}

/// What an errno means (2 is `No such file or directory`), in the words of perror(3) and strace(1).
pub fn text(errno: i32) -> Option<&'static str> {
    match WORDS.iter().find(|(e, _)| e.into_raw() == errno) {
        Some((_, text)) => Some(text),
        None => Errno::new(errno).description(),
    }
}

/// The number of an errno (`ENOENT` is 2).
pub fn number(name: &str) -> Option<i32> {
    (1..=LAST).find(|errno| self::name(*errno) == Some(name))
}

/// Where the crate, which has the comments of the kernel's headers, and glibc's strerror(3) use other words. The
/// texts of the kernel's own errnos are strace's.
#[rustfmt::skip]
const WORDS: &[(Errno, &str)] = &[
    (Errno::EIO, "Input/output error"),
    (Errno::EBADF, "Bad file descriptor"),
    (Errno::EAGAIN, "Resource temporarily unavailable"),
    (Errno::ENOMEM, "Cannot allocate memory"),
    (Errno::EXDEV, "Invalid cross-device link"),
    (Errno::ENFILE, "Too many open files in system"),
    (Errno::ENOTTY, "Inappropriate ioctl for device"),
    (Errno::EDOM, "Numerical argument out of domain"),
    (Errno::ERANGE, "Numerical result out of range"),
    (Errno::EDEADLK, "Resource deadlock avoided"),
    (Errno::ENOLCK, "No locks available"),
    (Errno::ENOSYS, "Function not implemented"),
    (Errno::ELOOP, "Too many levels of symbolic links"),
    (Errno::EBADMSG, "Bad message"),
    (Errno::EILSEQ, "Invalid or incomplete multibyte or wide character"),
    (Errno::EOPNOTSUPP, "Operation not supported"),
    (Errno::ENETRESET, "Network dropped connection on reset"),
    (Errno::EDQUOT, "Disk quota exceeded"),
    (Errno::ECANCELED, "Operation canceled"),
    (Errno::ERESTARTSYS, "To be restarted if SA_RESTART is set"),
    (Errno::ERESTARTNOINTR, "To be restarted"),
    (Errno::ERESTARTNOHAND, "To be restarted if no handler"),
    (Errno::ERESTART_RESTARTBLOCK, "Interrupted by signal"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_a_name_and_a_text() {
        // 41 and 58 are other names (EWOULDBLOCK, EDEADLOCK) on Linux.
        for errno in (1..=133).chain(512..=516).filter(|e| ![41, 58].contains(e)) {
            assert!(name(errno).is_some_and(|n| n.starts_with('E')), "{errno}");
            assert!(text(errno).is_some(), "{errno}");
            assert_eq!(name(errno).and_then(number), Some(errno));
        }
        assert_eq!(name(2), Some("ENOENT"));
        assert_eq!(text(2), Some("No such file or directory"));
        assert_eq!(name(512), Some("ERESTARTSYS"));
        assert_eq!(name(516), Some("ERESTART_RESTARTBLOCK"));
        assert_eq!((name(0), name(4095), text(41)), (None, None, None));
    }

    /// What users read in every other program's messages.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn texts_are_the_c_librarys() {
        for errno in (1..=133).filter(|e| ![41, 58].contains(e)) {
            let theirs = std::io::Error::from_raw_os_error(errno).to_string();
            let ours = text(errno).map(|t| format!("{t} (os error {errno})"));
            assert_eq!(ours, Some(theirs));
        }
    }
}
