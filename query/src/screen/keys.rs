//! Keys and signals, as they arrive.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The time after which the thread that waits for keys sees that the program ends.
const END_CHECK: Duration = Duration::from_millis(50);

/// Something that the user, or another process, did.
#[derive(Debug)]
pub(crate) enum Input {
    /// A key that was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// Ctrl-C, or SIGINT.
    Interrupted,
    /// A signal that asks the program to end, with its name.
    Ended(&'static str),
    /// The terminal cannot be read.
    Failed(io::Error),
}

/// The keys of the terminal, which a thread reads, and the signals.
pub(super) struct Keys {
    events: UnboundedReceiver<io::Result<Event>>,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// Starts to listen. To be called in tokio's runtime.
    ///
    /// # Errors
    /// A signal cannot be caught, or the thread cannot be started.
    pub(super) fn listen() -> io::Result<Keys> {
        let (sender, events) = unbounded_channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let listen = move || {
            while !over.load(Ordering::Relaxed) {
                let Some(event) = read() else { continue };
                let is_last = event.is_err();
                if sender.send(event).is_err() || is_last {
                    return;
                }
            }
        };
        Ok(Keys {
            events,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            is_over,
            thread: Some(std::thread::Builder::new().spawn(listen)?),
        })
    }

    pub(super) async fn next(&mut self) -> Input {
        loop {
            let event = tokio::select! {
                _ = self.interrupt.recv() => return Input::Interrupted,
                _ = self.terminate.recv() => return Input::Ended("SIGTERM"),
                _ = self.hang_up.recv() => return Input::Ended("SIGHUP"),
                event = self.events.recv() => event,
            };
            let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
            match event.unwrap_or_else(|| Err(closed())) {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Release => {}
                Ok(Event::Key(key)) if is_interrupt(&key) => return Input::Interrupted,
                Ok(Event::Key(key)) => return Input::Key(key),
                Ok(Event::Resize(..)) => return Input::Resized,
                Ok(_) => {}
                Err(error) => return Input::Failed(error),
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Keys that are typed later are for the next program. The thread does not end if the terminal has just gone: see read().
        let mut waits = 0..20;
        while !thread.is_finished() && waits.next().is_some() {
            std::thread::sleep(END_CHECK / 5);
        }
    }
}

/// Waits a moment for an event of the terminal.
fn read() -> Option<io::Result<Event>> {
    // crossterm does not stop reading a terminal that is gone.
    if let Err(error) = wait_for_key() {
        return Some(Err(error));
    }
    match event::poll(Duration::ZERO) {
        Ok(true) => Some(event::read()),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Waits until the terminal has input, or for [`END_CHECK`].
///
/// # Errors
/// The terminal is gone.
fn wait_for_key() -> io::Result<()> {
    let mut terminal = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: poll(2) writes into one struct, which it is given.
    let ready = unsafe { libc::poll(&raw mut terminal, 1, END_CHECK.as_millis() as i32) };
    match io::Error::last_os_error() {
        error if ready < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ if ready > 0 && terminal.revents & libc::POLLHUP != 0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it was closed",
        )),
        _ => Ok(()),
    }
}

fn is_interrupt(key: &KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}
