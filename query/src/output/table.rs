//! Answers for people: aligned columns, lists, plans, and Markdown.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use ctrace_schema::text::printable;
use unicode_width::UnicodeWidthStr;

use crate::output::answer_writer::AnswerWriter;
use crate::output::batch_writer::{BatchWriter, CELL_OPTIONS};
use crate::output::layout::{CellKind, GAP, TableLayout, TextRow};

/// Rows that decide the layout. Later rows are written in the same layout, so that memory stays bounded.
const SAMPLE_ROWS: usize = 1000;

/// Aligned columns below their names: numbers to the right, text to the left, null as an empty cell. On a terminal each
/// row is one line, laid out by [`TableLayout`]; if that is impossible, rows are lists like those of [`VerticalWriter`].
pub(crate) struct TableWriter {
    writer: AnswerWriter,
    names: TextRow,
    kinds: Vec<CellKind>,
    sample: Vec<TextRow>,
    shape: Option<TableShape>,
}

enum TableShape {
    Table(TableLayout),
    List(RowLists),
}

impl TableWriter {
    pub(crate) fn new(schema: &SchemaRef, writer: AnswerWriter) -> Self {
        TableWriter {
            writer,
            names: names(schema),
            kinds: schema
                .fields()
                .iter()
                .map(|f| CellKind::new(f.data_type()))
                .collect(),
            sample: Vec::new(),
            shape: None,
        }
    }

    /// Decides the shape, and writes the header and the sample. `complete`: the sample is the whole answer.
    fn write_sample(&mut self, complete: bool) -> std::io::Result<()> {
        let sample = std::mem::take(&mut self.sample);
        let (names, kinds) = (&self.names, &self.kinds);
        let layout = match self.writer.width {
            // Without rows, there is nothing to list.
            Some(max_width) if !sample.is_empty() => {
                TableLayout::fitted(names, kinds, &sample, complete, max_width)
            }
            _ => Some(TableLayout::full(names, kinds, &sample)),
        };
        let shape = match layout {
            Some(layout) => {
                for line in layout.header(self.writer.width) {
                    writeln!(self.writer, "{line}")?;
                }
                TableShape::Table(layout)
            }
            None => {
                writeln!(
                    self.writer,
                    "as lists, because the terminal is too narrow for a table:"
                )?;
                TableShape::List(RowLists::new(names.clone()))
            }
        };
        self.shape = Some(shape);
        sample.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &TextRow) -> std::io::Result<()> {
        match &mut self.shape {
            Some(TableShape::Table(layout)) => writeln!(self.writer, "{}", layout.row(row)),
            Some(TableShape::List(lists)) => lists.row(&mut self.writer, row),
            None => Ok(()),
        }
    }
}

impl BatchWriter for TableWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            match self.shape {
                Some(_) => self.row(&row)?,
                None => self.sample.push(row),
            }
            if self.sample.len() >= SAMPLE_ROWS {
                self.write_sample(false)?;
            }
        }
        if self.writer.live && self.shape.is_none() {
            self.write_sample(false)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        if self.shape.is_none() {
            self.write_sample(true)?;
        }
        Ok(self.writer.finish()?)
    }
}

/// Returns the names of the columns, with control characters escaped.
fn names(schema: &SchemaRef) -> TextRow {
    let fields = schema.fields().iter();
    fields.map(|f| printable(f.name()).into_owned()).collect()
}

/// Rows as lists of columns and values.
struct RowLists {
    names: TextRow,
    width: usize,
    rows: usize,
}

impl RowLists {
    fn new(names: TextRow) -> Self {
        RowLists {
            width: names.iter().map(|n| n.width()).max().unwrap_or(0),
            names,
            rows: 0,
        }
    }

    fn row(&mut self, writer: &mut AnswerWriter, row: &TextRow) -> std::io::Result<()> {
        self.rows += 1;
        writeln!(writer, "-- row {} --", self.rows)?;
        let cells = self.names.iter().zip(row);
        for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
            let pad = " ".repeat(self.width - name.width());
            writeln!(writer, "{name}{pad}{GAP}{cell}")?;
        }
        Ok(())
    }
}

/// Writes each row as a list of columns and values. Values are not cut, nulls are left out.
pub(crate) struct VerticalWriter {
    writer: AnswerWriter,
    lists: RowLists,
}

impl VerticalWriter {
    pub(crate) fn new(schema: &SchemaRef, writer: AnswerWriter) -> Self {
        VerticalWriter {
            writer,
            lists: RowLists::new(names(schema)),
        }
    }
}

impl BatchWriter for VerticalWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            self.lists.row(&mut self.writer, &row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.writer.finish()?)
    }
}

/// The answer of `explain`: each plan below its name, line by line.
pub(crate) struct PlanWriter {
    writer: AnswerWriter,
}

impl PlanWriter {
    pub(crate) fn new(writer: AnswerWriter) -> Self {
        PlanWriter { writer }
    }
}

impl BatchWriter for PlanWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let formatters = formatters(batch)?;
        let Some((plan, names)) = formatters.split_last() else {
            return Ok(());
        };
        for row in 0..batch.num_rows() {
            for name in names {
                writeln!(self.writer, "{}", printable(&name.value(row).to_string()))?;
            }
            for line in plan.value(row).to_string().lines() {
                writeln!(self.writer, "{GAP}{}", printable(line))?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.writer.finish()?)
    }
}

/// A Markdown table in GitHub's dialect.
pub(crate) struct MarkdownWriter {
    writer: AnswerWriter,
}

impl MarkdownWriter {
    pub(crate) fn new(schema: &SchemaRef, writer: AnswerWriter) -> Result<Self, ArrowError> {
        let mut markdown = MarkdownWriter { writer };
        markdown.line(&names(schema))?;
        let rule: Vec<&str> = schema
            .fields()
            .iter()
            .map(|f| {
                if f.data_type().is_numeric() {
                    "---:"
                } else {
                    "---"
                }
            })
            .collect();
        writeln!(markdown.writer, "| {} |", rule.join(" | "))?;
        Ok(markdown)
    }

    fn line(&mut self, row: &TextRow) -> std::io::Result<()> {
        let cells: TextRow = row.iter().map(|cell| escaped(cell)).collect();
        writeln!(self.writer, "| {} |", cells.join(" | "))
    }
}

impl BatchWriter for MarkdownWriter {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            self.line(&row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.writer.finish()?)
    }
}

/// Escapes text so that Markdown shows it unchanged, with its indentation.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let rest = text.trim_start_matches(' ');
    out.extend(std::iter::repeat_n("&nbsp;", text.len() - rest.len()));
    for c in rest.chars() {
        if matches!(
            c,
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' | '&'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Formats the rows of a batch as text, with control characters escaped.
///
/// # Errors
/// A value has no text form.
fn cells(batch: &RecordBatch) -> Result<Vec<TextRow>, ArrowError> {
    let formatters = formatters(batch)?;
    let row = |row| {
        formatters
            .iter()
            .zip(batch.columns())
            .map(|(formatter, column)| match column.is_null(row) {
                true => String::new(),
                false => printable(&formatter.value(row).to_string()).into_owned(),
            })
            .collect()
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>, ArrowError> {
    let columns = batch.columns().iter();
    columns
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &CELL_OPTIONS))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_text_unchanged() {
        assert_eq!(escaped("  a|b_c<d>"), r"&nbsp;&nbsp;a\|b\_c\<d\>");
    }
}
