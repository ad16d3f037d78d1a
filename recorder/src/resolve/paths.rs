//! Builds the paths of a recording from the components and arguments that the kernel side sends. No side effects.

use std::fmt::Write;

use ctrace_schema::text::escape;

use crate::resolve::constants::magic;

/// Returns the path of a file whose components `names` are NUL-separated with the last component first, or for a file
/// without a path the text that /proc/PID/fd shows.
pub(super) fn file_text(names: &[u8], magic: u32, inode: u64) -> String {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match magic {
        magic::PIPE => write!(out, "pipe:[{inode}]"),
        magic::ANON_INODE => write!(out, "anon_inode:{}", escape(names)),
        magic::PIDFS => write!(out, "anon_inode:[pidfd]"),
        magic::NSFS => write!(out, "ns:[{inode}]"),
        _ => {
            // The root of a filesystem has the single component `/`.
            if names.is_empty() || names == b"/" {
                out.push('/');
            } else {
                for name in names.rsplit(|b| *b == 0) {
                    out.push('/');
                    out.push_str(&escape(name));
                }
            }
            Ok(())
        }
    };
    out
}

/// Joins the argument of a call to `base`: the caller's root directory if `arg` is absolute, else the directory to
/// which `arg` is relative. Repeated slashes, `.` and a trailing slash are dropped. `..` remains, because its meaning
/// depends on whether the component before it is a symlink, and a long path is better than a guess.
pub(super) fn join(base: &str, arg: &[u8]) -> String {
    let base = base.strip_suffix('/').unwrap_or(base);
    let mut out = String::with_capacity(base.len() + arg.len() + 1);
    out.push_str(base);
    for component in arg
        .split(|b| *b == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
    {
        out.push('/');
        out.push_str(&escape(component));
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// Formats a kernel `dev_t` as `major:minor` (MINORBITS of linux/kdev_t.h).
pub(super) fn dev_text(dev: u32) -> String {
    format!("{}:{}", dev >> 20, dev & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_joined_in_reverse() {
        assert_eq!(file_text(b"hosts\0etc\0", 0xef53, 7), "/etc/hosts");
        assert_eq!(file_text(b"", 0xef53, 2), "/");
        assert_eq!(file_text(b"/\0", 0xef53, 2), "/");
        assert_eq!(file_text(b"", magic::PIPE, 77), "pipe:[77]");
        assert_eq!(
            file_text(b"[eventpoll]\0", magic::ANON_INODE, 1),
            "anon_inode:[eventpoll]"
        );
        assert_eq!(file_text(b"memfd:x\0", 0x0102_1994, 1), "/memfd:x");
        assert_eq!(file_text(b"a\nb\0", 0xef53, 1), r"/a\x0ab");
    }

    #[test]
    fn arguments_are_joined_to_their_base() {
        assert_eq!(join("/", b"/etc//hosts"), "/etc/hosts");
        assert_eq!(join("/", b"/"), "/");
        assert_eq!(join("/srv", b"./a/./b/"), "/srv/a/b");
        assert_eq!(join("/jail", b"/etc/passwd"), "/jail/etc/passwd");
        assert_eq!(join("/srv", b"../etc"), "/srv/../etc");
        assert_eq!(join("/srv", b""), "/srv");
    }
}
