//! Notifies a service manager of the recorder's state, with systemd's notification protocol: sd_notify(3).

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use ctrace_schema::human::count;

use crate::progress::Progress;

/// Environment variable with the name of the manager's socket. A name that begins with `@` is abstract.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";
/// Environment variables with the watchdog timeout in microseconds, and the process id that the timeout applies to.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// Time between two status lines.
const STATUS_TIME: Duration = Duration::from_secs(10);

/// The service manager, if one has started this process and asks for notifications.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Time between two watchdog notifications.
    watchdog: Option<Duration>,
    /// Time of the last watchdog notification.
    last_ping: Instant,
    last_status: Option<Instant>,
}

impl ServiceManager {
    /// Reads the environment of this process.
    pub(crate) fn from_env() -> ServiceManager {
        ServiceManager {
            socket: env::var(SOCKET).ok().and_then(|name| open(&name)),
            watchdog: watchdog(),
            last_ping: Instant::now(),
            last_status: None,
        }
    }

    /// Notifies the manager that the recording has begun.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Notifies the manager that the recording ends, and that the remaining events are being written.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Notifies the manager of the progress and of the watchdog, as often as each is due. Called at least twice a
    /// second.
    pub(crate) fn notify(&mut self, progress: &Progress) {
        if self.socket.is_none() {
            return;
        }
        if self
            .watchdog
            .is_some_and(|time| self.last_ping.elapsed() >= time)
        {
            self.last_ping = Instant::now();
            self.send("WATCHDOG=1");
        }
        if self
            .last_status
            .is_none_or(|last| last.elapsed() >= STATUS_TIME)
        {
            self.last_status = Some(Instant::now());
            let full = match progress.spilled_bytes {
                Some(_) => "the disk is full; ",
                None => "",
            };
            self.send(&format!(
                "STATUS={full}{} containers, {} events, {} lost",
                progress.containers,
                count(progress.events),
                count(progress.total_lost()),
            ));
        }
    }

    fn send(&self, state: &str) {
        if let Some((socket, to)) = &self.socket {
            // Recording continues even if the manager has exited or does not read.
            let _ = socket.send_to_addr(state.as_bytes(), to);
        }
    }
}

fn open(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let to = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, to.ok()?))
}

/// Returns half of the watchdog timeout, the interval that sd_watchdog_enabled(3) recommends.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_own = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    let timeout = number(WATCHDOG).filter(|_| is_own)?;
    Some(Duration::from_micros(timeout / 2))
}
