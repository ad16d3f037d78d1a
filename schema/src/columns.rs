//! The columns of `events`, the only table of a recording.

use arrow_schema::{DataType, Field, Schema, TimeUnit};

/// The storage type of a column, the same in Parquet, Arrow and SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nanoseconds since 1970-01-01 UTC. SQLite: INTEGER.
    Time,
    /// Signed 64 bits.
    Int64,
    /// Signed 32 bits.
    Int32,
    /// Unsigned 32 bits.
    UInt32,
    /// SQLite: INTEGER 0 or 1.
    Bool,
    /// UTF-8. Invalid UTF-8 and control characters are escaped: [`crate::text`].
    Text,
}

impl Type {
    /// Returns the Arrow type. Text is plain Utf8, which all readers support; this does not prevent dictionary encoding of
    /// Parquet pages.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Type::Int64 => DataType::Int64,
            Type::Int32 => DataType::Int32,
            Type::UInt32 => DataType::UInt32,
            Type::Bool => DataType::Boolean,
            Type::Text => DataType::Utf8,
        }
    }
}

/// The definition of a column of `events`.
#[derive(Debug)]
pub struct Column {
    /// Name in SQL.
    pub name: &'static str,
    /// Storage type.
    pub ty: Type,
    /// True if the column can be null. Most columns are null in rows that they do not apply to.
    pub nullable: bool,
    /// Description for users, printed by `describe` and listed in `docs/schema.md`.
    pub comment: &'static str,
}

const fn required(name: &'static str, ty: Type, comment: &'static str) -> Column {
    Column {
        name,
        ty,
        nullable: false,
        comment,
    }
}

const fn optional(name: &'static str, ty: Type, comment: &'static str) -> Column {
    Column {
        name,
        ty,
        nullable: true,
        comment,
    }
}

/// All columns, in the order of the file.
#[rustfmt::skip]
pub const COLUMNS: &[Column] = &[
    // when
    required("time", Type::Time, "when the event began, UTC, nanoseconds; for a call, when it entered the kernel, or when it was first seen if that is not known"),
    optional("duration", Type::Int64, "how long the call took, or a connection took to be established or to fail, or an answer took to come, ns; null: the call was refused, began before the recording, or never returned"),
    required("seq", Type::Int64, "position in the order in which events finished, over the whole recording, from 0"),
    // who
    optional("container", Type::Text, "name of the container, or its short id if the name is not known; `host`: outside of containers; `unknown`: in a cgroup of which it is not known whose it is, because there are too many"),
    optional("container_id", Type::Text, "id that the runtime gave the container; null: outside of containers"),
    optional("namespace", Type::Text, "Kubernetes namespace of the container"),
    optional("pod", Type::Text, "Kubernetes pod of the container"),
    optional("pod_uid", Type::Text, "uid of the Kubernetes pod"),
    optional("pod_container", Type::Text, "name of the container in its Kubernetes pod; null: not in a pod, or the pod's sandbox"),
    required("host", Type::Text, "name of the machine"),
    optional("boot_id", Type::Text, "random id of the machine's boot (/proc/sys/kernel/random/boot_id); pids and `seq` of two boots are unrelated"),
    optional("pid", Type::Int32, "process id, in the machine's initial pid namespace (getpid(2))"),
    optional("tid", Type::Int32, "thread id, in the machine's initial pid namespace (gettid(2))"),
    optional("ppid", Type::Int32, "process id of the parent"),
    optional("ns_pid", Type::Int32, "process id in the process's own pid namespace, which is what the process itself sees"),
    optional("uid", Type::UInt32, "effective user id, in the machine's initial user namespace"),
    optional("comm", Type::Text, "name of the thread (PR_SET_NAME in prctl(2))"),
    optional("exe", Type::Text, "path of the executable of the process, as the container sees it"),
    optional("mount_ns", Type::Int64, "inode number of the thread's mount namespace (mount_namespaces(7))"),
    optional("setup", Type::Bool, "true: set-up by the container runtime: the thread came from outside of the container and had not executed a program in it yet; null: outside of containers"),
    optional("entered", Type::Bool, "true: the process, or an ancestor, came in from outside after the container had started (docker exec, kubectl exec, nsenter); null: outside of containers"),
    // what
    required("kind", Type::Text, "syscall, process, connection, dns, signal, container, gap or counts"),
    optional("action", Type::Text, "process: exit, or found when the recording began; connection: established, or how it failed or ended; dns: answered, failed, unanswered or abandoned; signal: sent, ignored or out of memory; container: found, started, changed or stopped, left or entered; gap: why events were lost"),
    optional("class", Type::Text, "class of the call: file, network, process, memory, ipc, signal, time, ..."),
    optional("syscall", Type::Text, "name of the call, as in its man page"),
    optional("compat", Type::Bool, "true: the call used the 32-bit ABI"),
    optional("ret", Type::Int64, "result; negative: an errno; null: the call did not return"),
    optional("error", Type::Text, "name of the errno, such as ENOENT; null: no error"),
    optional("denied", Type::Bool, "true: seccomp refused the call, so it was not executed"),
    optional("arg0", Type::Int64, "first argument; null: a pointer, or no such argument"),
    optional("arg1", Type::Int64, "second argument; null: a pointer, or no such argument"),
    optional("arg2", Type::Int64, "third argument; null: a pointer, or no such argument"),
    optional("arg3", Type::Int64, "fourth argument; null: a pointer, or no such argument"),
    optional("arg4", Type::Int64, "fifth argument; null: a pointer, or no such argument"),
    optional("arg5", Type::Int64, "sixth argument; null: a pointer, or no such argument"),
    // file
    optional("path", Type::Text, "path of the file that the call used: absolute, as the container sees it"),
    optional("path_arg", Type::Text, "path as the caller passed it, before it was resolved"),
    optional("host_path", Type::Text, "path on the machine of the file that the call used, if the file lies on a bind mount or a volume"),
    optional("exe_origin", Type::Text, "exec: where the executable came from: `image`, `container` (written or changed since the container was created), `mount` (a bind mount or volume), `memory` (memfd_create(2)); null: not known"),
    optional("path2", Type::Text, "second path of rename, link, symlink, mount, sendfile, ...; prctl(PR_SET_NAME): the new name of the thread"),
    optional("dev2", Type::Text, "device of the file at `path2`, as in `dev`, where `path2` is that of a second fd, as in copies"),
    optional("inode2", Type::Int64, "inode number of the file at `path2`, where `path2` is that of a second fd"),
    optional("fd", Type::Int32, "file descriptor that the call used or returned"),
    optional("dev", Type::Text, "device of the file, major:minor as in /proc/self/mountinfo"),
    optional("inode", Type::Int64, "inode number of the file or socket"),
    optional("flags", Type::Int64, "flags of the call (O_*, MSG_*, CLONE_*, ...), as a number"),
    optional("mode", Type::Int32, "mode of the call (chmod, mkdir, open with O_CREAT, ...), as a number"),
    optional("bytes", Type::Int64, "bytes that the call transferred"),
    // network
    optional("family", Type::Text, "address family: inet, inet6, unix, netlink, packet, ..."),
    optional("protocol", Type::Text, "tcp, udp, icmp, ...; unix: stream, dgram, seqpacket; netlink: route, audit, ..."),
    optional("local_addr", Type::Text, "local address of the socket"),
    optional("local_port", Type::Int32, "local port of the socket"),
    optional("peer_addr", Type::Text, "address of the peer"),
    optional("peer_port", Type::Int32, "port of the peer"),
    optional("peer_path", Type::Text, "unix socket: path of the peer or of the listening socket; @name: abstract"),
    optional("dns_name", Type::Text, "name that the container had resolved to the peer's address; messages to and from a name server, and dns rows: name in the question"),
    optional("dns_type", Type::Text, "dns rows: type of the question: A, AAAA, SRV, ..."),
    optional("dns_code", Type::Text, "dns rows: code of the answer: NOERROR, NXDOMAIN, SERVFAIL, ...; null: no answer"),
    optional("dns_answers", Type::Text, "dns rows: records of the answer, such as addresses and aliases, as a JSON array of texts; null: no answer, or it was too long for UDP"),
    optional("socket_error", Type::Text, "getsockopt(SO_ERROR): name of the pending error that it returned; null: no error"),
    // connection
    optional("direction", Type::Text, "connection rows: `out`: the container connected; `in`: it accepted; null: connected before the recording"),
    optional("lifetime", Type::Int64, "connection rows, at the end of an established connection: time since it was established, ns; null: established before the recording"),
    optional("bytes_sent", Type::Int64, "connection rows, at the end of an established connection: bytes that were sent, without retransmissions"),
    optional("bytes_received", Type::Int64, "connection rows, at the end of an established connection: bytes that were received"),
    optional("rtt", Type::Int64, "connection rows, at the end of an established connection: smoothed round-trip time, ns"),
    optional("retransmits", Type::Int64, "connection rows, at the end: number of segments that were sent again"),
    // process
    optional("argv", Type::Text, "exec, and process found: arguments, quoted for a POSIX shell"),
    optional("child_pid", Type::Int32, "fork, clone: id of the new process or thread, in the machine's initial pid namespace"),
    optional("started", Type::Time, "process and container rows, found: when the process, or the oldest process of the container, started, UTC"),
    optional("exit_code", Type::Int32, "exit: code that the process passed to exit(2); container stopped: that of its first process"),
    optional("exit_signal", Type::Int32, "exit: number of the signal that killed the process; container stopped: its first process"),
    // signal
    optional("signal", Type::Int32, "signal rows: number of the signal, which was sent to the process of the row"),
    optional("sender_pid", Type::Int32, "signal rows: process id of the sender, in the machine's initial pid namespace; null: the kernel"),
    optional("sender_comm", Type::Text, "signal rows: name of the thread that sent the signal"),
    optional("sender_container", Type::Text, "signal rows: name of the sender's container; `host`: outside of containers"),
    optional("memory_limit", Type::Int64, "signal rows, out of memory: memory limit of the process's cgroup or a cgroup above it, bytes; null: none"),
    // container
    optional("from_cgroup", Type::Text, "container rows, left and entered: cgroup from which the process came, a path below the hierarchy's mount point; null: not known"),
    optional("to_cgroup", Type::Text, "container rows, left and entered: cgroup to which the process went"),
    optional("image", Type::Text, "container rows: image of the container"),
    optional("runtime", Type::Text, "container rows: docker, containerd, cri-o, podman, runc, crun, lxc, systemd-nspawn, buildkit, garden"),
    optional("image_digest", Type::Text, "container rows: digest of the image, such as sha256:...; Docker and podman: the id of the image"),
    optional("labels", Type::Text, "container rows: labels, as a JSON object"),
    optional("command", Type::Text, "container rows: command of the container, quoted for a POSIX shell"),
    optional("run_as", Type::Text, "container rows: user and group of the command, uid:gid"),
    optional("privileged", Type::Bool, "container rows: true: all capabilities of the machine, all devices, and no seccomp filter"),
    optional("capabilities", Type::Text, "container rows: bounding set of capabilities(7), separated by spaces; `none`: an empty set"),
    optional("mounts", Type::Text, "container rows: bind mounts and volumes, as a JSON array of objects with source, target and options, of which the first is ro or rw"),
    optional("host_namespaces", Type::Text, "container rows: namespaces that the container shares with the machine (namespaces(7)), separated by spaces"),
    optional("seccomp_profile", Type::Text, "container rows: seccomp filter: `unconfined`, or its default action"),
    optional("apparmor_profile", Type::Text, "container rows: AppArmor profile; `unconfined`: none, on a machine with AppArmor"),
    optional("limits", Type::Text, "container rows: limits, as a JSON object: memory in bytes, cpu in CPUs, cpus as in cpuset(7), pids; null: none"),
    optional("addresses", Type::Text, "container rows: network addresses, separated by spaces; null: none, or those of the machine"),
    optional("restarts", Type::Int64, "container rows: number of times that the runtime has restarted the container"),
    optional("reason", Type::Text, "container rows, stopped: why: exited, killed by a signal, or out of memory"),
    // counts
    optional("calls", Type::Int64, "counts rows: number of calls of `syscall` by threads named `comm` in the second that begins at `time`; `duration` and `bytes` are totals of these calls"),
    optional("errors", Type::Int64, "counts rows: number of these calls that failed"),
    optional("latency", Type::Text, "counts rows: JSON array; element i is the number of calls that took at least 2^i ns and less than 2^(i+1) ns"),
    // loss
    optional("lost", Type::Int64, "gap rows: number of events of `class` that were lost between `time` and `time` + `duration`"),
    optional("cpu", Type::Int32, "gap rows: number of the CPU on which events were lost; null: no particular CPU, for example when the disk was full"),
];

/// The columns by which rows are sorted within a row group. Consecutive calls of the same thread compress better and are
/// faster to scan; `time` and `seq` restore the order of time.
pub const FILE_ORDER: &[&str] = &["container_id", "tid", "syscall", "compat", "seq"];

/// Returns the index of a column in [`COLUMNS`].
pub fn index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|c| c.name == name)
}

/// Returns the Arrow schema of `events`.
pub fn arrow_schema() -> Schema {
    Schema::new(
        COLUMNS
            .iter()
            .map(|c| Field::new(c.name, c.ty.arrow(), c.nullable))
            .collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, c) in COLUMNS.iter().enumerate() {
            assert_eq!(index(c.name), Some(i), "{}", c.name);
        }
    }

    #[test]
    fn the_order_of_a_file_is_of_columns() {
        for name in FILE_ORDER {
            assert!(index(name).is_some(), "{name}");
        }
    }
}
