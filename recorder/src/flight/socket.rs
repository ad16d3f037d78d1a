//! `ctrace-rec dump`: asks a running recorder to dump its ring, and waits until the dump is finished.
//!
//! A recorder with a ring listens on a unix socket in a directory that only its user can enter: `/run/ctrace/PID.sock` for
//! root, `$XDG_RUNTIME_DIR/ctrace/PID.sock` for others. No other user and no container can reach it, take its name, or
//! occupy the recorder with requests. A connection is a request. Connections from users other than root and the
//! recorder's own user are closed without an answer.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ctrace_schema::human::{bytes, count};
use ctrace_schema::text::printable;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::flight::shared::Dumped;
use crate::peer::{self, Peer};

/// The directory of the sockets of root's recorders.
const ROOT_DIRECTORY: &str = "/run/ctrace";
/// The extension of a socket; its name is the process id.
const EXTENSION: &str = "sock";
/// The most clients that wait for a dump.
const MAX_WAITING: usize = 64;

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

/// Returns the directory of the sockets of this user's recorders.
pub(crate) fn directory() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(ROOT_DIRECTORY.into());
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty());
    let runtime =
        runtime.context("XDG_RUNTIME_DIR is not set: it names the directory of the socket")?;
    Ok(Path::new(&runtime).join("ctrace"))
}

fn socket_path(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("{pid}.{EXTENSION}"))
}

/// The listening socket of a recorder. Dropping it removes the socket's file.
pub(crate) struct DumpListener {
    listener: UnixListener,
    path: PathBuf,
    /// Clients that wait for the result of the dump.
    waiting: Vec<(UnixStream, Peer)>,
}

impl Drop for DumpListener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl DumpListener {
    /// Listens on the socket of this process, and removes the sockets of recorders that were killed.
    ///
    /// # Errors
    /// The directory of the sockets belongs to another user, or the socket cannot be created.
    pub(crate) fn open() -> Result<DumpListener> {
        let directory = directory()?;
        files::make_directory(&directory)?;
        // Somebody else may have made it: the kubelet makes the directories of volumes for all to enter.
        fs::set_permissions(&directory, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {} to others", directory.display()))?;
        for pid in sockets(&directory).filter(|pid| !is_running(*pid)) {
            let _ = fs::remove_file(socket_path(&directory, pid));
        }
        let path = socket_path(&directory, std::process::id());
        // Left by a killed recorder with the same process id.
        let _ = fs::remove_file(&path);
        let failed = || format!("cannot listen at {}", path.display());
        let listener = UnixListener::bind(&path).with_context(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(failed)?;
        listener.set_nonblocking(true).with_context(failed)?;
        Ok(DumpListener {
            listener,
            path,
            waiting: vec![],
        })
    }

    /// Accepts a new client, if there is one, and informs it that a dump continues for `after`. Returns who has waited
    /// longest for a dump.
    pub(crate) fn accept(&mut self, after: Duration) -> Option<Peer> {
        if self.waiting.len() < MAX_WAITING
            && let Ok((stream, _)) = self.listener.accept()
        {
            // A client that does not read must not block the recorder.
            let ready = stream.set_nonblocking(true).is_ok();
            if let Ok(peer) = peer::of(&stream)
                && ready
                && is_trusted(peer.uid)
            {
                send(&stream, &DumpReply::Wait(after.as_secs_f64()));
                self.waiting.push((stream, peer));
            }
        }
        self.waiting.first().map(|(_, peer)| *peer)
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
        for (stream, _) in self.waiting.drain(..) {
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
    let directory = directory()?;
    let pid = match pid {
        Some(pid) => pid,
        None => only_recorder(&running_recorders(&directory))?,
    };
    let stream = UnixStream::connect(socket_path(&directory, pid))
        .with_context(|| format!("process {pid} is not a recorder with a ring of this user"))?;
    let server = peer::of(&stream)?;
    if server.pid != pid || !is_trusted(server.uid) {
        bail!("process {pid} is not a recorder of root or of this user");
    }
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.context("the recorder does not answer")?)? {
            DumpReply::Wait(seconds) if !quiet && seconds > 0.0 => {
                say!("the dump continues to record for {seconds} s");
            }
            DumpReply::Wait(_) => {}
            DumpReply::Done {
                path,
                events,
                bytes: size,
            } => {
                let path = printable(&path).into_owned();
                if !quiet {
                    say!("dumped {} events ({}) to:", count(events), bytes(size));
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

/// Returns the process ids of the recorders of this user with a ring.
fn running_recorders(directory: &Path) -> Vec<u32> {
    let mut pids: Vec<u32> = sockets(directory).filter(|pid| is_running(*pid)).collect();
    pids.sort_unstable();
    pids
}

/// Returns the process ids in the names of all sockets.
fn sockets(directory: &Path) -> impl Iterator<Item = u32> + use<> {
    let entries = files::entries(directory).into_iter();
    entries.filter_map(|path| {
        let is_socket = path.extension() == Some(OsStr::new(EXTENSION));
        path.file_stem()?
            .to_str()?
            .parse()
            .ok()
            .filter(|_| is_socket)
    })
}

/// Returns whether a process of this user or of root has this process id.
fn is_running(pid: u32) -> bool {
    let process = fs::metadata(format!("/proc/{pid}"));
    process.is_ok_and(|process| is_trusted(process.uid()))
}

/// Returns whether `uid` is root or this process's own user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}
