//! Reads rows of an SQLite database into Arrow columns.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringViewArray, StringViewBuilder, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use ctrace_format::sqlite::{EVENT_COLUMNS, SIDES, Side};
use ctrace_schema::columns::{Column, Type};
use datafusion::common::ScalarValue;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use crate::source::names::{BOOT_ID, RECORDING};
use crate::source::row_set::RowSet;
use crate::source::sqlite::database::{Database, ReadError};
use crate::source::sqlite::filter::Condition;

/// The side tables that a scan needs, in the order of [`SIDES`]. All are held in memory, because side tables are small
/// compared with the events.
pub(crate) struct SideTables(Vec<Option<SideTable>>);

/// The requested columns of a side table.
struct SideTable {
    /// The ids of the rows, sorted.
    ids: Vec<i64>,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl SideTables {
    /// Reads the side tables with columns of `schema`.
    ///
    /// # Errors
    /// A table contains a value that is invalid in a recording.
    pub(crate) fn read(
        db: &Connection,
        database: &Database,
        schema: &Schema,
    ) -> Result<SideTables, ReadError> {
        let sides = SIDES
            .iter()
            .zip(&database.side_columns)
            .map(|(side, present)| {
                let is_read = |c: &&&'static Column| {
                    schema.column_with_name(c.name).is_some() && present.iter().any(|p| p == c.name)
                };
                let columns: Vec<&Column> = side.columns.iter().filter(is_read).copied().collect();
                match columns.is_empty() {
                    true => Ok(None),
                    false => SideTable::read(db, side, &columns).map(Some),
                }
            });
        Ok(SideTables(sides.collect::<Result<_, ReadError>>()?))
    }
}

impl SideTable {
    fn read(
        db: &Connection,
        side: &Side,
        columns: &[&'static Column],
    ) -> Result<SideTable, ReadError> {
        let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
        let sql = format!(
            "select id, {} from {} order by id",
            names.join(", "),
            side.table
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut ids = Vec::new();
        let mut cells: Vec<Cells> = columns.iter().map(|c| Cells::new(c.ty)).collect();
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
            for (i, cells) in cells.iter_mut().enumerate() {
                cells.push(row.get_ref(i + 1)?).map_err(|value| {
                    let (table, column) = (side.table, names[i]);
                    ReadError::Damaged(format!(
                        "column `{column}` of its table `{table}` holds {value}"
                    ))
                })?;
            }
        }
        let columns = names.into_iter().zip(cells.into_iter().map(Cells::finish));
        Ok(SideTable {
            ids,
            columns: columns.collect(),
        })
    }

    /// Returns the indices of the rows with these ids.
    fn indices(&self, side: &Side, ids: &[Option<i64>]) -> Result<UInt32Array, ReadError> {
        let index = |id: i64| {
            // In files of the recorder, ids count up from 1.
            let likely = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
            let likely = likely.filter(|&index| self.ids.get(index) == Some(&id));
            let index = likely.or_else(|| self.ids.binary_search(&id).ok());
            index.and_then(|index| u32::try_from(index).ok())
        };
        let indices = ids.iter().map(|id| match id.map(|id| (id, index(id))) {
            None => Ok(None),
            Some((_, Some(index))) => Ok(Some(index)),
            Some((id, None)) => Err(ReadError::Damaged(format!(
                "its table `event` refers to row {id} of `{}`, which is not there",
                side.table
            ))),
        });
        indices.collect()
    }
}

/// The values of one column, before they become an array.
enum Cells {
    Integers(Type, Vec<Option<i64>>),
    Texts(StringViewBuilder),
}

impl Cells {
    fn new(ty: Type) -> Cells {
        match ty {
            Type::Text => Cells::Texts(StringViewBuilder::new()),
            other => Cells::Integers(other, Vec::new()),
        }
    }

    /// Adds a value. The error describes a value of a wrong type.
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), String> {
        match (self, value) {
            (Cells::Integers(_, cells), ValueRef::Null) => cells.push(None),
            (Cells::Integers(ty, cells), ValueRef::Integer(value)) => {
                let fits = match ty {
                    Type::Int32 => i32::try_from(value).is_ok(),
                    Type::UInt32 => u32::try_from(value).is_ok(),
                    Type::Bool => value == 0 || value == 1,
                    Type::Time | Type::Int64 | Type::Text => true,
                };
                if !fits {
                    return Err(format!("the number {value}"));
                }
                cells.push(Some(value));
            }
            (Cells::Texts(cells), ValueRef::Null) => cells.append_null(),
            (Cells::Texts(cells), ValueRef::Text(text)) => {
                let text = std::str::from_utf8(text).map_err(|_| "text that is not UTF-8")?;
                cells.append_value(text);
            }
            (_, other) => return Err(format!("a value of type {}", other.data_type())),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        let (ty, cells) = match self {
            Cells::Texts(mut cells) => return Arc::new(cells.finish()),
            Cells::Integers(ty, cells) => (ty, cells),
        };
        // The casts are lossless: `push` has checked the values.
        match ty {
            Type::Time => Arc::new(TimestampNanosecondArray::from(cells).with_timezone("UTC")),
            Type::Int32 => Arc::new(
                cells
                    .into_iter()
                    .map(|c| c.map(|c| c as i32))
                    .collect::<Int32Array>(),
            ),
            Type::UInt32 => Arc::new(
                cells
                    .into_iter()
                    .map(|c| c.map(|c| c as u32))
                    .collect::<UInt32Array>(),
            ),
            Type::Bool => Arc::new(
                cells
                    .into_iter()
                    .map(|c| c.map(|c| c != 0))
                    .collect::<BooleanArray>(),
            ),
            Type::Int64 | Type::Text => Arc::new(Int64Array::from(cells)),
        }
    }
}

/// A reader of the table `event`.
pub(crate) struct EventReader<'a> {
    schema: &'a SchemaRef,
    sides: &'a SideTables,
    /// The ids of the rows that are left out.
    left_out: &'a RowSet,
    /// The value of `recording`.
    name: String,
    /// The value of `boot_id`; `None`: the column is read.
    boot_id: Option<ScalarValue>,
    /// The requested columns of the table itself.
    own: Vec<(&'static str, Type)>,
    /// The SELECT list: the columns of `own`, then references to side tables.
    select_list: Vec<String>,
}

impl<'a> EventReader<'a> {
    /// Creates a reader of the columns of `schema`.
    pub(crate) fn new(
        database: &Database,
        schema: &'a SchemaRef,
        sides: &'a SideTables,
        left_out: &'a RowSet,
    ) -> EventReader<'a> {
        let own = ctrace_schema::columns::COLUMNS.iter().filter(|c| {
            EVENT_COLUMNS.contains(&c.name) && schema.column_with_name(c.name).is_some()
        });
        let own: Vec<_> = own.map(|c| (c.name, c.ty)).collect();
        let references = SIDES.iter().zip(&sides.0);
        let references =
            references.filter_map(|(side, rows)| rows.as_ref().map(|_| side.reference()));
        let names = own.iter().map(|(name, _)| match *name {
            "seq" => "id + seq".to_string(),
            name => name.to_string(),
        });
        let selected: Vec<String> = names.chain(references).collect();
        EventReader {
            schema,
            sides,
            left_out,
            boot_id: database.boot.constant(),
            name: database.path.display().to_string(),
            own,
            select_list: selected,
        }
    }

    /// Reads the rows with ids in `rows` that pass `condition`, and passes batches of at most `batch_rows` to `send` until it
    /// returns false.
    ///
    /// # Errors
    /// A row contains a value that is invalid in a recording.
    pub(crate) fn read(
        &self,
        db: &Connection,
        rows: RangeInclusive<i64>,
        condition: &Condition,
        limit: Option<usize>,
        batch_rows: usize,
        mut send: impl FnMut(RecordBatch) -> bool,
    ) -> Result<(), ReadError> {
        let mut remaining = limit.unwrap_or(usize::MAX);
        // A query such as `count(*)` needs only the id.
        let select_list: String = self.select_list.iter().map(|c| format!("{c}, ")).collect();
        let sql = format!(
            "select {select_list}id from event where id between ? and ? and {} order by id",
            condition.sql
        );
        let mut parameters = vec![Value::Integer(*rows.start()), Value::Integer(*rows.end())];
        parameters.extend(condition.parameters.iter().cloned());
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        loop {
            let mut batch = self.empty_cells();
            let mut count = 0;
            while count < batch_rows.min(remaining) {
                let Some(row) = rows.next()? else {
                    break;
                };
                if !self.left_out.is_empty() {
                    let id: i64 = row.get(self.select_list.len())?;
                    if self.left_out.contains(id as u64) {
                        continue;
                    }
                }
                for (i, cells) in batch.iter_mut().enumerate() {
                    cells.push(row.get_ref(i)?).map_err(|value| {
                        let column = self.own.get(i).map_or("a reference", |(name, _)| name);
                        ReadError::Damaged(format!("its table `event` holds {value} for {column}"))
                    })?;
                }
                count += 1;
            }
            remaining -= count;
            if count == 0 || !send(self.batch(batch, count)?) || count < batch_rows {
                return Ok(());
            }
        }
    }

    fn empty_cells(&self) -> Vec<Cells> {
        let own = self.own.iter().map(|(_, ty)| Cells::new(*ty));
        let references = self.sides.0.iter().flatten();
        own.chain(references.map(|_| Cells::new(Type::Int64)))
            .collect()
    }

    fn batch(&self, cells: Vec<Cells>, count: usize) -> Result<RecordBatch, ReadError> {
        let mut cells = cells.into_iter();
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        for ((name, _), cells) in self.own.iter().zip(cells.by_ref()) {
            columns.push((name, cells.finish()));
        }
        let sides = SIDES.iter().zip(&self.sides.0);
        let sides = sides.filter_map(|(side, rows)| Some((side, rows.as_ref()?)));
        for ((side, rows), cells) in sides.zip(cells) {
            let Cells::Integers(_, ids) = cells else {
                continue;
            };
            let indices = rows.indices(side, &ids)?;
            for (name, values) in &rows.columns {
                let column = take(values, &indices, None).map_err(damaged)?;
                columns.push((name, column));
            }
        }
        let column = |field: &Arc<arrow::datatypes::Field>| {
            if field.name() == RECORDING {
                let name = std::iter::repeat_n(&self.name, count);
                return Ok(Arc::new(StringViewArray::from_iter_values(name)) as ArrayRef);
            }
            if field.name() == BOOT_ID
                && let Some(id) = &self.boot_id
            {
                return id
                    .to_array_of_size(count)
                    .map_err(|e| ReadError::Damaged(e.to_string()));
            }
            let known = columns.iter().find(|(name, _)| name == field.name());
            match known {
                Some((_, column)) => Ok(column.clone()),
                None => Ok(new_null_array(field.data_type(), count)),
            }
        };
        let all = self.schema.fields().iter().map(column);
        let all = all.collect::<Result<Vec<_>, ReadError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), all, &options).map_err(damaged)
    }
}

fn damaged(error: arrow::error::ArrowError) -> ReadError {
    ReadError::Damaged(error.to_string())
}
