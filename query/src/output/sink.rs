//! Where bytes go: stdout, a terminal, or a file that appears when it is whole.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ctrace_schema::text::printable;

use crate::output::OutputError;
use crate::output::pager::{Out, Screen};
use crate::cli::Format;

/// Whether the reader of stdout went away. Arrow's writers turn the error into text, so it is noted where it happens.
static CLOSED_PIPE: AtomicBool = AtomicBool::new(false);

/// Whether writing failed because nobody reads any more, which is no error.
pub fn is_closed_pipe() -> bool {
    CLOSED_PIPE.load(Ordering::Relaxed)
}

/// Forgets that a reader went away: another one reads what comes next.
pub fn next_reader() {
    CLOSED_PIPE.store(false, Ordering::Relaxed);
}

/// A place to write to. Dropped before [`Sink::done`], it leaves no file behind.
pub struct Sink {
    to: To,
    /// What an error calls it.
    name: String,
    /// What went wrong with it: writers of formats make other errors of it.
    fault: Arc<OnceLock<String>>,
    /// Columns of the terminal, if it is one.
    pub width: Option<usize>,
    /// Whether a reader waits for each row, which is not kept back then.
    pub live: bool,
}

enum To {
    Pipe(BufWriter<Stdout>),
    Terminal(Terminal),
    File(BufWriter<File>),
    /// Written under another name, and renamed when it is whole.
    Partial {
        file: BufWriter<File>,
        partial: PathBuf,
        path: PathBuf,
    },
}

impl Sink {
    /// Stdout. A terminal gets no binary, and no control characters that come from a recording.
    ///
    /// # Errors
    /// That `format` is binary and stdout a terminal.
    pub fn stdout(format: Format) -> Result<Self, OutputError> {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Ok(Sink::to(To::Pipe(BufWriter::new(stdout)), "stdout".into()));
        }
        if matches!(format, Format::Arrow | Format::Parquet) {
            return Err(OutputError::Binary(format!("{format:?}").to_lowercase()));
        }
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        let terminal = Terminal {
            to: Out::Plain(BufWriter::new(stdout)),
            line: Vec::new(),
        };
        let mut sink = Sink::to(To::Terminal(terminal), "stdout".into());
        sink.width = Some(width);
        Ok(sink)
    }

    fn to(to: To, name: String) -> Self {
        Sink {
            to,
            name,
            fault: Arc::default(),
            width: None,
            live: false,
        }
    }

    /// Stdout, through a pager where the answer is longer than the terminal.
    ///
    /// # Errors
    /// As [`Sink::stdout`].
    pub fn screen(format: Format) -> Result<Self, OutputError> {
        let mut sink = Sink::stdout(format)?;
        if let (To::Terminal(terminal), Some(width)) = (&mut sink.to, sink.width) {
            let rows = terminal_size::terminal_size().map_or(24, |(_, rows)| usize::from(rows.0));
            terminal.to = Out::Screen(Screen::new(width, rows));
        }
        Ok(sink)
    }

    /// A file, which appears, or replaces the one that is there, when it is whole.
    ///
    /// # Errors
    /// That it cannot be made.
    pub fn file(path: &Path) -> Result<Self, OutputError> {
        let name = path.display().to_string();
        let failed = |e| OutputError::Io(format!("cannot write {name}: {e}"));
        // A device or a pipe is written to; only a file can be replaced.
        let special = path.metadata().is_ok_and(|m| !m.is_file());
        let to = if special {
            let file = File::options().write(true).open(path).map_err(failed)?;
            To::File(BufWriter::new(file))
        } else {
            let mut name = path.as_os_str().to_owned();
            name.push(".partial");
            let partial = PathBuf::from(name);
            To::Partial {
                file: BufWriter::new(File::create(&partial).map_err(failed)?),
                partial,
                path: path.to_path_buf(),
            }
        };
        Ok(Sink::to(to, name))
    }

    /// The same, for a reader who waits for each row.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Where it is said what went wrong with writing.
    pub fn fault(&self) -> Arc<OnceLock<String>> {
        self.fault.clone()
    }

    /// Ends the output.
    ///
    /// # Errors
    /// That its last bytes cannot be written.
    pub fn done(mut self) -> io::Result<()> {
        self.flush()?;
        let ended = match &mut self.to {
            To::Terminal(terminal) => terminal.end(),
            To::Partial { partial, path, .. } => std::fs::rename(partial, path),
            To::Pipe(_) | To::File(_) => Ok(()),
        };
        self.note(ended)
    }

    /// An error that says what could not be written.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| {
            if e.kind() == io::ErrorKind::BrokenPipe {
                CLOSED_PIPE.store(true, Ordering::Relaxed);
            }
            let what = format!("cannot write {}: {e}", self.name);
            io::Error::new(e.kind(), self.fault.get_or_init(|| what).clone())
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.to {
            To::Pipe(pipe) => pipe,
            To::Terminal(terminal) => terminal,
            To::File(file) | To::Partial { file, .. } => file,
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let To::Partial { partial, .. } = &self.to {
            // After a rename there is nothing to remove; before it, what is there is no answer.
            let _ = std::fs::remove_file(partial);
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer().write(bytes);
        let written = self.note(written)?;
        if self.live {
            self.flush()?;
        }
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer().flush();
        self.note(flushed)
    }
}

/// A terminal, which shows control characters instead of obeying them.
struct Terminal {
    to: Out,
    /// The line so far: characters may come in pieces.
    line: Vec<u8>,
}

impl Terminal {
    fn end(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.show(&line)?;
        self.to.end()
    }

    fn show(&mut self, line: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        // A tab separates the columns of `--format tsv`.
        for (i, part) in text.split('\t').enumerate() {
            if i > 0 {
                self.to.write_all(b"\t")?;
            }
            self.to.write_all(printable(part).as_bytes())?;
        }
        Ok(())
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
                let line = std::mem::take(&mut self.line);
                self.show(&line)?;
                self.to.write_all(b"\n")?;
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
