//! The mounts of the machine, and where on the machine a file of a container lies.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use ctrace_schema::text::{escape, printable};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// A line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
pub(super) struct MountLine {
    /// The device of the filesystem, as the kernel's `dev_t`: major << 20 | minor.
    pub(super) dev: u32,
    /// The directory of the filesystem that is the root of the mount.
    pub(super) root: PathBuf,
    pub(super) point: PathBuf,
    pub(super) fstype: String,
    /// The options of the filesystem, separated by commas.
    pub(super) options: String,
}

/// Parses the lines of a `mountinfo`; broken lines are left out.
pub(super) fn parse(mountinfo: &[u8]) -> impl Iterator<Item = MountLine> {
    mountinfo.split(|b| *b == b'\n').filter_map(parse_line)
}

/// Parses a line: fields, optional fields, ` - `, type, source, options.
fn parse_line(line: &[u8]) -> Option<MountLine> {
    let line = String::from_utf8_lossy(line);
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (major, minor) = left.next()?.split_once(':')?;
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (fstype, _source) = (right.next()?, right.next()?);
    Some(MountLine {
        dev: major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?,
        root: unescape_octal(root),
        point: unescape_octal(point),
        fstype: fstype.to_string(),
        options: right.next()?.to_string(),
    })
}

/// Decodes the octal escapes in mountinfo, such as `\040`: the kernel escapes space, tab, newline and backslash.
fn unescape_octal(field: &str) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(out).into()
}

/// A mount of the machine. All texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostMount {
    /// The device of the filesystem, as the kernel's `dev_t`.
    dev: u32,
    /// The directory of the filesystem that is the root of the mount.
    root: String,
    /// The path of the mount point on the machine.
    point: String,
}

impl HostMount {
    /// Escapes control characters, so that a mount from an untrusted capture cannot control a terminal.
    pub(crate) fn escape_controls(&mut self) {
        for text in [&mut self.root, &mut self.point] {
            *text = printable(text).into_owned();
        }
    }
}

/// Returns the mounts in the `mountinfo` of the machine's first process, without the root directories of containers,
/// which runtimes mount with overlayfs.
pub(crate) fn host_mounts(mountinfo: &[u8]) -> Vec<HostMount> {
    let text = |path: PathBuf| escape(path.as_os_str().as_bytes()).into_owned();
    let is_of_container =
        |line: &MountLine| line.fstype == "overlay" && line.point.as_os_str() != "/";
    parse(mountinfo)
        .filter(|line| !is_of_container(line))
        .map(|line| HostMount {
            dev: line.dev,
            root: text(line.root),
            point: text(line.point),
        })
        .collect()
}

/// The mounts of the machine by device.
#[derive(Debug, Default)]
pub(crate) struct HostMounts(FxHashMap<u32, Vec<HostMount>>);

impl HostMounts {
    /// Indexes mounts. The mount of a device that shows most of its filesystem comes first.
    pub(crate) fn new(mounts: &[HostMount]) -> HostMounts {
        let mut by_device: FxHashMap<u32, Vec<HostMount>> = FxHashMap::default();
        for mount in mounts {
            by_device.entry(mount.dev).or_default().push(mount.clone());
        }
        for mounts in by_device.values_mut() {
            mounts.sort_by_key(|mount| (mount.root.len(), mount.point.len()));
        }
        HostMounts(by_device)
    }

    /// Returns the path on the machine of the file at `path`, from the root of the filesystem on `dev`. `None`: the
    /// machine has the filesystem, or that part of it, nowhere mounted.
    pub(crate) fn host_path(&self, dev: u32, path: &str) -> Option<String> {
        self.0.get(&dev)?.iter().find_map(|mount| {
            let root = mount.root.strip_suffix('/').unwrap_or(&mount.root);
            let below = path.strip_prefix(root)?;
            if !below.is_empty() && !below.starts_with('/') {
                return None;
            }
            let point = mount.point.strip_suffix('/').unwrap_or(&mount.point);
            Some(match (point, below) {
                (point, "" | "/") if !point.is_empty() => point.to_string(),
                (_, "") => "/".to_string(),
                (point, below) => format!("{point}{below}"),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes_are_decoded() {
        let text = |field: &str| unescape_octal(field).into_os_string().into_vec();
        assert_eq!(text(r"/a\040b\134"), br"/a b\");
        assert_eq!(text(r"/a\9\0"), br"/a\9\0");
    }

    #[test]
    fn a_file_of_a_filesystem_has_the_path_of_its_mount() {
        let mountinfo = b"\
            27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            28 27 254:0 /srv/x /mnt rw - ext4 /dev/vda rw\n\
            29 27 0:30 / /run rw - tmpfs tmpfs rw\n\
            30 27 0:31 /part /with\\040space rw - btrfs /dev/vdb rw\n\
            31 27 0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n";
        let mounts = HostMounts::new(&host_mounts(mountinfo));
        let path = |major: u32, minor: u32, path: &str| mounts.host_path(major << 20 | minor, path);
        assert_eq!(path(254, 0, "/srv/x/y").as_deref(), Some("/srv/x/y"));
        assert_eq!(path(254, 0, "/").as_deref(), Some("/"));
        assert_eq!(path(0, 30, "/lock/a").as_deref(), Some("/run/lock/a"));
        assert_eq!(path(0, 30, "/").as_deref(), Some("/run"));
        assert_eq!(path(0, 31, "/part/a").as_deref(), Some("/with space/a"));
        assert_eq!(path(0, 31, "/part").as_deref(), Some("/with space"));
        assert_eq!(path(0, 31, "/party"), None);
        assert_eq!(path(0, 40, "/etc/shadow"), None);
        assert_eq!(path(0, 99, "/a"), None);
    }
}
