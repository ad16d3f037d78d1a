//! The rules that the ready questions share: which rows are set-up by the container runtime, which calls have failed, and which
//! failures matter most.

/// Facts about the recordings that the SQL of a ready question depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordingContents {
    /// True if all recordings are recordings of counts.
    pub(crate) only_counts: bool,
    /// True if the recordings have events of more than one host.
    pub(crate) several_hosts: bool,
    /// True if two containers of a host have the same name.
    pub(crate) same_names: bool,
    /// True if the column `setup` tells the set-up of containers in all recordings.
    pub(crate) tells_setup: bool,
}

/// Returns the condition for rows that are not set-up by the container runtime.
pub(crate) fn not_setup(contents: RecordingContents) -> &'static str {
    match contents.tells_setup {
        // Without `comm`, more rollups can answer.
        true => "setup is not true",
        // Recordings before version 1.5 tell the set-up of runc only, by the name of its threads.
        false => "not coalesce(setup, comm like 'runc:[%', false)",
    }
}

/// The condition for a failed call, as in the ready question `errors`.
pub(crate) const FAILED_CALL: &str =
    "kind = 'syscall' and error not in ('EAGAIN', 'EINPROGRESS') and error not like 'ERESTART%'";

/// The rank of a failed call: disks, connections and rights first, then missing files, then all others.
pub(super) const FAILURE_RANK: &str = "case
        when error in ('abandoned', 'EACCES', 'ECONNREFUSED', 'ECONNRESET', 'EDQUOT', 'EHOSTUNREACH', 'EIO', 'EMFILE', 'ENETUNREACH',
            'ENFILE', 'ENOMEM', 'ENOSPC', 'EPERM', 'EROFS', 'ETIMEDOUT') then 1
        when error in ('ENOENT', 'ENOEXEC', 'ENOTDIR', 'ELOOP') then 2
        else 3
    end";

/// The name of a failure that is part of normal work, as its call and its error tell, or null.
pub(super) const FAILURE_ROUTINE: &str = "case
        when syscall = 'ioctl' and error = 'ENOTTY' then 'no terminal'
        when syscall = 'epoll_ctl' and error in ('EEXIST', 'EPERM') then 'not pollable'
        when error = 'ECHILD' then 'no child left'
        when error = 'ESPIPE' then 'not seekable'
        when error = 'ETIMEDOUT' and class <> 'network' then 'end of a wait'
    end";
