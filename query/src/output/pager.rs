//! Answers that are longer than the screen are shown in a pager.

use std::io::{self, BufWriter, Stdout, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use unicode_width::UnicodeWidthStr;

/// Whether a pager has the terminal.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether a pager has the terminal, on which nothing else should be drawn then.
pub fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Holds an answer back until it is longer than the screen, and gives it to a pager then.
pub struct Screen {
    held: Vec<u8>,
    /// Width of the terminal.
    columns: usize,
    /// Lines of the terminal that are free for the answer.
    room: usize,
    to: Option<Box<dyn Write + Send>>,
}

impl Screen {
    /// For a terminal of `columns` by `rows`.
    pub fn new(columns: usize, rows: usize) -> Self {
        Screen {
            held: Vec::new(),
            columns: columns.max(1),
            // The next prompt is on the screen, too.
            room: rows.saturating_sub(1),
            to: None,
        }
    }

    /// Shows what was held back.
    pub fn end(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        match self.to.take() {
            Some(mut to) => to.flush(),
            None => io::stdout()
                .write_all(&held)
                .and_then(|()| io::stdout().flush()),
        }
    }

    /// How many lines of the screen a line of text takes.
    fn lines(&self, line: &[u8]) -> usize {
        let width = String::from_utf8_lossy(line).width();
        width.div_ceil(self.columns).max(1)
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(to) = &mut self.to {
            return to.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        if bytes.contains(&b'\n') {
            let lines = self
                .held
                .split(|b| *b == b'\n')
                .map(|line| self.lines(line));
            // Behind the last end of a line is nothing yet.
            if lines.sum::<usize>() > self.room + 1 {
                let mut to = open();
                to.write_all(&std::mem::take(&mut self.held))?;
                self.to = Some(to);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), |to| to.flush())
    }
}

/// $PAGER, else less; the terminal itself where there is neither.
fn open() -> Box<dyn Write + Send> {
    let pager = std::env::var("PAGER")
        .ok()
        .filter(|pager| !pager.trim().is_empty());
    let mut command = Command::new(if pager.is_some() { "sh" } else { "less" });
    if let Some(pager) = &pager {
        command.args(["-c", pager]);
    }
    if std::env::var_os("LESS").is_none() {
        // It ends with an answer of less than a screen, and leaves on the screen what was last seen: as git has it.
        command.env("LESS", "FX");
    }
    let mut child = match command.stdin(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(_) => return Box::new(BufWriter::new(io::stdout())),
    };
    OPEN.store(true, Ordering::Relaxed);
    let to = child.stdin.take().map(BufWriter::new);
    Box::new(Pager { to, child })
}

/// A pager that runs. Dropped, it has all that there is, and its user is waited for.
struct Pager {
    to: Option<BufWriter<std::process::ChildStdin>>,
    child: Child,
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to
            .as_mut()
            .map_or(Ok(bytes.len()), |to| to.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), |to| to.flush())
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        drop(self.to.take());
        // It has said itself what went wrong with it.
        let _ = self.child.wait();
        OPEN.store(false, Ordering::Relaxed);
    }
}

/// Where a terminal's lines go.
pub enum Out {
    Plain(BufWriter<Stdout>),
    Screen(Screen),
}

impl Out {
    /// Shows all that was written.
    pub fn end(&mut self) -> io::Result<()> {
        match self {
            Out::Plain(out) => out.flush(),
            Out::Screen(screen) => screen.end(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Plain(out) => out.write(bytes),
            Out::Screen(screen) => screen.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Plain(out) => out.flush(),
            Out::Screen(screen) => screen.flush(),
        }
    }
}
