//! Tables for people: aligned columns, and Markdown.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use ctrace_schema::text::printable;
use unicode_width::UnicodeWidthStr;

use crate::output::layout::{GAP, Kind, Layout, Row};
use crate::output::{BatchWriter, CELLS, Sink};

/// Rows that decide the layout. Later rows stream by in the same one, so that memory stays bounded.
const SAMPLE: usize = 1000;

/// Aligned columns below their names: numbers to the right, text to the left, null as nothing. On a terminal, each row is
/// one line, as [`Layout`] says; where it cannot be, rows are lists as those of [`Vertical`].
pub struct Table {
    sink: Sink,
    names: Row,
    kinds: Vec<Kind>,
    sample: Vec<Row>,
    shape: Option<Shape>,
}

enum Shape {
    Table(Layout),
    List(Lists),
}

impl Table {
    pub fn new(schema: &SchemaRef, sink: Sink) -> Self {
        Table {
            sink,
            names: names(schema),
            kinds: schema
                .fields()
                .iter()
                .map(|f| Kind::of(f.data_type()))
                .collect(),
            sample: Vec::new(),
            shape: None,
        }
    }

    /// Decides the shape, and writes what stands above the rows, and the rows so far; `complete`: there are no more.
    fn begin(&mut self, complete: bool) -> std::io::Result<()> {
        let sample = std::mem::take(&mut self.sample);
        let (names, kinds) = (&self.names, &self.kinds);
        let layout = match self.sink.width {
            Some(room) => Layout::fitted(names, kinds, &sample, complete, room),
            None => Some(Layout::whole(names, kinds, &sample)),
        };
        let shape = match layout {
            Some(layout) => {
                for line in layout.head(self.sink.width) {
                    writeln!(self.sink, "{line}")?;
                }
                Shape::Table(layout)
            }
            None => {
                writeln!(self.sink, "as lists, for want of room for a table:")?;
                Shape::List(Lists::of(names.clone()))
            }
        };
        self.shape = Some(shape);
        sample.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &Row) -> std::io::Result<()> {
        match &mut self.shape {
            Some(Shape::Table(layout)) => writeln!(self.sink, "{}", layout.row(row)),
            Some(Shape::List(lists)) => lists.row(&mut self.sink, row),
            None => Ok(()),
        }
    }
}

impl BatchWriter for Table {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            match self.shape {
                Some(_) => self.row(&row)?,
                None => self.sample.push(row),
            }
            if self.sample.len() >= SAMPLE {
                self.begin(false)?;
            }
        }
        if self.sink.live && self.shape.is_none() {
            self.begin(false)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ArrowError> {
        if self.shape.is_none() {
            self.begin(true)?;
        }
        Ok(self.sink.done()?)
    }
}

/// The names of the columns, safe to show.
fn names(schema: &SchemaRef) -> Row {
    let fields = schema.fields().iter();
    fields.map(|f| printable(f.name()).into_owned()).collect()
}

/// Rows as lists of columns and values.
struct Lists {
    names: Row,
    width: usize,
    rows: usize,
}

impl Lists {
    fn of(names: Row) -> Self {
        Lists {
            width: names.iter().map(|n| n.width()).max().unwrap_or(0),
            names,
            rows: 0,
        }
    }

    fn row(&mut self, sink: &mut Sink, row: &Row) -> std::io::Result<()> {
        self.rows += 1;
        writeln!(sink, "-- row {} --", self.rows)?;
        let cells = self.names.iter().zip(row);
        for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
            let pad = " ".repeat(self.width - name.width());
            writeln!(sink, "{name}{pad}{GAP}{cell}")?;
        }
        Ok(())
    }
}

/// Each row as a list of columns and values, which are not cut; null is left out.
pub struct Vertical {
    sink: Sink,
    lists: Lists,
}

impl Vertical {
    pub fn new(schema: &SchemaRef, sink: Sink) -> Self {
        Vertical {
            sink,
            lists: Lists::of(names(schema)),
        }
    }
}

impl BatchWriter for Vertical {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in cells(batch)? {
            self.lists.row(&mut self.sink, &row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ArrowError> {
        Ok(self.sink.done()?)
    }
}

/// What `explain` says: each plan below its name, line by line.
pub struct Plans {
    sink: Sink,
}

impl Plans {
    pub fn new(sink: Sink) -> Self {
        Plans { sink }
    }
}

impl BatchWriter for Plans {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let formatters = formatters(batch)?;
        let Some((plan, names)) = formatters.split_last() else {
            return Ok(());
        };
        for row in 0..batch.num_rows() {
            for name in names {
                writeln!(self.sink, "{}", printable(&name.value(row).to_string()))?;
            }
            for line in plan.value(row).to_string().lines() {
                writeln!(self.sink, "{GAP}{}", printable(line))?;
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

/// The rows of a batch as text that is safe to show.
///
/// # Errors
/// That a value cannot be shown.
pub fn cells(batch: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
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
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &CELLS))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_text_as_it_is() {
        assert_eq!(markdown("  a|b_c<d>"), r"&nbsp;&nbsp;a\|b\_c\<d\>");
    }
}
