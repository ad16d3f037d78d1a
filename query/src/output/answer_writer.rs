//! The bytes of an answer on their way to stdout, a terminal, or a file that appears when it is complete.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ctrace_format::digest::Digest;
use ctrace_schema::text::{path_text, printable};

use crate::output::error::OutputError;
use crate::output::format::AnswerFormat;
use crate::output::pager::{PagedScreen, TerminalOutput};
use crate::output::partial::PartialFile;

/// True if the reader of stdout has closed the pipe. Arrow's writers turn the I/O error into text, so the fact is stored
/// where the error occurs.
static CLOSED_PIPE: AtomicBool = AtomicBool::new(false);

/// Returns whether writing failed because the reader closed the pipe, which is not an error.
pub(crate) fn is_closed_pipe() -> bool {
    CLOSED_PIPE.load(Ordering::Relaxed)
}

/// Forgets a closed pipe, because the next output has a reader of its own.
pub(crate) fn forget_closed_pipe() {
    CLOSED_PIPE.store(false, Ordering::Relaxed);
}

/// A writer for one answer. Dropped before [`AnswerWriter::finish`], it leaves no file behind.
pub(crate) struct AnswerWriter {
    medium: OutputMedium,
    /// The name of the medium in errors.
    name: String,
    /// The first I/O error. The writers of formats replace I/O errors by errors of their own.
    fault: Arc<OnceLock<String>>,
    /// Columns of the terminal, if the medium is one.
    pub(crate) width: Option<usize>,
    /// True if a reader waits for each row, so that rows must not be held back.
    pub(crate) live: bool,
    /// The placeholder of the digest of a recording.
    placeholder: Option<Digest>,
}

enum OutputMedium {
    Pipe(BufWriter<Stdout>),
    Terminal(Terminal),
    File(BufWriter<File>),
    Partial(BufWriter<File>, PartialFile),
}

impl AnswerWriter {
    /// Creates a writer to stdout. A terminal gets no binary data, and no control characters that come from a
    /// recording.
    ///
    /// # Errors
    /// `format` is binary and stdout is a terminal.
    pub(crate) fn stdout(format: AnswerFormat) -> Result<Self, OutputError> {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Ok(AnswerWriter::new(
                OutputMedium::Pipe(BufWriter::new(stdout)),
                "stdout".into(),
            ));
        }
        if format.is_binary() {
            return Err(OutputError::Binary(format.name()));
        }
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        let terminal = Terminal {
            to: TerminalOutput::Plain(BufWriter::new(stdout)),
            line: Vec::new(),
        };
        let mut writer = AnswerWriter::new(OutputMedium::Terminal(terminal), "stdout".into());
        writer.width = Some(width);
        Ok(writer)
    }

    fn new(medium: OutputMedium, name: String) -> Self {
        AnswerWriter {
            medium,
            name,
            fault: Arc::default(),
            width: None,
            live: false,
            placeholder: None,
        }
    }

    /// Creates a writer to stdout, through a pager if the answer is longer than the terminal.
    ///
    /// # Errors
    /// The errors of [`AnswerWriter::stdout`].
    pub(crate) fn pager(format: AnswerFormat) -> Result<Self, OutputError> {
        let mut writer = AnswerWriter::stdout(format)?;
        if let (OutputMedium::Terminal(terminal), Some(width)) = (&mut writer.medium, writer.width)
        {
            let rows = terminal_size::terminal_size().map_or(24, |(_, rows)| usize::from(rows.0));
            terminal.to = TerminalOutput::Paged(PagedScreen::new(width, rows));
        }
        Ok(writer)
    }

    /// Creates a writer to a file, which appears under its name, and replaces an earlier file, when it is complete. `mode`:
    /// the permissions of [`PartialFile::create`].
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn file(path: &Path, mode: u32) -> Result<Self, OutputError> {
        let name = path_text(path);
        let failed = |e| OutputError::Io(format!("cannot write {name}: {e}"));
        // A device or a named pipe is written to directly; only a regular file can be replaced.
        let special = path.metadata().is_ok_and(|m| !m.is_file());
        let medium = if special {
            let file = File::options().write(true).open(path).map_err(failed)?;
            OutputMedium::File(BufWriter::new(file))
        } else {
            let (partial, file) = PartialFile::create(path, mode).map_err(failed)?;
            OutputMedium::Partial(BufWriter::new(file), partial)
        };
        Ok(AnswerWriter::new(medium, name))
    }

    /// Returns the same writer, which passes on each row at once.
    pub(crate) fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Returns the placeholder that the metadata of a recording contain, which is replaced by the digest when the file is
    /// complete; `None`: the output is not a file.
    pub(crate) fn digest_placeholder(&mut self) -> Option<Digest> {
        if let OutputMedium::Partial(..) = self.medium {
            self.placeholder = Some(Digest::placeholder());
        }
        self.placeholder
    }

    /// Returns the place where the first I/O error will be stored.
    pub(crate) fn fault(&self) -> Arc<OnceLock<String>> {
        self.fault.clone()
    }

    /// Completes the output.
    ///
    /// # Errors
    /// The last bytes cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        let finished = match &mut self.medium {
            OutputMedium::Terminal(terminal) => terminal.finish(),
            OutputMedium::Partial(_, partial) => {
                let sealed = self
                    .placeholder
                    .map_or(Ok(()), |placeholder| partial.seal(&placeholder));
                sealed.and_then(|()| partial.finish())
            }
            OutputMedium::Pipe(_) | OutputMedium::File(_) => Ok(()),
        };
        self.note(finished)
    }

    /// Stores an error, and adds the name of the medium.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| {
            if e.kind() == io::ErrorKind::BrokenPipe {
                CLOSED_PIPE.store(true, Ordering::Relaxed);
            }
            let message = format!("cannot write {}: {e}", self.name);
            io::Error::new(e.kind(), self.fault.get_or_init(|| message).clone())
        })
    }

    fn inner(&mut self) -> &mut dyn Write {
        match &mut self.medium {
            OutputMedium::Pipe(pipe) => pipe,
            OutputMedium::Terminal(terminal) => terminal,
            OutputMedium::File(file) | OutputMedium::Partial(file, _) => file,
        }
    }
}

impl Write for AnswerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner().write(bytes);
        let written = self.note(written)?;
        if self.live {
            self.flush()?;
        }
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner().flush();
        self.note(flushed)
    }
}

/// A terminal. Control characters are shown, and not sent to it.
struct Terminal {
    to: TerminalOutput,
    /// The incomplete last line: a character may arrive in several pieces.
    line: Vec<u8>,
}

impl Terminal {
    fn finish(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.show(&line)?;
        self.to.finish()
    }

    fn show(&mut self, line: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        // A tab separates the columns of `--format tsv`.
        for (i, cell) in text.split('\t').enumerate() {
            if i > 0 {
                self.to.write_all(b"\t")?;
            }
            self.to.write_all(printable(cell).as_bytes())?;
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
