//! Messages for people: lines on stderr, and the errors that are made of panics.

use std::any::Any;
use std::io::Write;
use std::time::Instant;

use ctrace_schema::text::printable;

/// Writes an error to stderr.
pub(crate) fn error(message: &str) {
    write_message("error", message);
}

/// Writes a warning to stderr.
pub(crate) fn warning(message: &str) {
    write_message("warning", message);
}

/// Writes a line about the work to stderr, such as `wrote: answer.csv`.
pub(crate) fn status(action: &str, object: &str) {
    write_message(action, object);
}

/// Writes the time since `start` to stderr.
pub(crate) fn elapsed(start: Instant) {
    let ms = start.elapsed().as_secs_f64() * 1e3;
    status("took", &format!("{ms:.1} ms"));
}

/// Writes a message to stderr. Control characters are escaped, because a message may quote a file from an untrusted
/// source.
fn write_message(label: &str, message: &str) {
    let message = message.replace('\t', "    ");
    let lines: Vec<_> = message.lines().map(printable).collect();
    // When stderr is closed, nobody can be informed of that.
    let _ = writeln!(std::io::stderr(), "{label}: {}", lines.join("\n"));
}

/// Turns the panic of a reader of a damaged file into an error.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> anyhow::Error {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    anyhow::anyhow!(
        "the reader panicked ({message}). The recording is damaged, or this is a bug in ctrace-query; RUST_BACKTRACE=1 shows the place"
    )
}
