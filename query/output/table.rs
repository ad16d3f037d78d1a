//! Tables for people: aligned columns, and Markdown.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use ctrace_schema::text::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{BatchWriter, Sink, cell_format};

/// Rows that decide how wide the columns are. Later rows stream by in the same widths, so that memory stays bounded.
const SAMPLE: usize = 1000;
const GAP: &str = "  ";
/// Cutting takes no column of text below this, and none of numbers below its numbers: a number in part is another number.
const NARROWEST: usize = 8;
const NARROWEST_NUMBER: usize = 5;

type Row = Vec<String>;

/// Aligned columns below their names: numbers to the right, text to the left, null as nothing. On a terminal, cells are
/// cut so that each row is one line.
pub struct Table {
    sink: Sink,
    names: Row,
    numbers: Vec<bool>,
    sample: Vec<Row>,
    widths: Option<Vec<usize>>,
}

impl Table {
    pub fn new(schema: &SchemaRef, sink: Sink) -> Self {
        let fields = schema.fields();
        Table {
            sink,
            names: fields
                .iter()
                .map(|f| printable(f.name()).into_owned())
                .collect(),
            numbers: fields.iter().map(|f| f.data_type().is_numeric()).collect(),
            sample: Vec::new(),
            widths: None,
        }
    }

    /// Decides the widths, and writes the names and the rows so far.
    fn begin(&mut self) -> std::io::Result<()> {
        let mut cells = vec![0; self.names.len()];
        for row in &self.sample {
            for (width, cell) in cells.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let names = self.names.iter().map(|n| n.width());
        let mut widths: Vec<usize> = cells
            .iter()
            .zip(names)
            .map(|(cell, name)| name.max(*cell))
            .collect();
        if let Some(terminal) = self.sink.width {
            let least = |(cell, number): (&usize, &bool)| {
                if *number {
                    (*cell).max(NARROWEST_NUMBER)
                } else {
                    NARROWEST
                }
            };
            let floors: Vec<usize> = cells.iter().zip(&self.numbers).map(least).collect();
            narrow(&mut widths, &floors, terminal);
        }
        let rule: Row = widths.iter().map(|w| "-".repeat(*w)).collect();
        self.widths = Some(widths);
        let names = self.names.clone();
        self.line(&names)?;
        self.line(&rule)?;
        for row in std::mem::take(&mut self.sample) {
            self.line(&row)?;
        }
        Ok(())
    }

    fn line(&mut self, row: &Row) -> std::io::Result<()> {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(self.widths.iter().flatten()).enumerate() {
            if i > 0 {
                line.push_str(GAP);
            }
            let cell = match self.sink.width {
                // A later row may hold a longer number than the first ones.
                Some(_) if !(self.numbers[i] && is_number(cell)) => cut(cell, *width),
                _ => cell.clone(),
            };
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) = if self.numbers[i] {
                (pad.as_str(), "")
            } else {
                ("", pad.as_str())
            };
            line.extend([before, &cell, after]);
        }
        writeln!(self.sink, "{}", line.trim_end())
    }
}

impl BatchWriter for Table {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            match self.widths {
                Some(_) => self.line(&row)?,
                None => self.sample.push(row),
            }
            if self.sample.len() >= SAMPLE {
                self.begin()?;
            }
        }
        if self.sink.live && self.widths.is_none() {
            self.begin()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        if self.widths.is_none() {
            self.begin()?;
        }
        Ok(self.sink.done()?)
    }
}

/// Each row as a list of columns and values, which are not cut; null is left out.
pub struct Vertical {
    sink: Sink,
    names: Row,
    width: usize,
    rows: usize,
}

impl Vertical {
    pub fn new(schema: &SchemaRef, sink: Sink) -> Self {
        let fields = schema.fields().iter();
        let names: Row = fields.map(|f| printable(f.name()).into_owned()).collect();
        Vertical {
            sink,
            width: names.iter().map(|n| n.width()).max().unwrap_or(0),
            names,
            rows: 0,
        }
    }
}

impl BatchWriter for Vertical {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            self.rows += 1;
            writeln!(self.sink, "-- row {} --", self.rows)?;
            for (name, cell) in self
                .names
                .iter()
                .zip(row)
                .filter(|(_, cell)| !cell.is_empty())
            {
                let pad = " ".repeat(self.width - name.width());
                writeln!(self.sink, "{name}{pad}{GAP}{cell}")?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.sink.done()?)
    }
}

/// A Markdown table, as GitHub reads it.
pub struct Markdown {
    sink: Sink,
}

impl Markdown {
    pub fn new(schema: &SchemaRef, sink: Sink) -> Result<Self, ArrowError> {
        let mut markdown = Markdown { sink };
        let names = schema
            .fields()
            .iter()
            .map(|f| printable(f.name()).into_owned());
        markdown.line(&names.collect())?;
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
        writeln!(markdown.sink, "| {} |", rule.join(" | "))?;
        Ok(markdown)
    }

    fn line(&mut self, row: &Row) -> std::io::Result<()> {
        let cells: Row = row.iter().map(|cell| markdown(cell)).collect();
        writeln!(self.sink, "| {} |", cells.join(" | "))
    }
}

impl BatchWriter for Markdown {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            self.line(&row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.sink.done()?)
    }
}

/// Text that Markdown shows as it is: what it would take for its own is escaped, and indentation is kept.
fn markdown(text: &str) -> String {
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

/// Whether a cell of a column of numbers is one: the name and the rule are not.
fn is_number(cell: &str) -> bool {
    cell.bytes().any(|b| b.is_ascii_digit())
}

/// The rows of a batch as text that is safe to show.
///
/// # Errors
/// That a value cannot be shown.
pub fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = cell_format();
    let formatters = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
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

/// Takes from the widest columns until all fit into `terminal`, or are down to their `floors`.
fn narrow(widths: &mut [usize], floors: &[usize], terminal: usize) {
    let room = terminal.saturating_sub(GAP.len() * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let wide = widths
            .iter_mut()
            .zip(floors)
            .filter(|(width, floor)| **width > **floor);
        match wide.map(|(width, _)| width).max() {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
}

/// `text` in at most `width` columns, with … for what is left out.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide >= width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_to_the_column() {
        assert_eq!(cut("/etc/hosts", 10), "/etc/hosts");
        assert_eq!(cut("/etc/hosts.allow", 10), "/etc/host…");
        // A wide character takes two columns.
        assert_eq!(cut("漢字漢字", 5), "漢字…");
    }

    #[test]
    fn the_widest_columns_give_way() {
        let mut widths = [4, 60, 30];
        narrow(&mut widths, &[8, 8, 8], 64);
        assert_eq!(widths, [4, 28, 28]);
        // The numbers of the last column stay whole.
        let mut widths = [12, 8, 13];
        narrow(&mut widths, &[8, 8, 10], 10);
        assert_eq!(widths, [8, 8, 10]);
    }

    #[test]
    fn markdown_shows_text_as_it_is() {
        assert_eq!(markdown("  a|b_c<d>"), r"&nbsp;&nbsp;a\|b\_c\<d\>");
    }
}
