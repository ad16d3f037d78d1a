//! The process at the other end of a unix socket.

use std::io;
use std::os::fd::AsRawFd;

/// A process at the other end of a unix socket: the one that connected or, for the end that connected, the one that listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The effective user id.
    pub(crate) uid: u32,
    pub(crate) pid: u32,
}

/// Returns the process at the other end of a connected socket: SO_PEERCRED of unix(7).
pub(crate) fn of(socket: &impl AsRawFd) -> io::Result<Peer> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `len` bytes to `peer`, which has that size.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    match status {
        0 => Ok(Peer {
            uid: peer.uid,
            pid: peer.pid as u32,
        }),
        _ => Err(io::Error::last_os_error()),
    }
}
