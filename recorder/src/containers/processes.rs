//! The processes that ran before the recording, from `/proc` (proc(5)).

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use ctrace_schema::text::{escape, shell_join};
use serde::{Deserialize, Serialize};

/// The longest arguments that are read, bytes: as many as the kernel side sends of an exec.
const MAX_ARGV_BYTES: u64 = 16 << 10;
/// The kernel's USER_HZ is 100 on x86 and ARM: the start of a process is in ticks of 10 ms.
const TICK_NS: u64 = 10_000_000;

/// A process that ran when the recording began. All texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningProcess {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    /// The process id in the process's own pid namespace.
    pub(crate) ns_pid: u32,
    /// The effective user id.
    pub(crate) uid: u32,
    pub(crate) comm: String,
    /// The executable, as the process sees it.
    pub(crate) exe: Option<String>,
    /// The arguments, quoted for a POSIX shell.
    pub(crate) argv: Option<String>,
    /// The inode number of the mount namespace.
    pub(crate) mount_ns: Option<u32>,
    /// The time from boot to the start of the process, ns.
    pub(crate) started_ns: u64,
}

/// Lists the ids of the processes in the cgroup at `path`, below one of the hierarchies' `mounts`. Processes outside of
/// the recorder's pid namespace have the id 0, and are left out.
pub(crate) fn pids_of(root: &Path, mounts: &[String], path: &str) -> Vec<u32> {
    let list = |mount: &String| {
        let path = format!("{}{path}/cgroup.procs", mount.trim_start_matches('/'));
        fs::read_to_string(root.join(path)).ok()
    };
    let lists: Vec<String> = mounts.iter().filter_map(list).collect();
    let lines = lists.iter().flat_map(|list| list.lines());
    let mut pids: Vec<u32> = lines.filter_map(|pid| pid.parse().ok()).collect();
    pids.retain(|pid| *pid > 0);
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The names of namespaces in `/proc/PID/ns` (namespaces(7)).
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// The namespaces of this machine, by the order of [`NAMESPACES`]. They are read once: a recorder that is confined cannot read
/// the links of other processes.
static MACHINE_NAMESPACES: OnceLock<[Option<(u64, u64)>; 7]> = OnceLock::new();

/// Returns device and inode number of a file, which identify the file and, of a file in `/proc/PID/ns`, the namespace
/// (namespaces(7)).
pub(crate) fn identity(file: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns the namespace `name` of the machine: that of its first process or, if the first process has more rights than the
/// recorder, that of kthreadd.
pub(crate) fn machine_namespace(root: &Path, name: &str) -> Option<(u64, u64)> {
    let of = |process: &str, name: &str| {
        identity(&root.join("proc").join(process).join("ns").join(name))
    };
    let read = |name: &str| of("1", name).or_else(|| of("2", name));
    if root != Path::new("/") {
        return read(name);
    }
    let known = MACHINE_NAMESPACES.get_or_init(|| NAMESPACES.map(read));
    let number = NAMESPACES.iter().position(|known| *known == name)?;
    known[number]
}

/// Returns the identity of the network namespace of a process: device and inode number of one of the files that each network
/// namespace has in proc(5). Unlike the links in `/proc/PID/ns`, everybody may look it up.
pub(crate) fn network_of(root: &Path, process: &str) -> Option<(u64, u64)> {
    identity(&root.join("proc").join(process).join("net/dev"))
}

/// Returns the time from boot to the start of a process in ns: field 22 of `/proc/PID/stat`.
pub(crate) fn started_ns(root: &Path, pid: u32) -> Option<u64> {
    stat_field(root, pid, 22)?.checked_mul(TICK_NS)
}

/// Returns the parent of a process: field 4 of `/proc/PID/stat`.
pub(crate) fn parent(root: &Path, pid: u32) -> Option<u32> {
    stat_field(root, pid, 4)?.try_into().ok()
}

/// Returns a field of `/proc/PID/stat` from the third on, by the numbers of proc_pid_stat(5).
fn stat_field(root: &Path, pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read(root.join(format!("proc/{pid}/stat"))).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // Field 2 is the name in parentheses, which may itself contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

/// Reads a process. Returns `None` if it has ended.
pub(crate) fn read(root: &Path, pid: u32) -> Option<RunningProcess> {
    let process = root.join("proc").join(pid.to_string());
    let status = fs::read(process.join("status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let field = |name: &str, number: usize| -> Option<u32> {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let mut values = value.trim_start_matches(':').split_whitespace();
        match number {
            0 => values.next_back()?.parse().ok(),
            number => values.nth(number - 1)?.parse().ok(),
        }
    };
    let mut argv = vec![];
    let file = fs::File::open(process.join("cmdline")).ok()?;
    file.take(MAX_ARGV_BYTES).read_to_end(&mut argv).ok()?;
    let exe = fs::read_link(process.join("exe")).ok();
    let exe = exe.map(|exe| {
        let exe = exe.as_os_str().as_encoded_bytes();
        escape(exe.strip_suffix(b" (deleted)").unwrap_or(exe)).into_owned()
    });
    let mount_ns = identity(&process.join("ns/mnt"));
    let comm = fs::read(process.join("comm")).ok()?;
    Some(RunningProcess {
        pid,
        ppid: field("PPid", 1)?,
        // The last of the process's ids is that in its own namespace.
        ns_pid: field("NSpid", 0)?,
        // Real, effective, saved and file system user id.
        uid: field("Uid", 2)?,
        comm: escape(comm.trim_ascii_end()).into_owned(),
        exe,
        argv: (!argv.is_empty()).then(|| shell_join(&argv)),
        mount_ns: mount_ns.and_then(|(_, inode)| inode.try_into().ok()),
        started_ns: started_ns(root, pid)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn this_process_is_read() {
        let pid = std::process::id();
        let own = read(Path::new("/"), pid).unwrap();
        let exe = std::env::current_exe().unwrap();
        assert_eq!(own.exe.as_deref(), exe.to_str());
        assert_eq!(own.ppid, std::os::unix::process::parent_id());
        assert_eq!(own.uid, rustix::process::geteuid().as_raw());
        assert!(own.argv.unwrap().contains("this_process_is_read"));
        assert!(own.started_ns > 0 && own.mount_ns.is_some());
        assert_eq!(read(Path::new("/nonexistent"), pid), None);
    }
}
