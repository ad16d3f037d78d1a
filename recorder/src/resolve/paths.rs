//! Builds the paths of a recording from the components and arguments that the kernel side sends. No side effects.

use std::fmt::Write;

use ctrace_schema::text::escape;

use crate::records::decode::FileRecord;
use crate::resolve::constants::magic;
use crate::wire::types::file_flag;

/// Returns the path of a file whose components `names` are NUL-separated with the last component first, or for a file
/// without a path the text that /proc/PID/fd shows. `flags` are those of the record (`FILE_*`). None: no path is known.
pub(super) fn file_text(names: &[u8], magic: u32, inode: u64, flags: u8) -> Option<String> {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    let has = |flag: file_flag| u32::from(flags) & flag.0 != 0;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match magic {
        magic::PIPE => write!(out, "pipe:[{inode}]"),
        magic::ANON_INODE => write!(out, "anon_inode:{}", escape(names)),
        magic::PIDFS => write!(out, "anon_inode:[pidfd]"),
        _ if has(file_flag::FILE_NO_PATH) => return None,
        magic::NSFS if has(file_flag::FILE_OWN_NAME) => write!(out, "{}:[{inode}]", escape(names)),
        // Early captures have no type.
        magic::NSFS if matches!(names, b"" | b"/") => write!(out, "ns:[{inode}]"),
        _ => {
            // The root of a filesystem has the single component `/`.
            push_names(&mut out, names);
            if out.is_empty() {
                out.push('/');
            }
            Ok(())
        }
    };
    Some(out)
}

/// Returns the path of a file from the root of its filesystem, escaped. `None`: not known.
pub(super) fn path_in_filesystem(file: &FileRecord<'_>) -> Option<String> {
    let (below, above) = file.mount_names?;
    let mut out = String::new();
    for names in [above, below] {
        push_names(&mut out, names.strip_suffix(b"\0").unwrap_or(names));
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

/// Appends components, the last of which comes first, as a path.
fn push_names(out: &mut String, names: &[u8]) {
    let names = names.rsplit(|b| *b == 0);
    for name in names.filter(|name| !name.is_empty() && *name != b"/") {
        out.push('/');
        out.push_str(&escape(name));
    }
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
        let text = |names, magic, inode| file_text(names, magic, inode, 0).unwrap_or_default();
        assert_eq!(text(b"hosts\0etc\0", 0xef53, 7), "/etc/hosts");
        assert_eq!(text(b"", 0xef53, 2), "/");
        assert_eq!(text(b"/\0", 0xef53, 2), "/");
        assert_eq!(text(b"", magic::PIPE, 77), "pipe:[77]");
        assert_eq!(
            text(b"[eventpoll]\0", magic::ANON_INODE, 1),
            "anon_inode:[eventpoll]"
        );
        assert_eq!(text(b"memfd:x\0", 0x0102_1994, 1), "/memfd:x");
        assert_eq!(text(b"a\nb\0", 0xef53, 1), r"/a\x0ab");
        assert_eq!(text(b"/\0", magic::NSFS, 9), "ns:[9]");
        assert_eq!(text(b"blue\0tmp\0", magic::NSFS, 9), "/tmp/blue");
    }

    #[test]
    fn files_without_a_path_have_the_name_that_proc_shows_or_none() {
        let own = file_flag::FILE_OWN_NAME.0 as u8;
        let text = file_text(b"uts\0", magic::NSFS, 9, own);
        assert_eq!(text.as_deref(), Some("uts:[9]"));
        let none = file_flag::FILE_NO_PATH.0 as u8;
        assert_eq!(file_text(b"hostname\0", 0x9fa0, 9, none), None);
        let pidfd = file_text(b"", magic::PIDFS, 9, none);
        assert_eq!(pidfd.as_deref(), Some("anon_inode:[pidfd]"));
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
