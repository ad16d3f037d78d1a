//! Decodes the bytes of a ring into records. The functions have no side effects and are safe for any bytes, because a
//! raw capture may come from anyone.

use std::mem::offset_of;

use crate::wire::types::{
    cgroup_flag, connection_event, data_flags, data_stat, file_flag, head, limits, rec_cgroup,
    rec_complete, rec_connection, rec_data, rec_exec, rec_exit, rec_file, rec_kind, rec_move,
    rec_request, rec_signal, rec_sock, rec_syscall, rec_task, sock_ends,
};

/// The header of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// CLOCK_BOOTTIME, ns. Of a call: the time of the return.
    pub(crate) time: u64,
    /// The thread that the record is about.
    pub(crate) tid: u32,
    /// Syscall number, operation of a [`Body::Request`], or slot of a [`Body::Data`].
    pub(crate) nr: u16,
    /// Number of the thread's call, modulo. The record of a call and the records announced for it have the same number.
    pub(crate) call_count: u16,
    /// Flags of the record's kind: `SYS_*`, `FILE_*`, ... of `bpf/wire.h`.
    pub(crate) flags: u8,
}

/// The content of a record of `bpf/wire.h`, borrowed from the ring's bytes. The fields are those of the C structs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Body<'a> {
    Syscall {
        duration: u64,
        ret: i64,
        key: u64,
        args: Args<'a>,
        /// Inode and device of the file, which the call has returned.
        stat: Option<(u64, u32)>,
    },
    Task(TaskRecord<'a>),
    File(FileRecord<'a>),
    Sock(SockRecord<'a>),
    Data {
        base: u64,
        bytes: &'a [u8],
    },
    Exec {
        caller: u32,
        exe: u64,
        argv: &'a [u8],
    },
    Exit {
        code: u32,
    },
    Cgroup {
        cgroup: u64,
        is_found: bool,
        owner: u32,
        mount_ns: u32,
        comm: &'a [u8],
        path: &'a [u8],
    },
    Request {
        submitted: u64,
        args: Args<'a>,
    },
    Complete {
        submitted: u64,
        ret: i64,
        key: u64,
    },
    Connection(ConnectionRecord),
    Signal(SignalRecord<'a>),
    Move(MoveRecord<'a>),
}

/// Up to six arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Args<'a>(&'a [u8]);

impl Args<'_> {
    /// Iterates over the arguments that the record contains.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        (0..6).map_while(|i| u64_at(self.0, i * 8))
    }
}

/// The identity of a thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TaskRecord<'a> {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) uid: u32,
    pub(crate) cgroup: u64,
    pub(crate) exe: u64,
    pub(crate) comm: &'a [u8],
    /// Inode number of the mount namespace; `None`: early captures do not have the number, nor the flags of a task.
    pub(crate) mount_ns: Option<u32>,
}

/// A file and the components of its path, the last component first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FileRecord<'a> {
    pub(crate) key: u64,
    pub(crate) inode: u64,
    pub(crate) dev: u32,
    pub(crate) magic: u32,
    pub(crate) names: &'a [u8],
    /// The part of `names` below the root of the file's mount, and the components from there up to the root of the
    /// filesystem. `None`: not known.
    pub(crate) mount_names: Option<(&'a [u8], &'a [u8])>,
}

/// The kind and the addresses of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SockEnds {
    pub(crate) family: u16,
    pub(crate) ty: u16,
    pub(crate) protocol: u16,
    pub(crate) local_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) portid: u32,
    pub(crate) local: [u8; 16],
    pub(crate) peer: [u8; 16],
}

/// An event of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConnectionRecord {
    pub(crate) key: u64,
    /// Key of the container's cgroup.
    pub(crate) cgroup: u64,
    /// Boot time at which the connection began or, since then, was established, ns; 0: before the recording.
    pub(crate) since: u64,
    pub(crate) event: ConnectionEvent,
}

/// An event of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ConnectionEvent {
    /// The thread of the record owns the connection.
    Owned,
    Established(ConnectionEnds),
    Ended(ConnectionEnds),
}

/// The socket of a connection. All fields but `inode` and `ends` are those at the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConnectionEnds {
    pub(crate) inode: u64,
    pub(crate) ends: SockEnds,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Smoothed round-trip time, eighths of a microsecond; 0: not measured.
    pub(crate) rtt: u32,
    pub(crate) retransmits: u32,
    /// Errno of the socket; 0: none.
    pub(crate) error: u16,
    /// State before the end: `TCP_*` of net/tcp_states.h.
    pub(crate) state: u8,
}

/// A move of a process, or of one of its threads, to another cgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MoveRecord<'a> {
    /// Key of the cgroup of the process's container; 0: the host.
    pub(crate) from: u64,
    /// Key of the cgroup of the container to which the other cgroup belongs; 0: the host.
    pub(crate) to: u64,
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: &'a [u8],
    /// Path of the other cgroup, below the mount point of the hierarchy.
    pub(crate) path: &'a [u8],
}

/// A signal to a thread or to a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SignalRecord<'a> {
    /// Key of the cgroup of the receiver's container.
    pub(crate) cgroup: u64,
    /// Key of the cgroup of the sender's container; 0: the host.
    pub(crate) sender_cgroup: u64,
    /// Memory limit of the receiver, bytes; 0: none, or not known.
    pub(crate) memory_limit: u64,
    /// Process id of the receiver; 0: only the thread's id is known.
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) uid: u32,
    /// Process id of the sender; 0: the kernel.
    pub(crate) sender_pid: u32,
    pub(crate) number: u32,
    pub(crate) comm: &'a [u8],
    pub(crate) sender_comm: &'a [u8],
}

/// A socket and its addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SockRecord<'a> {
    pub(crate) key: u64,
    pub(crate) inode: u64,
    pub(crate) ends: SockEnds,
    /// Unix: name of this end, without the NUL after it. An abstract name begins with a NUL.
    pub(crate) local_name: &'a [u8],
    pub(crate) peer_name: &'a [u8],
    /// Unix: key of the file to which a relative name of this end refers; 0: none, as in early captures.
    pub(crate) local_file: u64,
    pub(crate) peer_file: u64,
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

/// Decodes only the time of a record.
pub(crate) fn time(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, offset_of!(head, time))
}

/// Returns whether a record is about user memory.
pub(crate) fn is_data(bytes: &[u8]) -> bool {
    let kind = bytes.get(offset_of!(head, kind));
    kind.is_some_and(|kind| u32::from(*kind) == rec_kind::REC_DATA.0)
}

/// Decodes one record. None: the kind is unknown, or the record is shorter than its kind requires.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Head, Body<'_>)> {
    let kind = rec_kind(u32::from(*bytes.get(offset_of!(head, kind))?));
    let body = match kind {
        rec_kind::REC_SYSCALL => syscall(bytes, None)?,
        rec_kind::REC_STAT => {
            let (call, end) = bytes.split_at_checked(bytes.len().checked_sub(STAT_BYTES)?)?;
            syscall(call, stat(end))?
        }
        rec_kind::REC_TASK => Body::Task(task(bytes)?),
        rec_kind::REC_FILE => Body::File(file(bytes)?),
        rec_kind::REC_SOCK => Body::Sock(sock(bytes)?),
        rec_kind::REC_DATA => data(bytes)?,
        rec_kind::REC_EXEC => exec(bytes)?,
        rec_kind::REC_EXIT => Body::Exit {
            code: u32_at(bytes, offset_of!(rec_exit, code))?,
        },
        rec_kind::REC_CGROUP => cgroup(bytes)?,
        rec_kind::REC_REQUEST => Body::Request {
            submitted: u64_at(bytes, offset_of!(rec_request, submitted))?,
            args: Args(bytes.get(offset_of!(rec_request, args)..)?),
        },
        rec_kind::REC_COMPLETE => complete(bytes)?,
        rec_kind::REC_CONNECTION => Body::Connection(connection(bytes)?),
        rec_kind::REC_SIGNAL => Body::Signal(signal(bytes)?),
        rec_kind::REC_MOVE => Body::Move(moved(bytes)?),
        _ => return None,
    };
    Some((head_of(bytes, kind)?, body))
}

fn head_of(bytes: &[u8], kind: rec_kind) -> Option<Head> {
    let nr_bits = match kind {
        rec_kind::REC_DATA | rec_kind::REC_EXEC => limits::SLOT_BITS.0,
        _ => limits::NR_BITS.0,
    };
    let nr = u16_at(bytes, offset_of!(head, nr))?;
    Some(Head {
        time: time(bytes)?,
        tid: u32_at(bytes, offset_of!(head, tid))?,
        nr: nr & ((1 << nr_bits) - 1),
        call_count: nr >> nr_bits,
        flags: *bytes.get(offset_of!(head, flags))?,
    })
}

/// Bytes of the device and inode at the end of a `REC_STAT`.
const STAT_BYTES: usize = size_of::<data_stat>();

fn syscall(bytes: &[u8], stat: Option<(u64, u32)>) -> Option<Body<'_>> {
    Some(Body::Syscall {
        duration: u64_at(bytes, offset_of!(rec_syscall, duration))?,
        ret: u64_at(bytes, offset_of!(rec_syscall, ret))? as i64,
        key: u64_at(bytes, offset_of!(rec_syscall, key))?,
        args: Args(bytes.get(offset_of!(rec_syscall, args)..)?),
        stat,
    })
}

fn task(bytes: &[u8]) -> Option<TaskRecord<'_>> {
    Some(TaskRecord {
        pid: u32_at(bytes, offset_of!(rec_task, pid))?,
        ppid: u32_at(bytes, offset_of!(rec_task, ppid))?,
        ns_pid: u32_at(bytes, offset_of!(rec_task, ns_pid))?,
        uid: u32_at(bytes, offset_of!(rec_task, uid))?,
        cgroup: u64_at(bytes, offset_of!(rec_task, cgroup))?,
        exe: u64_at(bytes, offset_of!(rec_task, exe))?,
        comm: until_nul(slice_at(
            bytes,
            offset_of!(rec_task, comm),
            limits::COMM_BYTES.0,
        )?),
        mount_ns: u32_at(bytes, offset_of!(rec_task, mount_ns)),
    })
}

fn file(bytes: &[u8]) -> Option<FileRecord<'_>> {
    let names_bytes = u32_at(bytes, offset_of!(rec_file, bytes))?;
    let names = slice_at(bytes, offset_of!(rec_file, names), names_bytes)?;
    let flags = *bytes.get(offset_of!(head, flags))?;
    let below = u16_at(bytes, offset_of!(head, nr))?;
    let above = bytes.get(offset_of!(rec_file, names) + names_bytes as usize..)?;
    let has_mount = u32::from(flags) & file_flag::FILE_HAS_MOUNT.0 != 0;
    Some(FileRecord {
        key: u64_at(bytes, offset_of!(rec_file, key))?,
        inode: u64_at(bytes, offset_of!(rec_file, inode))?,
        dev: u32_at(bytes, offset_of!(rec_file, dev))?,
        magic: u32_at(bytes, offset_of!(rec_file, magic))?,
        names,
        mount_names: slice_at(names, 0, below.into())
            .filter(|_| has_mount)
            .map(|below| (below, above)),
    })
}

fn sock(bytes: &[u8]) -> Option<SockRecord<'_>> {
    let names = offset_of!(rec_sock, names);
    let name = |at, len: u8| slice_at(bytes, at, u32::from(len));
    let local_len = *bytes.get(offset_of!(rec_sock, ends.local_len))?;
    let peer_len = *bytes.get(offset_of!(rec_sock, ends.peer_len))?;
    Some(SockRecord {
        key: u64_at(bytes, offset_of!(rec_sock, key))?,
        inode: u64_at(bytes, offset_of!(rec_sock, inode))?,
        ends: sock_ends(bytes.get(offset_of!(rec_sock, ends)..)?)?,
        local_name: name(names, local_len)?,
        peer_name: if peer_len == 0 {
            &[]
        } else {
            name(names + limits::ADDR_MAX_BYTES.0 as usize, peer_len)?
        },
        local_file: u64_at(bytes, offset_of!(rec_sock, local_file)).unwrap_or(0),
        peer_file: u64_at(bytes, offset_of!(rec_sock, peer_file)).unwrap_or(0),
    })
}

fn sock_ends(bytes: &[u8]) -> Option<SockEnds> {
    Some(SockEnds {
        family: u16_at(bytes, offset_of!(sock_ends, family))?,
        ty: u16_at(bytes, offset_of!(sock_ends, r#type))?,
        protocol: u16_at(bytes, offset_of!(sock_ends, protocol))?,
        local_port: u16_at(bytes, offset_of!(sock_ends, local_port))?,
        peer_port: u16_at(bytes, offset_of!(sock_ends, peer_port))?,
        portid: u32_at(bytes, offset_of!(sock_ends, portid))?,
        local: bytes_at(bytes, offset_of!(sock_ends, local))?,
        peer: bytes_at(bytes, offset_of!(sock_ends, peer))?,
    })
}

fn connection(bytes: &[u8]) -> Option<ConnectionRecord> {
    let nr = u16_at(bytes, offset_of!(head, nr))?;
    Some(ConnectionRecord {
        key: u64_at(bytes, offset_of!(rec_connection, key))?,
        cgroup: u64_at(bytes, offset_of!(rec_connection, cgroup))?,
        since: u64_at(bytes, offset_of!(rec_connection, since))?,
        event: match connection_event(nr.into()) {
            connection_event::CONNECTION_OWNED => ConnectionEvent::Owned,
            connection_event::CONNECTION_ESTABLISHED => {
                ConnectionEvent::Established(connection_ends(bytes)?)
            }
            connection_event::CONNECTION_ENDED => ConnectionEvent::Ended(connection_ends(bytes)?),
            _ => return None,
        },
    })
}

fn moved(bytes: &[u8]) -> Option<MoveRecord<'_>> {
    Some(MoveRecord {
        from: u64_at(bytes, offset_of!(rec_move, from))?,
        to: u64_at(bytes, offset_of!(rec_move, to))?,
        pid: u32_at(bytes, offset_of!(rec_move, pid))?,
        ppid: u32_at(bytes, offset_of!(rec_move, ppid))?,
        ns_pid: u32_at(bytes, offset_of!(rec_move, ns_pid))?,
        uid: u32_at(bytes, offset_of!(rec_move, uid))?,
        comm: until_nul(slice_at(
            bytes,
            offset_of!(rec_move, comm),
            limits::COMM_BYTES.0,
        )?),
        path: until_nul(bytes.get(offset_of!(rec_move, path)..)?),
    })
}

fn signal(bytes: &[u8]) -> Option<SignalRecord<'_>> {
    let comm = |at| slice_at(bytes, at, limits::COMM_BYTES.0).map(until_nul);
    Some(SignalRecord {
        cgroup: u64_at(bytes, offset_of!(rec_signal, cgroup))?,
        sender_cgroup: u64_at(bytes, offset_of!(rec_signal, sender_cgroup))?,
        memory_limit: u64_at(bytes, offset_of!(rec_signal, memory_limit))?,
        pid: u32_at(bytes, offset_of!(rec_signal, pid))?,
        ppid: u32_at(bytes, offset_of!(rec_signal, ppid))?,
        ns_pid: u32_at(bytes, offset_of!(rec_signal, ns_pid))?,
        uid: u32_at(bytes, offset_of!(rec_signal, uid))?,
        sender_pid: u32_at(bytes, offset_of!(rec_signal, sender_pid))?,
        number: u32_at(bytes, offset_of!(rec_signal, number))?,
        comm: comm(offset_of!(rec_signal, comm))?,
        sender_comm: comm(offset_of!(rec_signal, sender_comm))?,
    })
}

fn connection_ends(bytes: &[u8]) -> Option<ConnectionEnds> {
    Some(ConnectionEnds {
        inode: u64_at(bytes, offset_of!(rec_connection, inode))?,
        ends: sock_ends(bytes.get(offset_of!(rec_connection, ends)..)?)?,
        bytes_sent: u64_at(bytes, offset_of!(rec_connection, bytes_sent))?,
        bytes_received: u64_at(bytes, offset_of!(rec_connection, bytes_received))?,
        rtt: u32_at(bytes, offset_of!(rec_connection, rtt))?,
        retransmits: u32_at(bytes, offset_of!(rec_connection, retransmits))?,
        error: u16_at(bytes, offset_of!(rec_connection, error))?,
        state: *bytes.get(offset_of!(rec_connection, state))?,
    })
}

fn data(bytes: &[u8]) -> Option<Body<'_>> {
    Some(Body::Data {
        base: u64_at(bytes, offset_of!(rec_data, base))?,
        bytes: bytes.get(offset_of!(rec_data, bytes)..)?,
    })
}

fn exec(bytes: &[u8]) -> Option<Body<'_>> {
    Some(Body::Exec {
        caller: u32_at(bytes, offset_of!(rec_exec, caller))?,
        exe: u64_at(bytes, offset_of!(rec_exec, exe))?,
        argv: bytes.get(offset_of!(rec_exec, argv)..)?,
    })
}

fn cgroup(bytes: &[u8]) -> Option<Body<'_>> {
    let flags = *bytes.get(offset_of!(head, flags))?;
    let comm = slice_at(bytes, offset_of!(rec_cgroup, comm), limits::COMM_BYTES.0)?;
    Some(Body::Cgroup {
        cgroup: u64_at(bytes, offset_of!(rec_cgroup, cgroup))?,
        is_found: u32::from(flags) & cgroup_flag::CGROUP_FOUND.0 != 0,
        owner: u32_at(bytes, offset_of!(rec_cgroup, owner))?,
        mount_ns: u32_at(bytes, offset_of!(rec_cgroup, mount_ns))?,
        comm: until_nul(comm),
        path: until_nul(bytes.get(offset_of!(rec_cgroup, path)..)?),
    })
}

fn complete(bytes: &[u8]) -> Option<Body<'_>> {
    Some(Body::Complete {
        submitted: u64_at(bytes, offset_of!(rec_complete, submitted))?,
        ret: u64_at(bytes, offset_of!(rec_complete, ret))? as i64,
        key: u64_at(bytes, offset_of!(rec_complete, key))?,
    })
}

fn slice_at(bytes: &[u8], at: usize, len: u32) -> Option<&[u8]> {
    bytes.get(at..)?.get(..len as usize)
}

/// Decodes a struct `data_stat`: the inode and the device.
pub(crate) fn stat(bytes: &[u8]) -> Option<(u64, u32)> {
    let inode = u64_at(bytes, offset_of!(data_stat, inode))?;
    Some((inode, u32_at(bytes, offset_of!(data_stat, dev))?))
}

/// Decodes the errno of a `DATA_SOCKET_ERROR`.
pub(crate) fn socket_error(bytes: &[u8]) -> Option<i32> {
    u32_at(bytes, 0)?.try_into().ok()
}

/// Decodes the number of a `DATA_BYTES`.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, 0)
}

/// The fields of a `DATA_FLAGS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StructFlags {
    pub(crate) flags: u64,
    pub(crate) mode: u64,
    pub(crate) resolve: u64,
}

/// Decodes a `DATA_FLAGS`. Early captures have no `resolve`.
pub(crate) fn flags(bytes: &[u8]) -> Option<StructFlags> {
    Some(StructFlags {
        flags: u64_at(bytes, offset_of!(data_flags, flags))?,
        mode: u64_at(bytes, offset_of!(data_flags, mode))?,
        resolve: u64_at(bytes, offset_of!(data_flags, resolve)).unwrap_or(0),
    })
}

/// Returns the bytes before the first NUL, or all bytes if there is none.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_file_of_a_stat_is_behind_the_arguments() {
        let mut bytes = vec![0; offset_of!(rec_syscall, args)];
        bytes[offset_of!(head, kind)] = rec_kind::REC_STAT.0 as u8;
        for word in [7_u64, 328_621, 0xfe] {
            bytes.extend(word.to_ne_bytes());
        }
        let Some((_, Body::Syscall { args, stat, .. })) = decode(&bytes) else {
            panic!("the record is not decoded")
        };
        assert_eq!(args.0, 7_u64.to_ne_bytes());
        assert_eq!(stat, Some((328_621, 0xfe)));
        bytes.truncate(offset_of!(rec_syscall, args));
        assert_eq!(decode(&bytes), None);
    }
}
