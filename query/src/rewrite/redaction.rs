//! Redaction of the rows of a recording that is written.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use ctrace_redact::{ID_COLUMNS, Redacted, RedactionCache, Redactor, is_id};
use ctrace_schema::columns::{COLUMNS, Type};

/// Redacts rows, and counts the values that it replaces.
pub(super) struct RowRedaction {
    cache: RedactionCache,
    /// The number of replaced values, by the index of the rule.
    values: Vec<u64>,
}

/// A text column: each text once, and the texts of the rows by number.
type Texts = DictionaryArray<UInt32Type>;

impl RowRedaction {
    pub(super) fn new(redactor: Arc<Redactor>) -> RowRedaction {
        RowRedaction {
            values: vec![0; redactor.rules()],
            cache: RedactionCache::new(redactor),
        }
    }

    pub(super) fn redactor(&self) -> &Redactor {
        self.cache.redactor()
    }

    /// Returns the number of replaced values, by the index of the rule.
    pub(super) fn values(&self) -> &[u64] {
        &self.values
    }

    /// Redacts rows. All text columns of the result hold each of their texts once.
    ///
    /// # Errors
    /// A column is not of its type.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let path = batch.column_by_name("path").map(texts).transpose()?;
        let calls = batch.column_by_name("syscall").map(texts).transpose()?;
        let (mut fields, mut columns) = (vec![], vec![]);
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let known = COLUMNS.iter().find(|known| known.name == field.name());
            let column = match known.map(|known| (known.name, known.ty)) {
                Some((name, Type::Text)) => {
                    let column = texts(column)?;
                    Arc::new(match name {
                        "path_arg" => self.path_args(&column, path.as_ref()),
                        _ => self.text_column(name, &column),
                    })
                }
                Some((name, _)) => self.number_column(name, column, calls.as_ref())?,
                None => column.clone(),
            };
            let data_type = column.data_type().clone();
            fields.push(field.as_ref().clone().with_data_type(data_type));
            columns.push(column);
        }
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    fn text_column(&mut self, name: &'static str, column: &Texts) -> Texts {
        let texts = column.values().as_string::<i32>();
        let redacted: Vec<Option<Redacted>> = texts
            .iter()
            .map(|text| self.cache.text(name, text?))
            .collect();
        for key in column.keys().iter().flatten() {
            self.count(redacted[key as usize].as_ref());
        }
        let texts = texts.iter().zip(&redacted);
        let texts = texts.map(|(text, new)| new.as_ref().map(|new| new.text.as_str()).or(text));
        let texts: StringArray = texts.collect();
        DictionaryArray::new(column.keys().clone(), Arc::new(texts))
    }

    /// Redacts the column `path_arg`, whose texts depend on those of `path`.
    fn path_args(&mut self, column: &Texts, paths: Option<&Texts>) -> Texts {
        let arguments = column.values().as_string::<i32>();
        let mut pairs: HashMap<(Option<u32>, u32), Option<Redacted>> = HashMap::new();
        let mut texts = vec![];
        for (row, key) in column.keys().iter().enumerate() {
            let Some(key) = key else {
                texts.push(None);
                continue;
            };
            let path = paths.filter(|paths| paths.is_valid(row));
            let path = path.map(|paths| (paths.keys().value(row), paths));
            let redacted = pairs
                .entry((path.map(|(key, _)| key), key))
                .or_insert_with(|| {
                    let path = path
                        .map(|(key, paths)| paths.values().as_string::<i32>().value(key as usize));
                    self.cache.path_arg(path, arguments.value(key as usize))
                });
            let redacted = redacted.clone();
            self.count(redacted.as_ref());
            texts.push(Some(match redacted {
                Some(redacted) => redacted.text,
                None => arguments.value(key as usize).to_string(),
            }));
        }
        texts.iter().map(Option::as_deref).collect()
    }

    fn number_column(
        &mut self,
        name: &str,
        column: &ArrayRef,
        calls: Option<&Texts>,
    ) -> Result<ArrayRef> {
        if !ID_COLUMNS.contains(&name) || !self.redactor().applies_to("uid") {
            return Ok(column.clone());
        }
        let numbers = cast(column, &DataType::Int64)?;
        let mut new = vec![];
        for (row, number) in numbers.as_primitive::<Int64Type>().iter().enumerate() {
            let call = calls.filter(|calls| calls.is_valid(row)).map(|calls| {
                let key = calls.keys().value(row) as usize;
                calls.values().as_string::<i32>().value(key)
            });
            let number = number.map(|number| {
                let has_id = is_id(name, call.unwrap_or_default());
                let redacted = has_id.then(|| self.redactor().id_number(number));
                redacted.flatten().map_or(number, |(id, rule)| {
                    self.values[rule] += 1;
                    id
                })
            });
            new.push(number);
        }
        Ok(Arc::new(Int64Array::from(new)))
    }

    fn count(&mut self, redacted: Option<&Redacted>) {
        for rule in redacted.iter().flat_map(|redacted| &redacted.rules) {
            self.values[*rule] += 1;
        }
    }
}

/// Returns a text column with each text once.
fn texts(column: &ArrayRef) -> Result<Texts> {
    let text = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    Ok(cast(column, &text)?.as_dictionary::<UInt32Type>().clone())
}
