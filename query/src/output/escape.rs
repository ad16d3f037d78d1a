//! Escapes control characters in answers for other programs, whose output may reach a terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use ctrace_schema::text::{is_control, printable};

use crate::output::batch_writer::CELL_OPTIONS;

/// Returns the schema with printable column names, and the text type that [`batch`] produces. Lists and other nested
/// values, for which CSV has no form, become text as in tables: `[1, 2]`.
pub(crate) fn schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let ty = match is_text(field.data_type()) || field.data_type().is_nested() {
            true => DataType::Utf8View,
            false => field.data_type().clone(),
        };
        Field::new(printable(field.name()), ty, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Returns the rows with text escaped by [`printable`]. `schema` is the result of [`schema()`].
pub(crate) fn batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(column);
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows)
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Dictionary(_, value) => is_text(value),
        ty => ty.is_string(),
    }
}

fn column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if column.data_type().is_nested() {
        let formatter = ArrayFormatter::try_new(column, &CELL_OPTIONS)?;
        let text = |row| {
            let text = formatter.value(row).to_string();
            column.is_valid(row).then(|| printable(&text).into_owned())
        };
        let texts: StringViewArray = (0..column.len()).map(text).collect();
        return Ok(Arc::new(texts));
    }
    if !is_text(column.data_type()) {
        return Ok(column.clone());
    }
    let texts = cast(column, &DataType::Utf8View)?;
    let views = texts.as_string_view();
    let shown = |text: &str| matches!(printable(text), Cow::Borrowed(_));
    if views.iter().flatten().all(shown) {
        return Ok(texts);
    }
    let texts = views.iter().map(|text| text.map(printable));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

/// Escapes every control character in JSON. JSON's grammar requires that only for ASCII below 0x20.
pub(crate) struct JsonEscaper<W> {
    to: W,
    /// The first bytes of a character that continues in the next write.
    incomplete: Vec<u8>,
}

impl<W: Write> JsonEscaper<W> {
    pub(crate) fn new(to: W) -> Self {
        let incomplete = Vec::new();
        JsonEscaper { to, incomplete }
    }

    pub(crate) fn into_inner(self) -> W {
        self.to
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) =
            rest.find(|c: char| !c.is_ascii_control() && is_control(c) || c == '\x7f')
        {
            self.to.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            let c = chars.next().map_or(0, u32::from);
            // All control characters are below U+10000.
            write!(self.to, "\\u{c:04x}")?;
            rest = chars.as_str();
        }
        self.to.write_all(rest.as_bytes())
    }
}

impl<W: Write> Write for JsonEscaper<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.incomplete.is_empty() && bytes.iter().all(|b| *b < 0x7f) {
            self.to.write_all(bytes)?;
            return Ok(bytes.len());
        }
        self.incomplete.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.incomplete);
        let complete = match std::str::from_utf8(&buffer) {
            Ok(_) => buffer.len(),
            Err(e) => e.valid_up_to(),
        };
        let (text, incomplete) = buffer.split_at(complete);
        self.incomplete = incomplete.to_vec();
        self.text(&String::from_utf8_lossy(text))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
