//! `ctrace-rec dump`: asks a running recorder to dump its ring, and waits until the dump is finished.
//!
//! A recorder with a ring listens on a unix socket with an abstract name that contains its process id, so a killed
//! recorder leaves no socket file behind. A connection is a request. Connections from users other than root and the
//! recorder's own user are closed without an answer.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ctrace_schema::human::{bytes, count};
use ctrace_schema::text::printable;
use serde::{Deserialize, Serialize};

use crate::flight::shared::Dumped;

/// Prefix of the socket names; the process id follows.
const NAME_PREFIX: &str = "ctrace-rec/";

/// An answer of the recorder, sent as a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DumpReply {
    /// The dump continues to record for this number of seconds; another answer follows.
    Wait(f64),
    Done {
        path: String,
        events: u64,
        bytes: u64,
    },
    Failed(String),
}

/// The listening socket of a recorder.
pub(crate) struct DumpListener {
    listener: UnixListener,
    /// Clients that wait for the result of the dump.
    waiting: Vec<UnixStream>,
}

impl DumpListener {
    /// Listens on the socket of this process.
    ///
    /// # Errors
    /// The name is in use.
    pub(crate) fn open() -> io::Result<DumpListener> {
        let name = format!("{NAME_PREFIX}{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        Ok(DumpListener {
            listener,
            waiting: vec![],
        })
    }

    /// Accepts new clients, and informs them that a dump continues for `after`. Returns whether any client waits.
    pub(crate) fn accept(&mut self, after: Duration) -> bool {
        while let Ok((stream, _)) = self.listener.accept() {
            // A client that does not read must not block the recorder.
            let ready = stream.set_nonblocking(true).is_ok();
            if ready && peer(&stream).is_ok_and(|(uid, _)| is_trusted(uid)) {
                send(&stream, &DumpReply::Wait(after.as_secs_f64()));
                self.waiting.push(stream);
            }
        }
        !self.waiting.is_empty()
    }

    /// Sends the result of the dump to all waiting clients.
    pub(crate) fn reply(&mut self, result: &Result<Dumped>) {
        let reply = match result {
            Ok(dump) => DumpReply::Done {
                path: dump.path.display().to_string(),
                events: dump.events,
                bytes: dump.bytes,
            },
            Err(e) => DumpReply::Failed(format!("{e:#}")),
        };
        for stream in self.waiting.drain(..) {
            send(&stream, &reply);
        }
    }
}

fn send(mut stream: &UnixStream, reply: &DumpReply) {
    if let Ok(mut line) = serde_json::to_string(reply) {
        line.push('\n');
        // The client may have disconnected.
        let _ = stream.write_all(line.as_bytes());
    }
}

/// Requests a dump from the recorder with the process id `pid`, or from the only running one, and adds the name of the
/// file to `out`.
///
/// # Errors
/// No recorder with a ring is running, several are, or the dump has failed.
pub(crate) fn request_dump(pid: Option<u32>, quiet: bool, out: &mut Vec<u8>) -> Result<()> {
    let pid = match pid {
        Some(pid) => pid,
        None => only_recorder(&running_recorders()?)?,
    };
    let name = SocketAddr::from_abstract_name(format!("{NAME_PREFIX}{pid}"))?;
    let stream = UnixStream::connect_addr(&name)
        .with_context(|| format!("process {pid} is not a recorder with a ring"))?;
    let (uid, process) = peer(&stream)?;
    if process != pid || !is_trusted(uid) {
        bail!("process {pid} is not a recorder of root or of this user");
    }
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.context("the recorder does not answer")?)? {
            DumpReply::Wait(seconds) if !quiet && seconds > 0.0 => {
                eprintln!("the dump continues to record for {seconds} s");
            }
            DumpReply::Wait(_) => {}
            DumpReply::Done {
                path,
                events,
                bytes: size,
            } => {
                let path = printable(&path).into_owned();
                if !quiet {
                    eprintln!("dumped {} events ({}) to:", count(events), bytes(size));
                }
                writeln!(out, "{path}")?;
                return Ok(());
            }
            DumpReply::Failed(error) => {
                bail!("the recorder cannot dump its ring: {}", printable(&error))
            }
        }
    }
    bail!(
        "the recorder has ended, or does not accept requests of this user: run `sudo ctrace-rec dump`"
    )
}

/// Returns the process id of the only running recorder.
fn only_recorder(running: &[u32]) -> Result<u32> {
    match running {
        [pid] => Ok(*pid),
        [] => bail!(
            "no recorder with a ring is running for this user: start one with `ctrace-rec --ring 15m --out DIR/`, or dump \
             the ring of root's recorder with `sudo ctrace-rec dump`"
        ),
        [first, ..] => {
            let all: Vec<String> = running.iter().map(u32::to_string).collect();
            bail!(
                "several recorders with a ring are running, with the process ids {}: choose one, \
                 `ctrace-rec dump --pid {first}`",
                all.join(", ")
            )
        }
    }
}

/// Returns the process ids of all recorders that accept requests of this user.
fn running_recorders() -> Result<Vec<u32>> {
    // proc_pid_net(5): the name is the last field. The `@` of a name stands for the null byte of an abstract name.
    let sockets = fs::read_to_string("/proc/net/unix").context("cannot read /proc/net/unix")?;
    let names = sockets.lines().filter_map(|line| line.rsplit(' ').next());
    let pids = names.filter_map(|name| {
        name.strip_prefix('@')?
            .strip_prefix(NAME_PREFIX)?
            .parse()
            .ok()
    });
    let is_trusted_process = |pid: &u32| {
        let process = fs::metadata(format!("/proc/{pid}"));
        process.is_ok_and(|process| is_trusted(process.uid()))
    };
    let mut pids: Vec<u32> = pids.filter(is_trusted_process).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Returns whether `uid` is root or this process's own user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Returns the user and process id of the other end: SO_PEERCRED of unix(7).
fn peer(stream: &UnixStream) -> io::Result<(u32, u32)> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `len` bytes to `peer`, which has that size.
    let status = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    match status {
        0 => Ok((peer.uid, peer.pid as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}
