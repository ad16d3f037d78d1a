//! A process that starts pagers for a shell that is confined, and so can run no program itself.
//!
//! The process is a fork of the program from before it reads anything. It opens no recording; all that it takes from the
//! shell is the number of a descriptor.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::output::pager_command::pager_command;

/// The process that starts pagers; `None`: it could not be created.
static STARTER: OnceLock<Option<PagerStarter>> = OnceLock::new();

/// The answers of the process: a pager has been started, could not be started, or has ended.
const STARTED: &str = "started";
const FAILED: &str = "failed";
const ENDED: &str = "ended";

/// The connection to the process that starts pagers. The process ends with the connection.
#[derive(Clone)]
pub(super) struct PagerStarter(Arc<Mutex<BufReader<UnixStream>>>);

/// Creates the process that starts pagers from now on, one at a time. To be called before this process starts a thread.
pub(crate) fn start_pagers_apart() {
    STARTER.get_or_init(|| PagerStarter::create().ok());
}

/// Returns the process that starts pagers; `None`: this process may start them itself.
pub(super) fn starter() -> Option<io::Result<PagerStarter>> {
    let starter = STARTER.get()?.clone();
    Some(starter.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
}

impl PagerStarter {
    fn create() -> io::Result<PagerStarter> {
        let (own, other) = UnixStream::pair()?;
        // SAFETY: this process has no other thread that could hold a lock at the time of the fork.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(own);
                let_signals_pass();
                // The connection fails when the shell has ended.
                let _ = serve(other, parent_id());
                std::process::exit(0)
            }
            _ => Ok(PagerStarter(Arc::new(Mutex::new(BufReader::new(own))))),
        }
    }

    /// Starts a pager that reads from `stdin`. Returns the function that waits for its end.
    pub(super) fn start(self, stdin: PipeReader) -> io::Result<Box<dyn FnOnce() + Send>> {
        let answer = self.send(&format!("{}\n", stdin.as_raw_fd()))?;
        if answer != STARTED {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(move || {
            let _ = self.receive();
        }))
    }

    fn send(&self, line: &str) -> io::Result<String> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.get_ref().write_all(line.as_bytes())?;
        drop(connection);
        self.receive()
    }

    fn receive(&self) -> io::Result<String> {
        let mut line = String::new();
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.read_line(&mut line)?;
        Ok(line.trim_end().to_string())
    }
}

/// Keeps Ctrl-C and Ctrl-\ on the terminal from ending this process. A handler, unlike `SIG_IGN`, is not inherited by the
/// pagers.
fn let_signals_pass() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int);
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: the handler does nothing, which is safe at any time.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Starts a pager for each line of `connection`, which is the number of a descriptor of the process `shell`.
fn serve(connection: UnixStream, shell: u32) -> io::Result<()> {
    let mut answers = connection.try_clone()?;
    for line in BufReader::new(connection).lines() {
        let descriptor = line?.parse::<u32>().map_err(io::Error::other)?;
        let stdin = File::open(format!("/proc/{shell}/fd/{descriptor}"));
        match stdin.and_then(|stdin| pager_command().stdin(stdin).spawn()) {
            Ok(mut pager) => {
                writeln!(answers, "{STARTED}")?;
                // The pager itself has printed its errors.
                let _ = pager.wait();
                writeln!(answers, "{ENDED}")?;
            }
            Err(_) => writeln!(answers, "{FAILED}")?,
        }
    }
    Ok(())
}
