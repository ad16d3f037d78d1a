//! The pager for answers that are longer than the terminal.

use std::io::{self, BufWriter, PipeReader, PipeWriter, Stdout, Write};

use std::sync::atomic::{AtomicBool, Ordering};

use unicode_width::UnicodeWidthStr;

use crate::output::pager_command::pager_command;
#[cfg(target_os = "linux")]
use crate::output::pager_starter;

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Returns whether a pager runs on the terminal, so that nothing else may draw there.
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Holds an answer back until it is longer than the screen, and starts a pager then.
pub(crate) struct PagedScreen {
    buffer: Vec<u8>,
    /// Width of the terminal.
    columns: usize,
    /// Lines of the terminal that are free for the answer.
    free_lines: usize,
    pager: Option<Box<dyn Write + Send>>,
}

impl PagedScreen {
    /// Creates a screen for a terminal of `columns` by `rows`.
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        PagedScreen {
            buffer: Vec::new(),
            columns: columns.max(1),
            // The next prompt needs a line, too.
            free_lines: rows.saturating_sub(1),
            pager: None,
        }
    }

    /// Prints an answer that was short enough to be held back; flushes the pager of a longer one.
    fn finish(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        match self.pager.take() {
            Some(mut pager) => pager.flush(),
            None => io::stdout()
                .write_all(&buffer)
                .and_then(|()| io::stdout().flush()),
        }
    }

    /// Returns the number of screen lines that a line of text needs.
    fn lines(&self, line: &[u8]) -> usize {
        let width = String::from_utf8_lossy(line).width();
        width.div_ceil(self.columns).max(1)
    }
}

impl Write for PagedScreen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(pager) = &mut self.pager {
            return pager.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if bytes.contains(&b'\n') {
            let lines = self
                .buffer
                .split(|b| *b == b'\n')
                .map(|line| self.lines(line));
            // The split yields one more, empty line after the last newline.
            if lines.sum::<usize>() > self.free_lines + 1 {
                let mut pager = start_pager();
                pager.write_all(&std::mem::take(&mut self.buffer))?;
                self.pager = Some(pager);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pager.as_mut().map_or(Ok(()), |pager| pager.flush())
    }
}

/// Starts $PAGER, or less if it is not set. If neither can be started, returns stdout.
fn start_pager() -> Box<dyn Write + Send> {
    match Pager::start() {
        Ok(pager) => Box::new(pager),
        Err(_) => Box::new(BufWriter::new(io::stdout())),
    }
}

/// A running pager. Dropping it closes its stdin, and waits until the user leaves it.
struct Pager {
    stdin: Option<BufWriter<PipeWriter>>,
    /// Waits for the end of the pager.
    wait: Option<Box<dyn FnOnce() + Send>>,
}

impl Pager {
    fn start() -> io::Result<Pager> {
        let (reader, writer) = io::pipe()?;
        let wait = start_process(reader)?;
        RUNNING.store(true, Ordering::Relaxed);
        Ok(Pager {
            stdin: Some(BufWriter::new(writer)),
            wait: Some(wait),
        })
    }
}

/// Starts the pager, which reads from `stdin`. Returns the function that waits for its end.
fn start_process(stdin: PipeReader) -> io::Result<Box<dyn FnOnce() + Send>> {
    #[cfg(target_os = "linux")]
    if let Some(starter) = pager_starter::starter() {
        return starter?.start(stdin);
    }
    let mut child = pager_command().stdin(stdin).spawn()?;
    Ok(Box::new(move || {
        // The pager itself has printed its errors.
        let _ = child.wait();
    }))
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdin
            .as_mut()
            .map_or(Ok(bytes.len()), |stdin| stdin.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.flush())
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Some(wait) = self.wait.take() {
            wait();
        }
        RUNNING.store(false, Ordering::Relaxed);
    }
}

/// The terminal, with or without a pager.
pub(crate) enum TerminalOutput {
    Plain(BufWriter<Stdout>),
    Paged(PagedScreen),
}

impl TerminalOutput {
    /// Shows everything that was written.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            TerminalOutput::Plain(out) => out.flush(),
            TerminalOutput::Paged(screen) => screen.finish(),
        }
    }
}

impl Write for TerminalOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            TerminalOutput::Plain(out) => out.write(bytes),
            TerminalOutput::Paged(screen) => screen.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            TerminalOutput::Plain(out) => out.flush(),
            TerminalOutput::Paged(screen) => screen.flush(),
        }
    }
}
