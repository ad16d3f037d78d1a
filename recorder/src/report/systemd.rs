//! What a service manager is told: systemd's notification protocol, sd_notify(3).

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use ctrace_schema::human::count;

use crate::progress::Progress;

/// The variable that names the manager's socket; of a path that begins with `@` it is an abstract one.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";
/// Microseconds within which the manager wants to hear of us, and whom it means.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// How often the state is told.
const EVERY: Duration = Duration::from_secs(10);

/// The service manager, if one has started us and wants to know.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    stroked: Instant,
    told: Option<Instant>,
}

impl ServiceManager {
    /// Of this process, as its environment says.
    pub(crate) fn from_env() -> ServiceManager {
        ServiceManager {
            socket: env::var(SOCKET).ok().and_then(|name| open(&name)),
            watchdog: watchdog(),
            stroked: Instant::now(),
            told: None,
        }
    }

    /// Recording has begun.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Recording ends; what is left is being written.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Recording goes on. To be called at least twice a second.
    pub(crate) fn notify(&mut self, progress: &Progress) {
        if self.socket.is_none() {
            return;
        }
        if self
            .watchdog
            .is_some_and(|every| self.stroked.elapsed() >= every)
        {
            self.stroked = Instant::now();
            self.send("WATCHDOG=1");
        }
        if self.told.is_none_or(|told| told.elapsed() >= EVERY) {
            self.told = Some(Instant::now());
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
            // A manager that has gone, or does not read, is no reason to stop.
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

/// Half of the time that the manager allows, as sd_watchdog_enabled(3) asks for.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    let within = number(WATCHDOG).filter(|_| ours)?;
    Some(Duration::from_micros(within / 2))
}
