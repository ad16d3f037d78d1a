//! The views over `events`. The SQL of all views is valid in DataFusion, SQLite and DuckDB.

use crate::identity::Entity;

/// The definition of a view over `events`.
#[derive(Debug)]
pub struct View {
    /// Name in SQL.
    pub name: &'static str,
    /// Description for users, printed by `describe` and listed in `docs/schema.md`.
    pub comment: &'static str,
    /// The kind of entity that a row describes. The view has the columns that identify the entity, and groups and joins
    /// by them.
    pub entity: Entity,
    /// The query of the view, over `events` and other views, without `create view NAME as`.
    pub sql: &'static str,
    /// Names and descriptions of the columns that `events` does not have or that have a different meaning there.
    own: &'static [(&'static str, &'static str)],
}

impl View {
    /// Returns the description of a column of this view. Columns that are selected from `events` have the same description there.
    pub fn column_comment(&self, column: &str) -> Option<&'static str> {
        let own = self.own.iter().find(|(name, _)| *name == column);
        own.map(|(_, comment)| *comment)
            .or_else(|| crate::columns::index(column).map(|i| crate::columns::COLUMNS[i].comment))
    }
}

/// Returns the view with this name.
pub fn view(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|v| v.name == name)
}

const FIRST_SEEN: (&str, &str) = ("first_seen", "when the first of the calls began, UTC");
const LAST_SEEN: (&str, &str) = ("last_seen", "when the last of the calls began, UTC");

/// All views. A view may use the views before it.
pub const VIEWS: &[View] = &[
    View {
        name: "syscalls",
        comment: "calls, one row each, with their arguments",
        entity: Entity::Event,
        sql: include_str!("views/syscalls.sql"),
        own: &[],
    },
    View {
        name: "files",
        comment: "calls on files, one row for each call and file: a copy has a row for its source and one for its destination",
        entity: Entity::Event,
        sql: include_str!("views/files.sql"),
        own: &[
            (
                "operation",
                "open, read, write, list, exec, map, create, delete, rename, truncate, stat, attributes, mount, \
                 close or other",
            ),
            ("bytes", "bytes that the call transferred; null: none"),
        ],
    },
    View {
        name: "connections",
        comment: "sockets with a peer, one row for each container and pair of local and peer address",
        entity: Entity::Socket,
        sql: include_str!("views/connections.sql"),
        own: &[
            (
                "direction",
                "out: initiated by the container; in: initiated by the peer; null: open before the recording",
            ),
            ("comm", "name of a thread that used the socket"),
            (
                "opened",
                "number of connections that were established or accepted",
            ),
            ("failed", "number of failed connects"),
            (
                "unknown",
                "number of connects that did not wait and whose outcome was not recorded",
            ),
            (
                "connect_error",
                "errno of a failed connect; abandoned: this end gave it up",
            ),
            ("calls", "number of calls on the socket"),
            ("bytes_sent", "bytes that these calls sent"),
            ("bytes_received", "bytes that these calls received"),
            (
                "setup",
                "true: all of these calls are set-up by the container runtime; null: not known, or outside of containers",
            ),
            FIRST_SEEN,
            LAST_SEEN,
        ],
    },
    View {
        name: "processes",
        comment: "processes, one row each, including processes that started before the recording",
        entity: Entity::Process,
        sql: include_str!("views/processes.sql"),
        own: &[
            ("comm", "name of the process after its last exec"),
            ("exe", "executable of its last exec"),
            (
                "argv",
                "arguments of its last exec, quoted for a POSIX shell; null: no exec",
            ),
            (
                "first_argv",
                "arguments of its first exec, quoted for a POSIX shell; null: no exec",
            ),
            ("execs", "number of programs that the process executed"),
            (
                "setup",
                "true: set-up by the container runtime, and nothing else; null: not known, or outside of containers",
            ),
            ("started", "when the process started, UTC; null: not known"),
            ("first_seen", "when the process was first seen, UTC"),
            (
                "exited",
                "when the process exited, UTC; null: after the recording",
            ),
        ],
    },
    View {
        name: "containers",
        comment: "containers, one row each; `host` is everything outside of containers",
        entity: Entity::Container,
        sql: include_str!("views/containers.sql"),
        own: &[
            ("image", "image of the container"),
            ("image_digest", "digest of the image"),
            (
                "runtime",
                "docker, containerd, cri-o, podman, runc, crun, lxc or systemd-nspawn",
            ),
            ("labels", "labels, as a JSON object"),
            (
                "command",
                "command of the container, quoted for a POSIX shell",
            ),
            ("run_as", "user and group of the command, uid:gid"),
            (
                "privileged",
                "true: all capabilities and devices, and no seccomp filter",
            ),
            (
                "capabilities",
                "bounding set of capabilities(7), separated by spaces; none: an empty set",
            ),
            (
                "mounts",
                "bind mounts and volumes, as a JSON array of objects with source, target and options",
            ),
            (
                "host_namespaces",
                "namespaces that the container shares with the machine (namespaces(7)), separated by spaces",
            ),
            (
                "seccomp_profile",
                "seccomp filter: unconfined, or its default action",
            ),
            ("apparmor_profile", "AppArmor profile"),
            (
                "limits",
                "limits of memory, CPU and processes, as a JSON object",
            ),
            ("addresses", "network addresses, separated by spaces"),
            (
                "restarts",
                "number of times that the runtime has restarted the container",
            ),
            (
                "reason",
                "why the container stopped: exited, killed by a signal, or out of memory",
            ),
            (
                "started",
                "when the container started, or its oldest process if it ran before the recording, UTC; null: not known",
            ),
            (
                "stopped",
                "when the container stopped, UTC; null: after the recording",
            ),
            (
                "exit_code",
                "code with which the container's first process exited",
            ),
            (
                "exit_signal",
                "number of the signal that killed the container's first process",
            ),
            ("calls", "number of calls"),
            ("errors", "number of failed calls"),
            ("denied", "number of calls that seccomp refused"),
            ("lost", "number of lost events"),
            ("first_seen", "when the first event began, UTC"),
            ("last_seen", "when the last event began, UTC"),
        ],
    },
    View {
        name: "links",
        comment: "pairs of containers that communicate: over a network, a unix socket, or a file that one writes and the other reads",
        entity: Entity::Pair,
        sql: include_str!("views/links.sql"),
        own: &[
            ("source", "container that connects, sends or writes"),
            ("source_id", "id of the source"),
            ("source_host", "machine of the source"),
            ("target", "container that accepts, receives or reads"),
            ("target_id", "id of the target"),
            ("target_host", "machine of the target"),
            ("protocol", "tcp, udp, ..., unix or file"),
            (
                "address",
                "address and port of the target, path of the socket, or path of the file",
            ),
            (
                "connections",
                "number of connections, including connections that were open before the recording",
            ),
            (
                "failed",
                "number of connections that were refused or timed out",
            ),
            ("bytes_sent", "bytes from source to target"),
            ("bytes_received", "bytes from target to source"),
            FIRST_SEEN,
            LAST_SEEN,
        ],
    },
    View {
        name: "counts",
        comment: "numbers of calls (ctrace-rec --mode counts), one row per second for each container, thread name and call",
        entity: Entity::Event,
        sql: include_str!("views/counts.sql"),
        own: &[
            ("time", "when the second began, UTC"),
            ("duration", "total time of the calls, ns"),
            ("bytes", "bytes that the calls transferred"),
        ],
    },
    View {
        name: "gaps",
        comment: "lost events, one row for each time span and CPU",
        entity: Entity::Event,
        sql: include_str!("views/gaps.sql"),
        own: &[
            ("time", "when the time span began, UTC"),
            ("duration", "length of the time span, ns"),
            ("container", "container of the lost events; null: not known"),
            ("class", "class of the lost calls"),
            ("lost", "number of lost events"),
            (
                "cpu",
                "number of the CPU on which events were lost; null: no particular CPU, or not known",
            ),
            ("reason", "reason of the loss"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::BOOT;
    use crate::syscalls::{self, Abi, Ret, Spec, uring};

    /// Returns the comma-separated columns after each `by` of a query.
    fn groupings(sql: &str) -> Vec<Vec<&str>> {
        let clauses = ["group by ", "partition by "];
        let after = clauses.iter().flat_map(|clause| sql.split(clause).skip(1));
        let list = after.map(|text| {
            let end = text.find([')', '\n']).unwrap_or(text.len());
            let list = text[..end].split(" order by").next().unwrap_or_default();
            list.split(", ")
                .map(|name| name.rsplit('.').next().unwrap_or(name).trim())
                .collect()
        });
        list.collect()
    }

    #[test]
    fn pids_and_boots_are_grouped_together() {
        for view in VIEWS {
            for columns in groupings(view.sql) {
                let has = |names: &[&str]| names.iter().all(|name| columns.contains(name));
                let of_boot = ["pid", "seq", "local_addr", "inode"];
                if of_boot.iter().any(|name| columns.contains(name)) {
                    let is_boot = has(BOOT) || has(&["host", "boot"]);
                    assert!(is_boot, "{}: {columns:?}", view.name);
                }
                if columns.iter().any(|name| name.starts_with("container")) {
                    assert!(has(&["host"]), "{}: {columns:?}", view.name);
                }
            }
        }
    }

    /// Returns the names of the calls of all tables, and of the operations of io_uring, that `wanted` selects and that a
    /// view does not name.
    fn unnamed(view_name: &str, wanted: impl Fn(&Spec) -> bool) -> Vec<String> {
        let sql = view(view_name).map(|view| view.sql).unwrap_or_default();
        let abis = [("x86_64", false), ("x86_64", true), ("aarch64", false)];
        let calls = abis.iter().filter_map(|(machine, compat)| {
            let abi = Abi::of_machine(machine, *compat)?;
            Some(syscalls::iter(abi).map(move |(nr, name)| (name, syscalls::spec_of(abi, nr))))
        });
        let names: BTreeSet<_> = calls
            .flatten()
            .chain(uring::specs())
            .filter(|(_, spec)| wanted(spec))
            .map(|(name, _)| name.to_string())
            .filter(|name| !sql.contains(&format!("'{name}'")))
            .collect();
        names.into_iter().collect()
    }

    #[test]
    fn each_call_on_a_path_has_an_operation_in_files() {
        let calls = unnamed("files", |spec| spec.paths().next().is_some());
        let other = [
            "acct",
            "chdir",
            "fanotify_mark",
            "inotify_add_watch",
            "quotactl",
            "swapoff",
            "swapon",
            "uselib",
        ];
        assert_eq!(calls, other);
    }

    #[test]
    fn each_call_that_moves_bytes_has_a_direction_in_files_and_connections() {
        let moves = |spec: &Spec| spec.ret == Ret::Bytes;
        let of_memory_and_queues = [
            "mq_timedreceive",
            "mq_timedreceive_time64",
            "msgrcv",
            "process_vm_readv",
            "process_vm_writev",
        ];
        let of_pipes = ["io_uring:tee", "tee", "vmsplice"];
        let at_offsets = [
            "copy_file_range",
            "pread64",
            "preadv",
            "pwrite64",
            "pwritev",
        ];
        let mut not_of_sockets = [&of_memory_and_queues[..], &of_pipes, &at_offsets].concat();
        not_of_sockets.sort_unstable();
        assert_eq!(unnamed("connections", moves), not_of_sockets);
        let unnamed = unnamed("files", moves);
        let of_sockets = |name: &&String| name.contains("send") || name.contains("recv");
        let others = unnamed.iter().filter(|name| !of_sockets(name));
        let mut not_of_files = [&of_memory_and_queues[..], &of_pipes].concat();
        not_of_files.sort_unstable();
        assert_eq!(others.collect::<Vec<_>>(), not_of_files);
    }
}
