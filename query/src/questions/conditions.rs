//! The conditions that the ready questions share: which rows are set-up by the container runtime, which calls have failed, and which
//! failures matter most.

/// Facts about the recordings that the SQL of a ready question depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingContents {
    /// True if all recordings are recordings of counts.
    pub(crate) only_counts: bool,
    /// True if the recordings have events of more than one host.
    pub(crate) several_hosts: bool,
    /// True if two containers of a host, or of a pod, have the same name.
    pub(crate) same_names: bool,
    /// The ids of the containers in pods, and their pods: `NAMESPACE/POD`.
    pub(crate) pods: Vec<(String, String)>,
    /// True if the column `setup` tells the set-up of containers in all recordings.
    pub(crate) tells_setup: bool,
}

impl RecordingContents {
    /// Returns the name of a container in texts.
    pub(super) fn name(&self) -> String {
        let host = if self.several_hosts {
            "host || '/' || "
        } else {
            ""
        };
        let pod = match self.pods.is_empty() {
            true => String::new(),
            false => format!("coalesce({} || '/', '') || ", self.pod("container_id")),
        };
        let name = match self.same_names && !self.several_hosts {
            true => "coalesce(container || ' ' || substr(container_id, 1, 12), container, '?')",
            false => "coalesce(container, '?')",
        };
        format!("{host}{pod}{name}")
    }

    /// Returns columns with the pod and the first digits of the id in the column `id`, as far as names do not tell containers apart.
    pub(super) fn id_columns(&self, id: &str, prefix: &str) -> String {
        let mut columns = String::new();
        if !self.pods.is_empty() {
            columns += &format!(", {} as {prefix}pod", self.pod(id));
        }
        if self.same_names {
            columns += &format!(", substr({id}, 1, 12) as {prefix}id");
        }
        columns
    }

    /// Returns the pod of the container whose id is in the column `id`.
    fn pod(&self, id: &str) -> String {
        let pods = self.pods.iter();
        let pods = pods
            .map(|(container, pod)| format!(" when {} then {}", literal(container), literal(pod)));
        format!("case {id}{} end", pods.collect::<String>())
    }
}

/// Returns the condition for rows that are not set-up by the container runtime.
pub(crate) fn not_setup(contents: &RecordingContents) -> &'static str {
    match contents.tells_setup {
        // Without `comm`, more rollups can answer.
        true => "setup is not true",
        // Recordings before version 1.5 tell the set-up of runc only, by the name of its threads.
        false => "not coalesce(setup, comm like 'runc:[%', false)",
    }
}

/// The condition for a failed call, as in the ready question `errors`. EAGAIN is a failure only of calls that ask for a resource:
/// of all others it means that there is nothing to read, to write or to wait for. The result of sigreturn(2) is that of an interrupted
/// call.
pub(crate) const FAILED_CALL: &str = "kind = 'syscall' and error <> 'EINPROGRESS' and error not like 'ERESTART%'
    and syscall not like '%sigreturn' and (error <> 'EAGAIN' or syscall in ('clone', 'clone3', 'connect', 'execve', 'fcntl', 'flock', 'fork', 'mlock', 'mlockall', 'mmap',
        'mremap', 'setresuid', 'setreuid', 'setuid', 'vfork'))";

/// The rank of a failed call: disks, connections, rights and resources first, then missing files, then files that were only asked about
/// and all others.
pub(super) const FAILURE_RANK: &str = "case
        when error in ('abandoned', 'EACCES', 'EADDRINUSE', 'EAGAIN', 'ECONNREFUSED', 'ECONNRESET', 'EDQUOT', 'EHOSTUNREACH', 'EIO',
            'EMFILE', 'ENETUNREACH', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EPERM', 'EROFS', 'ETIMEDOUT') or syscall = 'connect' then 1
        when error in ('ENOENT', 'ENOEXEC', 'ENOTDIR', 'ELOOP') and syscall not like '%stat%' and syscall not like '%access%'
            and syscall not like 'readlink%' then 2
        else 3
    end";

/// The name of a failure that is part of normal work, as its call and its error tell, or null.
pub(super) const FAILURE_ROUTINE: &str = "case
        when syscall = 'ioctl' and error = 'ENOTTY' then 'no terminal'
        when syscall = 'epoll_ctl' and error in ('EEXIST', 'EPERM') then 'not pollable'
        when error = 'ECHILD' then 'no child left'
        when error = 'ESPIPE' then 'not seekable'
        when error = 'ENOSYS' and denied then 'not supported'
        when error = 'ETIMEDOUT' and class <> 'network' then 'end of a wait'
    end";

/// Returns the condition for the failure to find a file or a socket that may be missing. Its path is in the column `path` or `socket`.
pub(super) fn optional_file(path: &str, socket: &str) -> String {
    let is = |pattern: &str| format!("{path} like '{pattern}'");
    let patterns = [
        "%/etc/ld.so.%",
        "%/glibc-hwcaps%",
        "/usr/%locale/%",
        "%/pyvenv.cfg",
        "%/pybuilddir.txt",
        "%._pth",
        "/usr/%/python%.zip",
    ]
    .map(is)
    .join(" or ");
    format!(
        r"error = 'ENOENT' and ({patterns} or {socket} like '%/nscd/socket' or {path} like '%/\_\_pycache\_\_/%' escape '\'
            or {path} in ('/etc/gai.conf', '/etc/host.conf', '/etc/localtime', '/etc/nsswitch.conf'))"
    )
}

/// Returns the rank of an event that is a failure, and null for all others: 1 for the failures of [`FAILURE_RANK`] 1, processes and
/// containers that a signal or their exit code ended badly, and failed connections; 2 for missing files and names; 3 for all others. A
/// shared library that is missing counts as searched for: a single event does not tell whether it was found elsewhere.
pub(crate) fn failure() -> String {
    let optional = optional_file("path", "peer_path");
    format!(
        "case
        when error is null and kind = 'syscall' then null
        when {FAILED_CALL} then case
            when {FAILURE_ROUTINE} is not null then 3
            when error = 'ENOENT' and (path like '%.so' or path like '%.so.%') or {optional} then 3
            else {FAILURE_RANK}
        end
        when kind in ('process', 'container') and (exit_signal is not null or exit_code not in (0, 130, 143)) then
            case when kind = 'process' and exit_signal is null then 2 else 1 end
        when kind = 'signal' and action = 'out of memory' then 1
        when kind = 'connection' and action <> 'established' and duration is not null then 1
        when kind = 'dns' and (dns_code is null or dns_code <> 'NOERROR') then 2
    end"
    )
}

/// Returns the literal of a text.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
