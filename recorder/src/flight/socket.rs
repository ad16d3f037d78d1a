//! `ctrace-rec dump`: asks a running recorder to write its ring out, and waits until it has.
//!
//! A recorder with a ring listens on a unix socket with an abstract name that has its process id in it: there is no file
//! that a recorder that was killed would leave. Who connects asks; who is neither root nor the recorder's user is not heard.

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

/// What the names of the sockets begin with; the process id follows.
const NAME: &str = "ctrace-rec/";

/// What the recorder answers, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DumpReply {
    /// It goes on recording for so many seconds, and then tells more.
    Wait(f64),
    Done {
        path: String,
        events: u64,
        bytes: u64,
    },
    Failed(String),
}

/// Where a recorder is asked.
pub(crate) struct Door {
    listener: UnixListener,
    /// Who waits for an answer.
    waiting: Vec<UnixStream>,
}

impl Door {
    /// That of this process.
    ///
    /// # Errors
    /// Its name is taken.
    pub(crate) fn open() -> io::Result<Door> {
        let name = format!("{NAME}{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Door {
            listener,
            waiting: vec![],
        })
    }

    /// Lets in who asks, and says whether there is somebody. A dump goes on for `after`.
    pub(crate) fn accept(&mut self, after: Duration) -> bool {
        while let Ok((stream, _)) = self.listener.accept() {
            // A client that does not read must not keep the recorder.
            let ready = stream.set_nonblocking(true).is_ok();
            if ready && peer(&stream).is_ok_and(|(uid, _)| is_trusted(uid)) {
                answer(&stream, &DumpReply::Wait(after.as_secs_f64()));
                self.waiting.push(stream);
            }
        }
        !self.waiting.is_empty()
    }

    /// Tells all who wait what has become of the dump.
    pub(crate) fn reply(&mut self, ended: &Result<Dumped>) {
        let told = match ended {
            Ok(dump) => DumpReply::Done {
                path: dump.path.display().to_string(),
                events: dump.events,
                bytes: dump.bytes,
            },
            Err(e) => DumpReply::Failed(format!("{e:#}")),
        };
        for stream in self.waiting.drain(..) {
            answer(&stream, &told);
        }
    }
}

fn answer(mut stream: &UnixStream, answer: &DumpReply) {
    if let Ok(mut line) = serde_json::to_string(answer) {
        line.push('\n');
        // It may have gone.
        let _ = stream.write_all(line.as_bytes());
    }
}

/// Asks the recorder that runs, or that with this process id, and says on stdout which file it has written.
///
/// # Errors
/// There is none, there are several, or it cannot write.
pub(crate) fn ask(pid: Option<u32>, quiet: bool, out: &mut Vec<u8>) -> Result<()> {
    let pid = match pid {
        Some(pid) => pid,
        None => only(&running()?)?,
    };
    let name = SocketAddr::from_abstract_name(format!("{NAME}{pid}"))?;
    let stream = UnixStream::connect_addr(&name)
        .with_context(|| format!("the process {pid} is no recorder with a ring"))?;
    let (uid, process) = peer(&stream)?;
    if process != pid || !is_trusted(uid) {
        bail!("the process {pid} is no recorder of root or of this user");
    }
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.context("the recorder does not answer")?)? {
            DumpReply::Wait(seconds) if !quiet && seconds > 0.0 => {
                eprintln!("the recorder goes on for {seconds} s, into the same file");
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
            DumpReply::Failed(why) => {
                bail!("the recorder cannot dump its ring: {}", printable(&why))
            }
        }
    }
    bail!("the recorder has ended, or does not hear this user: run `sudo ctrace-rec dump`")
}

/// The one of these recorders.
fn only(running: &[u32]) -> Result<u32> {
    match running {
        [pid] => Ok(*pid),
        [] => bail!(
            "no recorder with a ring runs that this user may ask: start one with `ctrace-rec --ring 15m --out DIR/`, or ask \
             with sudo"
        ),
        [one, ..] => {
            let all: Vec<String> = running.iter().map(u32::to_string).collect();
            bail!(
                "several recorders with a ring run, of the processes {}: say which, `ctrace-rec dump --pid {one}`",
                all.join(", ")
            )
        }
    }
}

/// The recorders that may be asked, by process id.
fn running() -> Result<Vec<u32>> {
    // proc_pid_net(5): the name is the last field, with `@` for the byte that makes it abstract.
    let sockets = fs::read_to_string("/proc/net/unix").context("cannot read /proc/net/unix")?;
    let names = sockets.lines().filter_map(|line| line.rsplit(' ').next());
    let pids = names.filter_map(|name| name.strip_prefix('@')?.strip_prefix(NAME)?.parse().ok());
    let owned = |pid: &u32| {
        let process = fs::metadata(format!("/proc/{pid}"));
        process.is_ok_and(|process| is_trusted(process.uid()))
    };
    let mut pids: Vec<u32> = pids.filter(owned).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Root and this process's own user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// User and process id of whoever is at the other end: SO_PEERCRED of unix(7).
fn peer(stream: &UnixStream) -> io::Result<(u32, u32)> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `len` bytes to `peer`, which is as long.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    match failed {
        0 => Ok((peer.uid, peer.pid as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}
