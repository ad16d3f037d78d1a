//! The views over `events`, as SQL that DataFusion, SQLite and DuckDB all take.

/// One view.
#[derive(Debug)]
pub struct View {
    /// Its name in SQL.
    pub name: &'static str,
    /// What `describe` shows.
    pub comment: &'static str,
    /// The query behind it, over `events` and other views: `create view NAME as SQL`.
    pub sql: &'static str,
    /// Name and comment of the columns that `events` does not have, or that mean something else there.
    own: &'static [(&'static str, &'static str)],
}

impl View {
    /// The comment of one of its columns: its own, else that of the column of `events`.
    pub fn column_comment(&self, column: &str) -> Option<&'static str> {
        let own = self.own.iter().find(|(name, _)| *name == column);
        own.map(|(_, comment)| *comment)
            .or_else(|| crate::columns::index(column).map(|i| crate::columns::COLUMNS[i].comment))
    }
}

/// The view with this name.
pub fn view(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|v| v.name == name)
}

const FIRST_SEEN: (&str, &str) = ("first_seen", "when its first call began, UTC");
const LAST_SEEN: (&str, &str) = ("last_seen", "when its last call began, UTC");

/// Every view; one may use those before it.
pub const VIEWS: &[View] = &[
    View {
        name: "syscalls",
        comment: "calls, one row each, with their arguments",
        sql: include_str!("views/syscalls.sql"),
        own: &[],
    },
    View {
        name: "files",
        comment: "calls on files, one row each",
        sql: include_str!("views/files.sql"),
        own: &[
            (
                "operation",
                "open, read, write, copy, list, exec, map, create, delete, rename, truncate, stat, attributes, mount, \
                 close or other",
            ),
            ("bytes", "bytes that the call moved; null: none"),
        ],
    },
    View {
        name: "connections",
        comment: "sockets with a peer, one row for each pair of ends in a container",
        sql: include_str!("views/connections.sql"),
        own: &[
            (
                "direction",
                "out: the container began it; in: the other end did; null: it was open before the recording",
            ),
            ("comm", "name of a thread that used it"),
            ("opened", "how often it was connected or accepted"),
            ("failed", "how often connect(2) failed"),
            ("connect_error", "errno of a connect(2) that failed"),
            ("calls", "calls on it"),
            ("bytes_sent", "bytes that calls on it sent"),
            ("bytes_received", "bytes that calls on it received"),
            FIRST_SEEN,
            LAST_SEEN,
        ],
    },
    View {
        name: "processes",
        comment: "processes, one row each, also those that ran before the recording",
        sql: include_str!("views/processes.sql"),
        own: &[
            ("comm", "name of the process, as of its last exec"),
            ("exe", "executable, as of its last exec"),
            (
                "argv",
                "arguments of its last exec, quoted for a POSIX shell; null: executed nothing",
            ),
            (
                "started",
                "when it was forked, UTC; null: before the recording",
            ),
            ("first_seen", "when it is first heard of, UTC"),
            ("exited", "when it ended, UTC; null: after the recording"),
        ],
    },
    View {
        name: "containers",
        comment: "containers, one row each; `host` stands for what runs in none",
        sql: include_str!("views/containers.sql"),
        own: &[
            ("image", "image it runs"),
            (
                "runtime",
                "docker, containerd, cri-o, podman, runc, crun, lxc or systemd-nspawn",
            ),
            ("pod", "Kubernetes pod"),
            ("namespace", "Kubernetes namespace"),
            ("labels", "labels, as a JSON object"),
            (
                "started",
                "when it started, UTC; null: before the recording",
            ),
            ("stopped", "when it stopped, UTC; null: after the recording"),
            ("calls", "its calls"),
            ("errors", "its calls that failed"),
            ("denied", "its calls that seccomp refused"),
            ("lost", "events of it that were lost"),
            ("first_seen", "when its first event began, UTC"),
            ("last_seen", "when its last event began, UTC"),
        ],
    },
    View {
        name: "links",
        comment: "which container talks to which: over a network, a unix socket, or a file that one writes and one reads",
        sql: include_str!("views/links.sql"),
        own: &[
            ("source", "container that connects, sends or writes"),
            ("source_id", "its id"),
            ("source_host", "its machine"),
            ("target", "container that accepts, receives or reads"),
            ("target_id", "its id"),
            ("target_host", "its machine"),
            ("protocol", "tcp, udp, ..., unix or file"),
            (
                "address",
                "where they meet: address and port of the target, path of the socket, path of the file",
            ),
            (
                "connections",
                "connections that were made, or that were open already",
            ),
            ("failed", "connections that were refused or timed out"),
            ("bytes_sent", "bytes from source to target"),
            ("bytes_received", "bytes from target to source"),
            FIRST_SEEN,
            LAST_SEEN,
        ],
    },
    View {
        name: "counts",
        comment: "calls that were counted (ctrace-rec --mode counts): a row a second for each container, thread name and call",
        sql: include_str!("views/counts.sql"),
        own: &[
            ("time", "when the second began, UTC"),
            ("duration", "time that the calls took together, ns"),
            ("bytes", "bytes that the calls moved"),
        ],
    },
    View {
        name: "gaps",
        comment: "what was lost and when, one row for each stretch of time and CPU",
        sql: include_str!("views/gaps.sql"),
        own: &[
            ("time", "when the loss began, UTC"),
            ("duration", "how long it lasted, ns"),
            (
                "container",
                "container whose events were lost; null: not known",
            ),
            ("class", "class of the calls that were lost"),
            ("lost", "how many events were lost"),
            (
                "cpu",
                "number of the CPU on which they were lost; null: on none, or not known",
            ),
            ("reason", "why"),
        ],
    },
];
