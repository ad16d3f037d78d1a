//! The columns of `events`, the one wide table that a recording is.

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
    /// True or false. SQLite: INTEGER 0 or 1.
    Bool,
    /// UTF-8; bytes that are not, and control bytes, are escaped as [`crate::text`] says.
    Text,
}

impl Type {
    /// The Arrow type. Strings are plain Utf8, which every reader knows; the pages are dictionary-encoded all the same.
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

/// One column of `events`.
#[derive(Debug)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Whether it can be null: most are, where they do not apply.
    pub nullable: bool,
    /// What `describe` shows.
    pub comment: &'static str,
}

const fn always(name: &'static str, ty: Type, comment: &'static str) -> Column {
    Column {
        name,
        ty,
        nullable: false,
        comment,
    }
}

const fn maybe(name: &'static str, ty: Type, comment: &'static str) -> Column {
    Column {
        name,
        ty,
        nullable: true,
        comment,
    }
}

/// Every column, in the order of the file.
#[rustfmt::skip]
pub const COLUMNS: &[Column] = &[
    // when
    always("time", Type::Time, "when it began, UTC, nanoseconds; for a call, when it entered the kernel, or if that is not known, when it was first seen"),
    maybe("duration", Type::Int64, "how long the call took, ns; null: refused, began before the recording, or never returned"),
    always("seq", Type::Int64, "order in which events finished, over the whole recording, from 0"),
    // who
    maybe("container", Type::Text, "name of the container, or `host`; the short id where the name is not known"),
    maybe("container_id", Type::Text, "id that the runtime gave it; null for the host"),
    always("host", Type::Text, "name of the machine"),
    maybe("pid", Type::Int32, "process id, in the machine's first pid namespace (getpid(2))"),
    maybe("tid", Type::Int32, "thread id, in the machine's first pid namespace (gettid(2))"),
    maybe("ppid", Type::Int32, "process id of the parent"),
    maybe("ns_pid", Type::Int32, "process id as the process itself sees it, in its own pid namespace"),
    maybe("uid", Type::UInt32, "effective user id, in the machine's first user namespace"),
    maybe("comm", Type::Text, "name of the thread (PR_SET_NAME in prctl(2))"),
    maybe("exe", Type::Text, "executable that the process runs, as the container sees it"),
    // what
    always("kind", Type::Text, "syscall, process, container, gap or counts"),
    maybe("action", Type::Text, "process: exit; container: found, started, stopped; gap: why events were lost"),
    maybe("class", Type::Text, "class of the call: file, network, process, memory, ipc, signal, time, ..."),
    maybe("syscall", Type::Text, "name of the call, as in its man page"),
    maybe("compat", Type::Bool, "true: a 32-bit call"),
    maybe("ret", Type::Int64, "result; negative: an errno; null: did not return"),
    maybe("error", Type::Text, "name of the errno, such as ENOENT; null: no error"),
    maybe("denied", Type::Bool, "true: seccomp refused the call, which never ran"),
    maybe("arg0", Type::Int64, "first argument; null where it is a pointer or there is none"),
    maybe("arg1", Type::Int64, "second argument, likewise"),
    maybe("arg2", Type::Int64, "third argument, likewise"),
    maybe("arg3", Type::Int64, "fourth argument, likewise"),
    maybe("arg4", Type::Int64, "fifth argument, likewise"),
    maybe("arg5", Type::Int64, "sixth argument, likewise"),
    // file
    maybe("path", Type::Text, "file that the call was about: absolute, as the container sees it"),
    maybe("path_arg", Type::Text, "path that the caller passed, as it stood in its memory"),
    maybe("path2", Type::Text, "second file of rename, link, symlink, mount, sendfile, ..."),
    maybe("fd", Type::Int32, "file descriptor that the call was about, or that it returned"),
    maybe("dev", Type::Text, "device that holds the file, major:minor as in /proc/self/mountinfo"),
    maybe("inode", Type::Int64, "inode number of the file, or of the socket"),
    maybe("flags", Type::Int64, "flags of the call (O_*, MSG_*, CLONE_*, ...), as a number"),
    maybe("mode", Type::Int32, "mode of the call (chmod, mkdir, open with O_CREAT, ...), as a number"),
    maybe("bytes", Type::Int64, "bytes that the call moved"),
    // network
    maybe("family", Type::Text, "address family: inet, inet6, unix, netlink, packet, ..."),
    maybe("protocol", Type::Text, "tcp, udp, icmp, ...; unix: stream, dgram, seqpacket; netlink: route, audit, ..."),
    maybe("local_addr", Type::Text, "address of this end"),
    maybe("local_port", Type::Int32, "port of this end"),
    maybe("peer_addr", Type::Text, "address of the other end"),
    maybe("peer_port", Type::Int32, "port of the other end"),
    maybe("peer_path", Type::Text, "unix socket: path of the other end, or of the listener; @name: abstract"),
    maybe("dns_name", Type::Text, "name that the container had resolved to the peer's address"),
    // process
    maybe("argv", Type::Text, "exec: the arguments, quoted so that a POSIX shell would read them back"),
    maybe("child_pid", Type::Int32, "fork, clone: process or thread that was made, in the machine's first pid namespace"),
    maybe("exit_code", Type::Int32, "exit: code that the process passed to exit(2)"),
    maybe("exit_signal", Type::Int32, "exit: number of the signal that killed the process"),
    // container
    maybe("image", Type::Text, "container rows: image it runs"),
    maybe("runtime", Type::Text, "container rows: docker, containerd, cri-o, podman, runc, crun, lxc, systemd-nspawn, buildkit, garden"),
    maybe("pod", Type::Text, "container rows: Kubernetes pod"),
    maybe("namespace", Type::Text, "container rows: Kubernetes namespace"),
    maybe("labels", Type::Text, "container rows: labels, as a JSON object"),
    // counts
    maybe("calls", Type::Int64, "counts rows: how many calls of `syscall` there were by threads named `comm` from `time` on; `duration` is theirs together, `bytes` what they moved"),
    maybe("errors", Type::Int64, "counts rows: how many of the calls failed"),
    maybe("latency", Type::Text, "counts rows: JSON array; its element i says how many calls took 2^i ns or more and less than 2^(i+1)"),
    // loss
    maybe("lost", Type::Int64, "gap rows: how many events of `class` were lost between `time` and `time` + `duration`"),
    maybe("cpu", Type::Int32, "gap rows: number of the CPU on which they were lost; null: it was on none, as where the disk was full"),
];

/// The index of a column in [`COLUMNS`].
pub fn index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|c| c.name == name)
}

/// The Arrow schema of `events`.
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
}
