//! Finds the cgroup hierarchies of this machine, and lists their cgroups.

use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::containers::mounts;
use crate::containers::mounts::MountLine;

/// The v1 controllers in which container runtimes create cgroups, the most reliable first: every runtime uses `pids`,
/// and no service manager creates other cgroups there.
const CONTROLLERS: [&str; 5] = ["pids", "memory", "devices", "cpu", "freezer"];

/// The reason why the machine's cgroups cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// A file under `/proc` cannot be read.
    #[error("cannot read {path}: {source}; mount procfs there, or run as root")]
    Read { path: PathBuf, source: io::Error },
    /// The list of mounts at `path` contains no cgroup filesystem.
    #[error(
        "no cgroup filesystem is mounted ({path} lists none): mount it, \
         `mount -t cgroup2 none /sys/fs/cgroup`, or share the host's with this container"
    )]
    NotMounted { path: PathBuf },
}

/// The hierarchies that can contain containers. A hybrid machine has both, and a container may be in only one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// The mount point of cgroup v2, the kernel's default hierarchy.
    pub(crate) v2: Option<PathBuf>,
    /// The v1 hierarchy of the first controller of [`CONTROLLERS`] that is mounted.
    pub(crate) v1: Option<V1>,
}

/// The cgroup v1 hierarchy in which containers are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V1 {
    /// The controller for which the hierarchy was chosen, one of [`CONTROLLERS`].
    pub(crate) controller: String,
    /// The kernel's `cgroup_root.hierarchy_id`, from `/proc/cgroups`.
    pub(crate) hierarchy_id: u32,
    /// The mount point of the hierarchy.
    pub(crate) mount: PathBuf,
}

/// A cgroup of one of the [`Hierarchies`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// True if the cgroup is in the v1 hierarchy.
    pub(crate) v1: bool,
    /// The inode number of the directory, which is the kernfs id. `bpf_get_current_cgroup_id` returns the same number
    /// (Linux 5.5+).
    pub(crate) id: u64,
    /// The path below the mount, starting with `/`. Bytes that are not UTF-8 are replaced; the names of all runtimes are
    /// UTF-8.
    pub(crate) path: String,
    pub(crate) dir: PathBuf,
}

/// Finds the mounted hierarchies of the machine whose root directory is `root` (`/`, or the tree of a test).
///
/// # Errors
/// `/proc` cannot be read, or no cgroup filesystem is mounted.
pub(crate) fn probe(root: &Path) -> Result<Hierarchies, CgroupError> {
    let path = root.join("proc/self/mountinfo");
    let mountinfo = read(&path)?;
    let mounts: Vec<MountLine> = mounts::parse(&mountinfo).collect();
    let v2 = mounts
        .iter()
        .find(|m| m.fstype == "cgroup2")
        .map(|m| under(root, &m.point));
    let v1 = match find_v1(&mounts) {
        Some((controller, mount)) => Some(V1 {
            controller: controller.to_string(),
            hierarchy_id: hierarchy_id(root, controller)?,
            mount: under(root, &mount.point),
        }),
        None => None,
    };
    if v1.is_none() && v2.is_none() {
        return Err(CgroupError::NotMounted { path });
    }
    Ok(Hierarchies { v2, v1 })
}

/// Lists all existing cgroups, v2 first, each parent before its children. Cgroups that are removed during the scan may
/// be missing.
pub(crate) fn scan(hierarchies: &Hierarchies) -> impl Iterator<Item = Cgroup> + use<> {
    let v1 = hierarchies.v1.as_ref().map(|v1| v1.mount.clone());
    let v2 = hierarchies.v2.clone().map(|mount| walk(false, mount));
    v2.into_iter()
        .flatten()
        .chain(v1.map(|mount| walk(true, mount)).into_iter().flatten())
}

fn walk(v1: bool, mount: PathBuf) -> impl Iterator<Item = Cgroup> {
    let mut stack = Vec::new();
    if let Ok(meta) = fs::symlink_metadata(&mount) {
        stack.push((meta.ino(), mount.clone()));
    }
    std::iter::from_fn(move || {
        let (id, dir) = stack.pop()?;
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                stack.push((entry.ino(), entry.path()));
            }
        }
        let below = dir.strip_prefix(&mount).unwrap_or(Path::new(""));
        let path = format!("/{}", below.to_string_lossy());
        Some(Cgroup { v1, id, path, dir })
    })
}

fn find_v1(mounts: &[MountLine]) -> Option<(&'static str, &MountLine)> {
    CONTROLLERS.iter().find_map(|&controller| {
        let has =
            |m: &&MountLine| m.fstype == "cgroup" && m.options.split(',').any(|o| o == controller);
        mounts.iter().find(has).map(|m| (controller, m))
    })
}

/// Reads the id of the controller's hierarchy from the second column of `/proc/cgroups` (cgroups(7)).
fn hierarchy_id(root: &Path, controller: &str) -> Result<u32, CgroupError> {
    let path = root.join("proc/cgroups");
    let table = read(&path)?;
    let find = |line: &str| {
        let mut fields = line.split_whitespace();
        (fields.next()? == controller).then(|| fields.next()?.parse().ok())?
    };
    let id = String::from_utf8_lossy(&table).lines().find_map(find);
    id.ok_or_else(|| CgroupError::Read {
        path,
        source: io::Error::new(
            io::ErrorKind::InvalidData,
            format!("no line for the controller {controller}"),
        ),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CgroupError> {
    fs::read(path).map_err(|source| CgroupError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Returns the path by which this process can open `path`, an absolute path in the tree of `root`.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const CGROUPS: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t3\t1\t1\ncpu\t1\t1\t1\nmemory\t4\t10\t1\npids\t8\t1\t1\n";

    fn tree(mountinfo: &str, cgroups: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/mountinfo"), mountinfo).unwrap();
        fs::write(root.path().join("proc/cgroups"), cgroups).unwrap();
        root
    }

    #[test]
    fn hybrid_layout() {
        let root = tree(HYBRID, CGROUPS);
        let found = probe(root.path()).unwrap();
        assert_eq!(found.v2, Some(root.path().join("sys/fs/cgroup/unified")));
        let v1 = found.v1.unwrap();
        assert_eq!((v1.controller.as_str(), v1.hierarchy_id), ("pids", 8));
        assert_eq!(v1.mount, root.path().join("sys/fs/cgroup/pids"));
    }

    #[test]
    fn v2_only_layout() {
        let line = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = probe(tree(line, CGROUPS).path()).unwrap();
        assert!(found.v2.unwrap().ends_with("sys/fs/cgroup"));
        assert_eq!(found.v1, None);
    }

    #[test]
    fn v1_only_layout_with_joint_controllers() {
        let line =
            "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct\n";
        let found = probe(tree(line, CGROUPS).path()).unwrap();
        let v1 = found.v1.unwrap();
        assert_eq!((v1.controller.as_str(), v1.hierarchy_id), ("cpu", 1));
        assert_eq!(found.v2, None);
    }

    #[test]
    fn systemd_named_hierarchy_alone_does_not_count() {
        let line = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let root = tree(line, CGROUPS);
        assert!(matches!(
            probe(root.path()),
            Err(CgroupError::NotMounted { .. })
        ));
    }

    #[test]
    fn scan_gives_ids_and_paths_parents_first() {
        let root = tree(HYBRID, CGROUPS);
        let v2 = root.path().join("sys/fs/cgroup/unified");
        let v1 = root.path().join("sys/fs/cgroup/pids");
        fs::create_dir_all(v2.join("docker/abc")).unwrap();
        fs::create_dir_all(v1.join("x")).unwrap();
        fs::write(v2.join("docker/cgroup.procs"), "1\n").unwrap();
        let found: Vec<Cgroup> = scan(&probe(root.path()).unwrap()).collect();
        let paths: Vec<(bool, &str)> = found.iter().map(|c| (c.v1, c.path.as_str())).collect();
        assert_eq!(
            paths,
            [
                (false, "/"),
                (false, "/docker"),
                (false, "/docker/abc"),
                (true, "/"),
                (true, "/x")
            ]
        );
        for cgroup in &found {
            assert_eq!(cgroup.id, fs::metadata(&cgroup.dir).unwrap().ino());
        }
    }
}
