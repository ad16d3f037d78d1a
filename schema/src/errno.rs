//! Names and messages of errnos.

use syscalls::Errno;

/// The greatest errno (ERESTART_RESTARTBLOCK).
pub const LAST: i32 = 516;

/// Returns the name of an errno (2 is `ENOENT`). Errnos 512 to 516, which the kernel uses internally and only tracers see, have
/// names too (include/linux/errno.h).
pub fn name(errno: i32) -> Option<&'static str> {
    Errno::new(errno).name()
}

/// Returns the message of an errno (2 is `No such file or directory`), worded as by perror(3) and strace(1).
pub fn text(errno: i32) -> Option<&'static str> {
    match GLIBC_TEXTS.iter().find(|(e, _)| e.into_raw() == errno) {
        Some((_, text)) => Some(text),
        None => Errno::new(errno).description(),
    }
}

/// Returns the number of an errno (`ENOENT` is 2).
pub fn number(name: &str) -> Option<i32> {
    (1..=LAST).find(|errno| self::name(*errno) == Some(name))
}

/// Messages of glibc's strerror(3) that differ from the crate's, which are the comments of the kernel's headers. The messages of
/// the kernel's internal errnos are strace's.
#[rustfmt::skip]
const GLIBC_TEXTS: &[(Errno, &str)] = &[
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
        // Linux has no errnos 41 and 58: EWOULDBLOCK and EDEADLOCK are aliases of other errnos.
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

    /// Checks that the texts are those of the C library, because other programs print these and users know them.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn texts_are_the_c_librarys() {
        for errno in (1..=133).filter(|e| ![41, 58].contains(e)) {
            let expected = std::io::Error::from_raw_os_error(errno).to_string();
            let actual = text(errno).map(|t| format!("{t} (os error {errno})"));
            assert_eq!(actual, Some(expected));
        }
    }
}
