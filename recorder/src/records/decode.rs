//! From the bytes of a ring to records: pure, and safe on any bytes, for a raw capture may come from a stranger.

use std::mem::offset_of;

use crate::wire::types::{
    data_flags, data_stat, head, limits, rec_cgroup, rec_complete, rec_data, rec_exec, rec_exit,
    rec_file, rec_kind, rec_request, rec_sock, rec_syscall, rec_task,
};

/// What every record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// CLOCK_BOOTTIME, ns; of a call, when it returned.
    pub time: u64,
    /// Thread that it is about.
    pub tid: u32,
    /// Syscall number, or slot of a [`Body::Data`].
    pub nr: u16,
    /// Number of the thread's call, modulo: a call's record and what was announced of it have the same.
    pub count: u16,
    /// Flags of the record's kind: `SYS_*`, `FILE_*`, ... of `bpf/wire.h`.
    pub flags: u8,
}

/// A record of `bpf/wire.h`, borrowed from the ring's bytes. The fields are those of the C structs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "bpf/wire.h describes them")]
pub enum Body<'a> {
    Syscall {
        duration: u64,
        ret: i64,
        key: u64,
        args: Args<'a>,
    },
    Task {
        pid: u32,
        ppid: u32,
        ns_pid: u32,
        uid: u32,
        start_time: u64,
        cgroup: u64,
        exe: u64,
        comm: &'a [u8],
    },
    File {
        key: u64,
        inode: u64,
        dev: u32,
        magic: u32,
        names: &'a [u8],
    },
    Sock(Sock<'a>),
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
}

/// Up to six arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Args<'a>(&'a [u8]);

impl Args<'_> {
    /// Those that the record has.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..6).map_while(|i| u64_at(self.0, i * 8))
    }
}

/// Addresses of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "bpf/wire.h describes them")]
pub struct Sock<'a> {
    pub key: u64,
    pub inode: u64,
    pub family: u16,
    pub ty: u16,
    pub protocol: u16,
    pub local_port: u16,
    pub peer_port: u16,
    pub portid: u32,
    pub local: [u8; 16],
    pub peer: [u8; 16],
    /// Unix: name of this end, without the NUL after it; an abstract one begins with a NUL.
    pub local_name: &'a [u8],
    pub peer_name: &'a [u8],
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

/// The time of a record, without the rest.
pub fn time(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, offset_of!(head, time))
}

/// Decodes one record. None: its kind is unknown, or it is shorter than its kind is.
pub fn decode(bytes: &[u8]) -> Option<(Head, Body<'_>)> {
    let kind = rec_kind(u32::from(*bytes.get(offset_of!(head, kind))?));
    let bits = match kind {
        rec_kind::REC_DATA | rec_kind::REC_EXEC => limits::SLOT_BITS.0,
        _ => limits::NR_BITS.0,
    };
    let nr = u16_at(bytes, offset_of!(head, nr))?;
    let head = Head {
        time: time(bytes)?,
        tid: u32_at(bytes, offset_of!(head, tid))?,
        nr: nr & ((1 << bits) - 1),
        count: nr >> bits,
        flags: *bytes.get(offset_of!(head, flags))?,
    };
    let body = match kind {
        rec_kind::REC_SYSCALL => Body::Syscall {
            duration: u64_at(bytes, offset_of!(rec_syscall, duration))?,
            ret: u64_at(bytes, offset_of!(rec_syscall, ret))? as i64,
            key: u64_at(bytes, offset_of!(rec_syscall, key))?,
            args: Args(bytes.get(offset_of!(rec_syscall, args)..)?),
        },
        rec_kind::REC_TASK => Body::Task {
            pid: u32_at(bytes, offset_of!(rec_task, pid))?,
            ppid: u32_at(bytes, offset_of!(rec_task, ppid))?,
            ns_pid: u32_at(bytes, offset_of!(rec_task, ns_pid))?,
            uid: u32_at(bytes, offset_of!(rec_task, uid))?,
            start_time: u64_at(bytes, offset_of!(rec_task, start_time))?,
            cgroup: u64_at(bytes, offset_of!(rec_task, cgroup))?,
            exe: u64_at(bytes, offset_of!(rec_task, exe))?,
            comm: until_nul(bytes.get(offset_of!(rec_task, comm)..)?),
        },
        rec_kind::REC_FILE => Body::File {
            key: u64_at(bytes, offset_of!(rec_file, key))?,
            inode: u64_at(bytes, offset_of!(rec_file, inode))?,
            dev: u32_at(bytes, offset_of!(rec_file, dev))?,
            magic: u32_at(bytes, offset_of!(rec_file, magic))?,
            names: sized(
                bytes,
                offset_of!(rec_file, names),
                u32_at(bytes, offset_of!(rec_file, bytes))?,
            )?,
        },
        rec_kind::REC_SOCK => Body::Sock(sock(bytes)?),
        rec_kind::REC_DATA => Body::Data {
            base: u64_at(bytes, offset_of!(rec_data, base))?,
            bytes: bytes.get(offset_of!(rec_data, bytes)..)?,
        },
        rec_kind::REC_EXEC => Body::Exec {
            caller: u32_at(bytes, offset_of!(rec_exec, caller))?,
            exe: u64_at(bytes, offset_of!(rec_exec, exe))?,
            argv: bytes.get(offset_of!(rec_exec, argv)..)?,
        },
        rec_kind::REC_EXIT => Body::Exit {
            code: u32_at(bytes, offset_of!(rec_exit, code))?,
        },
        rec_kind::REC_CGROUP => Body::Cgroup {
            cgroup: u64_at(bytes, offset_of!(rec_cgroup, cgroup))?,
            comm: until_nul(sized(
                bytes,
                offset_of!(rec_cgroup, comm),
                limits::COMM_BYTES.0,
            )?),
            path: until_nul(bytes.get(offset_of!(rec_cgroup, path)..)?),
        },
        rec_kind::REC_REQUEST => Body::Request {
            submitted: u64_at(bytes, offset_of!(rec_request, submitted))?,
            args: Args(bytes.get(offset_of!(rec_request, args)..)?),
        },
        rec_kind::REC_COMPLETE => Body::Complete {
            submitted: u64_at(bytes, offset_of!(rec_complete, submitted))?,
            ret: u64_at(bytes, offset_of!(rec_complete, ret))? as i64,
            key: u64_at(bytes, offset_of!(rec_complete, key))?,
        },
        _ => return None,
    };
    Some((head, body))
}

fn sock(bytes: &[u8]) -> Option<Sock<'_>> {
    let names = offset_of!(rec_sock, names);
    let name = |at, len: u8| sized(bytes, at, u32::from(len));
    let local_len = *bytes.get(offset_of!(rec_sock, local_len))?;
    let peer_len = *bytes.get(offset_of!(rec_sock, peer_len))?;
    Some(Sock {
        key: u64_at(bytes, offset_of!(rec_sock, key))?,
        inode: u64_at(bytes, offset_of!(rec_sock, inode))?,
        family: u16_at(bytes, offset_of!(rec_sock, family))?,
        ty: u16_at(bytes, offset_of!(rec_sock, r#type))?,
        protocol: u16_at(bytes, offset_of!(rec_sock, protocol))?,
        local_port: u16_at(bytes, offset_of!(rec_sock, local_port))?,
        peer_port: u16_at(bytes, offset_of!(rec_sock, peer_port))?,
        portid: u32_at(bytes, offset_of!(rec_sock, portid))?,
        local: bytes_at(bytes, offset_of!(rec_sock, local))?,
        peer: bytes_at(bytes, offset_of!(rec_sock, peer))?,
        local_name: name(names, local_len)?,
        peer_name: if peer_len == 0 {
            &[]
        } else {
            name(names + limits::ADDR_MAX_BYTES.0 as usize, peer_len)?
        },
    })
}

fn sized(bytes: &[u8], at: usize, len: u32) -> Option<&[u8]> {
    bytes.get(at..)?.get(..len as usize)
}

/// Inode and device of the bytes of a `DATA_STAT`.
pub fn stat(bytes: &[u8]) -> Option<(u64, u32)> {
    let inode = u64_at(bytes, offset_of!(data_stat, inode))?;
    Some((inode, u32_at(bytes, offset_of!(data_stat, dev))?))
}

/// The number that the bytes of a `DATA_BYTES` are.
pub fn number(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, 0)
}

/// Flags and mode of the bytes of a `DATA_FLAGS`.
pub fn flags(bytes: &[u8]) -> Option<(u64, u64)> {
    let flags = u64_at(bytes, offset_of!(data_flags, flags))?;
    Some((flags, u64_at(bytes, offset_of!(data_flags, mode))?))
}

/// Up to the first NUL, or all.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}
