//! The places that an answer can go to.

use std::io::Write;
use std::path::Path;

use ctrace_schema::text::path_text;

use crate::messages;
use crate::output::answer_writer::AnswerWriter;
use crate::output::error::OutputError;
use crate::output::escape::JsonEscaper;
use crate::output::format::AnswerFormat;

/// The destination of an answer: stdout, stdout through a pager, or a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnswerDestination<'a> {
    Stdout,
    /// Stdout, through a pager if the answer is longer than the terminal.
    Pager,
    /// A file that appears when it is complete, with its permissions: see [`common_mode`](crate::output::common_mode).
    File(&'a Path, u32),
}

impl AnswerDestination<'_> {
    /// Opens the destination.
    ///
    /// # Errors
    /// The errors of [`AnswerWriter::stdout`] and [`AnswerWriter::file`].
    pub(crate) fn open(self, format: AnswerFormat) -> Result<AnswerWriter, OutputError> {
        match self {
            AnswerDestination::Stdout => AnswerWriter::stdout(format),
            AnswerDestination::Pager => AnswerWriter::pager(format),
            AnswerDestination::File(path, mode) => AnswerWriter::file(path, mode),
        }
    }

    /// Writes a text that is not an answer, such as help.
    ///
    /// # Errors
    /// The destination cannot be written.
    pub(crate) fn print(self, text: &str) -> anyhow::Result<()> {
        let mut writer = self.open(AnswerFormat::Table)?;
        writeln!(writer, "{text}")?;
        writer.finish()?;
        if let AnswerDestination::File(path, _) = self {
            messages::status("wrote", &path_text(path));
        }
        Ok(())
    }

    /// Writes JSON that is not an answer, with control characters escaped.
    ///
    /// # Errors
    /// The destination cannot be written.
    pub(crate) fn print_json(self, json: &serde_json::Value) -> anyhow::Result<()> {
        let mut escaped = JsonEscaper::new(vec![]);
        serde_json::to_writer(&mut escaped, json)?;
        self.print(&String::from_utf8(escaped.into_inner())?)
    }
}
