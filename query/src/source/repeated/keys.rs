//! Reads the keys of the events in a part of a file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use ctrace_schema::columns::{COLUMNS, Type};
use datafusion::common::hash_utils::{RandomState, create_hashes};

use crate::source::boot::FileBoot;
use crate::source::file::{FileContent, OpenFile};
use crate::source::names::BOOT_ID;
use crate::source::repeated::part::{Part, Place};
use crate::source::unclosed;

/// The columns that identify an event, together with the boot.
const KEY_COLUMNS: [&str; 3] = ["host", "seq", "time"];

/// The columns whose values are compared if two events have the same key.
#[derive(Debug, Default)]
pub(super) struct Contents(Vec<&'static str>);

impl Contents {
    /// Returns the columns that all of the files `numbers` have and that are not part of the key.
    pub(super) fn common(files: &[OpenFile], numbers: impl Iterator<Item = usize>) -> Contents {
        let numbers: HashSet<usize> = numbers.collect();
        let has = |number: &usize, column: &str| {
            let file = &files[*number];
            match &file.content {
                FileContent::Parquet(_) => file.schema.field_with_name(column).is_ok(),
                FileContent::Unclosed(..) => true,
                FileContent::Sqlite(database) => database.has_column(column),
            }
        };
        let columns = COLUMNS.iter().map(|column| column.name);
        let compared = columns.filter(|name| *name != BOOT_ID && !KEY_COLUMNS.contains(name));
        let common = compared.filter(|name| numbers.iter().all(|number| has(number, name)));
        Contents(common.collect())
    }
}

/// The key of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// The index of the host and the boot in [`Keys::boots`].
    pub(super) boot: u32,
    pub(super) seq: i64,
    /// µs since 1970 UTC.
    pub(super) micros: i64,
    /// A hash of the compared columns; 0 if none are.
    pub(super) content: u64,
    /// The position of the row in its part, or its id in a database.
    pub(super) row: u64,
}

/// The keys of the events in a part, in the order of the file. Events of an unknown boot are not compared and have no
/// key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Hosts and boots.
    pub(super) boots: Vec<(String, String)>,
    pub(super) rows: Vec<Key>,
}

/// Reads the keys of a part.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub(super) fn read(files: &[OpenFile], part: &Part, contents: &Contents) -> Result<Keys, String> {
    let file = &files[part.file];
    let constant = match file.boot() {
        FileBoot::One(id) => id.clone(),
        FileBoot::Column => None,
    };
    let columns = KEY_COLUMNS.iter().chain(&contents.0).copied();
    let columns: Vec<&str> = match constant {
        Some(_) => columns.collect(),
        None => columns.chain([BOOT_ID]).collect(),
    };
    let mut keys = KeyReader {
        constant,
        contents,
        keys: Keys::default(),
    };
    match (&file.content, part.place) {
        (FileContent::Sqlite(database), _) => {
            for (ids, batch) in database
                .rows_of(&schema(&columns))
                .map_err(|e| e.to_string())?
            {
                keys.add(&batch, |row| ids[row] as u64)?;
            }
        }
        (
            FileContent::Parquet(parquet) | FileContent::Unclosed(parquet, _),
            Place::Group(group),
        ) => {
            let mut start = 0;
            for batch in parquet.read_group(group, &columns)? {
                keys.add(&batch, |row| start + row as u64)?;
                start += batch.num_rows() as u64;
            }
        }
        (FileContent::Unclosed(_, rows), _) => {
            let mut start = 0;
            for rows in rows {
                let batch = unclosed::with_schema(rows, "", None, &schema(&columns))
                    .map_err(|e| e.to_string())?;
                keys.add(&batch, |row| start + row as u64)?;
                start += batch.num_rows() as u64;
            }
        }
        (FileContent::Parquet(_), _) => {}
    }
    Ok(keys.keys)
}

/// Returns the schema of some columns of this build, with text as views.
fn schema(columns: &[&str]) -> SchemaRef {
    let all = COLUMNS
        .iter()
        .filter(|column| columns.contains(&column.name));
    let fields = all.map(|column| Field::new(column.name, compared_type(column.ty), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Returns the type to which values are cast before they are compared.
fn compared_type(ty: Type) -> DataType {
    match ty {
        Type::Text => DataType::Utf8View,
        other => other.arrow(),
    }
}

struct KeyReader<'a> {
    /// The boot of all events; `None`: the column has it.
    constant: Option<String>,
    contents: &'a Contents,
    keys: Keys,
}

impl KeyReader<'_> {
    /// Adds the keys of a batch; `row` returns the number of a row.
    fn add(&mut self, batch: &RecordBatch, row: impl Fn(usize) -> u64) -> Result<(), String> {
        let column = |name: &str, ty: &DataType| {
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| format!("it has no column `{name}`"))?;
            cast(column, ty).map_err(|e| e.to_string())
        };
        let integers =
            |column: &ArrayRef| cast(column, &DataType::Int64).map_err(|e| e.to_string());
        let seq = integers(&column("seq", &DataType::Int64)?)?;
        let time = integers(&column("time", &Type::Time.arrow())?)?;
        let hosts = column("host", &DataType::Utf8View)?;
        let boots = match self.constant {
            Some(_) => None,
            None => Some(column(BOOT_ID, &DataType::Utf8View)?),
        };
        let content = self.contents_of(batch)?;
        let (seq, time) = (
            seq.as_primitive::<Int64Type>(),
            time.as_primitive::<Int64Type>(),
        );
        let hosts = hosts.as_string_view();
        for i in 0..batch.num_rows() {
            let boot = match &boots {
                Some(boots) => boots
                    .as_string_view()
                    .is_valid(i)
                    .then(|| boots.as_string_view().value(i)),
                None => self.constant.as_deref(),
            };
            if let Some(boot) = boot {
                let boot = index(&mut self.keys.boots, hosts.value(i), boot);
                self.keys.rows.push(Key {
                    boot,
                    seq: seq.value(i),
                    micros: time.value(i).div_euclid(1000),
                    content: content.get(i).copied().unwrap_or(0),
                    row: row(i),
                });
            }
        }
        Ok(())
    }

    /// Returns a hash of the compared columns for each row; empty if no columns are compared.
    fn contents_of(&self, batch: &RecordBatch) -> Result<Vec<u64>, String> {
        if self.contents.0.is_empty() {
            return Ok(vec![]);
        }
        let column = |name: &&str| {
            let found = batch
                .column_by_name(name)
                .zip(ctrace_schema::columns::index(name));
            let (column, at) = found.ok_or_else(|| format!("it has no column `{name}`"))?;
            cast(column, &compared_type(COLUMNS[at].ty)).map_err(|e| e.to_string())
        };
        let columns = self.contents.0.iter().map(column);
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&columns, &RandomState::with_seed(0), &mut hashes)
            .map_err(|e| e.to_string())?;
        Ok(hashes)
    }
}

/// Returns the index of a host and boot in a short list, to which the pair is added if it is missing.
fn index(boots: &mut Vec<(String, String)>, host: &str, boot: &str) -> u32 {
    // Rows of one host and boot mostly follow each other.
    let found = boots.iter().rposition(|(h, b)| h == host && b == boot);
    found.unwrap_or_else(|| {
        boots.push((host.to_string(), boot.to_string()));
        boots.len() - 1
    }) as u32
}
